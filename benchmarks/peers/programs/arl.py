"""arl: asynchronous workers and learner; `--mode central` with policy workers, `--mode serial` in one process,
`--mode bfloat16` with the encoder in that precision. Pong is that of its plugin for Atari, with the plugin's default back end.
"""

from __future__ import annotations

from common import CHEAP, PONG, CheapEnv, Meter, arguments

from arl_core import APPO

if __name__ == "__main__":
    args = arguments()
    frames = args.envs * args.rollout
    meter = Meter(args)
    kwargs = {
        "serial": args.mode == "serial",
        "inference": "central" if args.mode == "central" else "auto",
        "rollout": args.rollout,
        "batch_size": frames // args.minibatches,
        "num_batches_per_iteration": args.minibatches,
        "ppo_epochs": args.epochs,
        "hidden_size": args.hidden,
        "learning_rate": 3e-4,
    }
    if args.mode == "bfloat16":
        kwargs["precision"] = "bfloat16"
    env = {CHEAP: CheapEnv, PONG: "atari:pong"}.get(args.env, f"gym:{args.env}")
    encoder = "nature" if args.env == PONG else "mlp"
    model = APPO(
        env, encoder=encoder, num_workers=args.workers, num_envs_per_worker=args.envs // args.workers, policy_kwargs=kwargs
    )
    with model:
        status = model.train(1 << 60, callback=lambda values: values["frames"] == 0 or meter.add(values["frames"]))
    if status == 2:
        raise SystemExit(str(status.error))
    meter.report()
