"""Validation of what callers pass: records, JSON values and arguments."""
