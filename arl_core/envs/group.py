"""Single environments stepped together: the tightest loop that Python allows, straight into shared memory."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from numbers import Real
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from numpy.typing import NDArray

from arl_core.envs.faults import EnvironmentFault, close_all, close_quietly, failed, metrics_of_ends, observed, parts_of
from arl_core.envs.make import build_any, inner_spaces, maker_arguments, what_to_install
from arl_core.envs.multi_agent import MultiAgentGroup, ParallelEnv, is_parallel
from arl_core.envs.spaces import ActionLayout, check_shape, obs_checker, obs_specs, obs_writer
from arl_core.envs.state import load_env_states, save_env_states
from arl_core.interfaces import ArraySpec, EnvContext, EnvGroup, EpisodeEnds, ResolvedEnv, StepViews, UserError, load_object

_NO_LIMIT = 1 << 62  # a step number that is never met, and has room for a sum


def make_contexts(
    run_seed: int, first_index: int, count: int, worker: int = 0, life: int = 0, *, evaluation: bool = False
) -> list[EnvContext]:
    """Contexts of environments `first_index` onwards. A stream depends on (`run_seed`, index), not on the number of workers;
    and on how often its worker was restarted (`life`), so that a new one does not repeat what was sampled already."""
    contexts = []
    for index in range(first_index, first_index + count):
        key = (index, life) if life else (index,)
        seed = int(np.random.SeedSequence(run_seed, spawn_key=key).generate_state(1)[0] >> 1)
        contexts.append(EnvContext(run_seed=run_seed, index=index, seed=seed, worker=worker, evaluation=evaluation))
    return contexts


def build_group(resolved: ResolvedEnv, contexts: Sequence[EnvContext], beat: Callable[[], None] = lambda: None) -> EnvGroup:
    """The group that this environment was resolved to: its own vectorised one in its wrappers' vector forms, or single
    environments in a loop, which calls `beat` after each that it has made or reset.

    Raises EnvironmentFault for what the environments' code raises, except UserError.
    """
    if resolved.vector_maker is None:
        envs = _build_envs(resolved, contexts, beat)
        if is_parallel(envs[0]):
            parallel = [env for env in envs if is_parallel(env)]
            return MultiAgentGroup(parallel, contexts, resolved.id, resolved.max_episode_steps, beat)
        return SingleEnvGroup([env for env in envs if isinstance(env, gym.Env)], contexts, beat)
    try:
        arguments = maker_arguments(resolved)
        with what_to_install(resolved):
            group: EnvGroup = load_object(resolved.vector_maker)(contexts=contexts, **arguments)
        if any(resolved.vector_wrappers):
            group = wrap_group(group, resolved, contexts[0])
    except (UserError, EnvironmentFault):
        raise
    except (Exception, SystemExit) as error:
        raise EnvironmentFault(failed(contexts[0], "construction", error)) from error
    return group


def wrap_group(group: EnvGroup, resolved: ResolvedEnv, context: EnvContext) -> EnvGroup:
    """`group` in the vector forms of the environment's wrappers."""
    try:
        spaces = inner_spaces(resolved, context)
        for maker, (_, options), space in zip(resolved.vector_wrappers, resolved.wrappers, spaces, strict=True):
            if maker is not None:
                group = load_object(maker)(group, space, **options)
    except BaseException:
        close_quietly(group)  # the first error is the one to report
        raise
    return group


def _build_envs(
    resolved: ResolvedEnv, contexts: Sequence[EnvContext], beat: Callable[[], None]
) -> list[gym.Env[Any, Any] | ParallelEnv]:
    envs: list[gym.Env[Any, Any] | ParallelEnv] = []
    context = contexts[0]
    try:
        for context in contexts:
            envs.append(build_any(resolved, context))  # not a comprehension: those that were built are closed below
            beat()
    except BaseException as error:
        for env in envs:
            close_quietly(env)  # the first error is the one to report
        if isinstance(error, UserError) or not isinstance(error, Exception | SystemExit):
            raise
        raise EnvironmentFault(failed(context, "construction", error)) from error
    return envs


def _peel(env: gym.Env[Any, Any]) -> tuple[gym.Env[Any, Any], int]:
    """Take off outer wrappers whose work the group does for all its environments at once; returns the time limit."""
    limit = _NO_LIMIT
    while isinstance(env, TimeLimit | OrderEnforcing | PassiveEnvChecker):
        if isinstance(env, TimeLimit):
            limit = min(limit, int(env._max_episode_steps))
        env = env.env
    return env, limit


