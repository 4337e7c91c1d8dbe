"""PNG files from arrays, with the standard library: a picture of a played episode needs no imaging package."""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from arl_core.files import write_atomic


def write_png(path: str | os.PathLike[str], pixels: NDArray[np.uint8]) -> None:
    """Write RGB `pixels` [H, W, 3] (PNG, W3C recommendation: signature, IHDR, IDAT, IEND)."""
    height, width, channels = pixels.shape
    if channels != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"expected uint8 [H, W, 3], got {pixels.dtype} {pixels.shape}")
    lines = np.zeros((height, 1 + width * 3), np.uint8)  # each line begins with its filter type, 0: none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")):
        content += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    write_atomic(path, content)
