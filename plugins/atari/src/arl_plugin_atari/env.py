"""A game as a `gymnasium.Env`, step by step in Python: the back end `gymnasium`, and what is drawn from.

The preprocessing is that of Mnih et al. 2015 (Methods): each action lasts `frame_skip` raw frames, the last two are pooled
by their maximum, the image is grey, at 84 x 84, and an observation has the last four. Games begin after a random number
of frames without action. With one seed it plays the games of `ale-vector`, frame by frame (a test).
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from arl_core.envs.group_env import GroupEnv
from arl_core.envs.wrappers.images import area_weights
from arl_core.interfaces import EnvContext, EnvGroup, UserError
from arl_plugin_atari.group import make as make_group
from arl_plugin_atari.options import AtariOptions
from arl_plugin_atari.task import FIRE, NOOP, AtariTask, game_seed, load_game, resolve_task


def make(*, options: AtariOptions | None, context: EnvContext, game: str, sticky: float) -> gymnasium.Env[Any, Any]:
    """The `maker` of every variant. Where pictures are wanted it is the one in Python: the others draw none."""
    if context.render_mode not in (None, "rgb_array"):
        raise UserError(f"atari: no render mode '{context.render_mode}'; the choice is 'rgb_array' or none")
    task = resolve_task(options, game, sticky)
    if task.options.backend == "gymnasium" or context.render_mode is not None:
        return AtariEnv(task, context)

    def group_of_one(context: EnvContext) -> EnvGroup:
        return make_group(options=options, contexts=[context], game=game, sticky=sticky)

    env = GroupEnv(group_of_one, context, task.observation_space, task.action_space)
    env.frame_stacks = task.frame_stacks
    return env


class AtariEnv(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """One game after the other.

    Observations are uint8 [frame_stack, size, size], the newest frame last; a game begins with black ones before its first.
    The end of the game terminates, `max_frames` raw frames truncate. With `life_loss` the loss of a life terminates too:
    `reset` then goes on with the same game, by one action (fire, where the game has it). In an evaluation a game goes on
    instead, and that action takes the place of the one given. `info` has `lives`; at the end of a game also `score`, the sum
    of its unclipped rewards, and `raw_frames`, its actions times `frame_skip`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012  # gymnasium declares it so

    def __init__(self, task: AtariTask, context: EnvContext) -> None:
        self.task = task
        self.render_mode = context.render_mode
        self.observation_space = task.observation_space
        self.frame_stacks = task.frame_stacks
        self.action_space = task.action_space
        self.np_random = np.random.default_rng(context.seed)
        self._stack = np.zeros(task.observation_space.shape, np.uint8)
        self._whole_games = context.evaluation
        self._goes_on = False  # the game does, with the action that begins a life: only one was lost
        self._seed(context.seed)
        height, width = self.ale.getScreenDims()  # 210 x 160 in most games, up to 250 rows in some
        size = task.options.image_size
        self._rows, self._columns = area_weights(height, size), area_weights(width, size).T.copy()
        self._screens = np.zeros((2, height, width), np.uint8)  # the last two frames of a step

    def _seed(self, seed: int) -> None:
        """Load the game anew; all that is random in it follows from `seed`."""
        self._noops = np.random.RandomState(game_seed(seed))  # the Mersenne twister, seeded as C++ does
        self.ale = load_game(self.task.game, random_seed=game_seed(seed), sticky=self.task.sticky)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new game, or the next life where only one was lost."""
        super().reset(seed=seed, options=options)
        if seed is not None:
            self._seed(seed)
        if seed is None and self._goes_on and not self._whole_games:
            self._goes_on = False
            self._advance(self.task.new_life_action)
            self._lives = self.ale.lives()
            if not self._over():
                return self._stack.copy(), {"lives": self._lives}
        self._begin()
        return self._stack.copy(), {"lives": self._lives}

    def _begin(self) -> None:
        self.ale.reset_game()
        # a number below noop_max as C++ draws it: the upper half of a product
        noops = int(self._noops.randint(0, 1 << 32, dtype=np.uint32)) * self.task.options.noop_max >> 32
        if self.task.presses_fire:
            self.ale.act(FIRE)
            noops -= 1
        for _ in range(noops):
            self.ale.act(NOOP)
            if self.ale.game_over():
                self.ale.reset_game()
        self._stack[:] = 0
        self._screens[1] = 0
        self.ale.getScreenGrayscale(self._screens[0])
        self._push()
        self._lives = self.ale.lives()
        self._frames, self._steps, self._score, self._goes_on = 0, 0, 0.0, False

    def step(self, action: int | np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One action, for `frame_skip` raw frames."""
        if self._goes_on:
            action, self._goes_on = self.task.new_life_action, False
        reward = self._advance(int(action))
        before, self._lives = self._lives, self.ale.lives()
        terminated = bool(self.ale.game_over())
        truncated = not terminated and self._frames >= self.task.options.max_frames
        info: dict[str, Any] = {"lives": self._lives}
        if terminated or truncated:
            info |= {"score": self._score, "raw_frames": self._steps * self.task.options.frame_skip}
        elif self.task.options.life_loss and 0 < self._lives < before:
            self._goes_on = True
            terminated = not self._whole_games
        clipped = float(np.sign(reward)) if self.task.options.reward_clip else reward
        return self._stack.copy(), clipped, terminated, truncated, info

    def _over(self) -> bool:
        return bool(self.ale.game_over()) or self._frames >= self.task.options.max_frames

    def _advance(self, action: int) -> float:
        """Play an action, push a frame onto the stack; the sum of the rewards."""
        number = self.task.actions[action]
        reward = 0.0
        skip = self.task.options.frame_skip
        for left in range(skip - 1, -1, -1):
            reward += self.ale.act(number)
            self._frames += 1
            if left < 2:
                self.ale.getScreenGrayscale(self._screens[left])
            if self._over():
                break
        self._push()
        self._steps += 1
        self._score += reward
        return reward

    def _push(self) -> None:
        """Pool the two screens, by area to the image's size, and put the image at the end of the stack."""
        image = self._rows @ (self._screens.max(0).astype(np.float32) @ self._columns)
        self._stack[:-1] = self._stack[1:]
        self._stack[-1] = np.rint(image)

    def render(self) -> Any:
        """rgb_array: the screen in colours, uint8 [height, width, 3]; 210 x 160 in most games."""
        return None if self.render_mode is None else self.ale.getScreenRGB()
