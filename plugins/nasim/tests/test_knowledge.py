"""What the attacker may know: memory and masks follow from what was observed alone; networks from their seed alone."""

import hashlib
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("nasim", reason="NASim is not installed: pip install arl-plugin-nasim")

import nasim
from arl_plugin_nasim.options import GENERATOR_OPTIONS, NASimOptions
from arl_plugin_nasim.scenario import load_scenario
from arl_plugin_nasim.solve import optimal_attack
from arl_plugin_nasim.tables import LOCAL, Kind
from arl_plugin_nasim.task import Play, resolve_task
from nasim.scenarios.generator import ScenarioGenerator

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
        ("custom", {}, r"needs a network, its option scenario: --nasim\.scenario"),
        ("custom", {"scenario": "nowhere.yaml"}, "there is no file nowhere.yaml"),
        ("tiny", {"scenario": "x.yaml"}, "tiny has its own network"),
        ("tiny", {"num_hosts": 4}, "num_hosts: tiny is not generated"),
        ("small", {"scenario_seed": 0}, "scenario_seed: small is not generated"),
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


def test_every_argument_of_the_generator_is_an_option() -> None:
    options = {
        "exploit_probs": [0.25, 0.5, 0.75], "privesc_probs": 0.5, "exploit_cost": 2, "privesc_cost": 3, "service_scan_cost": 4,
        "os_scan_cost": 5, "subnet_scan_cost": 6, "process_scan_cost": 7, "base_host_value": 8, "host_discovery_value": 9,
        "alpha_h": 3, "alpha_v": 0.5, "lambda_v": 2, "scenario_seed": 3,
    }  # fmt: skip
    scenario = load_scenario(NASimOptions(**options), generator={"num_hosts": 8, "num_services": 3})
    assert [exploit["prob"] for exploit in scenario.exploits.values()] == [0.25, 0.5, 0.75]
    assert {exploit["cost"] for exploit in scenario.exploits.values()} == {2}
    assert {(each["prob"], each["cost"]) for each in scenario.privescs.values()} == {(0.5, 3)}
    costs = scenario.service_scan_cost, scenario.os_scan_cost, scenario.subnet_scan_cost, scenario.process_scan_cost
    assert costs == (4, 5, 6, 7)
    assert {host.discovery_value for host in scenario.hosts.values()} == {9}
    assert {host.value for address, host in scenario.hosts.items() if address not in scenario.sensitive_hosts} == {8}
    accepted = set(inspect.signature(ScenarioGenerator.generate).parameters)
    left_out = {"self", "seed", "name", "step_limit", "address_space_bounds", "kwargs"}
    assert {name.lower() for name in accepted - left_out} == set(GENERATOR_OPTIONS)


def test_a_sensitive_host_has_the_benchmarks_value() -> None:
    network = arl_core.make_env("nasim:generated").unwrapped.task.network
    assert network.values[network.sensitive].tolist() == [100.0, 100.0]


def test_a_file_without_a_step_limit_ends_all_the_same(tmp_path: Path) -> None:
    text = (BENCHMARKS / "tiny.yaml").read_text(encoding="utf-8").replace("step_limit: 1000", "")
    assert "step_limit" not in text
    endless = tmp_path / "endless.yaml"
    endless.write_text(text, encoding="utf-8")
    assert arl_core.make_env("nasim:custom", scenario=endless).unwrapped.task.step_limit == 1000
    assert arl_core.make_env("nasim:custom", scenario=endless, step_limit=7).unwrapped.task.step_limit == 7


@pytest.mark.parametrize(
    ("there", "instead", "told"),
    [
        ("(2, 0): 100", "(4, 0): 100", r"sensitive_hosts: \(4, 0\): there are subnets 1 to 3"),
        ("(2, 0): 100", "(2, 1): 100", r"sensitive_hosts: \(2, 1\): subnet 2 has hosts 0 to 0"),
        ("(2, 0): 100", "2.0: 100", r"expected an address \(subnet, host\), such as \(1, 0\), got 2.0"),
        ("(2, 0): 100", "(1/0, 0): 100", "expected an address"),
        ("(2, 0): 100", "\"[open('run.txt', 'w').close(), (2, 0)][1]\": 100", "expected an address"),
        ("(3, 0): [ssh]", "\"[open('run.txt', 'w').close(), (3, 0)][1]\": [ssh]", "host_configurations: .*: firewall"),
        ("service_scan_cost: 1", "", "it lacks service_scan_cost"),
        ("subnets: [1, 1, 1]", "subnets: 3", "subnets: expected a list"),
    ],
)
def test_a_wrong_place_in_a_file_is_named_and_nothing_in_it_runs(
    there: str, instead: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (BENCHMARKS / "tiny.yaml").read_text(encoding="utf-8")
    assert there in text
    Path("wrong.yaml").write_text(text.replace(there, instead, 1), encoding="utf-8")
    with pytest.raises(UserError, match=rf"wrong.yaml is not a network in NASim's format: .*{told}"):
        arl_core.make_env("nasim:custom", scenario="wrong.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.yaml"]


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: [", "is not YAML"), ("a: 1", "it lacks subnets, topology"), ("- 1", "it holds list"), ("", "it holds nothing")],
)
def test_a_bad_file_is_one_line(text: str, told: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        arl_core.make_env("nasim:custom", scenario=str(bad))
