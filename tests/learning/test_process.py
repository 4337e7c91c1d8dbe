from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from arl_core.config import RunConfig
from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.bell import Bell
from arl_core.ipc.component import ComponentLink, ComponentSpec, SharedHandles
from arl_core.ipc.control import ControlBlock, Role, Wanted, control_specs
from arl_core.ipc.mailbox import Mailbox, mailbox_specs
from arl_core.ipc.slots import SlotShape, SlotState, slot_specs
from arl_core.ipc.weights import WeightsBoard, weights_specs
from arl_core.learning.checkpoint import checkpoints, load_file
from arl_core.learning.learner import Learner
from arl_core.learning.process import (
    DROPPED_EPOCH,
    DROPPED_LAG,
    STAGED,
    TRAINED,
    VERSION,
    LearnerProcess,
    LearnerSpec,
    SlotIntake,
    learner_specs,
)
from arl_core.models.flat import flatten_module

PATIENCE_S = 20.0
ROLLOUT, GROUP_SIZE, GROUPS, SLOTS = 4, 3, 2, 4


class Desk:
    """The shared memory of a run whose sampler is the test: it fills slots by hand."""

    def __init__(self, school: Any, **options: Any) -> None:
        values = {"hidden_size": 16, "rollout": ROLLOUT, "batch_size": ROLLOUT * GROUP_SIZE * 2, **options}
        self.cfg = RunConfig(**values)
        self.recipe = type(school.recipe)(school.recipe.obs_space, school.recipe.action_space, self.cfg, school.recipe.parts)
        model = self.recipe.build()
        self.flat = flatten_module(model)
        self.shape = SlotShape(1, GROUPS, SLOTS, ROLLOUT, GROUP_SIZE, {"obs": ArraySpec((6,), "float32")}, 1, "int64", 4, 0)
        self.arena = Arena.create(
            {
                **control_specs(1, 1),
                **learner_specs(1),
                **mailbox_specs("reports", 1),
                **mailbox_specs("commands", 1),
                **weights_specs(1, self.flat.nbytes),
                "weights.transfer": ArraySpec((1, self.flat.nbytes), "uint8"),
                "weights.evaluated": ArraySpec((1, self.flat.nbytes), "uint8"),
                **slot_specs(self.shape),
            }
        )
        self.board = WeightsBoard(self.arena, 0)
        self.board.clear()
        self.flat.write_to(torch.from_numpy(self.board.buffer_to_write()))
        self.board.publish(0)
        self.counts = self.arena["learner.counts"][0]
        self.arena["control.target_frames"][0] = 10**9
        self._rng = np.random.default_rng(0)
        self._sequence = 0

    def fill(self, slot: int, *, version: int = 0, epoch: int = 0) -> int:
        """Make `slot` full of random steps; returns its valid frames."""
        rng, a = self._rng, self.arena
        a["obs.obs"][slot] = rng.normal(size=a["obs.obs"][slot].shape)
        a["outputs"][slot] = rng.normal(size=a["outputs"][slot].shape)
        a["actions"][slot] = rng.integers(0, 4, a["actions"][slot].shape)
        a["rewards"][slot] = rng.normal(size=a["rewards"][slot].shape)
        a["valid"][slot] = rng.random(a["valid"][slot].shape) < 0.8
        a["versions"][0, slot] = version
        a["slot.weights_epoch"][0, slot] = epoch
        self._sequence += 1
        a["slot.sequence"][slot] = self._sequence
        a["slot.state"][0, slot] = SlotState.FULL
        return int(a["valid"][slot].sum())

    def balance(self, frames: int) -> None:
        """Every frame was trained on, dropped, or is on its way."""
        full = int(self.arena["valid"][self.arena["slot.state"][0] == SlotState.FULL].sum())
        assert frames == self.counts[[TRAINED, DROPPED_LAG, DROPPED_EPOCH, STAGED]].sum() + full


@pytest.fixture
def make_desk(make_school: Any) -> Iterator[Any]:
    made: list[Desk] = []

    def make(**options: Any) -> Desk:
        made.append(Desk(make_school(), **options))
        return made[-1]

    yield make
    for desk in made:
        desk.arena.close()


# --------------------------------------------------------------------------- intake


