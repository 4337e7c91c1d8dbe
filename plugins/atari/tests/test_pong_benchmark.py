"""`benchmarks/pong_16x10M.py`, with numbers as small as they can be."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ale_py", reason="ale-py is not installed: pip install arl-plugin-atari")

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "pong_16x10M.py"
if not PROGRAM.exists():
    pytest.skip("benchmarks/ is not part of this distribution", allow_module_level=True)
TINY = ["--num-workers", "1", "--num-envs-per-worker", "2", "--device", "cpu", "--simulation-seconds", "0.2"]
TINY += ["--set", "rollout=8", "--set", "batch_size=32", "--set", "hidden_size=16"]


def pong(*words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(PROGRAM), *words], cwd=folder, check=False, capture_output=True, text=True, timeout=80
    )


def test_calls_go_on_and_are_measured(tmp_path: Path) -> None:
    done = pong("--calls", "2", "--frames", "100", *TINY, "--json", "pong.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "pong.json").read_text())
    first, second = result["calls"]
    assert (result["protocol"], result["frame_skip"], result["goal_reached"]) == ("2 x train(100)", 4, None)
    for call in (first, second):
        assert 100 <= call["frames"] < 100 + 2 * 32
        assert call["raw_frames"] == 4 * call["frames"]
        assert call["fps"] == pytest.approx(call["frames"] / call["seconds"])
        assert call["raw_fps"] == pytest.approx(4 * call["fps"])
    fps = (first["frames"] + second["frames"]) / (first["seconds"] + second["seconds"])
    assert result["fps"] == pytest.approx(fps)
    assert result["fraction_of_simulation"] == pytest.approx(fps / (sum(result["simulation_fps"]) / 2))
    assert min(result["simulation_fps"]) > 200  # a core steps more than 1,000
    table = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert table[0] == "| call | frames | raw frames | seconds | FPS | raw FPS | mean return | games |"
    assert [line.split(" | ")[1] for line in table[1:]] == [str(first["frames"]), str(second["frames"])]
    assert "A mean return of 20 was not reached." in done.stdout


@pytest.fixture(scope="module")
def module() -> Any:
    spec = importlib.util.spec_from_file_location("pong_16x10M", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # dataclasses look for it there
    spec.loader.exec_module(loaded)
    return loaded


def test_a_mistake_is_one_line(module: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pong_16x10M.py", "--set", "rolout=8"])
    assert module.main() == 2
    assert capsys.readouterr().err == "error: policy_kwargs: no configuration field 'rolout'. Did you mean 'rollout'?\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--calls", "0"], "--calls: expected a whole number from 1 on, got '0'"),
        (["--num-workers", "many"], "--num-workers: expected a whole number from 1 on, got 'many'"),
        (["--set", "rollout"], "--set: expected FIELD=VALUE, got 'rollout'"),
    ],
)
def test_a_value_that_means_nothing(
    words: list[str], message: str, module: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pong_16x10M.py", *words])
    with pytest.raises(SystemExit, match="2"):
        module.main()
    assert message in capsys.readouterr().err


def test_the_goal_counts_over_a_full_window_and_once(module: Any) -> None:
    watch = module.Watch(20.0)
    for games, mean, frames in ((5, 20.5, 100), (100, 19.9, 200), (110, 20.0, 300), (120, 20.9, 400)):
        watch({"episodes": games, "return_mean": mean, "frames": frames, "seconds": frames / 10})
    assert (watch.games, watch.reached["frames"], watch.reached["training_s"]) == (120, 300, 30.0)
