"""Extensions through the command line and from Python: what they are told, and that they harm nobody but themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arl_core.hookspecs import EXTENSION_HOOKS

RUN = (
    "--env", "gym:CartPole-v1", "--num_workers", "1", "--num_envs_per_worker", "4", "--rollout", "8", "--batch_size", "64",
    "--device", "cpu", "--train_dir", "runs", "--experiment", "r", "--num_batches_per_iteration", "1", "--ppo_epochs", "1",
)  # fmt: skip
HEAD = "from arl_core.hookspecs import hookimpl\n"
LOGGER = """
import json
from arl_core.hookspecs import hookimpl

open("imported", "w").close()
seen = []

def write(kind, run, **values):
    assert not seen or run is seen[-1] or kind == "started"
    seen.append(run)
    with open("log.jsonl", "a") as file:
        print(json.dumps({"kind": kind, **values}), file=file)

@hookimpl
def arl_run_started(run):
    about = {name: getattr(run, name) for name in ("name", "env", "algo", "seed", "start_frames", "config")}
    write("started", run, directory=run.directory and str(run.directory), **about)

@hookimpl
def arl_metrics(run, frames, metrics):
    assert all(type(value) is float for value in metrics.values())
    write("metrics", run, frames=frames, metrics=metrics)
    metrics.clear()

@hookimpl
def arl_run_finished(run, result):
    write("finished", run, saved=run.directory and (run.directory / "summary.json").exists(), **vars(result))
"""
SLOW = f"""{HEAD}import time
@hookimpl
def arl_run_started(run):
    run.config.clear()
    time.sleep(1.01)
@hookimpl
def arl_run_finished(run):
    time.sleep(1.01)
