"""Modules that tests of several areas share."""
