"""The asynchronous engine: starts the run's processes, gives them commands, watches over them."""

# ruff: noqa: D102  # `Engine` documents what is not documented here

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arl_core.interfaces import UserError
from arl_core.ipc.arena import Arena
from arl_core.ipc.bell import Bell
from arl_core.ipc.component import ComponentSpec
from arl_core.ipc.control import ControlBlock, Role, Wanted
from arl_core.ipc.mailbox import Mailbox
from arl_core.ipc.slots import SlotState, settle_hand_over
from arl_core.learning.hogwild import settle_worker
from arl_core.runtime.engines.books import Balance, Books
from arl_core.runtime.engines.engine import TICK_S, byte_vector, checkpoint_target, publish_first
from arl_core.runtime.engines.restarts import RestartBudget
from arl_core.runtime.engines.specs import body_of, spec_of
from arl_core.runtime.engines.statistics import RunStatistics
from arl_core.runtime.plan import RunPlan
from arl_core.runtime.processes.failure import ComponentFailure
from arl_core.runtime.processes.nurseries import LIGHT_PRELOAD, TORCH_PRELOAD, Nurseries
from arl_core.runtime.processes.zygote import Exit, Zygote, wait_for_end

RUN_ORDER = (Role.EVALUATION, Role.LEARNER, Role.ROLLOUT, Role.POLICY)  # policy workers see only requests of the present epoch
STOP_TIMEOUT_S = 3.0
EXIT_WAIT_S = 15.0  # for the news that a killed process has ended
SPARE_DESCRIPTORS = 16  # shared memory, queues as they are made, checkpoints, logs
log = logging.getLogger("arl")


