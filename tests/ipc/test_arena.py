from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from arl_core.interfaces import ArraySpec, UserError
from arl_core.ipc.arena import ALIGNMENT_BYTES, Arena

TABLE = {
    "bits": ArraySpec((3,), "bool"),
    "words": ArraySpec((5, 7), "int64"),
    "none": ArraySpec((4, 0), "float32"),
    "one": ArraySpec((), "float64"),
    "last": ArraySpec((0,), "uint8"),
}


def address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def test_arrays_are_zeroed_aligned_and_apart(make_arena: Any) -> None:
    arena = make_arena(TABLE)
    for name, spec in TABLE.items():
        array = arena[name]
        assert (array.shape, array.dtype.name) == (spec.shape, spec.dtype)
        assert not array.any()
        assert address(array) % ALIGNMENT_BYTES == 0
    arena["bits"][:] = True
    arena["one"][...] = np.nan
    assert not arena["words"].any()
    assert "words" in arena
    assert "other" not in arena
    with pytest.raises(KeyError):
        arena["other"]


def test_size_is_that_of_the_padded_arrays(make_arena: Any) -> None:
    assert make_arena(TABLE).size_bytes == 64 + 320 + 0 + 64 + 0
    assert make_arena({}).size_bytes == ALIGNMENT_BYTES


def test_a_second_process_sees_and_changes_the_same_arrays(make_arena: Any, children: Any) -> None:
    arena = make_arena(TABLE)
    arena["words"][:] = np.arange(35).reshape(5, 7)
    assert children.code(children.start("add", arena, name="words", amount=100)) == 0
    np.testing.assert_array_equal(arena["words"], 100 + np.arange(35).reshape(5, 7))
    assert not arena["bits"].any()


@pytest.mark.parametrize("shape", [(2**42,), (2**62, 16), (2**40, 2**40)])
def test_memory_that_is_not_there_is_an_error_that_says_so(shape: tuple[int, ...]) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(UserError, match=r"no shared memory .* MiB\): .*fewer environments"):
        Arena.create({"huge": ArraySpec(shape, "uint8")})
    assert len(os.listdir("/proc/self/fd")) == len(before)


def hold_all(held: list[int]) -> None:
    while True:
        held.append(os.dup(0))


def test_no_descriptor_left_is_an_error_that_says_so() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    held: list[int] = []
    try:
        with pytest.raises(OSError, match="Too many open files"):
            hold_all(held)
        with pytest.raises(UserError, match="Too many open files"):
            Arena.create(TABLE)
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert max(int(name) for name in os.listdir("/proc/self/fd")) <= max(highest, 64)


def test_nothing_has_a_name_anywhere(make_arena: Any, shared_names: Any) -> None:
    before = shared_names()
    arena = make_arena(TABLE)
    assert shared_names() <= before
    assert os.readlink(f"/proc/self/fd/{arena.fd}").startswith("/memfd:arl")


def test_closing_gives_up_every_descriptor_and_is_idempotent() -> None:
    before = len(os.listdir("/proc/self/fd"))
    arena = Arena.create(TABLE)
    kept = arena["words"]
    arena.close()
    arena.close()
    assert arena.fd == -1
    kept[0, 0] = 5  # memory lives as long as an array of it
    assert kept[0, 0] == 5
    del kept, arena
    assert len(os.listdir("/proc/self/fd")) == before
