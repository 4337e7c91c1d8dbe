"""IMPALA (Espeholt et al. 2018): V-trace targets, the importance-weighted policy gradient, nothing clipped but the weights."""

from __future__ import annotations

from torch import Tensor

from arl_core.algorithms.base import PolicyGradient, Targets, vtrace_targets
from arl_core.algorithms.batch import TrainingBatch
from arl_core.config import RunConfig
from arl_core.models.policy import PolicyNetwork


class Impala(PolicyGradient):
    """-mean log pi(a) rho (r + gamma vs' - V), section 4.2; the weight rho is a part of V-trace's advantage.

    Targets are V-trace's whatever `with_vtrace` says: without them it would be another algorithm.
    """

    def prepare(self, model: PolicyNetwork, batch: TrainingBatch, cfg: RunConfig) -> Targets | None:  # noqa: ARG002
        """None: V-trace needs the policy of each step."""
        return None

    def targets_of_step(self, log_probs: Tensor, values: Tensor, batch: TrainingBatch, cfg: RunConfig) -> Targets:
        """V-trace, see `PolicyGradient`."""
        return vtrace_targets(log_probs, values, batch, cfg)
