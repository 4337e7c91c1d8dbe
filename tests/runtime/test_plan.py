"""What a configuration means: groups, slots, processes, devices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from tiny_envs import Bandit, DictBandit

from arl_core.config import Layer
from arl_core.interfaces import UserError
from arl_core.ipc.control import Role
from arl_core.registry import resolve_run, run_parts
from arl_core.runtime.plan import (
    RunPlan,
    available_cores,
    check_group,
    choose_inference,
    make_plan,
    policy_workers,
    resolve_device,
    slots_per_group,
)


def plan_of(env: Any = Bandit, **fields: Any) -> RunPlan:
    resolved, env_ = resolve_run(Layer("test", {"env": env, "device": "cpu", **fields}))
    return make_plan(resolved.config, env_, run_parts(resolved.config))


@pytest.mark.parametrize(
    ("inference", "splits", "envs", "cores", "expected"),
    [("local", None, 6, 8, (1, 6)), ("central", None, 6, 8, (2, 3)), ("central", None, 6, 4, (1, 6)),
     ("central", None, 5, 8, (1, 5)), ("local", 2, 6, 8, (2, 3)), ("central", 1, 6, 8, (1, 6))],
)  # fmt: skip
def test_groups(
    inference: str, splits: int | None, envs: int, cores: int, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arl_core.runtime.plan.available_cores", lambda: cores)  # 3 rollout workers, 3 for policies, 1 learner
    plan = plan_of(inference=inference, worker_num_splits=splits, num_envs_per_worker=envs, num_workers=3)
    assert (plan.groups_per_worker, plan.shape.group_size) == expected
    assert plan.shape.num_groups == 3 * expected[0]
    groups = [group for worker in range(3) for group in plan.worker_groups(worker)]
    assert groups == list(range(plan.shape.num_groups))  # each group belongs to one worker


def test_splits_that_do_not_divide_are_an_error() -> None:
    with pytest.raises(UserError, match="num_envs_per_worker"):
        plan_of(worker_num_splits=2, num_envs_per_worker=5)


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("envs", [1, 4, 64])
@pytest.mark.parametrize("batches", [1, 3])
def test_slots_hold_one_iteration_and_another_in_the_making(workers: int, envs: int, batches: int) -> None:
    plan = plan_of(num_workers=workers, num_envs_per_worker=envs, rollout=16, batch_size=256, num_batches_per_iteration=batches)
    slot_frames = 16 * plan.shape.group_size
    assert plan.shape.slots_per_group >= 2
    spare = plan.shape.num_slots - plan.shape.num_groups  # one slot of each group is being filled
    assert spare * slot_frames >= 256 * batches


def test_configured_slots_stand() -> None:
    plan = plan_of(slots_per_group=5)
    assert plan.shape.slots_per_group == 5 == slots_per_group(plan.cfg, 1, 1)


def test_components_are_numbered_through_by_role() -> None:
    plan = plan_of(num_workers=3, inference="central", policy_workers_per_policy=2)
    assert [c.name for c in plan.components] == ["rollout-0", "rollout-1", "rollout-2", "policy-0", "policy-1", "learner-0"]
    assert [c.component for c in plan.components] == list(range(6))
    assert [plan.components[n].index for n in plan.numbers_of(Role.POLICY)] == [0, 1]
    assert plan.table["component.ack"].shape[0] == 6
    assert plan_of(num_workers=3, inference="local").num_policy_workers == 0


def test_policy_workers_serve_neighbours_and_all_groups() -> None:
    for workers, splits, policies in [(3, 2, 2), (2, 1, 2), (5, 2, 3), (1, 1, 3)]:
        plan = plan_of(
            num_workers=workers,
            num_envs_per_worker=splits,
            worker_num_splits=splits,
            inference="central",
            policy_workers_per_policy=policies,
        )
        served = [list(plan.shape.served_groups(share, policies)) for share in range(policies)]
        assert [group for groups in served for group in groups] == list(range(workers * splits))
        assert max(map(len, served)) - min(map(len, served)) <= 1


def test_there_is_a_policy_worker_for_each_core_that_steps_environments() -> None:
    cores = available_cores()
    for workers in (1, 2, cores, cores + 3):
        plan = plan_of(num_workers=workers, inference="central", device="cpu")
        assert plan.num_policy_workers == policy_workers(plan.cfg, "cpu") == min(workers, cores)
    assert policy_workers(plan.cfg, "cuda:0") == 1  # one large batch
    assert policy_workers(plan.cfg.model_copy(update={"policy_workers_per_policy": 3}), "cuda:0") == 3


def test_devices() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UserError, match=r"'tpu' is not known; choose auto, cpu, gpu, cuda or cuda:N"):
        resolve_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("name", ["gpu", "cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_names_the_choices(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}'.*'cpu'.*'auto'") as refused:
        resolve_device(name)
    assert ("is a build for CPUs" in str(refused.value)) is (torch.version.cuda is None)


@pytest.mark.parametrize("name", ["cuda:x", "cuda:", "gpu:99"])
def test_a_gpu_number_that_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("gpu") == "cuda"
    assert resolve_device("cuda:1") == "cuda:1"
    with pytest.raises(UserError, match=name):
        resolve_device(name)


def test_inference_is_chosen_and_says_why() -> None:
    cfg = plan_of().cfg
    for device, small, expected in (
        ("cpu", False, "local"),
        ("cpu", True, "local"),
        ("cuda", False, "central"),
        ("cuda", True, "local"),
    ):
        chosen, why = choose_inference(cfg, device, small=small)
        assert (chosen, bool(why)) == (expected, True)
    assert choose_inference(plan_of(inference="central").cfg, "cuda", small=True) == ("central", "as configured")
    assert plan_of(inference="central", serial=True).inference == "local"


def test_observations_and_actions_reach_the_slots() -> None:
    shape = plan_of(DictBandit, use_rnn=True, rnn_type="gru", hidden_size=32).shape
    assert shape.obs["picture"] == ((1, 12, 12), "uint8")
    assert shape.obs["vector"] == ((3,), "float32")
    assert (shape.action_size, shape.action_dtype, shape.params_size, shape.state_size) == (1, "int64", 2, 32)


def test_an_environment_without_spaces_is_named() -> None:
    with pytest.raises(UserError, match="has no observation_space and no action_space: set it in its class or in __init__"):
        plan_of(gym.Env)


@pytest.mark.parametrize("error", [OSError, SystemExit])
def test_an_environment_that_cannot_be_built_is_named(error: type[BaseException]) -> None:
    def broken() -> Any:
        raise error("no such level: 9")

    with pytest.raises(UserError, match=rf"broken.*cannot be built: {error.__name__}: no such level: 9") as caught:
        plan_of(broken)
    assert isinstance(caught.value.__cause__, error)


def test_a_vectorised_form_that_cannot_be_built_is_one_line() -> None:
    plan = plan_of()
    with pytest.raises(UserError, match=r"Bandit' cannot be built: its vectorised form: environment 0 .*TypeError: [^\n]*$"):
        check_group(replace(plan, env=replace(plan.env, vector_maker="math:sqrt")))


def test_a_processor_without_bfloat16_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    plan_of(precision="bfloat16")
    assert "bfloat16" not in caplog.text
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    plan_of()
    assert "bfloat16" not in caplog.text
    plan_of(precision="bfloat16")
    assert "this processor has no instructions for it; float32 is faster here" in caplog.text


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    plan_of()
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler"):
        plan_of(torch_compile=True)


def test_a_network_that_has_no_memory_is_told() -> None:
    resolved, env = resolve_run(Layer("test", {"env": Bandit, "device": "cpu", "use_rnn": True}))
    parts = replace(run_parts(resolved.config), model="tiny_envs:plain_model")
    cfg = resolved.config.model_copy(update={"model": "mine/plain"})
    with pytest.raises(UserError, match="model 'mine/plain' has no memory, with use_rnn either: leave it out"):
        make_plan(cfg, env, parts)


@pytest.mark.parametrize(
    ("maker", "message"),
    [
        ("tiny_envs:broken_encoder", r"KeyError: 'pixels' \(tiny_envs\.py:\d+ in broken_encoder\)"),
        ("tiny_envs:narrow_encoder", "RuntimeError: mat1 and mat2 shapes"),
        ("tiny_envs:none", "AttributeError"),
    ],
)
def test_an_encoder_that_fails_is_named(maker: str, message: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "arl")
    resolved, env = resolve_run(Layer("test", {"env": Bandit, "device": "cpu"}))
    parts = replace(run_parts(resolved.config), encoder=maker)
    with pytest.raises(UserError, match=f"encoder 'auto' cannot be used for observations obs .*{message}"):
        make_plan(resolved.config, env, parts)
    assert "Traceback" in caplog.text


class Nested(gym.ObservationWrapper[Any, Any, Any]):
    """A mask where none is looked for."""

    def __init__(self) -> None:
        super().__init__(Bandit())
        mask = gym.spaces.MultiBinary(2)
        self.observation_space = gym.spaces.Dict(
            {"inner": gym.spaces.Dict({"obs": self.env.observation_space, "action_mask": mask})}
        )

    def observation(self, observation: Any) -> Any:
        return {"inner": {"obs": observation, "action_mask": np.ones(2, np.int8)}}


def test_a_mask_that_masks_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    resolved, env = resolve_run(Layer("test", {"env": Nested, "device": "cpu"}))
    make_plan(resolved.config, env, run_parts(resolved.config))
    assert (
        "observation 'inner.action_mask' masks no actions: a mask is the key action_mask of the observation itself"
        in caplog.text
    )


def test_an_encoder_that_fails_is_told_the_shapes_that_it_was_given() -> None:
    resolved, env = resolve_run(Layer("test", {"env": "gym:FrozenLake-v1", "device": "cpu"}))
    parts = replace(run_parts(resolved.config), encoder="tiny_envs:narrow_encoder")
    with pytest.raises(UserError, match=r"cannot be used for observations obs \(16,\): RuntimeError"):
        make_plan(resolved.config, env, parts)
