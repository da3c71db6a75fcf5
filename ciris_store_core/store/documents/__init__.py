"""Documents and streams of a store: what applications and frameworks keep under a namespace."""
