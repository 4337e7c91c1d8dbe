"""The two implementations, step for step, and the random streams that they share."""

from typing import Any

import numpy as np
import pytest
from arl_plugin_maze import env, group
from arl_plugin_maze.env import MazeEnv
from arl_plugin_maze.group import MazeGroup
from arl_plugin_maze.options import MazeOptions
from arl_plugin_maze.solve import optimal_return, shortest_actions
from arl_plugin_maze.task import MazeTask
from hypothesis import given, settings
from hypothesis import strategies as st

from arl_core.envs.group import make_contexts
from arl_core.interfaces import StepViews


@st.composite
def tasks(draw: st.DrawFn) -> MazeTask:
    kind = draw(st.sampled_from(["sample", "random"]))
    size = draw(st.integers(2, 5))
    return MazeTask(
        kind=kind,
        size=size,
        loops=draw(st.sampled_from([0.0, 0.2])),
        portals=draw(st.integers(0, min(2, (size * size - 2) // 2))),
        max_steps=draw(st.integers(1, 60)),
        observation=draw(st.sampled_from(["position", "grid", "pixels"])),
        new_maze_each_episode=kind == "random" and draw(st.booleans()),
    )


class Recorder:
    """A group with memory of its own: what an engine gives it. Starts from rubbish, so that an unwritten entry shows."""

    def __init__(self, group: MazeGroup) -> None:
        self.group = group
        envs, spec = group.num_envs, group.obs_specs["obs"]
        self.obs = np.full((envs, *spec.shape), 77, spec.dtype)
        self.views = StepViews({"obs": self.obs}, np.full(envs, np.nan, np.float32), *(np.ones(envs, bool) for _ in range(3)))
        self.metrics: dict[int, dict[str, float]] = {}

    def step(self, actions: Any) -> tuple[Any, ...]:
        self.group.send(np.asarray(actions, np.int64)[:, None])
        ends = self.group.recv_into(self.views)
        self.metrics = {}
        if ends is not None:
            for position, row in enumerate(ends.rows.tolist()):
                self.metrics[row] = {key: float(values[position]) for key, values in ends.metrics.items()}
        return tuple(array.copy() for array in (self.obs, *self.views[1:]))


def as_wrapped(task: MazeTask, observation: Any) -> Any:
    """What the family's wrapper makes of an image: the vectorised form gives that."""
    return observation.transpose(2, 0, 1) if task.observation == "pixels" else observation


def follow(maze_env: MazeEnv, ended: bool, action: int) -> tuple[Any, float, bool, bool, bool, dict[str, float]]:
    """A step of a single environment under next-step autoreset."""
    if ended:
        return maze_env.reset()[0], 0.0, False, False, False, {}
    obs, reward, terminated, truncated, info = maze_env.step(action)
    return obs, reward, terminated, truncated, True, info


@settings(max_examples=60, deadline=None)
@given(tasks(), st.integers(0, 2**31), st.integers(1, 5))
def test_the_vectorised_mazes_equal_the_single_ones_step_for_step(task: MazeTask, seed: int, count: int) -> None:
    contexts = make_contexts(seed, 3, count)
    singles = [MazeEnv(task, context) for context in contexts]
    recorder = Recorder(MazeGroup(task, contexts))
    recorder.group.reset_into({"obs": recorder.obs})
    for i, (single, context) in enumerate(zip(singles, contexts, strict=True)):
        np.testing.assert_array_equal(as_wrapped(task, single.reset(seed=context.seed)[0]), recorder.obs[i])
    ended = [False] * count
    rng = np.random.default_rng(seed)
    for _ in range(90):
        # half of the moves lead straight to the goal, so that episodes end both ways
        best = [0 if over else shortest_actions(one.maze, one._cell)[0] for one, over in zip(singles, ended, strict=True)]
        actions = np.where(rng.random(count) < 0.5, best, rng.integers(0, 4, count)).tolist()
        obs, rewards, terminated, truncated, valid = recorder.step(actions)
        for i, single in enumerate(singles):
            expected = follow(single, ended[i], actions[i])
            np.testing.assert_array_equal(obs[i], as_wrapped(task, expected[0]))
            assert obs[i].dtype == expected[0].dtype
            assert (rewards[i], terminated[i], truncated[i], valid[i]) == (np.float32(expected[1]), *expected[2:5])
            assert recorder.metrics.get(i, {}) == expected[5]
            ended[i] = expected[2] or expected[3]


@given(tasks(), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_the_best_way_earns_the_optimal_return(task: MazeTask, seed: int) -> None:
    maze_env = MazeEnv(task, make_contexts(seed, 0, 1)[0])
    maze_env.reset(seed=seed)
    actions = shortest_actions(maze_env.maze)
    total = 0.0
    for number, action in enumerate(actions, 1):
        _, reward, terminated, truncated, info = maze_env.step(action)
        total += reward
        if truncated:
            assert number == task.max_steps
            assert info == {"solved": 0.0, "shortest": len(actions), "optimality": 0.0}
            return
        assert terminated == (number == len(actions))
    assert total == pytest.approx(optimal_return(maze_env.maze))
    assert info == {"solved": 1.0, "shortest": len(actions), "optimality": 1.0}


def drawn(contexts: Any, task: MazeTask, episodes: int) -> list[list[bytes]]:
    """For each environment the mazes of its first episodes, each of which is one step long."""
    recorder = Recorder(MazeGroup(task, contexts))
    recorder.group.reset_into({"obs": recorder.obs})
    seen = []
    for _ in range(episodes):
        seen.append([maze.passages.tobytes() for maze in recorder.group._mazes])
        for _ in range(2):  # the end, the reset
            recorder.step([0] * len(contexts))
    return [list(column) for column in zip(*seen, strict=True)]


def test_a_stream_depends_on_run_and_index_alone() -> None:
    task = MazeTask("random", 4, 0.0, 0, 1, "position", True)
    together = drawn(make_contexts(7, 0, 6), task, 4)
    apart = drawn(make_contexts(7, 0, 2), task, 4) + drawn(make_contexts(7, 2, 4), task, 4)
    assert together == apart
    assert len({maze for column in together for maze in column}) > 12  # 24 draws among many mazes of 4 x 4
    assert drawn(make_contexts(8, 0, 6), task, 4) != together


def test_without_a_seed_the_single_environment_has_the_contexts_stream() -> None:
    task = MazeTask("random", 6, 0.0, 0, 9, "grid", True)
    one, same, other = (MazeEnv(task, make_contexts(7, index, 1)[0]) for index in (4, 4, 5))
    first = [one.reset()[0].tobytes() for _ in range(3)]
    assert first == [same.reset()[0].tobytes() for _ in range(3)]
    assert len(set(first)) == 3
    assert first != [other.reset()[0].tobytes() for _ in range(3)]


def test_a_random_maze_is_the_runs_and_every_environment_has_it() -> None:
    task = MazeTask("random", 8, 0.2, 2, 9, "grid", False)

    def maze_of(run_seed: int, index: int) -> Any:
        maze_env = MazeEnv(task, make_contexts(run_seed, index, 1)[0])
        maze_env.reset(seed=index)
        return maze_env.maze.passages.tobytes(), maze_env.maze.portals

    assert maze_of(1, 0) == maze_of(1, 1) == maze_of(1, 10**9)
    assert maze_of(1, 0) != maze_of(2, 0)


@given(tasks(), st.integers(0, 2**31), st.integers(0, 40))
@settings(max_examples=25, deadline=None)
def test_a_saved_group_goes_on_bit_for_bit(task: MazeTask, seed: int, before: int) -> None:
    actions = np.random.default_rng(seed).integers(0, 4, (before + 40, 3))
    one = Recorder(MazeGroup(task, make_contexts(seed, 0, 3)))
    one.group.reset_into({"obs": one.obs})
    for row in actions[:before]:
        one.step(row)
    state = {key: value.copy() for key, value in one.group.get_state().items()}
    assert all(value.dtype != object for value in state.values())
    two = Recorder(MazeGroup(task, make_contexts(seed, 0, 3)))
    two.group.set_state(state)
    for row in actions[before:]:
        for left, right in zip(one.step(row), two.step(row), strict=True):
            np.testing.assert_array_equal(left, right)
        assert one.metrics == two.metrics


@given(tasks(), st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_a_saved_single_environment_goes_on_exactly(task: MazeTask, seed: int) -> None:
    one, two = (MazeEnv(task, make_contexts(seed, index, 1)[0]) for index in (0, 1))
    one.reset(seed=seed)
    one.step(1)
    two.set_state(one.get_state())
    rng = np.random.default_rng(seed)
    ended = False
    for action in rng.integers(0, 4, 40).tolist():
        left, right = follow(one, ended, action), follow(two, ended, action)
        np.testing.assert_array_equal(left[0], right[0])
        assert left[1:] == right[1:]
        ended = left[2] or left[3]


def test_a_state_of_other_mazes_is_refused() -> None:
    small, large = (group.make(options=None, contexts=make_contexts(0, 0, 2), kind="random", size=n) for n in (3, 4))
    small.reset_into({"obs": np.zeros((2, 2), np.int64)})
    with pytest.raises(ValueError, match="'passages'"):
        large.set_state(small.get_state())


def test_wrong_actions_are_refused_but_ignored_in_a_reset() -> None:
    options = MazeOptions(max_steps=1)
    contexts = make_contexts(0, 0, 2)
    recorder = Recorder(group.make(options=options, contexts=contexts, kind="sample", size=3))
    recorder.group.reset_into({"obs": recorder.obs})
    for wrong in (4, -1):
        with pytest.raises(ValueError, match="environment 1 of the group"):
            recorder.step([0, wrong])
    assert recorder.step([0, 0])[3].all()  # truncated: the next step resets
    assert not recorder.step([99, -7])[4].any()
    single = env.make(options=options, context=contexts[0], kind="sample", size=3)
    single.reset()
    with pytest.raises(ValueError, match="0 to 3"):
        single.step(4)


def test_actions_may_be_floats_and_views_of_a_larger_memory() -> None:
    task = MazeTask("sample", 3, 0.0, 0, 50, "grid", False)
    plain = Recorder(MazeGroup(task, make_contexts(0, 0, 2)))
    plain.group.reset_into({"obs": plain.obs})
    strided = MazeGroup(task, make_contexts(0, 0, 2))
    obs = np.zeros((2, 3, 6, 3, 3), np.uint8)
    numbers, flags = np.zeros((2, 2), np.float32), np.zeros((3, 2, 2), bool)
    strided.reset_into({"obs": obs[:, 0]})
    for action in (1, 1, 2, 2, 0, 3):
        strided.send(np.full((2, 1), action, np.float32))
        strided.recv_into(StepViews({"obs": obs[:, 1]}, numbers[:, 0], *(flag[:, 0] for flag in flags)))
        expected = plain.step([action] * 2)
        np.testing.assert_array_equal(obs[:, 1], expected[0])
        np.testing.assert_array_equal(numbers[:, 0], expected[1])
        np.testing.assert_array_equal(flags[:, :, 0], expected[2:])
