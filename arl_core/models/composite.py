"""The product of distributions, for Dict and Tuple actions (conventions: `action_dist`)."""

# ruff: noqa: D102  # `ActionDist` documents what its subclasses override

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arl_core.models.action_dist import ActionDist


def _slices(sizes: Sequence[int], start: int = 0) -> list[slice]:
    """Neighbouring slices of these sizes."""
    return [slice(begin, end) for begin, end in pairwise(accumulate(sizes, initial=start))]


class Composite(ActionDist):
    """Independent parts: log-probabilities, entropies and KL add. Actions, masks and noise are those of the parts, one after
    the other; parameters too, but the free ones of all parts come last. Actions are int64, or floating-point where a part's
    are."""

    def __init__(self, parts: Sequence[ActionDist]) -> None:
        self.parts = list(parts)
        self.action_size = sum(part.action_size for part in parts)
        self.params_size = sum(part.params_size for part in parts)
        self.free_size = sum(part.free_size for part in parts)
        self.noise_size = sum(part.noise_size for part in parts)
        self.num_actions_for_mask = sum(part.num_actions_for_mask for part in parts)
        self.free_limits = next((part.free_limits for part in parts if part.free_size), self.free_limits)  # Gaussians' alone
        dtypes = {part.action_dtype for part in parts}
        self.action_dtype = torch.float32 if torch.float32 in dtypes else torch.int64
        self._has_casts = len(dtypes) > 1
        self._head_sizes = [part.head_size for part in parts]
        self._action_sizes = [part.action_size for part in parts]
        self._noise_sizes = [part.noise_size for part in parts]
        self._mask_sizes = [part.num_actions_for_mask for part in parts]
        self._heads, self._actions, self._noise = map(_slices, (self._head_sizes, self._action_sizes, self._noise_sizes))
        self._free = _slices([part.free_size for part in parts], self.head_size)
        self.squashed = tuple(
            (columns.start + column, low, high)
            for part, columns in zip(self.parts, self._actions, strict=True)
            for column, low, high in part.squashed
        )

    def initial_params(self) -> Tensor:
        initial = [(part.initial_params(), part.head_size) for part in self.parts]
        return torch.cat([x[:size] for x, size in initial] + [x[size:] for x, size in initial])

    def _params(self, params: Tensor) -> Sequence[Tensor]:
        """Each part's own parameters."""
        if not self.free_size:
            return params.split_with_sizes(self._head_sizes, -1)
        pairs = [(params[..., head], params[..., free]) for head, free in zip(self._heads, self._free, strict=True)]
        return [torch.cat((head, free), -1) if free.shape[-1] else head for head, free in pairs]

    def _split_masks(self, mask: Tensor | None) -> Sequence[Tensor | None]:
        if mask is None:
            return [None] * len(self.parts)
        return [own if own.shape[-1] else None for own in mask.split_with_sizes(self._mask_sizes, -1)]

    def _split_actions(self, actions: Tensor) -> Sequence[Tensor]:
        columns = actions.split_with_sizes(self._action_sizes, -1)
        return [own.long() if part.action_dtype is torch.int64 else own for part, own in zip(self.parts, columns, strict=True)]

    def components(self, params: Tensor, mask: Tensor | None) -> Iterator[tuple[ActionDist, Tensor, Tensor | None]]:
        return zip(self.parts, self._params(params), self._split_masks(mask), strict=True)

    def draw_noise(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        for part, columns in zip(self.parts, self._noise, strict=True):
            part.draw_noise(noise[..., columns], generator)
        return noise

    def choose(self, params: Tensor, mask: Tensor | None, noise: Tensor) -> Tensor:
        noises = noise.split_with_sizes(self._noise_sizes, -1)
        rows = zip(self.parts, self._params(params), self._split_masks(mask), noises, strict=True)
        return self._join([part.choose(p, m, n) for part, p, m, n in rows], params)

    def choose_numpy_into(
        self, out: NDArray[Any], params: NDArray[np.float32], mask: NDArray[Any] | None, noise: NDArray[np.float32]
    ) -> None:
        if mask is not None:  # what masks do is torch's anyway: one way there and back, not one for each part
            super().choose_numpy_into(out, params, mask, noise)
            return
        for i, part in enumerate(self.parts):
            own, free = params[:, self._heads[i]], params[:, self._free[i]]
            if free.shape[1]:
                own = np.concatenate((own, free), 1)
            columns = out[:, self._actions[i]]
            is_cast = self._has_casts and part.action_dtype is torch.int64
            target = np.empty(columns.shape, np.int64) if is_cast else columns
            part.choose_numpy_into(target, own, None, noise[:, self._noise[i]])
            if is_cast:
                columns[...] = target

    def _join(self, actions: list[Tensor], params: Tensor) -> Tensor:
        return torch.cat([column.to(params.dtype) for column in actions] if self._has_casts else actions, -1)

    def mode(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        rows = zip(self.parts, self._params(params), self._split_masks(mask), strict=True)
        return self._join([part.mode(p, m) for part, p, m in rows], params)

    def log_prob(self, params: Tensor, actions: Tensor, mask: Tensor | None = None) -> Tensor:
        rows = zip(self.parts, self._params(params), self._split_actions(actions), self._split_masks(mask), strict=True)
        return torch.stack([part.log_prob(p, a, m) for part, p, a, m in rows]).sum(0)

    def log_prob_entropy(self, params: Tensor, actions: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        rows = zip(self.parts, self._params(params), self._split_actions(actions), self._split_masks(mask), strict=True)
        terms = [part.log_prob_entropy(p, a, m) for part, p, a, m in rows]
        return torch.stack([term[0] for term in terms]).sum(0), torch.stack([term[1] for term in terms]).sum(0)

    def entropy(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        rows = zip(self.parts, self._params(params), self._split_masks(mask), strict=True)
        return torch.stack([part.entropy(p, m) for part, p, m in rows]).sum(0)

    def kl(self, params_p: Tensor, params_q: Tensor, mask: Tensor | None = None) -> Tensor:
        rows = zip(self.parts, self._params(params_p), self._params(params_q), self._split_masks(mask), strict=True)
        return torch.stack([part.kl(p, q, m) for part, p, q, m in rows]).sum(0)
