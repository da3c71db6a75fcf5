"""Helpers of the tests: real servers and a network that misbehaves."""