def intake_of(desk: Desk) -> tuple[SlotIntake, Learner]:
    learner = Learner(desk.recipe, desk.board, "cpu")
    return SlotIntake(learner, desk.arena, desk.shape), learner


def test_slots_become_batches_in_the_order_in_which_they_were_filled(make_desk: Any) -> None:
    desk = make_desk()
    intake, learner = intake_of(desk)
    assert intake.collect() == []
    frames = [desk.fill(slot) for slot in (6, 1, 5)]
    assert intake.collect() == [1, 0], "groups, of which slots came free"
    assert intake.assembler.complete
    rewards = desk.arena["rewards"]
    np.testing.assert_array_equal(intake.assembler.take().rewards, np.concatenate([rewards[6], rewards[1]], axis=1))
    assert intake.train(with_metrics=False) == -1
    assert (learner.version, learner.frames) == (1, frames[0] + frames[1])
    assert desk.counts[[TRAINED, VERSION]].tolist() == [learner.frames, 1]
    assert desk.arena["slot.state"][0].tolist() == [0, 0, 0, 0, 0, SlotState.FULL, 0, 0]


def test_a_slot_larger_than_a_batch_is_given_back_after_its_last_one(make_desk: Any) -> None:
    desk = make_desk(batch_size=ROLLOUT * 2)
    intake, learner = intake_of(desk)
    for slot in (0, 4):
        desk.fill(slot)
    assert intake.collect() == [], "none came free"
    assert desk.arena["slot.state"][0][0] == SlotState.TRAINING
    assert intake.train(with_metrics=False) == 0
    assert desk.arena["slot.state"][0][0] == SlotState.FREE
    assert intake.collect() == []
    assert desk.arena["slot.state"][0][4] == SlotState.TRAINING
    assert intake.train(with_metrics=False) == 1
    assert intake.train(with_metrics=False) == -1
    assert learner.version == 3
    assert intake.assembler.staged_frames() == 0


def test_slots_that_lag_too_much_or_are_of_an_older_epoch_are_dropped_and_counted(make_desk: Any) -> None:
    desk = make_desk(max_policy_lag=10)
    intake, learner = intake_of(desk)
    learner.version = 25
    desk.arena["control.weights_epoch"][0] = 3
    lagging, at_limit = desk.fill(0, version=14, epoch=3), desk.fill(1, version=15, epoch=3)
    outdated = desk.fill(2, version=25, epoch=2)
    desk.arena["versions"][0][1, 1:] = 25  # the oldest row counts
    assert intake.collect() == [0, 0, 0]
    assert desk.counts[[DROPPED_LAG, DROPPED_EPOCH]].tolist() == [lagging, outdated]
    assert intake.assembler.staged_frames() == at_limit
    assert not desk.arena["slot.state"][0].any()
    learner.set_hyperparameters({"max_policy_lag": 100})
    desk.fill(0, version=14, epoch=3)
    intake.collect()
    assert desk.counts[DROPPED_LAG] == lagging


def test_discarding_counts_what_was_staged(make_desk: Any) -> None:
    desk = make_desk()
    intake, _ = intake_of(desk)
    frames = desk.fill(3)
    intake.collect()
    intake.discard()
    assert desk.counts[DROPPED_EPOCH] == frames
    assert intake.assembler.staged_frames() == 0
    desk.balance(frames)


@pytest.mark.parametrize("handing_over", [False, True])
def test_an_iteration_that_begins_anew_is_granted_whole(make_desk: Any, handing_over: bool) -> None:
    """Synchronous mode, new weights: however far a worker is with the slot that it hands over, the iteration is complete in the
    end."""
    desk = make_desk()
    desk.shape = replace(desk.shape, slots_per_iteration=2)
    intake, _ = intake_of(desk)
    desk.fill(0)
    desk.arena["control.weights_epoch"][0] = 1
    number, handed_over, becomes = 0, 5, 6  # of group 0, whose slot 0 is FULL and may be counted or not yet
    desk.arena["group.slots"][0, :3] = (number + 1, handed_over, becomes) if handing_over else (0, becomes, becomes)
    intake.discard()
    intake.collect()  # drops the slot, which was sampled with the old weights
    assert desk.arena["group.granted"][0, 0] == becomes + 2