"""


def install(fakes: Any, name: str, source: str) -> None:
    module = name.replace("-", "_")
    fakes.module(module, source)
    fakes.dist(f"arl-plugin-{name}", "0.2", {name: module})


def raising(hook: str, what: str) -> str:
    return f"{HEAD}@hookimpl\ndef {hook}(): {what}\n"


def told(folder: Path) -> list[dict[str, Any]]:
    """What the logger wrote, and forget it."""
    file = folder / "log.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.unlink()
    return lines


def test_a_logger_is_told_and_broken_neighbours_harm_nobody(fakes: Any) -> None:
    broken = {
        f"bad-{index}": (hook, what)
        for index, (hook, what) in enumerate(
            [*((hook, "raise ValueError('no\\n network')") for hook in EXTENSION_HOOKS), ("arl_metrics", "raise SystemExit(7)")]
        )
    }
    for name, (hook, what) in broken.items():
        install(fakes, name, raising(hook, what))
    install(fakes, "slow", SLOW)
    install(fakes, "logger", LOGGER)
    names = json.dumps([*broken, "slow", "logger"])
    done = fakes.arl("run", *RUN, "--serial", "--train_for_env_steps", "1000", "--seed", "4", "--extensions", names)
    assert done.returncode == 0, done.stderr

    started, *metrics, finished = told(fakes.folder)
    directory = fakes.folder / "runs" / "r"
    expected = {"name": "r", "directory": str(directory), "env": "gym:CartPole-v1", "seed": 4, "start_frames": 0}
    assert {key: started[key] for key in expected} == expected
    config = json.loads((directory / "config.json").read_text())["config"]
    assert started["config"] == config  # though `slow` emptied its own copy
    assert len(metrics) >= 2
    assert {"perf/fps", "frames/sampled", "returns/mean", "losses/policy_loss"} <= metrics[-1]["metrics"].keys()
    frames = [line["frames"] for line in metrics]
    assert frames == sorted(frames)
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["status"] == "success"
    assert (finished["status"], finished["error"], finished["saved"]) == ("completed", "", True)
    assert frames[-1] == finished["frames"] == summary["frames"] >= 1000
    assert finished["return_mean"] == summary["return_mean"]
    assert finished["seconds"] == pytest.approx(summary["seconds"])

    warnings = [line for line in (done.stdout + done.stderr).splitlines() if "extension '" in line]
    causes = {"bad-3": "SystemExit: 7"}
    disabled = [
        f"warning: extension '{name}' (arl-plugin-{name} 0.2) is disabled for the rest of the run: {hook} raised "
        f"{causes.get(name, 'ValueError: no network')}"
        for name, (hook, _) in broken.items()
    ]
    assert sorted(line for line in warnings if "disabled" in line) == sorted(disabled)
    (slow,) = [line for line in warnings if "disabled" not in line]
    assert slow.startswith("warning: extension 'slow' (arl-plugin-slow 0.2): arl_run_started took 1.0 s")
    log = (directory / "run.log").read_text()
    assert log.count("Traceback (most recent call last)") == len(broken)
    assert "extension 'slow' (arl-plugin-slow 0.2): 2 calls, 2.0" in log
    assert "Traceback" not in done.stderr + done.stdout


def test_processes_and_resume(fakes: Any) -> None:
    """Saved extensions stand on resume until they are taken away; what is not named is not imported."""
    install(fakes, "logger", LOGGER)
    words = ["run", *RUN, "--train_for_env_steps", "600"]
    assert fakes.arl(*words, "--extensions", "logger").returncode == 0
    *_, first = told(fakes.folder)
    done = fakes.arl("run", "--resume", "--train_dir", "runs", "--train_for_env_steps", "1200")
    assert done.returncode == 0, done.stderr
    started, *metrics, finished = told(fakes.folder)
    assert 600 <= first["frames"] == started["start_frames"]
    assert started["config"]["extensions"] == ["logger"]
    assert all(line["frames"] >= first["frames"] for line in metrics)
    assert (finished["status"], finished["frames"] >= 1200) == ("completed", True)
    (fakes.folder / "imported").unlink()
    last = fakes.arl("run", "--resume", "--train_dir", "runs", "--train_for_env_steps", "1300", "--extensions", "[]")
    assert last.returncode == 0, last.stderr
    assert not (fakes.folder / "imported").exists()
    assert not (fakes.folder / "log.jsonl").exists()


def test_from_python_each_train_has_a_beginning_and_an_end(fakes: Any) -> None:
    install(fakes, "logger", LOGGER)
    install(fakes, "bad", raising("arl_metrics", "raise KeyError('x')"))
    fakes.module(
        "user",
        """
        import gymnasium, numpy as np
        from arl_core import APPO

        class Mine(gymnasium.Env):
            observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
            action_space = gymnasium.spaces.Discrete(2)
            broken = False
            def reset(self, *, seed=None, options=None):
                super().reset(seed=seed)
                return np.zeros(1, np.float32), {}
            def step(self, action):
                if Mine.broken:
                    raise ValueError("the maze has no exit")
                return np.zeros(1, np.float32), 1.0, True, False, {}

        def fail(statistics):
            raise RuntimeError("from the callback")

        kwargs = {"rollout": 8, "batch_size": 32, "serial": True, "extensions": ["logger", "bad"]}
        with APPO(Mine, num_workers=1, num_envs_per_worker=2, policy_kwargs=kwargs) as model:
            model.train(100)
            model.set_hyperparameters(gamma=0.5)
            model.train(1_000_000, callback=lambda statistics: statistics["frames"] < 200)
            try:
                model.train(100, callback=fail)
            except RuntimeError as error:
                print(error)
            Mine.broken = True
            print(repr(model.train(100)))
        """,
    )
    done = fakes.run("user.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "from the callback"
    assert done.stderr.count("extension 'bad' (arl-plugin-bad 0.2) is disabled for the rest of the run: arl_metrics") == 1
    lines = [line for line in told(fakes.folder) if line["kind"] != "metrics"]
    assert [line["kind"] for line in lines] == ["started", "finished"] * 4
    begins, ends = lines[::2], lines[1::2]
    assert [end["status"] for end in ends] == ["completed", "interrupted", "failed", "failed"]
    assert [begin["start_frames"] for begin in begins[1:]] == [end["frames"] for end in ends[:-1]]
    assert [begin["config"]["gamma"] for begin in begins[:2]] == [0.99, 0.5]
    assert begins[0]["directory"] is None
    assert begins[0]["name"] == ""
    assert begins[0]["env"].startswith("py:")
    assert ends[0]["return_mean"] == 1.0
    assert ends[2]["error"] == "RuntimeError: from the callback"
    assert "ValueError: the maze has no exit" in ends[3]["error"]
    assert all(0 <= end["seconds"] < 30 for end in ends)


def test_the_first_ctrl_c_is_an_interrupted_end(fakes: Any) -> None:
    install(fakes, "logger", LOGGER)
    stop = f"{HEAD}import os, signal\nonce = [True]\n@hookimpl\ndef arl_metrics():\n    "
    install(fakes, "stop", stop + "once and once.pop() and os.kill(os.getpid(), signal.SIGINT)\n")
    done = fakes.arl("run", *RUN, "--serial", "--train_for_env_steps", "1000000", "--extensions", "logger,stop")
    assert done.returncode == 130, done.stderr
    finished = told(fakes.folder)[-1]
    assert (finished["kind"], finished["status"], finished["saved"]) == ("finished", "interrupted", True)
    assert json.loads((fakes.folder / "runs" / "r" / "summary.json").read_text())["status"] == "interrupted"


@pytest.fixture(scope="module")
def messages(make_fakes: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What naming each extension says; "" where nothing is wrong."""
    fakes = make_fakes(tmp_path_factory.mktemp("wrong") / "site")
    fakes.corridor()
    install(fakes, "logger", LOGGER)
    install(fakes, "gone", "import a_module_that_is_not_there")
    install(fakes, "exits", "raise SystemExit('no licence')")
    install(fakes, "signature", f"{HEAD}@hookimpl\ndef arl_metrics(run, frames, metric): pass\n")
    install(fakes, "misspelt", f"{HEAD}@hookimpl\ndef arl_metric(run): pass\n")
    for dist in ("one", "two"):
        fakes.dist(dist, plugins={"twin": "logger"})
    fakes.dist("late", entry_points="[arl.plugins.v2]\nlate = late\n")
    return fakes.python(
        """
        from arl_core.config import Layer
        from arl_core.interfaces import UserError
        from arl_core.registry import resolve_run
        result = {}
        for name in ("logger", "loger", "xyz", "gone", "exits", "signature", "misspelt", "corridor", "gym", "twin", "two::twin",
                     "one::logger", "late", "blocked"):
            fields = {"env": "gym:CartPole-v1", "extensions": "logger" if name == "blocked" else name}
            if name == "blocked":
                fields["plugins_block"] = ["arl-plugin-logger"]
            try:
                result[name] = ",".join(resolve_run(Layer("keyword", fields), environ={})[0].config.extensions)
            except UserError as error:
                result[name] = f"error: {error}"
        try:
            resolve_run(Layer("keyword", {"env": "logger"}), environ={})
        except UserError as error:
            result["as environment"] = f"error: {error}"
        """
    )


