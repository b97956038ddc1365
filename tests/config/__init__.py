"""Tests of the configuration: kinds of values, settings, loading and writing."""
