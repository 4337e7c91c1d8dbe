"""The hooks: what arl learns about mazes without importing torch or the environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import JSON, EncoderSpec, EnvFamily, EnvSpec, WrapperRef

# gym-maze's own time limits. Those of its plus mazes, a million steps, are replaced by 100 for each cell.
_LIMITS = {3: 1_000, 5: 2_000, 10: 10_000, 100: 1_000_000}


def _variant(name: str, summary: str, **kwargs: JSON) -> EnvSpec:
    return EnvSpec(
        id=name,
        maker="arl_plugin_maze.env:make",
        vector_maker="arl_plugin_maze.group:make",
        kwargs=kwargs,
        summary=summary,
    )


def _variants() -> tuple[EnvSpec, ...]:
    sample = [
        _variant(f"sample-{n}x{n}", f"a fixed maze of {n} x {n} cells", kind="sample", size=n, max_steps=steps)
        for n, steps in _LIMITS.items()
    ]
    random = [
        _variant(f"random-{n}x{n}", f"a maze of {n} x {n} cells for each seed", kind="random", size=n, max_steps=steps)
        for n, steps in _LIMITS.items()
    ]
    plus = [
        _variant(
            f"random-{n}x{n}-plus",
            f"{n} x {n} cells with loops and {round(n / 3)} pairs of portals, for each seed",
            kind="random",
            size=n,
            loops=0.2,
            portals=round(n / 3),
        )
        for n in (10, 20, 30)
    ]
    return (*sample, *random, *plus)


@hookimpl
def arl_environments() -> Iterable[EnvFamily]:
    """The family `maze`, under gym-maze's ids too."""
    variants = _variants()
    return [
        EnvFamily(
            name="maze",
            summary="find the way from the top left to the bottom right (the mazes of gym-maze)",
            variants=variants,
            default_variant="sample-5x5",
            aliases={"maze-v0": "sample-5x5"} | {f"maze-{spec.id}-v0": spec.id for spec in variants},
            options="arl_plugin_maze.options:MazeOptions",
            encoder="maze/auto",
            wrappers=(WrapperRef("pixel-format-chw", when={"observation": "pixels"}, in_vector_maker=True),),
        )
    ]


@hookimpl
def arl_param_overrides(env: str, algo: str) -> Mapping[str, Any] | None:  # noqa: ARG001  # the hook's signature
    """For a reward at the end of a long way. Advantages stay as they are: normalised, the tiny costs of steps would drown
    the entropy bonus before the first goal is found, and the policy would freeze. The scaled goal then outweighs it."""
    far = any(f"{n}x{n}" in env for n in (20, 30, 100))
    return {
        "num_envs_per_worker": 64,
        "rollout": 32,
        "batch_size": 2048,
        "gamma": 0.998 if far else 0.99,
        "reward_scale": 5.0,
        "normalize_advantages": False,
        "exploration_loss_coeff": 0.003,
        "learning_rate": 3e-3,
        "encoder_layers": 1,
    }


@hookimpl
def arl_encoders() -> Iterable[EncoderSpec]:
    """An encoder for each kind of observation, and `maze/auto`, which looks which one it is."""
    module = "arl_plugin_maze.encoders"
    return [
        EncoderSpec("maze/auto", f"{module}:make_auto", "the one of the following that fits the observation"),
        EncoderSpec("maze/position", f"{module}:PositionEncoder", "one-hot cell, then dense layers"),
        EncoderSpec("maze/grid", f"{module}:GridEncoder", "value propagation over the planes, read out at the agent"),
        EncoderSpec("maze/pixels", f"{module}:PixelsEncoder", "strided convolutions over the image"),
    ]