class SingleEnvGroup:
    """Steps a list of `gymnasium.Env` one after the other (an `EnvGroup`). `beat` is called after each reset."""

    def __init__(
        self, envs: Sequence[gym.Env[Any, Any]], contexts: Sequence[EnvContext], beat: Callable[[], None] = lambda: None
    ) -> None:
        peeled = [_peel(env) for env in envs]
        self.envs = [env for env, _ in peeled]
        self.num_envs = len(envs)
        self._contexts = list(contexts)
        self._beat = beat
        self._space = self.envs[0].observation_space
        self._check_spaces()
        self.obs_specs: Mapping[str, ArraySpec] = obs_specs(self._space)
        self._layout = ActionLayout(self.envs[0].action_space)
        self._write = obs_writer(self._space)
        self._check = obs_checker(self._space, classes=True)
        self._limits = np.array([limit for _, limit in peeled], np.int64)
        self._steps: list[Callable[[Any], Any]] = [env.step for env in self.envs]
        self._calls: list[Callable[[Any], Any]] = []  # what the next step calls: a step, or a reset where an episode ended
        self._ended: list[int] = []  # rows that the next step resets
        self._clock = 0  # steps so far
        self._born = np.zeros(self.num_envs, np.int64)  # the clock at the start of each row's episode
        self._first_limit = _NO_LIMIT  # no episode meets its time limit before this clock
        # Observations are copied one by one until every row has shown an ending and a beginning and none shared memory with
        # another's; from then on all at once.
        self._rows_alone = False
        self._sharing = False
        self._has_ended = np.zeros(self.num_envs, bool)
        self._actions: Sequence[Any] = ()

    def _check_spaces(self) -> None:
        specs, actions = obs_specs(self._space), self.envs[0].action_space
        for context, env in zip(self._contexts, self.envs, strict=True):
            if obs_specs(env.observation_space) != specs or env.action_space != actions:
                what = f"it has {env.observation_space} and {env.action_space}, the first has {self._space} and {actions}"
                raise EnvironmentFault(failed(context, "construction", ValueError(what)))

    def reset_into(self, obs: Mapping[str, NDArray[Any]]) -> None:
        """See `EnvGroup`."""
        rows = dict(obs)
        self._clock = 0
        self._born[:] = 0
        for i, context in enumerate(self._contexts):
            self._write_row(self._reset(i, context.seed), rows, i)
        self._rows_alone = self._sharing = False
        self._has_ended[:] = False
        self._schedule([])
        self._first_limit = self._next_limit()

    def _schedule(self, ended: list[int]) -> None:
        """What the next step will call."""
        self._ended = ended
        self._calls = self._steps
        if ended:
            self._calls = self._steps.copy()
            for i in ended:
                self._calls[i] = partial(self._reset_step, i)

    def _next_limit(self) -> int:
        """A clock before which no episode meets its time limit: it may stay as it is when episodes begin anew, later."""
        return int((self._born + self._limits).min())

    def send(self, actions: NDArray[Any]) -> None:
        """See `EnvGroup`; the environments step in `recv_into`."""
        self._actions = self._layout.to_env(actions)

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        """See `EnvGroup`. Raises EnvironmentFault."""
        rows = dict(views.obs)
        together = self._rows_alone
        pairs = zip(self._calls, self._actions, strict=True)
        results: list[Any] = []
        try:
            if together:
                results = [call(action) for call, action in pairs]
            else:  # an array that environments share is copied before another one writes to it
                for i, (call, action) in enumerate(pairs):
                    result = call(action)
                    self._write_row(result[0], rows, i)
                    results.append(result)
        except EnvironmentFault:
            raise
        except (Exception, SystemExit) as error:
            failed = self.num_envs - 1 - sum(1 for _ in pairs)  # those behind it are left
            raise self._fault(failed, "step", error) from error
        try:
            observations, rewards, terminated, truncated, infos = zip(*results, strict=True)
            if together:
                self._write_all(observations, rows["obs"])
            views.rewards[:] = array("f", rewards)  # unlike NumPy, it does not take None for NaN
            views.terminated[:] = terminated
            views.truncated[:] = truncated
        except (TypeError, ValueError) as error:
            raise self._bad_result(results, error) from error
        if not together and self._write is None and not self._sharing:
            self._sharing = not _share_no_memory(observations)
            self._rows_alone = not self._sharing and bool(self._has_ended.all())
        views.valid[:] = True
        self._clock += 1
        if not self._ended and self._clock < self._first_limit and not (any(terminated) or any(truncated)):
            return None  # most steps: nothing began, nothing ended
        return self._finish(views, infos)

    def _write_row(self, observation: Any, rows: dict[str, NDArray[Any]], i: int) -> None:
        if self._write is not None:
            self._write(observation, rows, i)
            return
        if np.shape(observation) != self._space.shape:  # NumPy would stretch it
            check_shape("obs", observation, self._space.shape)
        rows["obs"][i] = observation

    def _write_all(self, observations: Sequence[Any], out: NDArray[Any]) -> None:
        """Copy arrays into `out` [E, ...], all at once. Raises ValueError where their elements do not fill it."""
        np.concatenate(observations, out=out.reshape(-1, *out.shape[2:]), casting="unsafe")

    def _bad_result(self, results: list[Any], error: Exception) -> EnvironmentFault:
        """Who of them returned what cannot be used."""
        for i, result in enumerate(results):
            if not isinstance(result, tuple) or len(result) != 5:
                what = f"step() returned {parts_of(result)}, not (observation, reward, terminated, truncated, info)"
                return self._fault(i, "step", TypeError(what))
            observation, reward, terminated, truncated, _ = result
            try:
                self._check(observation)
            except ValueError as wrong:
                return self._fault(i, "step", wrong)
            if not isinstance(reward, Real) or np.ndim(terminated) or np.ndim(truncated):
                what = f"reward {reward!r}, terminated {terminated!r}, truncated {truncated!r}"
                return self._fault(i, "step", TypeError(f"{what}: a number and two truth values are wanted"))
        return self._fault(0, "step", error)

    def _finish(self, views: StepViews, infos: Sequence[Mapping[str, Any]]) -> EpisodeEnds | None:
        if self._ended:
            views.valid[self._ended] = False
            self._born[self._ended] = self._clock
            self._schedule([])
        if self._clock >= self._first_limit:
            self._first_limit = self._next_limit()
            over = self._clock - self._born >= self._limits  # of no row that has just begun: a limit is at least one step
            np.logical_or(views.truncated, over, out=views.truncated)
        done = views.terminated | views.truncated
        ended = np.flatnonzero(done)
        if not len(ended):
            return None
        if not self._rows_alone:
            self._has_ended |= done
        self._schedule(ended.tolist())
        for i in self._ended:
            if not isinstance(infos[i], Mapping | None):
                raise self._fault(i, "step", TypeError(f"info is {type(infos[i]).__name__}, not a dict"))
        return metrics_of_ends(ended, infos)

    def _reset_step(self, i: int, _action: Any) -> tuple[Any, float, bool, bool, Mapping[str, Any]]:
        """The step that resets: its action is ignored."""
        return self._reset(i, None), 0.0, False, False, {}

    def _reset(self, i: int, seed: int | None) -> Any:
        try:
            observation = observed(self.envs[i].reset(seed=seed))
            self._check(observation)
        except UserError:  # it refuses what was asked for
            raise
        except (Exception, SystemExit) as error:
            raise self._fault(i, "reset", error) from error
        self._beat()
        return observation

    def _fault(self, i: int, where: str, error: BaseException) -> EnvironmentFault:
        steps = self._clock - self._born[i]
        return EnvironmentFault(failed(self._contexts[i], f"{where}, {steps} steps into its episode", error))

    def end_episodes(self, rows: NDArray[np.int64]) -> bool:
        """See `EnvGroup`."""
        self._schedule(sorted({*self._ended, *rows.tolist()}))
        return True

    def get_state(self) -> dict[str, NDArray[Any]] | None:
        """See `EnvGroup`; None unless every environment can be saved."""
        ended = np.zeros(self.num_envs, bool)
        ended[self._ended] = True
        saved = save_env_states(self.envs)
        return None if saved is None else {"elapsed": self._clock - self._born, "ended": ended, **saved}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `EnvGroup`."""
        if "ended" not in state:
            raise ValueError("the state is not one of single environments")
        if len(state["ended"]) != self.num_envs:
            raise ValueError(f"the state is of {len(state['ended'])} environments, this group has {self.num_envs}")
        self._clock = 0
        self._born[:] = -state["elapsed"]
        self._schedule(np.flatnonzero(state["ended"]).tolist())
        self._first_limit = self._next_limit()
        load_env_states(self.envs, state)

    def close(self) -> None:
        """See `faults.close_all`. Idempotent."""
        envs, self.envs, self._steps = self.envs, [], []
        close_all(envs, self._contexts)


def _share_no_memory(observations: Sequence[Any]) -> bool:
    """Whether these are arrays (of at least one axis) that lie apart from each other."""
    if not all(isinstance(observation, np.ndarray) and observation.ndim for observation in observations):
        return False
    bounds = sorted(np.lib.array_utils.byte_bounds(observation) for observation in observations)
    return all(end <= begin for (_, end), (begin, _) in pairwise(bounds))
