"""Stable-Baselines3's PPO: environments in this process (its fastest way for cheap ones), or `--mode processes`."""

from __future__ import annotations

from functools import partial

import torch
from common import Meter, arguments, make_env
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv


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
    made = SubprocVecEnv if args.mode == "processes" else DummyVecEnv
    env = made([partial(make_env, args.env) for _ in range(args.envs)])
    model = PPO(
        "MlpPolicy", env, n_steps=args.rollout, batch_size=args.envs * args.rollout // args.minibatches, n_epochs=args.epochs,
        learning_rate=3e-4, device="cpu", policy_kwargs={"net_arch": [args.hidden, args.hidden]},
    )  # fmt: skip
    meter = Meter(args)
    model.learn(10**9, callback=Watch(meter))
    meter.report()
