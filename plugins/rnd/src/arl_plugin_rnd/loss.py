"""Random network distillation (Burda, Edwards, Storkey & Klimov 2018, "Exploration by random network distillation")."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from arl_core.algorithms.base import AuxiliaryLoss
from arl_core.algorithms.batch import TrainingBatch
from arl_core.algorithms.losses import masked_mean, valid_weights
from arl_core.config import RunConfig
from arl_core.models.policy import PolicyNetwork
from arl_plugin_rnd.networks import Features, NormalizedInputs, ReturnScale
from arl_plugin_rnd.options import RndOptions


class RandomNetworkDistillation(AuxiliaryLoss):
    """Reward = coeff * error / deviation, where error is the mean squared difference of a trained network and a fixed random
    one at the observation that the action led to (section 2.2). What was seen often is predicted well and pays little.

    All statistics move once a batch, before its rewards are computed. The state (both networks, statistics, the generator of
    `update_proportion`) is in the checkpoint.
    """

    def __init__(
        self,
        model: PolicyNetwork,  # noqa: ARG002  # the hook's signature: nothing here depends on the policy
        obs_space: spaces.Space[Any],
        action_space: spaces.Space[Any],  # noqa: ARG002
        cfg: RunConfig,
        **options: Any,
    ) -> None:
        super().__init__()
        chosen = RndOptions(**options)
        self.options = chosen
        self.inputs = NormalizedInputs(obs_space, cfg)
        sizes = chosen.hidden_size, 0, chosen.feature_size
        self.target = Features(obs_space, cfg, *sizes).requires_grad_(False)
        self.predictor = Features(obs_space, cfg, chosen.hidden_size, chosen.predictor_layers, chosen.feature_size)
        self.scale = ReturnScale(chosen.gamma)
        self._bonus_mean = torch.zeros(())  # of the present batch, to be shown
        self._generator = torch.Generator().manual_seed(cfg.seed)

    def get_extra_state(self) -> Tensor:
        """The generator's state: torch asks for it with the parameters."""
        return self._generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Go on with a saved generator."""
        self._generator.set_state(state.cpu())

    def errors(self, obs: dict[str, Tensor]) -> Tensor:
        """Prediction errors [N] of observations {key: [N, ...]}."""
        inputs = self.inputs(obs)
        with torch.no_grad():
            target = self.target(inputs)
        difference: Tensor = self.predictor(inputs) - target
        return difference.square().mean(-1)

    @torch.no_grad()
    def bonus(self, batch: TrainingBatch) -> Tensor:
        """Intrinsic rewards [T, B], 0 where not valid."""
        obs, valid = _reached(batch), batch.valid
        self.inputs.update(obs, valid.flatten())
        errors = torch.where(valid, self.errors(obs).view(valid.shape), 0.0)
        self.scale.update(errors, valid)
        rewards = errors * (self.options.coeff / self.scale.stddev)
        self._bonus_mean = masked_mean(rewards, valid_weights(valid))
        return rewards

    def loss(self, model: PolicyNetwork, batch: TrainingBatch) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        """The predictor's error, on a share of the frames."""
        trained = batch.valid
        if self.options.update_proportion < 1.0:
            drawn = torch.rand(trained.shape, generator=self._generator) < self.options.update_proportion
            trained = trained & drawn.to(trained.device)
        error = masked_mean(self.errors(_reached(batch)).view(trained.shape), valid_weights(trained))
        metrics = {"error": error.detach(), "reward": self._bonus_mean, "return_stddev": self.scale.stddev}
        return error, metrics


def _reached(batch: TrainingBatch) -> dict[str, Tensor]:
    """The observations {key: [T*B, ...]} that the actions led to."""
    return {key: rows[1:].flatten(0, 1) for key, rows in batch.obs.items()}
