"""What a plugin's encoders must do, on the observations of its own environments or, where it has none, of plain ones."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import closing
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config.schema import RunConfig
from arl_core.envs.make import build_env
from arl_core.envs.spaces import obs_specs, obs_writer
from arl_core.interfaces import EncoderSpec, EnvContext, UserError, load_object
from arl_core.models.preprocess import Preprocessor
from arl_core.models.spaces import network_space
from arl_core.registry.catalog import encoder_maker
from arl_core.registry.loading import cause
from arl_core.registry.resolve import resolve_env
from arl_core.testing.choices import with_choices
from arl_core.testing.plain import PLAIN
from arl_core.testing.playing import sampled_action
from arl_core.testing.results import CheckFailed, Result, ok, rule, skip
from arl_core.testing.subject import Subject

ROWS = 24


class Seen(NamedTuple):
    """An observation space that the family has, with the configuration of a run and real observations [ROWS, ...]."""

    origin: str
    space: spaces.Space[Any]
    cfg: RunConfig
    rows: Mapping[str, Tensor]  # preprocessed


class EncoderCase:
    """One encoder of the plugin, and the spaces that it may meet."""

    def __init__(self, subject: Subject, spec: EncoderSpec, seen: SpacesSeen) -> None:
        self.subject = subject
        self.spec = spec
        self._seen = seen

    def __str__(self) -> str:
        return self.spec.name

    @cached_property
    def built(self) -> list[tuple[Seen, nn.Module]]:
        """The encoder on every space that it accepts. It refuses one with UserError; one of a plain environment with any error,
        but not all of them."""
        found, refused, failed = [], False, ""
        for seen in self._seen.all:
            try:
                found.append((seen, self._made(seen)))
            except UserError as error:  # noqa: PERF203  # there are few
                refused = True
                if self._is_default_for(seen):
                    raise CheckFailed(f"it refuses {seen.origin}, though it is its default encoder: {error}") from error
            except Exception as error:
                if self.subject.variants or isinstance(error, CheckFailed):
                    raise
                failed = failed or f"{cause(error)}, for {seen.origin}"
        if failed and not found and not refused:
            raise CheckFailed(f"it fails on every plain observation space: {failed}")
        return found

    def _made(self, seen: Seen) -> nn.Module:
        """The encoder for a space, which has been seen to take rows of it where that is a plain one."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = load_object(self.spec.maker)(network_space(seen.space), seen.cfg)
        if not isinstance(module, nn.Module):
            raise CheckFailed(f"{self.spec.maker} made {type(module).__name__}, not a torch.nn.Module")
        if not self.subject.variants:
            module(seen.rows)
        return module

    def _is_default_for(self, seen: Seen) -> bool:
        encoder = seen.cfg.encoder
        return encoder is not None and encoder_maker(encoder) == self.spec.maker


