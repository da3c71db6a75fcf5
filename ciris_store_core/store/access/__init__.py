"""Access control: scope policies, approvals, and the secrets that records refer to."""
