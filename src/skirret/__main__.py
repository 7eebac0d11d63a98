"""``python -m skirret``: the same as the ``skirret`` command."""

from __future__ import annotations

import sys

from skirret.cli import main

if __name__ == "__main__":
    sys.exit(main())
