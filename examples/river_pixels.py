"""MiniHack's River from pixels, with options by Sample Factory's names. `python examples/river_pixels.py [FRAMES]`"""

import sys

from arl_core import APPO

frames = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000

options = {
    "encoder_custom": "convnet_impala",  # an older name of `encoder`; docs/configuration.md has them all
    "worker_num_splits": 2,  # double-buffered sampling: one half steps while the other's actions are computed
    "with_pbt": True,  # with one policy a plain run, and said so
    "use_rnn": True,
    "env_options": {"observation": "pixel_crop", "tile_size": 8},  # 9 x 9 cells around the agent, 72 x 72 pixels
}

with APPO(env="MiniHack-River-v0", num_workers=2, num_envs_per_worker=16, policy_kwargs=options) as model:

    def report(values):
        print(f"{values['frames']:>9,} frames  {values['fps']:,.0f} frames/s  mean return {values['return_mean']}", flush=True)

    status = model.train(frames, callback=report)
    print(status)
