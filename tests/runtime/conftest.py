"""Fixtures for tests that start processes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from run_support import no_process_left, one_thread, warm_nurseries  # noqa: F401  # fixtures
