"""Stable-Baselines3's PPO: environments in this process (its fastest way for cheap ones), or `--mode processes`.

For Pong its CnnPolicy, which is the Nature CNN. Frames are stacked by its VecFrameStack, so that a process sends one frame a
step; its processes are forked, which starts 32 of them soonest.
"""

from __future__ import annotations

from functools import partial

import torch
from common import PONG, Meter, arguments, make_env
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack


class Watch(BaseCallback):
    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter, self._on = meter, True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps:
            self._on = self._meter.add(self.num_timesteps)

    def _on_step(self) -> bool:
        return self._on


if __name__ == "__main__":
    args = arguments()
    torch.set_num_threads(args.threads)
    makers = [partial(make_env, args.env, stack=1) for _ in range(args.envs)]
    env = SubprocVecEnv(makers, start_method="fork") if args.mode == "processes" else DummyVecEnv(makers)
    if args.env == PONG:
        env = VecFrameStack(env, 4, channels_order="first")
        policy, kwargs = "CnnPolicy", {"features_extractor_kwargs": {"features_dim": args.hidden}}
    else:
        policy, kwargs = "MlpPolicy", {"net_arch": [args.hidden, args.hidden]}
    model = PPO(
        policy, env, n_steps=args.rollout, batch_size=args.envs * args.rollout // args.minibatches, n_epochs=args.epochs,
        learning_rate=3e-4, device="cpu", policy_kwargs=kwargs,
    )  # fmt: skip
    meter = Meter(args)
    model.learn(10**9, callback=Watch(meter))
    env.close()
    meter.report()
