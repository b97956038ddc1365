"""Tests of the commands, most of them as the processes that users start."""
