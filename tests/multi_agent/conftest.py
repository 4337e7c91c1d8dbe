from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "runtime"))

from run_support import no_process_left, one_thread, warm_nurseries  # noqa: F401  # fixtures