def test_lag_is_reported_once(make_desk: Any) -> None:
    desk = make_desk()
    intake, learner = intake_of(desk)
    learner.version = 9
    desk.fill(0, version=5)
    desk.fill(1, version=9)
    assert intake.drain_report() == {}
    intake.collect()
    intake.train(with_metrics=False)
    assert intake.drain_report() == {"lag_mean": 2.0, "lag_max": 4}
    assert intake.drain_report() == {}


def test_what_is_kept_for_a_report_does_not_grow(make_desk: Any) -> None:
    """Nothing is reported while the trainer is busy with a callback, for hours perhaps."""
    desk = make_desk()
    intake, _ = intake_of(desk)
    sizes = []
    for _ in range(5):
        desk.fill(0, version=0)
        desk.fill(1, version=0)
        intake.collect()
        intake.train(with_metrics=False)
        sizes.append(sum(len(value) for value in vars(intake).values() if isinstance(value, list | dict)))
    assert sizes == sizes[:1] * 5
    assert intake.drain_report()["lag_max"] == 4


def test_sampling_only_counts_and_trains_nothing(make_desk: Any) -> None:
    desk = make_desk(sampler_only=True)
    intake, learner = intake_of(desk)
    before = learner.flat.params.clone()
    frames = desk.fill(0) + desk.fill(1)
    intake.collect()
    intake.train(with_metrics=True)
    assert (learner.frames, learner.version, desk.counts[TRAINED]) == (frames, 0, frames)
    assert torch.equal(learner.flat.params, before)
    assert desk.board.version == 0


# --------------------------------------------------------------------------- the process


class Office:
    """A learner's loop in a thread; the test is the trainer."""

    def __init__(self, desk: Desk, folder: Path | None) -> None:
        self.desk = desk
        self.bells = [Bell() for _ in range(2)]  # the learner's (and the sampler's), the trainer's
        arena = desk.arena
        for name in ("reports", "commands"):
            Mailbox.initialise(arena[f"{name}.turn"][0], arena[f"{name}.memory"][0])
        self.reports = Mailbox(arena["reports.turn"][0], arena["reports.memory"][0])
        self.commands = Mailbox(arena["commands.turn"][0], arena["commands.memory"][0], self.bells[0])
        self.control = ControlBlock(arena)
        self.messages: list[Any] = []
        self.error: BaseException | None = None
        handles = SharedHandles(arena.fd, [bell.fds for bell in self.bells], arena.table)
        link = ComponentLink(ComponentSpec("learner-0", Role.LEARNER, 0, 0), handles)
        spec = LearnerSpec(desk.shape, desk.recipe, "cpu", 0, str(folder or ""), (0, 0))
        self.process = LearnerProcess(link, spec)
        self._numbers = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.process.run()
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            self.error = error

    def wait(self, condition: Any) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"this never happened; {self.error!r}"
            time.sleep(0.0005)

    def command(self, wanted: Wanted) -> None:
        word = self.control.command(Role.LEARNER, wanted)
        self.bells[0].ring()
        self.wait(lambda: self.control.ack[0] == word)

    def ask(self, command: str, argument: Any = None) -> Any:
        self._numbers += 1
        self.commands.post((self._numbers, command, argument))
        self.wait(lambda: self.taken() and any(m[0] == "done" and m[1][0] == self._numbers for m in self.messages))
        return next(m[1][1] for m in self.messages if m[0] == "done" and m[1][0] == self._numbers)

    def taken(self) -> bool:
        self.commands.flush()
        self.messages += self.reports.take()
        self.bells[0].ring()
        return True

    def close(self) -> None:
        self.control.command(Role.LEARNER, Wanted.STOP)
        self.bells[0].ring()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        for bell in self.bells:
            bell.close()


@pytest.fixture
def make_office(make_desk: Any) -> Iterator[Any]:
    made: list[Office] = []

    def make(folder: Path | None = None, **options: Any) -> Office:
        made.append(Office(make_desk(**options), folder))
        return made[-1]

    yield make
    for office in made:
        office.close()


