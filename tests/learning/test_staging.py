"""Arrays in one piece of memory."""

import numpy as np
import pytest
import torch

from arl_core.learning.staging import Staging

SHAPES = {
    "image": ((3, 2, 5), np.dtype(np.uint8)),
    "flag": ((3, 2), np.dtype(np.bool_)),
    "action": ((3, 2, 1), np.dtype(np.int64)),
    "none": ((2, 0), np.dtype(np.float32)),
    "reward": ((3, 2), np.dtype(np.float32)),
}


def test_arrays_do_not_meet_and_torch_sees_the_same_memory() -> None:
    staging = Staging(SHAPES, pinned=False)
    for number, (name, (shape, dtype)) in enumerate(SHAPES.items()):
        array = staging.arrays[name]
        assert (array.shape, array.dtype) == (shape, dtype)
        array[...] = number % 2 if dtype == np.bool_ else number
    for number, (name, (_, dtype)) in enumerate(SHAPES.items()):
        tensor = staging.tensors[name]
        assert (tensor == (number % 2 if dtype == np.bool_ else number)).all(), name
        assert tensor.data_ptr() % 64 == 0 or not tensor.numel()
        assert tensor.untyped_storage().data_ptr() == staging.storage.untyped_storage().data_ptr()
    assert staging.storage.numel() == 64 * 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_memory_for_a_gpu_is_pinned() -> None:
    assert Staging(SHAPES, pinned=True).storage.is_pinned()
