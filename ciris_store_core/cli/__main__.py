"""The command ``ciris-store``, as ``python -m ciris_store_core.cli``."""

from ciris_store_core.cli import main

main()