class AsyncEngine:
    """Rollout workers, policy workers and learners in processes of their own (an `Engine`). `life`: of a run that goes on, the
    frames that it trained before; environments and actions have streams that it has not been through."""

    def __init__(self, plan: RunPlan, folder: Path | None, nurseries: Nurseries | None = None, life: int = 0) -> None:
        self.plan = plan
        self.statistics = RunStatistics(plan)
        self._folder = folder
        self._nurseries = nurseries or Nurseries()
        self._arena: Arena | None = None
        self._bells: list[Bell] = []
        self._pids: dict[int, ComponentSpec] = {}
        self._replies: dict[int, Any] = {}
        self._command_number = 0
        self._lives: dict[ComponentSpec, int] = {}
        self._life = life
        self._errors: dict[int, tuple[str, str, str]] = {}  # by component: type, message, traceback
        self._killed: dict[ComponentSpec, float] = {}  # by us, for their silence, and when
        self._silence: dict[ComponentSpec, tuple[int, float]] = {}  # the last heartbeat, and seconds without one
        self._watched = time.monotonic()  # when we looked last
        self._failure: ComponentFailure | None = None
        self.restarts = RestartBudget(plan.cfg.max_worker_restarts)
        self._evaluating = False
        self.saves = 0

    # ----------------------------------------------------------------- start

    def start(self, weights: Sequence[Tensor]) -> None:
        """Start every process and wait until all stand ready (paused)."""
        plan = self.plan
        nurseries = {id(z): z for z in map(self._nursery_of, plan.components)}.values()
        self._make_bells(len(plan.components) + 1)
        arena = Arena.create(plan.table)
        self.control = ControlBlock(arena)
        self._arena = arena
        self._books = Books(arena)
        self._boards = publish_first(arena, plan.shape, weights)
        self._reports: list[Mailbox] = []
        self._commands: list[Mailbox] = []
        for c, bell in enumerate(self._bells[:-1]):
            for name in ("reports", "commands"):
                Mailbox.initialise(arena[f"{name}.turn"][c], arena[f"{name}.memory"][c])
            self._reports.append(Mailbox(arena["reports.turn"][c], arena["reports.memory"][c]))
            self._commands.append(Mailbox(arena["commands.turn"][c], arena["commands.memory"][c], bell))
        for role in Role:
            self.control.command(role, Wanted.PAUSE)
        for zygote in nurseries:
            zygote.share("arena", [arena.fd])
            zygote.share("bells", [fd for bell in self._bells for fd in bell.fds])
        for component in plan.components:
            self._spawn(component)
        for role in Role:
            self._await(role)

    def _make_bells(self, count: int) -> None:
        """Looks whether there are descriptors for everything else too, where a lack of them would show anyhow and anywhere."""
        made: list[Bell] = []
        try:
            made.extend(Bell() for _ in range(count + SPARE_DESCRIPTORS))
        except OSError as error:
            raise UserError(
                f"the run needs {count + SPARE_DESCRIPTORS} more open files, and can have {len(made)}: "
                f"{error.strerror}. Raise the limit of open files (ulimit -n), or use fewer num_workers"
            ) from None
        self._bells = made[:count]

    def _nursery_of(self, component: ComponentSpec) -> Zygote:
        """Rollout workers of central inference come from a nursery that has never seen torch."""
        light = component.role is Role.ROLLOUT and self.plan.inference == "central"
        return self._nurseries.get(LIGHT_PRELOAD if light else TORCH_PRELOAD)

    def _spawn(self, component: ComponentSpec) -> None:
        self._silence.pop(component, None)
        kwargs = {
            "component": component,
            "table": self.plan.table,
            "fds_per_bell": len(self._bells[0].fds),
            "body": body_of(self.plan, component.role),
            "spec": spec_of(self.plan, component, self._life + self._lives.get(component, 0), self._folder),
        }
        pid = self._nursery_of(component).spawn(component.name, "arl_core.runtime.processes.entry:component_main", kwargs)
        self._pids[pid] = component
        self._lives[component] = self._lives.get(component, 0) + 1

    # ----------------------------------------------------------------- train and pause

    def train(self, frames: int, seconds: float, tick: Callable[[], bool]) -> None:
        self.control.target_frames[0] = frames
        self.statistics.resume_clock()
        deadline = self.statistics.seconds + seconds if seconds else float("inf")
        try:
            for role in RUN_ORDER:
                self._command(role, Wanted.RUN)
                self._await(role)
            self._until(lambda: self.frames >= frames or self.statistics.seconds >= deadline, tick)
            self._pause()
        except ComponentFailure:
            raise
        except BaseException:  # the observer's own, or a second Ctrl-C: whoever catches it finds everything paused, or pausing
            for role in Role:
                self._command(role, Wanted.PAUSE)
            raise
        finally:
            self.statistics.pause_clock()
        self._watch()

    def _until(self, reached: Callable[[], bool], tick: Callable[[], bool]) -> None:
        """Watch over the run until `reached`, or until `tick` says that it is enough."""
        next_tick = time.monotonic()
        while not reached():
            self._bells[-1].wait(max(0.0, min(next_tick - time.monotonic(), TICK_S)))
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + TICK_S
                self._watch()
                if not tick():
                    return

    def _pause(self) -> None:
        for role in Role:
            self._command(role, Wanted.PAUSE)
            self._await(role)

    def _settle(self) -> None:
        """Until everybody stands still: a second Ctrl-C leaves them on their way to it."""
        for role in Role:
            self._await(role)

    def _command(self, role: Role, wanted: Wanted) -> None:
        self.control.command(role, wanted)
        for number in self.plan.numbers_of(role):
            self._bells[number].ring()

    def _await(self, role: Role) -> None:
        """Until every component of `role` has acknowledged the present command. Raises ComponentFailure."""
        word = self.control.wanted[role]
        numbers = list(self.plan.numbers_of(role))
        while not (self.control.ack[numbers] == word).all():
            self._bells[-1].wait(TICK_S)
            self._watch()

    # ----------------------------------------------------------------- supervision

    def _watch(self) -> None:
        """Take reports; notice who has ended or fallen silent. Workers are restarted within their budget; anything else
        raises ComponentFailure, and does so again for who asks again: nobody waits for what has ended."""
        if self._failure is not None:
            raise self._failure
        self._take_reports()
        for zygote in self._nurseries.all:
            for exit_ in zygote.exits():
                component = self._pids.pop(exit_.pid, None)
                if component is not None:
                    self._take_reports()  # its last words
                    self._replace(component, _how(exit_))
        self._end_silent()

    def _end_silent(self) -> None:
        """End who is silent for too long. A time in which nobody looked counts half of the limit at most: the whole run was
        stopped, perhaps, and continued (a suspended job)."""
        limit, now = self.plan.cfg.heartbeat_timeout_s, time.monotonic()
        passed, self._watched = min(now - self._watched, limit / 2), now
        for pid, component in self._pids.items():
            beat, (last, silent) = int(self.control.heartbeat_ns[component.component]), self._silence.get(component, (-1, 0.0))
            silent = silent + passed if beat == last else 0.0
            self._silence[component] = beat, silent
            if silent > limit and component not in self._killed:
                log.warning(
                    "%s has been silent for %.0f s (heartbeat_timeout_s = %g): ending it", component.name, silent, limit
                )
                self._killed[component] = time.monotonic()
                self._nursery_of(component).kill(pid, show_stack=True)
            elif component in self._killed and time.monotonic() - self._killed[component] > EXIT_WAIT_S:
                self._failure = ComponentFailure(
                    f"{component.name} was ended for its silence, and nobody has seen its end for {EXIT_WAIT_S:g} s: "
                    "the process that starts the run's processes hangs, or belongs to another process"
                )
                raise self._failure

    def _replace(self, component: ComponentSpec, how: str) -> None:
        """`_restart`, all or nothing: where a second Ctrl-C comes between, nobody waits for who was not started."""
        try:
            self._restart(component, how)
        except BaseException as error:
            if self._failure is None and not isinstance(error, ComponentFailure):
                self._failure = ComponentFailure(f"{component.name} {how}, and its restart was interrupted")
            raise

    def _restart(self, component: ComponentSpec, how: str) -> None:
        """Replace a worker that has ended. Its slots and mailboxes are nobody's now; what the learner holds stays there."""
        name, message, detail = self._errors.pop(component.component, ("", "", ""))
        what = f"{component.name}: {name}: {message}" if name else f"{component.name} {how}"
        if component in self._killed:
            del self._killed[component]
            what = (
                f"{component.name} was silent for {self.plan.cfg.heartbeat_timeout_s:g} s: an environment or a kernel hangs, "
                "or is slow (then raise heartbeat_timeout_s)"
            )
        never_ready = self._lives[component] == 1 and self.control.ack[component.component] == 0
        refuses = name == UserError.__name__  # an environment or a part, what was asked for: it would again
        if never_ready and refuses:
            raise UserError(message)
        if refuses:
            log.info("%s", detail.rstrip())
            what, detail = f"{component.name}: {message}", ""
        used = self.restarts.used
        if component.role is Role.LEARNER or never_ready or refuses or used >= self.restarts.most:
            self._failure = ComponentFailure(what + (f" (after {used} restarts)" if used else ""), detail)
            raise self._failure
        log.warning("%s; restarting it (%d of %d)", what, self.restarts.take(), self.restarts.most)
        if detail:
            log.info("%s", detail.rstrip())
        arena, c = self._arena, component.component
        assert arena is not None
        for mailbox in ("reports", "commands"):
            Mailbox.initialise(arena[f"{mailbox}.turn"][c], arena[f"{mailbox}.memory"][c])
        if component.role is Role.ROLLOUT:
            for group in self.plan.worker_groups(component.index):
                settle_hand_over(arena, group)
                ring = self.plan.shape.ring(group)
                state = arena["slot.state"][:, ring.start : ring.stop]
                state[state == SlotState.FILLING] = SlotState.FREE
                arena["group.position"][group, 0] = -1
                arena["group.answer"][:, group, 0] = arena["group.request"][group, 2]
                if self.plan.cfg.hogwild:
                    settle_worker(arena, component.index, group, ring)
        if component.role is Role.EVALUATION:
            self._evaluating = False  # what it played is lost
        self.control.ack[c] = 0
        self._spawn(component)

    def _take_reports(self) -> None:
        for component, mailbox in zip(self.plan.components, self._reports, strict=True):
            for kind, *content in mailbox.take():
                if kind == "error":
                    self._errors[component.component] = (content[0], content[1], content[2])
                elif kind == "done":
                    self._replies[content[0][0]] = content[0][1]
                elif kind == "warning":
                    log.warning("%s", content[0])
                elif kind == "told":
                    log.info("%s", content[0])
                elif kind == "saved":
                    self.saves += 1
                    log.info("saved %s", content[0])
                else:
                    self._evaluating = self._evaluating and kind != "evaluation"
                    self.statistics.take(component.name, kind, content[0])

    def _ask_learner(self, policy: int, command: str, argument: Any = None) -> Any:
        """Give a learner a command and wait for its answer. Raises ComponentFailure where none comes."""
        self._command_number += 1
        number = self._command_number
        learner = self.plan.numbers_of(Role.LEARNER)[policy]
        self._commands[learner].post((number, command, argument))
        limit_s = 2.0 * self.plan.cfg.heartbeat_timeout_s  # of one that lives: a silent one is found by `_watch`
        deadline = time.monotonic() + limit_s
        while number not in self._replies:
            if self._books.is_busy(policy):
                deadline = time.monotonic() + limit_s
            if time.monotonic() > deadline:
                self._failure = ComponentFailure(f"learner-{policy} has not answered '{command}' for {limit_s:g} s")
            self._commands[learner].flush()
            self._bells[-1].wait(TICK_S)
            self._watch()
        reply = self._replies.pop(number)
        if isinstance(reply, UserError):
            raise reply
        return reply

    # ----------------------------------------------------------------- reading and changing

    @property
    def frames(self) -> int:
        return self._books.trained()

    def counts(self, policy: int | None = None) -> Mapping[str, int]:
        return self._books.counts(policy)

    def balance(self, policy: int | None = None) -> Balance:
        """See `Engine`; who pauses brings its own counters up to date."""
        return self._books.balance(policy)

    def weights(self, policy: int = 0) -> Tensor:
        target = byte_vector(self.plan.weights_bytes)
        self._boards[policy].read_into(target.numpy())
        return target

    def load_weights(self, weights: Mapping[int, Tensor]) -> None:
        assert self._arena is not None
        self._settle()
        for policy, vector in weights.items():
            torch.from_numpy(self._arena["weights.transfer"][policy]).copy_(vector)
            self.control.weights_epoch[policy] += 1
            self._ask_learner(policy, "load_weights")

    def load_checkpoints(self, paths: Mapping[int, Path]) -> None:
        self._settle()
        for policy, path in paths.items():
            before = self._books.trained(policy)
            self.control.weights_epoch[policy] += 1
            self._ask_learner(policy, "load_checkpoint", str(path))
            self._books.loaded[policy] += self._books.trained(policy) - before
        self.statistics.start_from(self.frames)

    def save(self, target: Path | None = None) -> Path:
        count = self.plan.cfg.num_policies
        places = [checkpoint_target(target, policy, count) for policy in range(count)]
        written = [self._ask_learner(policy, "save", str(place) if place else None) for policy, place in enumerate(places)]
        return Path(written[0])

    def save_best(self, best: Mapping[str, Any], *, evaluated: bool, policy: int = 0) -> None:
        self._ask_learner(policy, "save_best", (dict(best), evaluated))

    def begin_evaluation(self) -> bool:
        if self._evaluating:
            return False
        evaluator = self.plan.numbers_of(Role.EVALUATION)[0]
        self._commands[evaluator].post(self.frames)  # it has read the one before, or is a new one: its box is empty
        self._evaluating = True
        return True

    def finish_evaluation(self, limit_s: float, go_on: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + limit_s
        self._command(Role.EVALUATION, Wanted.RUN)
        try:
            self._until(lambda: not self._evaluating or time.monotonic() > deadline, go_on)
        finally:
            self._command(Role.EVALUATION, Wanted.PAUSE)
        self._await(Role.EVALUATION)
        return not self._evaluating

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        for policy in range(self.plan.cfg.num_policies):
            self._ask_learner(policy, "set_hyperparameters", dict(values))

    # ----------------------------------------------------------------- end

    def close(self) -> None:
        """See `Engine`: ask all to stop, then end whoever has not."""
        if self._arena is not None:
            for role in Role:
                self._command(role, Wanted.STOP)
            wait_for_end(self._nurseries.all, STOP_TIMEOUT_S)
        self._nurseries.close()
        for bell in self._bells:
            bell.close()
        self._bells = []
        self._pids.clear()
        if self._arena is not None:
            self._arena.close()
            self._arena = None


def _how(exit_: Exit) -> str:
    if exit_.code < 0:
        return f"was ended by signal {-exit_.code}"
    return f"ended by itself with exit code {exit_.code}"
