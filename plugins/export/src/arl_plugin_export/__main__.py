"""`python -m arl_plugin_export` is `arl-export`."""

import sys

from arl_plugin_export.cli import main

sys.exit(main())
