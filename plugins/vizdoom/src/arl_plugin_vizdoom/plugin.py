"""The hooks: what arl learns about ViZDoom without importing torch, vizdoom or the environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import EnvFamily, EnvSpec, WrapperRef

# scenario files that come with vizdoom -> (its Gymnasium name, what is to be done)
_SCENARIOS = {
    "basic": ("Basic", "shoot the monster at the other wall"),
    "deadly_corridor": ("DeadlyCorridor", "get to the vest, past six enemies"),
    "deathmatch": ("Deathmatch", "kill as many monsters as you can"),
    "defend_the_center": ("DefendCenter", "turn and shoot, at the centre of a circle"),
    "defend_the_line": ("DefendLine", "turn and shoot, at the end of a hall"),
    "health_gathering": ("HealthGathering", "survive on acid by medikits"),
    "health_gathering_supreme": ("HealthGatheringSupreme", "survive on acid by medikits, in a maze with poison"),
    "my_way_home": ("MyWayHome", "find the vest in a maze of rooms"),
    "predict_position": ("PredictPosition", "hit a walking monster with a slow rocket"),
    "rocket_basic": (None, "shoot the monster at the other wall, with rockets"),
    "simpler_basic": (None, "basic in plain colours"),
    "take_cover": ("TakeCover", "dodge fireballs"),
}


@hookimpl
def arl_environments() -> Iterable[EnvFamily]:
    """The family `vizdoom`, under its Gymnasium ids and Sample Factory's `doom_` names too."""
    maker = "arl_plugin_vizdoom.env:make"
    variants = [EnvSpec(id=s, maker=maker, kwargs={"scenario": s}, summary=told) for s, (_, told) in _SCENARIOS.items()]
    aliases = {f"{prefix}_{scenario}": scenario for scenario in _SCENARIOS for prefix in ("doom", "vizdoom")}
    for scenario, (name, _) in _SCENARIOS.items():
        if name is not None:
            aliases |= {f"Vizdoom{name}-v{version}": scenario for version in (0, 1)}
    aliases["VizdoomCorridor-v0"] = "deadly_corridor"  # as older ViZDoom calls it
    own = EnvSpec(id="custom", maker=maker, summary="a scenario of your own: --vizdoom.config FILE")
    return [
        EnvFamily(
            name="vizdoom",
            summary="Doom from the screen (ViZDoom)",
            variants=(*variants, own),
            default_variant="basic",
            aliases=aliases,
            options="arl_plugin_vizdoom.options:VizDoomOptions",
            wrappers=(
                WrapperRef("resize", {"height": 36, "width": 48}),
                WrapperRef("pixel-format-chw"),
            ),
        )
    ]


@hookimpl
def arl_param_overrides(env: str, algo: str) -> Mapping[str, Any] | None:  # noqa: ARG001  # the hook's signature
    """For rewards of about 100, and an environment whose frames cost more than training on them: each is used three times."""
    return {
        "num_envs_per_worker": 8,
        "batch_size": 512,
        "ppo_epochs": 3,
        "reward_scale": 0.01,
        "hidden_size": 128,
        "learning_rate": 5e-4,
    }
