"""A3C's loss (Mnih et al. 2016, section 4 and algorithm S3) on the engine's trajectories."""

from __future__ import annotations

from arl_core.algorithms.base import PolicyGradient


class A3c(PolicyGradient):
    """-mean log pi(a) (R - V), with the n-step return R of the rollout: GAE with lambda = 1, which is its default here.

    There is no importance weight: it is right as long as the policy lag is small.
    """
