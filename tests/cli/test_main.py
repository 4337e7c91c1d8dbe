from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from arl_core import __version__
from arl_core.cli.main import COMMANDS, main
from arl_core.config.foreign import FOREIGN_NAMES, MOOT_NAMES
from arl_core.config.schema import LEGACY_NAMES, RunConfig
from arl_core.registry.builtin import _PARAMS


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ARL_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("words", ["--help", "--version", ""])
def test_help_imports_nothing_heavy(words: str) -> None:
    heavy = "{'torch', 'numpy', 'pydantic', 'pluggy', 'gymnasium', 'rich', 'yaml', 'importlib.metadata'}"
    code = (
        "import sys; before = set(sys.modules); from arl_core.cli.main import main\n"
        f"code = main({words.split()!r}); print('LOADED', code, sorted({heavy} & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    text, _, loaded = done.stdout.partition("LOADED ")
    assert loaded.strip() == "0 []", done.stderr
    if words == "--version":
        assert text == f"arl {__version__}\n"
    else:
        assert all(f"  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("rum", "no command 'rum'. Did you mean 'run'?"),
        ("xyzzy", "no command 'xyzzy'. Commands: run, eval, bench, config, envs, plugins"),
        ("play x", "no command 'play'. Did you mean 'eval'?"),
        ("enjoy x", "no command 'enjoy'. Did you mean 'eval'?"),
        ("train x", "no command 'train'. Did you mean 'run'?"),
        ("eval . --picture x.gif", "--picture: expected a file that ends in .png, got 'x.gif'"),
        (
            "config --agent-policies {red:0",
            "--agent_policies: not JSON or YAML: expected ',' or '}', but got '<stream end>', got '{red:0'",
        ),
        ("run --gama 1", "no flag --gama. Did you mean --gamma?"),
        ("config --env maze --maze.observation --seed 3", "--maze.observation needs a value"),
        ("config --env maze --observaton pixels", "no flag --observaton. Did you mean --maze.observation?"),
        ("config --env maze --max-steps 5", "no flag --max-steps. Did you mean --maze.max_steps?"),
        ("run --env=maze --no-compass", "no flag --no-compass. See --help"),
        ("run --env gym:CartPole-v1 --serial maybe", "--serial: expected true or false, got 'maybe'"),
        (
            "config --env gym:CartPole-v1 --gamma x",
            "gamma (from command line): input should be a valid number, unable to parse string as a number, got 'x'",
        ),
        (
            "config --env gym:CartPole-v1 --learning_rate inf",
            "learning_rate (from command line): input should be a finite number, got 'inf'",
        ),
        (
            "run --env gym:CartPole-v1 --inference=locl",
            "inference (from command line): input should be 'auto', 'measured', 'local' or 'central', got 'locl'. "
            "Did you mean 'local'?",
        ),
        (
            "run --env gym:CartPole-v1 --maze.size 3",
            "--maze.size: the environment is 'gym:CartPole-v1', its options are written --gym.NAME",
        ),
        (
            "run --env gym:CartPole-v1 --gym.sutton 1",
            "environment 'gym:CartPole-v1' takes no option 'sutton'. It takes: sutton_barto_reward, render_mode",
        ),
        ("run --env gym:CartPole-v1 --config nowhere.yaml", "nowhere.yaml: cannot be read: No such file or directory"),
        (
            "run --env gym:CartPole-v1 --experiment a/b",
            "experiment (from command line): must be a plain folder name; use train_dir for the folder that holds it, "
            "got 'a/b'",
        ),
        (
            "run --use_cpc",
            "--use_cpc: 'use_cpc' is not an option here. Instead: losses cpca/cpca, of arl-plugin-cpca; "
            "its options: arl plugins show cpca",
        ),
        ("run --ent-coef 0.01", "--ent-coef: 'ent_coef' is not an option here. Instead: exploration_loss_coeff"),
        ("run --losses=", "losses (from command line): input should be a valid list, got None. For none at all write []"),
        ("run gamma=0.9", "'gamma=0.9' is not a flag; flags are written --name VALUE, such as --gamma=0.9"),
        ("run maze.size=3", "'maze.size=3' is not a flag; flags are written --name VALUE, such as --maze.size=3"),
        ("run --no-serial true", "'true' is not a flag; flags are written --name VALUE"),
        ("run --resume maze-7", "--resume: expected true or false, got 'maze-7'. --experiment names the run"),
        ("run maze", "'maze' is not a flag; flags are written --name VALUE, such as --env maze"),
        (
            "config --env_options 2023-13-45",
            "env_options (from command line): input should be a valid dictionary, got '2023-13-45'",
        ),
        ("plugins lst", "no command 'arl plugins lst'. Did you mean 'list'?"),
        ("eval", "arl eval: name the run's directory, such as train_dir/NAME"),
        ("eval nowhere", "arl eval: no directory nowhere"),
        (f"eval {__file__}", f"arl eval: {__file__} is a file: name its run's directory, and the file as the checkpoint"),
        ("eval .", ". is not a run directory: it has no config.json. A run's is <train_dir>/<experiment>"),
        ("eval . --episodes many", "--episodes: expected a whole number of at least 1, got 'many'"),
        ("eval . --seed -1", "--seed: expected a whole number of at least 0, got '-1'"),
        ("eval . --maze.size 3", ". is not a run directory: it has no config.json. A run's is <train_dir>/<experiment>"),
        (
            "run --resume --train_dir nowhere",
            "--resume: no run in nowhere; name one with --train_dir and --experiment",
        ),
        (
            "run --resume --train_dir nowhere --experiment x",
            "--resume: no run 'x' in nowhere. It has none; --train_dir names another folder",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    words: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("experiment: 2023-13-45", "run.yaml: a date or number that is none: month must be in 1..12. Write text in quotes"),
        ('experiment: "a\\0b"', r"experiment (from run.yaml): must be without control characters, got 'a\x00b'"),
        ('train_dir: "a\\nb"', r"train_dir (from run.yaml): must be without control characters, got 'a\nb'"),
        ("[" * 20_000, "run.yaml: is nested too deeply"),
        ("gamma: 0.5\nseed: 1\ngamma: 0.9", "run.yaml, line 3: not YAML: the key 'gamma' is there twice"),
        ("env_options:\n  a: 1\n  a: 2", "run.yaml, line 3: not YAML: the key 'a' is there twice"),
        ("num_workers: 3\nnum-workers: 4", "run.yaml: 'num_workers' is there twice, one time as 'num-workers'"),
        (
            "env: maze\nmaze: {observation: grid}",
            "run.yaml: no configuration field 'maze'. Environment options stand under env_options: {observation: grid}",
        ),
        (
            "maze.observation: grid",
            "run.yaml: no configuration field 'maze.observation'. "
            "Environment options stand under env_options: {observation: grid}",
        ),
        (
            "env: maze\nobservation: grid",
            "run.yaml: no configuration field 'observation'. Environment options stand under env_options: {observation: grid}",
        ),
        ("env_option: {a: 1}", "run.yaml: no configuration field 'env_option'. Did you mean 'env_options'?"),
        ("plugins.block: [x]", "run.yaml: no configuration field 'plugins.block'. Did you mean 'plugins_block'?"),
    ],
)
def test_a_file_of_odd_values(
    content: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(content)
    assert main(["config", "--config", "run.yaml"]) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_a_home_is_meant_where_no_shell_replaces_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = config_json(capsys, "--train_dir=~/runs")["config"]
    assert config["train_dir"] == str(tmp_path / "runs")
    assert main(["run", "--resume", "--train_dir=~/runs"]) == 2
    assert f"no run in {tmp_path}/runs;" in capsys.readouterr().err


def test_two_unnamed_runs_of_one_second_in_a_folder_with_a_space(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "strftime", lambda *_: "20260102-030405")
    words = ["run", "--env", "gym:CartPole-v1", "--serial", "--num-workers", "1", "--num-envs-per-worker", "2"]
    words += ["--rollout", "8", "--batch-size", "16", "--train_for_env_steps", "16", "--train_dir", str(tmp_path / "my runs")]
    for name in ("gym-CartPole-v1-20260102-030405", "gym-CartPole-v1-20260102-030405-2"):
        assert main(words) == 0
        command = capsys.readouterr().out.rpartition("See it play: ")[2]
        assert shlex.split(command) == ["arl", "eval", str(tmp_path / "my runs" / name)]


def test_of_a_folder_of_runs_one_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train_dir" / "mine").mkdir(parents=True)
    (tmp_path / "train_dir" / "mine" / "config.json").write_text("{}")
    assert main(["eval", "train_dir"]) == 2
    assert capsys.readouterr().err.endswith("no config.json. Name one of the runs in it, such as train_dir/mine\n")
    assert main(["eval", "mine"]) == 2
    assert capsys.readouterr().err == "error: arl eval: no directory mine. Did you mean 'train_dir/mine'?\n"
    assert main(["eval", "train_dir/mina"]) == 2
    assert capsys.readouterr().err == "error: arl eval: no directory train_dir/mina. Did you mean 'train_dir/mine'?\n"
    assert main(["run", "--resume", "--experiment", "yours-7"]) == 2
    assert capsys.readouterr().err == "error: --resume: no run 'yours-7' in train_dir. The newest there is 'mine'\n"


def test_no_foreign_name_is_a_field_or_an_older_name() -> None:
    assert not set(FOREIGN_NAMES) & (set(RunConfig.model_fields) | set(LEGACY_NAMES) | set(MOOT_NAMES))


def config_json(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["config", "--env", "gym:CartPole-v1", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_flags_reach_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--num-workers 3 --serial --no-with-vtrace --worker_num_splits none --set_workers_cpu_affinity true"
    shown = config_json(capsys, *words.split(), "--wrappers", "[{name: frame-stack, options: {stack_size: 2}}]")
    config = shown["config"]
    assert (config["num_workers"], config["serial"], config["with_vtrace"]) == (3, True, False)
    assert (config["worker_num_splits"], config["cpu_affinity"]) == (None, True)
    assert config["wrappers"] == [{"name": "frame-stack", "options": {"stack_size": 2}}]
    options = {"k": 2, "keys": None, "axis": None}
    assert shown["env"]["wrappers"] == [["arl_core.envs.wrappers:FrameStack", options]]
    assert shown["origins"]["serial"] == "command line"
    assert shown["origins"]["gamma"] == "core"


def test_file_variables_and_flags_in_order(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.yaml").write_text("gamma: 0.5\nnum_workers: 5\nrollout: 4\n")
    monkeypatch.setenv("ARL_NUM_WORKERS", "6")
    monkeypatch.setenv("ARL_ROLLOUT", "8")
    shown = config_json(capsys, "--config", str(tmp_path / "run.yaml"), "--rollout", "16")
    values = {name: (shown["config"][name], shown["origins"][name]) for name in ("gamma", "num_workers", "rollout")}
    assert values == {
        "gamma": (0.5, str(tmp_path / "run.yaml")),
        "num_workers": (6, "environment variables"),
        "rollout": (16, "command line"),
    }


def test_the_environment_may_come_from_file_or_variable(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.yaml").write_text("env: gym:CartPole-v1\n")
    assert main(["config", "--config", str(tmp_path / "run.yaml"), "--gym.sutton-barto-reward", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["env"]["options"] == {"sutton_barto_reward": True}
    monkeypatch.setenv("ARL_ENV", "gym:Acrobot-v1")
    assert main(["config", "--config", str(tmp_path / "run.yaml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["env"]["id"] == "gym:Acrobot-v1"


def test_explain_shows_owner_and_core_default(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["config", "--env", "gym:CartPole-v1", "--explain", "--gym.sutton-barto-reward", "false"]
    assert main(words) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert rows["field"] == ["field", "value", "origin", "core", "default"]
    scale = str(_PARAMS["gym:CartPole-v1"]["reward_scale"])
    assert rows["reward_scale"] == ["reward_scale", scale, "arl-core", __version__, "1.0"]
    assert rows["gamma"] == ["gamma", "0.99", "core"]
    assert rows["env"] == ["env", "gym:CartPole-v1", "command", "line", "maze"]
    assert rows["gym.sutton_barto_reward"] == ["gym.sutton_barto_reward", "false", "command", "line"]


def test_run_help_names_families_and_every_field_and_imports_no_plugin(fakes: Any) -> None:
    fakes.dist("arl-plugin-bomb", plugins={"bomb": "bomb"})
    fakes.module("bomb", "raise SystemExit(3)")
    done = fakes.arl("run", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--env bomb" in done.stdout
    from arl_core.config import RunConfig

    assert [name for name in RunConfig.model_fields if f"  --{name} " not in done.stdout] == []


def test_run_help_of_an_environment(fakes: Any) -> None:
    fakes.corridor()
    done = fakes.arl("run", "--env", "corridor", "--help")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "corridor options (arl-plugin-corridor 0.3.1):" in lines
    assert "  --corridor.view {near,far}          how far one sees (default: near)" in lines
    assert "  --corridor.width N                  cells across" in lines
    assert "  corridor:short, corridor:long" in lines
    changes = lines.index("defaults changed by corridor:") + 1
    rows = [tuple(line.split(maxsplit=1)) for line in lines[changes : changes + 3]]
    assert rows == [("encoder", "none -> corridor/onehot"), ("gamma", "0.99 -> 0.97"), ("rollout", "32 -> 64")]


def test_run_help_counts_the_variants_of_a_large_family(fakes: Any) -> None:
    fakes.dist("arl-plugin-many", plugins={"many": "many_plugin"})
    fakes.module(
        "many_plugin",
        """
        from arl_core.hookspecs import hookimpl
        from arl_core.interfaces import EnvFamily, EnvSpec

        @hookimpl
        def arl_environments():
            variants = tuple(EnvSpec(id=f"size-{n}", maker="many_env:make") for n in range(25))
            return [EnvFamily(name="many", summary="rooms", variants=variants)]
        """,
    )
    done = fakes.arl("run", "--env", "many:size-3", "--help")
    assert done.returncode == 0, done.stderr
    assert "  25 variants, such as many:size-0; search them: arl envs 'many:*'" in done.stdout.splitlines()


def test_options_of_a_plugin_on_the_command_line(fakes: Any) -> None:
    fakes.corridor()
    words = ["--env", "corridor", "--corridor.view", "far", "--corridor.doors=[1,2]", "--corridor.slippery"]
    done = fakes.arl("config", "--json", *words)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["config"]["env_options"] == {"view": "far", "doors": [1, 2], "slippery": True}
    done = fakes.arl("config", "--env", "corridor", "--corridor.view", "fra")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: corridor.view: input should be 'near' or 'far', got 'fra'. Did you mean 'far'?\n"


def test_a_broken_plugin_is_told_with_what_to_do(fakes: Any) -> None:
    fakes.dist("arl-plugin-bomb", plugins={"bomb": "bomb"})
    fakes.module("bomb", "raise SystemExit(3)")
    done = fakes.arl("run", "--env", "bomb")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: environment 'bomb': arl-plugin-bomb 1.0 failed to import (bomb): SystemExit: 3\n"
        "  Other environments still work. Details: arl plugins check arl-plugin-bomb\n"
    )


def test_an_interrupt_is_exit_130_without_a_traceback(fakes: Any) -> None:
    """Interrupted while the plugin that the run names is being imported."""
    fakes.dist("arl-plugin-slow", plugins={"slow": "slow"})
    fakes.module("slow", "import time\nprint('importing', flush=True)\ntime.sleep(30)")
    command = [sys.executable, "-m", "arl_core", "run", "--env", "slow"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(fakes.folder), str(Path(__file__).parents[2])])}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "")


def test_an_end_at_once_has_the_signals_number(fakes: Any) -> None:
    fakes.dist("arl-plugin-ended", plugins={"ended": "ended"})
    fakes.module("ended", "raise KeyboardInterrupt(15)")
    assert fakes.arl("run", "--env", "ended").returncode == 143


def test_a_reader_that_leaves_is_no_traceback() -> None:
    command = f"{sys.executable} -m arl_core config --env gym:CartPole-v1 | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("words", "code", "errors"),
    [
        ("config --env gym:CartPole-v1 > /dev/full", 1, "error: cannot write to standard output: No space left on device\n"),
        ("--help > /dev/full", 1, "error: cannot write to standard output: No space left on device\n"),
        ("--help >&-", 0, ""),
        ("rum 2>&-", 2, ""),
    ],
)
def test_standard_streams_that_are_full_or_closed(words: str, code: int, errors: str) -> None:
    command = f"{sys.executable} -m arl_core {words}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", errors)