class SpacesSeen:
    """The observation spaces of the checked variants, and of the default one with each choice of its options."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    @cached_property
    def all(self) -> list[Seen]:
        """Spaces that differ, each once."""
        variants = self._subject.variants
        found: list[Seen] = []
        for variant in (*variants, *(with_choices(variants[0]) if variants else ())):
            try:
                env = variant.build()
            except UserError:
                continue  # `env.spawn` or `options.values` tells what is refused
            if not any(seen.space == env.observation_space for seen in found):
                cfg = self._subject.config(variant.resolved)
                found.append(Seen(str(variant), env.observation_space, cfg, _observations(env, cfg)))
            env.close()
        return found if variants else [self._plain(name) for name in PLAIN]

    def _plain(self, name: str) -> Seen:
        resolved = resolve_env(name)
        with closing(build_env(resolved, EnvContext(run_seed=1, index=0, seed=1))) as env:
            cfg = self._subject.config(resolved)
            return Seen(name, env.observation_space, cfg, _observations(env, cfg))


def _observations(env: gymnasium.Env[Any, Any], cfg: RunConfig) -> dict[str, Tensor]:
    """Observations of random episodes, preprocessed: {key: float32 [ROWS, ...]}."""
    space = env.observation_space
    rows = {key: np.zeros((ROWS, *spec.shape), spec.dtype) for key, spec in obs_specs(space).items()}
    write = obs_writer(space)
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    for row in range(ROWS):
        if write is None:
            rows["obs"][row] = observation
        else:
            write(observation, rows, row)
        observation, _, terminated, truncated, _ = env.step(sampled_action(env.action_space, observation))
        if terminated or truncated:
            observation, _ = env.reset()
    with torch.no_grad():
        return Preprocessor(space, cfg).forward({key: torch.from_numpy(value) for key, value in rows.items()})


@rule(
    "encoder.shape", "maker(obs_space, cfg) -> nn.Module with an int output_size; refuse a space with UserError", essential=True
)
def shape(case: EncoderCase) -> Result:
    """An integer `output_size`, and finite features [N, output_size]."""
    if not case.built:
        return skip("refuses every observation space that was tried; test it yourself")
    said = []
    for seen, module in case.built:
        size = getattr(module, "output_size", None)
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise CheckFailed(f"output_size is {size!r}, for {seen.origin}")
        out = module(seen.rows)
        if not isinstance(out, Tensor) or out.shape != (ROWS, size):
            got = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise CheckFailed(f"it gives {got} for {ROWS} rows, not [{ROWS}, {size}], for {seen.origin}")
        if out.dtype != torch.float32 or not torch.isfinite(out).all():
            raise CheckFailed(f"its features are {out.dtype}, or not finite, for {seen.origin}")
        said.append(f"{seen.origin}: {sum(p.numel() for p in module.parameters()):,} parameters -> {size}")
    return ok("; ".join(said))


@rule("encoder.gradient", "use each parameter in forward, without detach")
def gradient(case: EncoderCase) -> Result:
    """A gradient reaches every parameter."""
    for seen, module in case.built:
        module.zero_grad()
        module(seen.rows).square().sum().backward()
        missing = [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None]
        if missing:
            raise CheckFailed(f"no gradient reaches {', '.join(missing)}, for {seen.origin}")
        wrong = [name for name, p in module.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
        if wrong:
            raise CheckFailed(f"the gradient of {', '.join(wrong)} is not finite, for {seen.origin}")
    silent = {
        name for _, module in case.built for name, p in module.named_parameters() if p.grad is not None and not p.grad.any()
    }
    notes = (f"the gradient of {', '.join(sorted(silent))} was zero on {ROWS} observations",) if silent else ()
    return ok("", notes) if case.built else skip("refuses every observation space that was tried")


@rule("encoder.rows", "no batch normalisation: normalise by layer")
def rows_alone(case: EncoderCase) -> Result:
    """A row's features depend neither on its batch nor on when they are asked for."""
    for seen, module in case.built:
        module.eval()
        with torch.inference_mode():
            together, again = module(seen.rows), module(seen.rows)
            alone = module({key: value[3:4] for key, value in seen.rows.items()})
        if not torch.equal(together, again):
            raise CheckFailed(f"two calls give different features, for {seen.origin}", "leave out dropout, or honour eval()")
        if not torch.allclose(together[3:4], alone, rtol=1e-3, atol=1e-5):
            apart = float((together[3:4] - alone).abs().max())
            raise CheckFailed(f"a row alone and in its batch differ by {apart:.2g}, for {seen.origin}")
    return ok() if case.built else skip("refuses every observation space that was tried")


@rule("encoder.weights", "hold state in parameters and buffers")
def weights(case: EncoderCase) -> Result:
    """Its weights can be saved, and loaded into another one."""
    for seen, module in case.built:
        buffer = io.BytesIO()
        torch.save(module.state_dict(), buffer)
        buffer.seek(0)
        other = load_object(case.spec.maker)(network_space(seen.space), seen.cfg)
        other.load_state_dict(torch.load(buffer, weights_only=True))
        module.eval()
        other.eval()
        with torch.inference_mode():
            if not torch.equal(module(seen.rows), other(seen.rows)):
                raise CheckFailed(f"with the same weights it gives other features, for {seen.origin}")
    return ok() if case.built else skip("refuses every observation space that was tried")


def encoder_cases(subject: Subject) -> list[EncoderCase]:
    """The plugin's encoders; the spaces are looked at once for all of them."""
    seen = SpacesSeen(subject)
    return [EncoderCase(subject, spec, seen) for spec in subject.encoders]


ENCODERS = (shape, gradient, rows_alone, weights)
