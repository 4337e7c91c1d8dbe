"""Actions as they lie in a batch, as inputs of a network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor

from arl_core.spaces import action_parts


class ActionInputs:
    """Columns [..., A] of any action space -> float32 [..., `size`]: one-hot for discrete parts, bits and numbers as they are
    (those of `tanh_squash` are the ones before the tanh)."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        self._classes: list[int] = []  # of each column; 0: a number
        for _, leaf in action_parts(space):
            if isinstance(leaf, spaces.Discrete):
                self._classes.append(int(leaf.n))
            elif isinstance(leaf, spaces.MultiDiscrete):
                self._classes += [int(size) for size in np.ravel(leaf.nvec)]
            else:
                self._classes += [0] * math.prod(leaf.shape or ())
        self.size = sum(max(1, classes) for classes in self._classes)

    def __call__(self, actions: Tensor) -> Tensor:
        """[..., A] -> [..., size]."""
        columns = zip(self._classes, actions.unbind(-1), strict=True)
        parts = [F.one_hot(x.long(), classes) if classes else x.unsqueeze(-1) for classes, x in columns]
        return torch.cat([part.float() for part in parts], -1)
