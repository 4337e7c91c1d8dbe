"""Sample Factory 2.1.1, as its documentation trains a Gym environment; `--mode serial` is its way to run in one process.

For Pong its encoder `convnet_atari`, which is the Nature CNN, on the lightest environment that we know (its own wrappers
resize in colour).
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile

from common import PONG, Meter, arguments, make_env
from sample_factory.algo.runners.runner import AlgoObserver
from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
from sample_factory.envs.env_utils import register_env
from sample_factory.train import make_runner


class Watch(AlgoObserver):
    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def on_training_step(self, runner, training_iteration_since_resume) -> None:
        frames = sum(runner.env_steps.values())
        if frames and not self.meter.add(frames):
            runner.cfg.train_for_env_steps = 1  # it ends at its next look


def make_for_sample_factory(name, cfg=None, env_config=None, render_mode=None):
    return make_env(name)


def main() -> None:
    args = arguments()
    folder = tempfile.mkdtemp(prefix="peer-sample-factory-")
    frames = args.envs * args.rollout
    serial = args.mode == "serial"
    flags = {
        "env": args.env, "algo": "APPO", "train_dir": folder, "experiment": "peer", "device": "cpu", "seed": 1,
        "serial_mode": serial, "async_rl": not serial, "use_rnn": False, "recurrence": 1,
        "num_workers": 1 if serial else args.workers, "num_envs_per_worker": args.envs // (1 if serial else args.workers),
        "worker_num_splits": 1 if serial else 2, "policy_workers_per_policy": 1, "rollout": args.rollout,
        "batch_size": frames // args.minibatches, "num_batches_per_epoch": args.minibatches, "num_epochs": args.epochs,
        "with_vtrace": False, "normalize_input": False, "normalize_returns": False,
        "learning_rate": 3e-4, "train_for_env_steps": 10**10, "save_every_sec": 3600, "experiment_summaries_interval": 3600,
        "stats_avg": 100, "set_workers_cpu_affinity": False, "decorrelate_envs_on_one_worker": False,
    }  # fmt: skip
    words = [f"--{name}={value}" for name, value in flags.items()]
    if args.env == PONG:
        words += ["--encoder_conv_architecture=convnet_atari", "--encoder_conv_mlp_layers", str(args.hidden)]
        words += ["--nonlinearity=relu", "--obs_scale=255"]
    else:
        words += ["--nonlinearity=tanh", "--encoder_mlp_layers", str(args.hidden), str(args.hidden)]
    register_env(args.env, make_for_sample_factory)
    parser, _ = parse_sf_args(argv=words)
    meter = Meter(args)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            _, runner = make_runner(parse_full_cfg(parser, words))
            runner.register_observer(Watch(meter))
            runner.init()
            runner.run()
        meter.report()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
