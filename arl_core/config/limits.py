"""The numbers that a configuration's fields may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

# What is larger is a slip of the pen, or fails later and less clearly.
MAX_FRAMES = 2**62  # of all policies of a run: they are counted by signed integers of 64 bits
MAX_SEED = 2**63 - 1
MAX_COUNT = 2**31 - 1  # of whatever else a run has many of
MAX_WORKERS, MAX_THREADS = 4096, 1024
MAX_WIDTH, MAX_LAYERS = 2**14, 128
Positive = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Frames = Annotated[int, Field(ge=0, le=MAX_FRAMES)]
Layers = Annotated[int, Field(ge=1, le=MAX_LAYERS)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
