"""Rollout worker and policy worker as the trainer sees them: their loops run in threads, the test is trainer and learner."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from arl_core.envs.group import EnvironmentFault
from arl_core.interfaces import ResolvedEnv
from arl_core.ipc.bell import Bell
from arl_core.ipc.component import ComponentLink, ComponentSpec, SharedHandles
from arl_core.ipc.control import ControlBlock, Role, Wanted
from arl_core.ipc.mailbox import Mailbox
from arl_core.ipc.slots import SlotState
from arl_core.sampling.policy_worker import PolicyWorker, PolicyWorkerSpec
from arl_core.sampling.replica import ReplicaSpec
from arl_core.sampling.rollout_worker import RolloutSpec, RolloutWorker

PATIENCE_S = 20.0
GROUPS = 2


class Site:
    """Two groups in one rollout worker (component 0), a policy worker (1), a learner (2: the test), the trainer (3: too)."""

    def __init__(self, world: Any, env: ResolvedEnv, *, central: bool) -> None:
        self.world = world
        self.bells = [Bell() for _ in range(4)]
        self.control = ControlBlock(world.arena)
        self.reports = []
        for c in range(3):
            for name in ("reports", "commands"):
                Mailbox.initialise(world.arena[f"{name}.turn"][c], world.arena[f"{name}.memory"][c])
            self.reports.append(Mailbox(world.arena["reports.turn"][c], world.arena["reports.memory"][c]))
        self.errors: list[BaseException] = []
        self.threads: list[threading.Thread] = []
        replica = ReplicaSpec(world.recipe, stream=0)
        self.rollout_spec = RolloutSpec(
            env,
            world.shape,
            range(GROUPS),
            seed=4,
            replica=None if central else replica,
            learners=(2,),
            policy_workers=(1,) if central else (),
        )
        self.policy_spec = PolicyWorkerSpec(world.shape, replica, share=0, share_of=1, group_bells=(0, 0))

    def link(self, name: str, role: Role, component: int) -> ComponentLink:
        handles = SharedHandles(self.world.arena.fd, [bell.fds for bell in self.bells], self.world.arena.table)
        return ComponentLink(ComponentSpec(name, role, 0, component), handles)

    def start_rollout(self) -> RolloutWorker:
        worker = RolloutWorker(self.link("rollout-0", Role.ROLLOUT, 0), self.rollout_spec)
        self._start(worker.run)
        return worker

    def start_policy(self) -> PolicyWorker:
        worker = PolicyWorker(self.link("policy-0", Role.POLICY, 1), self.policy_spec)
        self._start(worker.run)
        return worker

    def _start(self, run: Callable[[], None]) -> None:
        def body() -> None:
            try:
                run()
            except BaseException as error:  # noqa: BLE001  # the test looks at it
                self.errors.append(error)

        self.threads.append(threading.Thread(target=body, daemon=True))
        self.threads[-1].start()

    def command(self, role: Role, wanted: Wanted) -> None:
        """Give a command and wait until it is acknowledged."""
        component = {Role.ROLLOUT: 0, Role.POLICY: 1}[role]
        word = self.control.command(role, wanted)
        self.bells[component].ring()
        self.wait(lambda: self.control.ack[component] == word)

    def wait(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert not self.errors, self.errors
            assert time.monotonic() < deadline, "this never happened"
            time.sleep(0.0005)

    def learn(self, slots: int) -> list[dict[str, Any]]:
        """Take so many slots as they come; gives each back and rings."""
        taken = []
        while len(taken) < slots:
            found: list[int] = []
            self.wait(lambda found=found: found.append(self.world.inbox.oldest_full()) or found[-1] >= 0)
            taken.append({"slot": found[-1], **self.world.rows(found[-1])})
            self.world.inbox.release(found[-1])
            self.bells[0].ring()
        return taken

    def stop(self) -> None:
        for role, component in ((Role.ROLLOUT, 0), (Role.POLICY, 1)):
            self.control.command(role, Wanted.STOP)
            self.bells[component].ring()
        for thread in self.threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        for bell in self.bells:
            bell.close()


@pytest.fixture
def make_site(make_world: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(change: Callable[[Any], Any] = lambda environment: environment, *, central: bool = False, **changes: Any) -> Site:
        world = make_world(num_groups=GROUPS, components=3, **changes)
        module = types.ModuleType("arl_test_workers")
        module.make = lambda *, options, context: change(world.environment)(0)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        maker = f"{module.__name__}:make"
        resolved = ResolvedEnv("test:counting", maker, {}, None, {}, (), None, None, "", "")
        made.append(Site(world, resolved, central=central))
        return made[-1]

    yield make
    for site in made:
        site.stop()


def is_continuous(slots: list[dict[str, Any]]) -> bool:
    """Each slot of a group begins with the observation at which its last one ended."""
    last: dict[int, Any] = {}
    for rows in slots:
        group = rows["slot"] // 2
        if group in last and not np.array_equal(last[group], rows["obs.obs"][0]):
            return False
        last[group] = rows["obs.obs"][-1]
    return len(last) == GROUPS


@pytest.mark.parametrize("central", [False, True])
@pytest.mark.parametrize("options", [{}, {"use_rnn": True}])
def test_slots_flow_pause_and_go_on(make_site: Any, central: bool, options: dict[str, Any]) -> None:
    site = make_site(central=central, **options)
    world = site.world
    site.start_rollout()
    site.command(Role.ROLLOUT, Wanted.PAUSE)
    if central:
        site.start_policy()
        site.command(Role.POLICY, Wanted.PAUSE)
        site.command(Role.POLICY, Wanted.RUN)
    assert not world.arena["slot.state"][0].any(), "everything begins with a pause"
    taken = []
    for _ in range(3):
        site.command(Role.ROLLOUT, Wanted.RUN)
        taken += site.learn(7)
        site.command(Role.ROLLOUT, Wanted.PAUSE)
        if central:
            site.command(Role.POLICY, Wanted.PAUSE)
            requests, answers = world.arena["group.request"][:, 2], world.arena["group.answer"][0][:, 0]
            assert requests.tolist() == answers.tolist(), "nothing is left unanswered in a pause"
            site.command(Role.POLICY, Wanted.RUN)
        before = {name: world.arena[name].tobytes() for name in ("slot.state", "group.position", "group.frames", "rewards")}
        time.sleep(0.02)
        assert before == {name: world.arena[name].tobytes() for name in before}, "a pause is quiet"
        full = int(np.count_nonzero(world.arena["valid"][world.arena["slot.state"][0] == SlotState.FULL]))
        trained = sum(int(rows["valid"].sum()) for rows in taken)
        assert world.arena["group.frames"][0][:, 0].sum() == trained + full
    assert is_continuous(taken)
    for rows in taken:
        obs = {"obs": torch.from_numpy(rows["obs.obs"])}
        state = torch.from_numpy(rows["rnn_state"]) if options else None
        params, values = world.model.evaluate(obs, state, torch.from_numpy(rows["valid"]))
        torch.testing.assert_close(torch.from_numpy(rows["params"]), params[:-1], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(torch.from_numpy(rows["values"]), values[:-1], rtol=1e-5, atol=1e-5)


def test_a_pausing_policy_worker_first_answers_what_was_asked(make_site: Any) -> None:
    """Else a request made with the old weights would be answered beside the restart of its slot."""
    site = make_site(central=True)
    requests, answers = site.world.arena["group.request"][:, 2], site.world.arena["group.answer"][0][:, 0]
    site.start_rollout()
    site.command(Role.ROLLOUT, Wanted.RUN)
    site.wait(lambda: requests.tolist() == [1, 1])
    site.command(Role.ROLLOUT, Wanted.PAUSE)
    assert answers.tolist() == [0, 0]
    site.start_policy()
    site.command(Role.POLICY, Wanted.PAUSE)
    assert answers.tolist() == [1, 1]


@pytest.mark.parametrize("central", [False, True])
def test_new_weights_act_from_the_next_frame(make_site: Any, central: bool) -> None:
    """Set while paused: no slot mixes them with the old ones, memory sees each observation once, and slots that are not full
    begin anew."""
    site = make_site(central=central, use_rnn=True)
    world = site.world
    site.start_rollout()
    if central:
        site.start_policy()
        site.command(Role.POLICY, Wanted.RUN)
    for epoch in range(1, 6):
        site.command(Role.ROLLOUT, Wanted.RUN)
        site.learn(3)
        site.command(Role.ROLLOUT, Wanted.PAUSE)
        if central:
            site.command(Role.POLICY, Wanted.PAUSE)
        with torch.no_grad():
            world.flat.params.mul_(1.1)
        world.publish(100 * epoch)
        world.arena["control.weights_epoch"][0] = epoch
        full = np.count_nonzero(world.arena["slot.state"] == SlotState.FULL)
        site.command(Role.ROLLOUT, Wanted.RUN)
        if central:
            site.command(Role.POLICY, Wanted.RUN)
        fresh = [rows for rows in site.learn(8) if rows["slot.weights_epoch"] == epoch]
        assert len(fresh) == 8 - full >= 4
        for rows in fresh:
            assert (rows["versions"] == 100 * epoch).all()
            obs, valid = {"obs": torch.from_numpy(rows["obs.obs"])}, torch.from_numpy(rows["valid"])
            params, _ = world.model.evaluate(obs, torch.from_numpy(rows["rnn_state"]), valid)
            torch.testing.assert_close(torch.from_numpy(rows["params"]), params[:-1], rtol=1e-4, atol=1e-4)


def test_statistics_reach_the_trainer(make_site: Any) -> None:
    site = make_site()
    site.start_rollout()
    site.command(Role.ROLLOUT, Wanted.RUN)
    slots = site.learn(20)
    site.command(Role.ROLLOUT, Wanted.PAUSE)
    done = sum(int((rows["terminated"] | rows["truncated"]).sum()) for rows in slots)
    messages: list[Any] = []

    def counted() -> int:
        messages.extend(site.reports[0].take())
        return sum(values["episodes"]["count"] for _, values in messages)

    site.wait(lambda: counted() >= done > 0)
    assert {kind for kind, _ in messages} == {"sampling"}
    assert all(set(values["episodes"]["lengths"].tolist()) == {2} for _, values in messages if values["episodes"]["count"])
    assert all(values["elapsed_s"] > 0 for _, values in messages)


def test_a_policy_worker_answers_its_share_alone(make_site: Any) -> None:
    site = make_site(central=True)
    arena = site.world.arena
    link = site.link("policy-1", Role.POLICY, 1)
    worker = PolicyWorker(link, PolicyWorkerSpec(site.world.shape, site.policy_spec.replica, 1, 2, (0, 0)))
    arena["group.request"][:, 2] = 1
    arena["group.request"][:, 0] = [0, 2]
    assert worker._answer_waiting()
    assert arena["group.answer"][0][:, 0].tolist() == [0, 1]
    assert arena["outputs"][2, 0].any()
    assert not arena["outputs"][0].any()
    assert site.bells[0].wait(0.0)
    assert not worker._answer_waiting()


def test_a_request_that_comes_while_an_older_one_is_answered_stays_open(make_site: Any) -> None:
    """The second is that of a worker whose forerunner died while it waited."""
    site = make_site(central=True)
    worker = PolicyWorker(site.link("policy-0", Role.POLICY, 1), site.policy_spec)
    requests, answers = site.world.arena["group.request"], site.world.arena["group.answer"][0][:, 0]
    requests[:, 2], requests[:, 0] = 1, [0, 2]
    act = worker.actor.act_many

    def meanwhile(*rows: Any) -> None:
        act(*rows)
        requests[0, 2] = 2

    worker.actor.act_many = meanwhile  # type: ignore[method-assign]
    assert worker._answer_waiting()
    assert answers.tolist() == [1, 1]
    assert worker._answer_waiting()
    assert answers.tolist() == [2, 1]


@pytest.mark.parametrize("central", [False, True])
def test_what_an_environment_raises_ends_the_worker_and_closes_the_environments(make_site: Any, central: bool) -> None:
    closed: list[int] = []

    def change(environment: type[Any]) -> type[Any]:
        class Broken(environment):  # type: ignore[misc]
            def step(self, action: Any) -> Any:
                if self.life == 4:
                    raise ValueError("out of levels")
                return super().step(action)

            def close(self) -> None:
                closed.append(1)
                raise OSError("cannot close either")

        return Broken

    site = make_site(change, central=central)
    site.start_rollout()
    if central:
        site.start_policy()
        site.command(Role.POLICY, Wanted.RUN)
    site.control.command(Role.ROLLOUT, Wanted.RUN)
    site.bells[0].ring()
    deadline = time.monotonic() + PATIENCE_S
    while not site.errors and time.monotonic() < deadline:
        time.sleep(0.001)
    (error,) = site.errors
    assert isinstance(error, EnvironmentFault)
    assert "out of levels" in str(error), "not what went wrong afterwards"
    assert len(closed) >= 3


def test_a_rollout_worker_of_central_inference_never_sees_torch() -> None:
    code = "import arl_core.sampling.rollout_worker, sys; sys.exit(any(name.split('.')[0] == 'torch' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
