"""What the tests share: real servers and a network that misbehaves."""
