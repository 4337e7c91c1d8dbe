"""Weights that are not a network's are told in one line."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from arl_core.models.checking import check_weights

OWN = {"weight": torch.zeros(2, 3), "count": torch.zeros((), dtype=torch.int64)}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "expected a state_dict, got NoneType"),
        (nn.Linear(3, 2), "expected a state_dict, got a module: give its .state_dict()"),
        ({}, "the weights do not fit this network: missing 'count', 'weight', unknown none"),
        (
            {**OWN, **dict.fromkeys("abcd", 0), 1: 0},
            "the weights do not fit this network: missing none, unknown 'a', 'b', 'c' and 2 more",
        ),
        ({**OWN, "weight": [0.0]}, "weight 'weight' is list, not a tensor"),
        ({**OWN, "weight": torch.zeros(3, 2)}, "weight 'weight' has shape (3, 2), this network's has (2, 3)"),
        ({**OWN, "weight": torch.full((2, 3), float("nan"))}, "weight 'weight' is not finite as torch.float32"),
        ({**OWN, "weight": torch.full((2, 3), 1e300, dtype=torch.float64)}, "weight 'weight' is not finite as torch.float32"),
        (
            {**OWN, "weight": torch.zeros(2, 3, dtype=torch.complex64)},
            "weight 'weight' has type torch.complex64, this network's has torch.float32",
        ),
        ({**OWN, "count": torch.tensor(0.5)}, "weight 'count' has type torch.float32, this network's has torch.int64"),
        *(
            (
                {**OWN, "weight": odd},
                "weight 'weight' is no dense tensor with values (but sparse, quantised, or on the device 'meta')",
            )
            for odd in (torch.empty(2, 3, device="meta"), torch.zeros(2, 3).to_sparse())
        ),
    ],
)
def test_what_cannot_be_loaded(state: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_weights(OWN, state)


def test_other_types_of_the_same_values_can() -> None:
    state = {"weight": nn.Parameter(torch.ones(2, 3, dtype=torch.float64)), "count": torch.tensor(3, dtype=torch.int32)}
    check_weights(OWN, state)
    for key, own in OWN.items():
        assert torch.equal(own.clone().copy_(state[key].detach()).to(state[key].dtype), state[key])
