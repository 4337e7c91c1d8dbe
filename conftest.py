"""For every test, those of the plugins too."""

import os
import signal

# The parts of `make test` share the cores: threads of torch that wait for each other there take many times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell's background jobs ignore Ctrl-C, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
