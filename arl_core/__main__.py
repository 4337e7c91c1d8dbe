"""`python -m arl_core` is the command `arl`."""

from __future__ import annotations

import sys

from arl_core.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
