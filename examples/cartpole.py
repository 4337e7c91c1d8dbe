"""CartPole from Python: train, look, train on, keep the weights. `python examples/cartpole.py [FRAMES]`"""

import sys
import tempfile
from pathlib import Path

from arl_core import APPO

frames = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000

with APPO(env="gym_CartPole-v1", num_workers=2, num_envs_per_worker=32, policy_kwargs={"seed": 1}) as model:
    status = model.train(frames // 2)
    print(f"{status.frames:,} frames at {status.fps:,.0f} frames/s, mean return {status.return_mean}")
    status = model.train(frames // 2)  # the same processes and environments go on
    print("greedy:", model.evaluate(episodes=20)["return_mean"])

    weights = model.get_parameters()[0]  # by value: training on does not change it
    print(sum(value.numel() for value in weights.values()), "numbers")
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "cartpole.pt")
        model.load(Path(folder) / "cartpole.pt")

    env = model.get_env()
    observation, _ = env.reset(seed=7)
    action, _ = model.predict(observation, deterministic=True)
    print("first action:", action)