TAIL = "\n  Other extensions still work. Details: arl plugins check "
NONE = "{0} is none ({1}): it implements none of arl_run_started, arl_metrics, arl_run_finished" + TAIL


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loger", "no extension 'loger': no plugin 'loger' is installed. Did you mean 'logger'?"),
        ("xyz", "no extension 'xyz': no plugin 'xyz' is installed. Install it, or leave it out of extensions"),
        (
            "gone",
            "extension 'gone': arl-plugin-gone 0.2 failed to import (gone): "
            f"ModuleNotFoundError: No module named 'a_module_that_is_not_there'{TAIL}arl-plugin-gone",
        ),
        (
            "exits",
            f"extension 'exits': arl-plugin-exits 0.2 failed to import (exits): SystemExit: no licence{TAIL}arl-plugin-exits",
        ),
        (
            "signature",
            "extension 'signature': arl-plugin-signature 0.2 is not a valid plugin (signature): "
            f"hook 'arl_metrics' has no argument 'metric'. Did you mean 'metrics'?{TAIL}arl-plugin-signature",
        ),
        (
            "misspelt",
            "extension 'misspelt': arl-plugin-misspelt 0.2 is not a valid plugin (misspelt): "
            f"no hook 'arl_metric'. Did you mean 'arl_metrics'?{TAIL}arl-plugin-misspelt",
        ),
        (
            "corridor",
            "extension 'corridor': "
            + NONE.format("arl-plugin-corridor 0.3.1", "arl_plugin_corridor")
            + "arl-plugin-corridor",
        ),
        ("twin", "'twin' is provided by one 1.0 and two 1.0. Pick one: --extensions one::twin"),
        ("one::logger", "'one' provides no extension 'logger'; arl-plugin-logger 0.2 does"),
        ("late", "extension 'late': needs a newer arl-core: late 1.0 is written for plugin API v2; pip install -U arl-core"),
        ("blocked", "extension 'logger': arl-plugin-logger is excluded by plugins_block (from keyword)"),
        ("as environment", "'logger' (arl-plugin-logger 0.2) is an extension, not an environment: --extensions logger"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_starts(name: str, message: str, messages: dict[str, str]) -> None:
    assert messages[name] == f"error: {message}"


def test_what_is_right_stays_as_it_was_written(messages: dict[str, str]) -> None:
    assert messages["logger"] == "logger"
    assert messages["two::twin"] == "two::twin"
    assert messages["gym"].startswith("error: extension 'gym': arl-core ")


def test_a_mistake_on_the_command_line_is_exit_2_and_leaves_nothing(fakes: Any) -> None:
    install(fakes, "bad", f"{HEAD}@hookimpl\ndef arl_run_started(runn): pass\n")
    done = fakes.arl("run", *RUN, "--extensions", '["bad"]')
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no argument 'runn'. Did you mean 'run'?" in done.stderr
    assert not (fakes.folder / "runs").exists()


def test_a_family_may_not_bring_extensions(fakes: Any) -> None:
    fakes.corridor()
    install(fakes, "logger", LOGGER)
    source = fakes.folder / "arl_plugin_corridor.py"
    source.write_text(source.read_text().replace('"gamma": 0.97', '"extensions": ["logger"]'))
    done = fakes.arl("config", "--env", "corridor")
    assert done.returncode == 2
    assert "arl-plugin-corridor 0.3.1: arl_param_overrides must not set 'extensions'" in done.stderr


def test_commands_that_describe_say_that_it_is_an_extension(fakes: Any) -> None:
    install(fakes, "logger", LOGGER)
    shown = json.loads(fakes.arl("plugins", "show", "logger", "--json").stdout)
    (plugin,) = shown["plugins"]
    assert (plugin["status"], plugin["error"], plugin["family"]) == ("found", "", None)
    assert plugin["extension"] == list(EXTENSION_HOOKS)
    text = fakes.arl("plugins", "show", "logger").stdout
    assert "logger: an extension, for runs that name it\n\n  named by  --extensions logger\n" in text
    page = fakes.arl("plugins", "docs", "logger")
    assert page.returncode == 0, page.stderr
    hooks = ", ".join(f"`{hook}`" for hook in EXTENSION_HOOKS)
    assert f"## Extension: logger\n\nFor runs that name it: `--extensions logger`. It implements {hooks}.\n" in page.stdout
    listed = json.loads(fakes.arl("envs", "--json").stdout)
    assert listed["failed"] == []
    assert not [entry for entry in listed["environments"] if "logger" in entry["id"]]
