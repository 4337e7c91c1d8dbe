"""CPC|A: contrastive predictive coding with actions (Guo, Azar, Piot, Pires, Munos 2018, "Neural predictive belief
representations", section 2.2), on the trajectories of a batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.algorithms.base import AuxiliaryLoss
from arl_core.algorithms.batch import TrainingBatch
from arl_core.algorithms.losses import masked_mean, valid_weights
from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.policy import Latents, PolicyNetwork
from arl_plugin_cpca.actions import ActionInputs
from arl_plugin_cpca.options import CpcaOptions


class Drawn(NamedTuple):
    """What of a minibatch one evaluation of the loss looks at."""

    rows: Tensor  # int64 [S]: rows t that predictions start from
    steps: Tensor  # int64 [J]: distances j, from 1 on
    negatives: Tensor  # int64 [J, S, B, N]: rows of the flattened features [(T+1) * B]


class ContrastivePrediction(AuxiliaryLoss):
    """From the core's output at row t, a GRU reads the actions t, t+1, ... t+j-1; its state then has to tell the encoder's
    output at row t+j from those of other observations (binary cross-entropy, one right and `negatives` wrong ones).

    Gradients reach the GRU, the core and, through both sides, the encoder. A prediction counts where all rows on the way are
    transitions of one episode; the true final observation is the last one that is predicted.
    """

    def __init__(
        self,
        model: PolicyNetwork,
        obs_space: spaces.Space[Any],  # noqa: ARG002  # the hook's signature: the encoder knows it
        action_space: spaces.Space[Any],
        cfg: RunConfig,
        **options: Any,
    ) -> None:
        super().__init__()
        chosen = CpcaOptions(**options)
        if chosen.steps > cfg.rollout:
            raise UserError(
                f"loss 'cpca/cpca': steps ({chosen.steps}) is more than rollout ({cfg.rollout}): nothing lies so far ahead"
            )
        features, memory = model.keep_latents()
        self.options = chosen
        self._encode = ActionInputs(action_space)
        self.begin = nn.Linear(memory, chosen.hidden_size)
        self.cell = nn.GRUCell(self._encode.size, chosen.hidden_size)
        # the score v . relu(A h + B z): each side is projected once, however many pairs there are
        self.of_prediction = nn.Linear(chosen.hidden_size, chosen.score_size)
        self.of_features = nn.Linear(features, chosen.score_size, bias=False)
        self.score = nn.Linear(chosen.score_size, 1)
        self._generator = torch.Generator().manual_seed(cfg.seed)

    def get_extra_state(self) -> Tensor:
        """The generator's state: torch asks for it with the parameters."""
        return self._generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Go on with a saved generator."""
        self._generator.set_state(state.cpu())

    def loss(self, model: PolicyNetwork, batch: TrainingBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The cross-entropy, times `coeff`, and how often right and wrong observations are told apart."""
        if model.latents is None:
            raise UserError("loss 'cpca/cpca' needs an algorithm whose loss evaluates the network on the minibatch")
        horizon, columns = batch.valid.shape
        return self.loss_of(model.latents, batch, self.draw(horizon, columns))

    def draw(self, horizon: int, columns: int) -> Drawn:
        """Rows, distances and negatives for a minibatch of T x B."""
        chosen = self.options
        rows = torch.randperm(horizon, generator=self._generator)[: chosen.time_subsample or None]
        steps = torch.randperm(chosen.steps, generator=self._generator)[: chosen.step_subsample or None] + 1
        shape = (len(steps), len(rows), columns, chosen.negatives)
        return Drawn(rows, steps, torch.randint((horizon + 1) * columns, shape, generator=self._generator))

    def loss_of(self, latents: Latents, batch: TrainingBatch, drawn: Drawn) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss for what was drawn."""
        rows, steps, negatives = (index.to(batch.valid.device) for index in drawn)
        projected = self.of_features(latents.features)  # [T+1, B, D]
        predicted = self.of_prediction(self._unroll(latents.memory, batch.actions, rows, int(drawn.steps.max()))[steps - 1])
        horizon = len(batch.valid)
        at = rows + steps.unsqueeze(1)  # [J, S]
        right = self._logits(predicted, projected[at.clamp(max=horizon)])
        wrong = self._logits(predicted.unsqueeze(-2), projected.flatten(0, 1)[negatives])
        weights = valid_weights(reachable(batch, int(drawn.steps.max()))[steps - 1][:, rows])
        error = F.softplus(-right) + F.softplus(wrong).mean(-1)
        loss = masked_mean(error, weights)
        with torch.no_grad():
            told = (right > 0).float() * 0.5 + (wrong < 0).float().mean(-1) * 0.5
            metrics = {"loss": loss.detach(), "accuracy": masked_mean(told, weights)}
        return self.options.coeff * loss, metrics

    def _unroll(self, memory: Tensor, actions: Tensor, rows: Tensor, steps: int) -> Tensor:
        """The GRU's states [steps, S, B, H] after 1, 2, ... actions from each of the rows; what runs over the end of the
        trajectory repeats its last action and is not used."""
        inputs = self._encode(actions)
        columns = memory.shape[1]
        state = self.begin(memory[rows]).tanh().flatten(0, 1)
        states = []
        for step in range(steps):
            coming = inputs[(rows + step).clamp(max=len(inputs) - 1)].flatten(0, 1)
            state = self.cell(coming, state)
            states.append(state.view(len(rows), columns, -1))
        return torch.stack(states)

    def _logits(self, predicted: Tensor, projected: Tensor) -> Tensor:
        hidden: Tensor = self.score(torch.relu(predicted + projected))
        return hidden.squeeze(-1)


def reachable(batch: TrainingBatch, steps: int) -> Tensor:
    """[steps, T, B] bool: whether row t + j (j = 1, 2, ...) is there and belongs to row t's episode, its final observation
    included."""
    goes_on = batch.valid & ~(batch.terminated | batch.truncated)
    found = [batch.valid]
    for _ in range(1, steps):
        later = torch.zeros_like(batch.valid)
        later[:-1] = goes_on[:-1] & found[-1][1:]
        found.append(later)
    return torch.stack(found)
