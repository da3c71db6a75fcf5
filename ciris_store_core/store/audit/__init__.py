"""The audit trail: hash chains, signatures and their verification."""