def test_it_trains_on_what_comes_and_stops_at_its_target(make_office: Any) -> None:
    office = make_office()
    desk = office.desk
    office.command(Wanted.PAUSE)
    produced = desk.fill(0) + desk.fill(1)
    desk.arena["control.target_frames"][0] = produced + 1
    time.sleep(0.01)
    assert desk.counts[TRAINED] == 0, "paused"
    office.command(Wanted.RUN)
    office.wait(lambda: desk.counts[TRAINED] == produced)
    assert desk.board.version == 1
    for slot in (2, 3, 4, 5):
        produced += desk.fill(slot)
    office.bells[0].ring()
    office.wait(lambda: desk.counts[VERSION] == 2)
    office.command(Wanted.PAUSE)
    assert desk.counts[VERSION] == 2, "one batch beyond the target's beginning and no other"
    assert desk.counts[TRAINED] >= desk.arena["control.target_frames"][0]
    desk.balance(produced)
    desk.arena["control.target_frames"][0] = produced
    office.command(Wanted.RUN)
    office.wait(lambda: desk.counts[VERSION] == 3)
    office.command(Wanted.PAUSE)
    desk.balance(produced)


def test_weights_are_taken_from_the_board_at_the_start(make_office: Any) -> None:
    office = make_office()
    assert torch.equal(office.process.learner.flat.params, office.desk.flat.params)


def test_commands_are_followed_in_a_pause(make_office: Any, tmp_path: Path) -> None:
    office = make_office(tmp_path / "p0")
    desk, learner = office.desk, office.process.learner
    office.command(Wanted.RUN)
    produced = sum(desk.fill(slot) for slot in (0, 1, 2))
    office.bells[0].ring()
    office.wait(lambda: desk.counts[VERSION] == 1)
    office.command(Wanted.PAUSE)
    path = office.ask("save")
    assert checkpoints(tmp_path / "p0") == [Path(path)]
    mine = office.ask("save", str(tmp_path / "mine.pt"))
    assert load_file(Path(mine))["learner"]["version"] == 1
    assert [m[1] for m in office.messages if m[0] == "saved"] == [path, mine]
    office.ask("set_hyperparameters", {"learning_rate": 0.5})
    assert learner.optimizer.lr == 0.5
    desk.balance(produced)
    desk.arena["weights.transfer"][0] = 0
    desk.arena["control.weights_epoch"][0] = 1
    office.ask("load_weights")
    assert not learner.flat.params.any()
    assert desk.board.version == learner.version == desk.counts[VERSION] == 2
    assert desk.counts[STAGED] == 0
    desk.balance(produced)
    office.ask("load_checkpoint", path)
    assert learner.flat.params.any()
    assert desk.board.version == learner.version == 3, "versions only rise"
    frames = int(desk.counts[TRAINED])
    late = desk.fill(4, version=3, epoch=0)
    office.command(Wanted.RUN)
    office.wait(lambda: desk.arena["slot.state"][0][4] == SlotState.FREE)
    assert desk.counts[TRAINED] == frames
    desk.balance(produced + late)


def test_an_unknown_command_is_an_error(make_office: Any) -> None:
    office = make_office()
    office.command(Wanted.PAUSE)
    office.commands.post((1, "dance", None))
    office.wait(lambda: office.error is not None)
    assert isinstance(office.error, ValueError)
    assert "unknown command 'dance'" in str(office.error)


def test_checkpoints_are_saved_while_training(make_office: Any, tmp_path: Path) -> None:
    office = make_office(tmp_path / "p0", save_every_sec=1e-6, keep_checkpoints=2)
    office.command(Wanted.RUN)
    for version in range(1, 5):
        for slot in (0, 1):
            office.desk.fill(slot, version=version - 1)
        office.bells[0].ring()
        office.wait(lambda version=version: office.desk.counts[VERSION] == version)
    office.command(Wanted.PAUSE)
    assert len(checkpoints(tmp_path / "p0")) == 2
    assert load_file(checkpoints(tmp_path / "p0")[0])["learner"]["version"] == 4


def test_statistics_reach_the_trainer(make_office: Any) -> None:
    office = make_office()
    office.command(Wanted.RUN)
    office.desk.fill(0)
    office.desk.fill(1)
    office.bells[0].ring()
    office.wait(lambda: office.desk.counts[VERSION] == 1)
    office.command(Wanted.PAUSE)
    office.wait(lambda: office.taken() and any(m[0] == "learning" and "lag_mean" in m[1] for m in office.messages))
    values = next(m[1] for m in office.messages if m[0] == "learning" and "lag_mean" in m[1])
    assert values["lag_max"] == 0
    assert values["busy_s"] > 0
    assert values["elapsed_s"] >= values["busy_s"]
    assert values["slots_full"] == 0
