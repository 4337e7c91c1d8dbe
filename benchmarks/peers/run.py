"""arl beside its peers, in turn (A B C A B C), on the same machine, cores, environment, network, epochs and minibatches.

    python benchmarks/peers/run.py [--env CartPole-v1 | Cheap-v0 | Pong] [--seconds 6] [--rounds 2]
                                   [--peers arl "single-file PPO" ...] [--epochs 1] [--minibatches 1] [--output FOLDER]

Each peer runs in a virtual environment of its own, made at first use in `.envs/` (ignored) from `requirements/`. Frames per
second are those trained on after a warm-up. The ratios are arl's frames per second to each peer's of the same round. A peer
that cannot be installed, or fails, is named and left out. Writes <env>.json and <env>.md into FOLDER where one is given.

`--env Pong` (Atari; frame skip 4, four grey frames of 84 x 84; frames are actions, not raw frames) is measured with the
Nature CNN. It has peers of its own: those that are one process run with two threads too. An iteration takes seconds, so
measure longer: `--seconds 30 --warm-up 10`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
START_S = 110.0  # for imports and processes, beside the seconds of the measurement
PONG = "Pong"


class Peer(NamedTuple):
    program: str
    requirements: str  # "" : this interpreter's own packages
    mode: str = ""
    env: str = ""  # the only environment that it is measured on; "" : all
    threads: int = 0  # torch's; 0: as `--threads` says


PEERS = {
    "arl": Peer("arl.py", ""),
    "arl, central inference": Peer("arl.py", "", "central"),
    "arl, serial": Peer("arl.py", "", "serial"),
    "arl, bfloat16": Peer("arl.py", "", "bfloat16", PONG),
    "Sample Factory, asynchronous": Peer("sample_factory_peer.py", "sample-factory"),
    "Sample Factory, serial": Peer("sample_factory_peer.py", "sample-factory", "serial"),
    "Sample Factory, serial, 2 threads": Peer("sample_factory_peer.py", "sample-factory", "serial", PONG, 2),
    "Stable-Baselines3 PPO": Peer("stable_baselines3_peer.py", "stable-baselines3"),
    "Stable-Baselines3 PPO, 2 threads": Peer("stable_baselines3_peer.py", "stable-baselines3", "", PONG, 2),
    "Stable-Baselines3 PPO, processes": Peer("stable_baselines3_peer.py", "stable-baselines3", "processes", PONG),
    "Stable-Baselines3 PPO, processes, 2 threads": Peer("stable_baselines3_peer.py", "stable-baselines3", "processes", PONG, 2),
    "single-file PPO": Peer("single_file_ppo.py", "stable-baselines3"),
    "single-file PPO, 2 threads": Peer("single_file_ppo.py", "stable-baselines3", "", PONG, 2),
    "single-file PPO, EnvPool": Peer("single_file_ppo.py", "stable-baselines3", "envpool", PONG),
    "single-file PPO, EnvPool, 2 threads": Peer("single_file_ppo.py", "stable-baselines3", "envpool", PONG, 2),
}


def interpreter(peer: Peer) -> Path | None:
    """The peer's own, installed now where it is not there yet; None where that fails."""
    if not peer.requirements:
        return Path(sys.executable)
    folder = HERE / ".envs" / peer.requirements
    python, done = folder / "bin" / "python", folder / ".installed"
    if done.exists():
        return python
    venv.create(folder, with_pip=True)
    file = HERE / "requirements" / f"{peer.requirements}.txt"
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(file)]
    if subprocess.run(command, check=False).returncode:
        return None
    done.touch()
    return python


def measure(python: Path, peer: Peer, arguments: argparse.Namespace) -> float | None:
    """Frames per second; None where the program failed, which is told."""
    names = ("env", "seconds", "warm_up", "workers", "envs", "rollout", "minibatches", "epochs", "hidden")
    words = [word for name in names for word in (f"--{name.replace('_', '-')}", str(getattr(arguments, name)))]
    threads = str(peer.threads or arguments.threads)
    words += ["--threads", threads]
    if peer.mode:
        words += ["--mode", peer.mode]
    paths = [str(ROOT), *(str(path) for path in sorted(ROOT.glob("plugins/*/src")))] if not peer.requirements else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": threads}
    command = [str(python), str(HERE / "programs" / peer.program), *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=HERE / "programs",
        start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=arguments.seconds + arguments.warm_up + START_S)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)  # its children too
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        out, err = "", "it did not end in time"
    if process.returncode:
        print(f"{' '.join(command)} failed:\n{err[-3000:]}", file=sys.stderr)
        return None
    return float(json.loads(out.splitlines()[-1])["fps"])


