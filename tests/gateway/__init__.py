"""Tests of the HTTP gateway, in this process and as one of its own."""
