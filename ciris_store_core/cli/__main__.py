"""``python -m ciris_store_core.cli``: the same as the command ``ciris-store``."""

from ciris_store_core.cli import main

main()