def table(result: dict[str, Any]) -> str:
    setting = result["setting"]
    lines = [
        f"{setting['env']}, {setting['cores']} cores, {setting['workers']} workers, {setting['envs']} environments, "
        f"{setting['network']}, {setting['epochs']} epoch(s) x {setting['minibatches']} minibatch(es) of "
        f"{setting['envs'] * setting['rollout'] // setting['minibatches']:,} frames",
        "",
        "| | frames per second (rounds) | arl / peer (rounds) | median |",
        "|---|---|---|---|",
    ]
    for name, entry in result["peers"].items():
        if entry is None:
            lines.append(f"| {name} | does not run here | | |")
            continue
        rates, ratios = (", ".join(texts) for texts in (
            [f"{fps:,.0f}" for fps in entry["fps"]], [f"{ratio:.2f}" for ratio in entry["ratio"]]
        ))  # fmt: skip
        lines.append(f"| {name} | {rates} | {ratios} | {statistics.median(entry['ratio']):.2f} |")
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    """The command line, with what follows from the environment filled in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--warm-up", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", nargs="+", choices=sorted(PEERS), metavar="PEER", help="default: all of the environment")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--envs", type=int, help="of all workers together (default: 64; Pong 32)")
    parser.add_argument("--rollout", type=int, default=32)
    parser.add_argument("--minibatches", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--hidden", type=int, help="units of a layer (default: 64; Pong 512)")
    parser.add_argument("--threads", type=int, default=1, help="torch's, of peers that are one process (default: 1)")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    is_pong = arguments.env == PONG
    arguments.envs = arguments.envs or (32 if is_pong else 64)
    arguments.hidden = arguments.hidden or (512 if is_pong else 64)
    arguments.network = f"Nature CNN, {arguments.hidden} units" if is_pong else f"MLP 2x{arguments.hidden}"
    arguments.peers = arguments.peers or [name for name, peer in PEERS.items() if peer.env in ("", arguments.env)]
    for name in arguments.peers:
        if PEERS[name].env not in ("", arguments.env):
            parser.error(f"'{name}' is measured on {PEERS[name].env} alone: --env {PEERS[name].env}, or leave it out")
    return arguments


def main() -> None:
    arguments = parsed()
    names = dict.fromkeys(["arl", *arguments.peers])  # the one that the ratios are of, first
    pythons = {name: interpreter(PEERS[name]) for name in names}
    rates: dict[str, list[float]] = {name: [] for name, python in pythons.items() if python is not None}
    for number in range(arguments.rounds):
        for name in list(rates):
            python = pythons[name]
            assert python is not None
            fps = measure(python, PEERS[name], arguments)
            if fps is None:
                del rates[name]
                continue
            rates[name].append(fps)
            print(f"round {number + 1}: {name}: {fps:,.0f}", file=sys.stderr, flush=True)
        report(arguments, pythons, rates)


def report(arguments: argparse.Namespace, pythons: dict[str, Path | None], rates: dict[str, list[float]]) -> None:
    """The table so far, to standard output and the files."""
    if "arl" not in rates:
        raise SystemExit("arl itself has failed: there is nothing to compare with")
    ours = rates["arl"]
    peers = {
        name: {"fps": rates[name], "ratio": [a / b for a, b in zip(ours, rates[name], strict=True)]} if name in rates else None
        for name in pythons
    }
    keys = ("env", "workers", "envs", "rollout", "minibatches", "epochs", "network", "threads", "seconds")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    result = {"setting": {**{key: getattr(arguments, key) for key in keys}, "cores": cores}, "peers": peers}
    print(table(result))
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / f"{arguments.env}.json").write_text(json.dumps(result, indent=2) + "\n")
        (arguments.output / f"{arguments.env}.md").write_text(table(result) + "\n")


if __name__ == "__main__":
    main()
