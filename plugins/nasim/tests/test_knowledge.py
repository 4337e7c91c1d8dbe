"""What the attacker may know: memory and masks follow from what was observed alone; networks from their seed alone."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("nasim", reason="NASim is not installed: pip install arl-plugin-nasim")

import nasim
from arl_plugin_nasim.options import NASimOptions
from arl_plugin_nasim.scenario import load_scenario
from arl_plugin_nasim.solve import optimal_attack
from arl_plugin_nasim.tables import LOCAL, Kind
from arl_plugin_nasim.task import Play, resolve_task

import arl_core
from arl_core.interfaces import UserError

ONE = np.zeros(1, np.intp)
BENCHMARKS = Path(nasim.__file__).parent / "scenarios" / "benchmark"


@pytest.mark.parametrize("name", ["small", "medium", "large-gen"])
def test_masks_and_memory_follow_from_partial_observations_alone(name: str) -> None:
    plain, remembering = (
        resolve_task(NASimOptions(remember=remember, flat_obs=False), benchmark=name) for remember in (False, True)
    )
    net, layout = plain.network, plain.network.layout
    plays = [Play(task, 1) for task in (plain, remembering)]
    space = plain.observation_space()
    views: list[dict[str, Any]] = [
        {key: np.zeros((1, *part.shape), part.dtype) for key, part in space.spaces.items()} for _ in plays
    ]
    for play, obs in zip(plays, views, strict=True):
        play.begin(ONE, obs)
    known = views[0]["obs"][0, :-1].copy()
    rng = np.random.default_rng(1)
    for _ in range(600):
        discovered, compromised = known[:, layout.discovered] > 0, known[:, layout.compromised] > 0
        target, local = net.target[:-1], LOCAL[net.kind[:-1]]
        np.testing.assert_array_equal(views[0]["action_mask"][0], np.where(local, compromised[target], discovered[target]))
        np.testing.assert_array_equal(views[1]["obs"][0, :-1] > 0, known > 0)
        action, draw = rng.choice(np.flatnonzero(views[0]["action_mask"][0])), rng.random(1)
        for play, obs in zip(plays, views, strict=True):
            play.step(np.array([action]), draw, obs)
        known = np.maximum(known, views[0]["obs"][0, :-1])
        if plays[0].reached[0]:
            for play, obs in zip(plays, views, strict=True):
                play.begin(ONE, obs)
            known = views[0]["obs"][0, :-1].copy()


def test_parameters_are_masked_by_what_some_allowed_action_has() -> None:
    task = resolve_task(NASimOptions(flat_actions=False), benchmark="small")
    net, play = task.network, Play(task, 1)
    obs: dict[str, Any] = {key: np.zeros((1, *part.shape), part.dtype) for key, part in task.observation_space().spaces.items()}
    play.begin(ONE, obs)
    types, subnets, hosts = np.split(obs["action_mask"][0], np.cumsum(net.parameters))[:3]
    assert types.tolist() == [1, 0, 1, 1, 0, 0]  # nothing compromised: no escalation, no scan from a host
    assert subnets.tolist() == [1, 0, 0, 0]
    assert hosts.tolist() == [1] * net.parameters[2]  # the subnet has one host: every number means it
    for action in optimal_attack(net).actions[:2]:
        play.step(np.array([action]), np.zeros(1), obs)
    types, subnets, _ = np.split(obs["action_mask"][0], np.cumsum(net.parameters))[:3]
    assert types.all()
    assert subnets.sum() == len({net.addresses[host][0] for host in np.flatnonzero(play.simulation.discovered[0])}) > 1


def test_a_generated_network_follows_from_its_seed_in_any_process() -> None:
    code = (
        "from arl_plugin_nasim.scenario import load_scenario; from arl_plugin_nasim.options import NASimOptions; import sys\n"
        "s = load_scenario(NASimOptions(scenario_seed=int(sys.argv[1])), benchmark='large-gen')\n"
        "fire = sorted((k, sorted(v)) for k, v in s.firewall.items())\n"
        "print(fire, [str(h) for h in s.hosts.values()], s.exploits, s.privescs, sep='')"
    )
    seen = []
    for hashing in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, "3"],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.append(hashlib.sha256(done.stdout.encode()).hexdigest())
    assert seen[0] == seen[1]
    other, another = (load_scenario(NASimOptions(scenario_seed=seed), benchmark="large-gen") for seed in (3, 4))
    assert other.exploits != another.exploits


def test_generating_leaves_the_global_generator_alone() -> None:
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()
    load_scenario(NASimOptions(), benchmark="small-gen")
    assert np.random.get_state()[1].tolist() == before


def test_generator_options_shape_the_network() -> None:
    options = {"num_hosts": 12, "num_services": 4, "num_os": 3, "num_processes": 2, "num_exploits": 6, "step_limit": 77}
    env: Any = arl_core.make_env("nasim:generated", **options).unwrapped
    net = env.task.network
    assert (len(net.addresses), env.task.step_limit) == (12, 77)
    assert net.parameters[3:] == (4, 4, 2)
    assert (net.kind == Kind.EXPLOIT).sum() == 12 * 6
    assert env.action_space.n == 12 * (6 + 2 + 4)


def test_a_file_is_a_network(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text((BENCHMARKS / "tiny.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    env: Any = arl_core.make_env("nasim:custom", scenario=str(mine)).unwrapped
    assert env.action_space == arl_core.make_env("nasim:tiny").action_space
    assert env.task.network.name == "mine"


@pytest.mark.parametrize(
    ("variant", "options", "told"),
    [
        ("custom", {}, r"needs a network: --nasim\.scenario"),
        ("custom", {"scenario": "nowhere.yaml"}, "there is no file nowhere.yaml"),
        ("tiny", {"scenario": "x.yaml"}, "tiny has its own network"),
        ("tiny", {"num_hosts": 4}, "num_hosts: tiny is not generated"),
        ("generated", {"num_exploits": 100}, "3 services and 2 systems allow for 9 exploits"),
        ("generated", {"num_privescs": 3}, "at most as many as processes, which are 2"),
        ("generated", {"uniform": True, "num_services": 30}, "at most 12 services"),
        ("generated", {"num_hosts": 2}, "num_hosts"),
        ("tiny", {"fully_observable": True}, "fully_obs"),
    ],
)
def test_wrong_options_are_one_line(variant: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        arl_core.make_env(f"nasim:{variant}", **options)
    assert "\n" not in str(error.value).split("Did you mean", maxsplit=1)[0]


@pytest.mark.parametrize(("text", "told"), [("a: [", "is not YAML"), ("a: 1", "format: Too few"), ("- 1", "format")])
def test_a_bad_file_is_one_line(text: str, told: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        arl_core.make_env("nasim:custom", scenario=str(bad))
