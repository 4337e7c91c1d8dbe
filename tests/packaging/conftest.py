"""Fixtures for tests in fresh virtual environments."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fresh_venvs import dist, make_venv, third_party  # noqa: F401  # fixtures
