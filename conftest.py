"""For every test, those of the plugins too."""

import os

# The parts of `make test` share the cores: threads of torch that wait for each other there take many times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
