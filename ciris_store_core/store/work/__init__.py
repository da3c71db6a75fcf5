"""Tasks, thoughts, occurrences and leases."""
