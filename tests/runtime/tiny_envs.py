"""Environments of a few lines that tests name as `py:tiny_envs:...` or give as objects."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import RecordEpisodeStatistics

IN_WORKER = sys.argv[0] == "-c"  # processes of a run are started by `python -c`


class Bandit(gym.Env):
    """Four steps; action 1 is worth 1, action 0 nothing."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)
    length = 4

    def _observation(self) -> Any:
        return np.array([1.0, self.t / self.length], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self._observation(), float(action == 1), self.t == self.length, False, {"ones": float(action == 1)}


class Memory(gym.Env):
    """A cue of -1 or 1 at the first step; two steps later the action must name it. Without memory the mean is 0."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def _observation(self) -> Any:
        return np.array([self.cue if self.t == 0 else 0.0, float(self.t == 2)], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.cue = 0, float(self.np_random.integers(2) * 2 - 1)
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        right = (action * 2 - 1) == self.cue
        reward = (1.0 if right else -1.0) if self.t == 2 else 0.0
        self.t += 1
        return self._observation(), reward, self.t == 3, False, {}


class DictBandit(gym.Env):
    """Which of two actions pays stands in the picture; the vector is noise."""

    observation_space = spaces.Dict(
        {"picture": spaces.Box(0, 255, (1, 12, 12), np.uint8), "vector": spaces.Box(-1.0, 1.0, (3,), np.float32)}
    )
    action_space = spaces.Discrete(2)

    def _observation(self) -> Any:
        self.side = int(self.np_random.integers(2))
        picture = np.zeros((1, 12, 12), np.uint8)
        picture[:, :, self.side * 6 : self.side * 6 + 6] = 255
        return {"picture": picture, "vector": self.np_random.uniform(-1, 1, 3).astype(np.float32)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        reward = float(action == self.side)
        self.t += 1
        return self._observation(), reward, self.t == 4, False, {}


class Arm(Bandit):
    """Four steps. A nested action: gate 2 of three, a lever near 0.5 and bits (1, 0) are worth 1 each."""

    action_space = spaces.Dict(
        {
            "gate": spaces.Discrete(3, start=1),
            "rest": spaces.Tuple((spaces.Box(-1.0, 1.0, (1,), np.float64), spaces.MultiBinary(2))),
        }
    )

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        lever, bits = action["rest"]
        reward = float(action["gate"] == 3) + max(0.0, 1.0 - abs(lever[0] - 0.5)) + float(bits.tolist() == [1, 0])
        self.t += 1
        return self._observation(), reward, self.t == self.length, False, {}


class Lever(Bandit):
    """Four steps; the action is best at 5 of [-2, 6], whole numbers are not needed."""

    action_space = spaces.Box(-2.0, 6.0, (1,))

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.t += 1
        return self._observation(), 1.0 - abs(float(action[0]) - 5.0), self.t == self.length, False, {}


class HangsUp(Bandit):
    """Cannot be closed."""

    def close(self) -> None:
        raise OSError("the simulator is gone")


class Where(Bandit):
    """Reports what its process is like."""

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, _ = super().step(action)
        info = {"torch": float("torch" in sys.modules), "pid": float(os.getpid()), "nice": float(os.nice(0))}
        return observation, reward, terminated, truncated, info


class Parent(Bandit):
    """Starts a program when its own process is one of a run's."""

    def __init__(self, own_session: bool = False) -> None:
        if IN_WORKER:
            program = [sys.executable, "-c", "import time; time.sleep(600)"]
            self.child = subprocess.Popen(program, start_new_session=own_session)


def leaving_group(*, options: Any, contexts: Any, **_: Any) -> Any:
    """Bandits whose group ends the process at its fifth step, as a program that was not written for this does."""
    from arl_core.envs.group import SingleEnvGroup

    class Leaving(SingleEnvGroup):
        steps = 0

        def recv_into(self, views: Any) -> Any:
            self.steps += 1
            if self.steps == 5:
                sys.exit("the maze is shut")
            return super().recv_into(views)

    return Leaving([Bandit() for _ in contexts], contexts)


def recorded() -> gym.Env:
    return RecordEpisodeStatistics(Bandit())


class Faulty(Bandit):
    """Does `what` in `where` ("construct", "reset", "step"), at its `at`-th step or reset; with `once`, only if that file
    is not there yet. Never in the trainer's own process, which looks at one environment before the run."""

    def __init__(self, what: str = "", where: str = "step", at: int = 0, once: str = "") -> None:
        self.what, self.where, self.at, self.once = what, where, at, once
        self.count = {"construct": 0, "reset": 0, "step": 0}
        self._perhaps("construct")

    def _perhaps(self, where: str) -> bool:
        self.count[where] += 1
        if not IN_WORKER or where != self.where or self.count[where] <= self.at:
            return False
        if self.once:
            try:
                Path(self.once).touch(exist_ok=False)
            except FileExistsError:
                return False
        if self.what == "raise":
            raise ValueError("the maze has no exit")
        if self.what == "hang":
            time.sleep(3600)
        if self.what == "exit":
            os._exit(7)
        if self.what == "segfault":
            ctypes.string_at(0)
        return True

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self._perhaps("reset")
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        broken = self._perhaps("step")
        observation, reward, terminated, truncated, info = super().step(action)
        if broken and self.what == "nan":
            reward = float("nan")
        if broken and self.what == "blind":
            observation = np.full_like(observation, np.nan)
        if broken and self.what == "slow":
            time.sleep(0.01)
        return observation, reward, terminated, truncated, info


def faulty() -> gym.Env:
    """`Faulty` as the variable TINY_FAULT says: "what,where,at,once"."""
    what, where, at, once = os.environ["TINY_FAULT"].split(",")
    return Faulty(what, where, int(at), once)


class Seeded(Bandit):
    """Reports the seed of its first episode."""

    first = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.first = self.first or int(seed or 0)
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        return *super().step(action)[:4], {"first": float(self.first)}


class Drawn(Bandit):
    """Draws itself: as green as the episode is long."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def render(self) -> Any:
        return np.full((6, 8, 3), (0, 50 * self.t, 0), np.uint8)


class Told(Bandit):
    """Raises, slow as it is, when the file `told` is there, which it removes."""

    def __init__(self, told: str) -> None:
        self.told = Path(told)

    def step(self, action: Any) -> Any:
        time.sleep(0.002)
        if self.told.exists():
            self.told.unlink()
            raise ValueError("as told")
        return super().step(action)


class KillsAtHandOver(Bandit):
    """Once, its process is killed at the moment when it hands a slot over: `before` the learner may have it, or after."""

    def __init__(self, once: str, before: bool) -> None:
        if not IN_WORKER or Path(once).exists():
            return
        from arl_core.ipc.slots import SlotRing

        plain, handed = SlotRing.hand_over, []

        def hand_over(ring: SlotRing, slot: int, *owned: Any) -> None:
            handed.append(slot)
            last = len(handed) == 3
            if last:
                Path(once).touch()
            if not (last and before):
                plain(ring, slot, *owned)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)

        SlotRing.hand_over = hand_over


class KillsWhileTraining(Bandit):
    """Once, its process is killed when it trains by itself (`hogwild`): when a step is "applied", or the batch is "counted"."""

    def __init__(self, once: str, when: str) -> None:
        if not IN_WORKER or Path(once).exists():
            return
        from arl_core.learning.hogwild import WorkerIntake, WorkerLearner

        owner, name = {"applied": (WorkerLearner, "_apply"), "counted": (WorkerIntake, "_add")}[when]
        plain, calls = getattr(owner, name), []

        def deadly(*args: Any, **kwargs: Any) -> None:
            calls.append(1)
            plain(*args, **kwargs)
            if len(calls) == 3:
                Path(once).touch()
                os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, deadly)


class Slow(Bandit):
    """Sleeps a millisecond at each step; an episode never ends, or always does."""

    def __init__(self, short: bool = False) -> None:
        self.short = short

    def step(self, action: Any) -> Any:
        time.sleep(0.001)
        return np.zeros(2, np.float32), 0.0, self.short, False, {}


class Fragile(Bandit):
    """Breaks where there is a file `broken`."""

    def step(self, action: Any) -> Any:
        if Path("broken").exists():
            raise ValueError("no such lever")
        return super().step(action)


class Sluggish(Bandit):
    """Takes its time for every step in a run's processes."""

    def step(self, action: Any) -> Any:
        time.sleep(0.3 * IN_WORKER)
        return super().step(action)


class Warns(Bandit):
    """Warns, and prints, at every 200th step in a run's processes."""

    steps = 0

    def step(self, action: Any) -> Any:
        time.sleep(0.001 * IN_WORKER)
        Warns.steps += 1
        if IN_WORKER and self.steps % 200 == 0:
            print(f"step {self.steps}")
            sys.stderr.write(f"joint {self.steps} is out of range\n")
        return super().step(action)


class SlowToBegin(Bandit):
    """Takes a quarter of a second to be made, and to be reset, in the processes of a run."""

    def __init__(self) -> None:
        time.sleep(0.25 * IN_WORKER)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        time.sleep(0.25 * IN_WORKER)
        return super().reset(seed=seed)


class Gated(gym.Env):
    """One of two actions is forbidden, now this one, now that; it raises where it is taken all the same."""

    observation_space = spaces.Dict({"obs": spaces.Box(-1.0, 1.0, (2,), np.float32), "action_mask": spaces.MultiBinary(2)})
    action_space = spaces.Discrete(2)

    def _observation(self) -> Any:
        self.open = int(self.np_random.integers(2))
        return {"obs": np.zeros(2, np.float32), "action_mask": np.eye(2, dtype=np.int8)[self.open]}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        if action != self.open:
            raise ValueError(f"action {action} is forbidden")
        return self._observation(), 0.0, False, False, {}


def broken_encoder(obs_space: Any, cfg: Any) -> Any:
    return obs_space["pixels"]


def narrow_encoder(obs_space: Any, cfg: Any) -> Any:
    """Says that it gives twice as many features as it does."""
    from arl_core.models.encoders import MlpEncoder  # torch: not in rollout workers

    encoder = MlpEncoder(obs_space, cfg)
    encoder.output_size *= 2
    return encoder


def plain_model(obs_space: Any, num_params: int, cfg: Any) -> Any:
    """A whole network without memory."""
    import torch

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, num_params + 1)

        def forward(self, obs: Any, state: Any) -> Any:
            out = self.layer(obs["obs"])
            return out[:, :-1], out[:, -1], None

    return Plain()


class Refusing(Bandit):
    """Refuses its reset where there is a file `refuse`."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        from arl_core.interfaces import UserError

        if Path("refuse").exists():
            raise UserError("the maze is not there: start its server")
        return super().reset(seed=seed)
