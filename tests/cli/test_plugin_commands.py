"""`arl plugins show`, `arl plugins docs`, `arl envs`: what they say, of good plugins and of bad ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from arl_core import __version__
from arl_core.cli.main import main
from arl_core.hookspecs import HOOK_NAMES, described_type
from arl_core.interfaces import EncoderSpec, EnvFamily, WrapperSpec

BAD = Path(__file__).parents[1] / "bad_plugins"


@pytest.fixture
def corridor(fakes: Any) -> Any:
    """The corridor, with a summary, a home page, and words of its own on standard output."""
    fakes.corridor()
    metadata = fakes.folder / "arl_plugin_corridor-0.3.1.dist-info" / "METADATA"
    more = "Summary: Corridors | of all kinds\nProject-URL: Source Code, https://example.org/code\n"
    more += "Project-URL: Home Page, https://example.org/home\n"
    metadata.write_text(metadata.read_text().replace("\n\n", f"\n{more}\n", 1))
    source = fakes.folder / "arl_plugin_corridor.py"
    source.write_text(source.read_text() + "\nprint('hello from the corridor')\n")
    return fakes


def with_bad(fakes: Any, *folders: str) -> dict[str, str]:
    paths = [str(BAD / name) for name in folders]
    return {"PYTHONPATH": os.pathsep.join([*paths, str(fakes.folder), str(Path(__file__).parents[2])])}


def test_which_hooks_are_listed() -> None:
    types = {hook: described_type(hook) for hook in HOOK_NAMES}
    assert types["arl_environments"] is EnvFamily
    assert types["arl_encoders"] is EncoderSpec
    assert types["arl_wrappers"] is WrapperSpec
    assert types["arl_param_overrides"] is None


def test_show_as_data(corridor: Any) -> None:
    done = corridor.arl("plugins", "show", "corridor", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "hello from the corridor\n"
    shown = json.loads(done.stdout)
    described = [shown[key] for key in ("distribution", "version", "summary", "home_page")]
    assert described == ["arl-plugin-corridor", "0.3.1", "Corridors | of all kinds", "https://example.org/home"]
    (plugin,) = shown["plugins"]
    assert (plugin["name"], plugin["status"], plugin["error"], plugin["prefixes"]) == ("corridor", "found", "", ["corridor-"])
    family = plugin["family"]
    assert [(v["id"], v["default"], v["also_called"], v["max_episode_steps"]) for v in family["variants"]] == [
        ("corridor:short", True, [], 5),
        ("corridor:long", False, ["corridor-long-v0"], None),
    ]
    assert family["options"][0] == {
        "name": "view", "type": "{near,far}", "required": False, "default": "near", "description": "how far one sees"
    }  # fmt: skip
    assert family["wrappers"] == [{"name": "corridor/double", "options": {}, "when": {}}]
    assert family["defaults_changed"] == [
        {"environments": [], "changes": {"encoder": [None, "corridor/onehot"]}},
        {"environments": ["corridor:short"], "changes": {"gamma": [0.99, 0.97], "rollout": [32, 64]}},
    ]
    assert shown["encoders"] == [{"name": "corridor/onehot", "maker": "arl_plugin_corridor:OneHot", "summary": ""}]
    assert [wrapper["name"] for wrapper in shown["wrappers"]] == ["corridor/double"]


def test_show_as_text(corridor: Any) -> None:
    done = corridor.arl("plugins", "show", "ARL_plugin.corridor")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["arl-plugin-corridor 0.3.1: Corridors | of all kinds", "https://example.org/home"]
    assert "corridor  found   arl_plugin_corridor" in lines
    assert "    corridor:short  (default)" in lines
    assert "    corridor-long-v0  corridor:long" in lines
    assert "    --corridor.view {near,far}        how far one sees (default: near)" in lines
    assert "  defaults changed by corridor:short" in lines
    assert "    gamma    0.99  ->  0.97" in lines
    assert lines[-2:] == ["wrappers", "  corridor/double"]
    assert max(map(len, lines)) <= 100


def test_show_of_the_core_has_its_families_and_its_encoders_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "show", "arl-core", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [plugin["family"]["name"] for plugin in shown["plugins"]] == ["gym", "gym-vector", "py"]
    assert [plugin["family"]["open_ended"] for plugin in shown["plugins"]] == [True, True, True]
    names = [encoder["name"] for encoder in shown["encoders"]]
    assert {"auto", "mlp"} < set(names)
    assert len(names) == len(set(names))


def test_show_of_what_cannot_be_used_says_why(fakes: Any) -> None:
    env = with_bad(fakes, "newer_api", "exits", "duplicate_family")
    newer = fakes.arl("plugins", "show", "newer-api", env=env)
    assert newer.returncode == 0, newer.stderr
    assert "newer-api  newer API  arl_bad_newer_api" in newer.stdout
    assert "needs a newer arl-core: arl-bad-newer-api 1.0 is written for plugin API v2" in newer.stdout
    exits = json.loads(fakes.arl("plugins", "show", "exits", "--json", env=env).stdout)
    assert (exits["plugins"][0]["status"], exits["plugins"][0]["family"], exits["encoders"]) == ("broken", None, [])
    assert "SystemExit: no licence found" in exits["plugins"][0]["error"]
    twin = json.loads(fakes.arl("plugins", "show", "arl-bad-twin-two", "--json", env=env).stdout)
    assert twin["plugins"][0]["status"] == "conflict"
    assert twin["plugins"][0]["family"]["variants"][0]["id"] == "arl-bad-twin-two::twin:v0"
    docs = fakes.arl("plugins", "docs", "exits", env=env)
    assert (docs.returncode, docs.stdout) == (2, "")
    assert docs.stderr.startswith("error: environment 'exits': arl-bad-exits 1.0 failed to import")
    two = fakes.arl("plugins", "show", "twin", env=env)
    assert two.stderr == (
        "error: 'twin' is provided by arl-bad-twin-one 1.0 and arl-bad-twin-two 1.0. Pick one: arl-bad-twin-one\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("show", "arl plugins show: name a plugin or a distribution, such as maze (arl plugins list has them)"),
        ("docs", "arl plugins docs: name a plugin or a distribution, such as maze (arl plugins list has them)"),
        ("show gmy", "no plugin or distribution 'gmy'. Did you mean 'gym'?"),
        (
            "show neverland",
            "plugin 'neverland' is provided by arl-plugin-neverland, which is not installed: pip install arl-plugin-neverland",
        ),
        (
            "docs gym --output /no/such/folder/x.md",
            "--output /no/such/folder/x.md: cannot be written: No such file or directory",
        ),
    ],
)
@pytest.mark.usefixtures("neverland")
def test_mistakes(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", *words.split()]) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_docs_as_a_page(corridor: Any) -> None:
    done = corridor.arl("plugins", "docs", "corridor")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:5] == ["# arl-plugin-corridor", "", "Corridors | of all kinds", "", "<https://example.org/home>"]
    assert "| `corridor:short` |  | `--env corridor` means this one; 5 steps at most |" in lines
    assert "| `corridor:long` | `corridor-long-v0` |  |" in lines
    assert "| `--corridor.slippery` | `[true\\|false]` | `false` | whether steps may fail |" in lines
    assert "| `gamma` | `0.99` | `0.97` | `corridor:short` |" in lines
    assert "## Encoders" in lines
    old = corridor.folder / "page.md"
    old.write_text("old")
    assert corridor.arl("plugins", "docs", "corridor", "--output", "page.md").stdout == ""
    assert old.read_text() == done.stdout
    assert not [path for path in corridor.folder.iterdir() if path.name.endswith(".tmp")]


def test_envs_lists_every_plugin_and_tells_of_those_that_fail(corridor: Any) -> None:
    env = with_bad(corridor, "exits", "incompatible", "duplicate_family")
    done = corridor.arl("envs", "--json", env=env)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    entries = {entry["id"]: entry for entry in listed["environments"]}
    assert entries["corridor:short"] == {
        "id": "corridor:short", "summary": "walk to the end (default)",
        "distribution": "arl-plugin-corridor", "version": "0.3.1", "open_ended": False,
    }  # fmt: skip
    assert (entries["gym:NAME"]["open_ended"], entries["gym:NAME"]["version"]) == (True, __version__)
    assert "arl-bad-twin-one::twin:v0" in entries
    assert not [name for name in entries if name.startswith("gym:") and name != "gym:NAME"]
    assert {failed["name"] for failed in listed["failed"]} == {"exits", "incompatible"}
    table, hint, failures = corridor.arl("envs", env=env).stdout.split("\n\n")
    assert max(map(len, table.splitlines())) <= 100
    (line,) = [line for line in table.splitlines() if line.startswith("corridor ")]
    assert line.split() == ["corridor", "2", "short", "walk", "to", "the", "end"]
    assert "arl envs PATTERN" in hint
    assert len(failures.splitlines()) == 3
    assert failures.startswith("environment 'exits': arl-bad-exits 1.0 failed to import (arl_bad_exits): SystemExit: ")
    alone = corridor.arl("envs", "--no-plugins", "--json", env=env)
    assert {entry["id"] for entry in json.loads(alone.stdout)["environments"]} == {"gym:NAME", "gym-vector:NAME", "py:NAME"}
    assert json.loads(alone.stdout)["failed"] == []


@pytest.mark.parametrize(
    ("pattern", "some", "none"),
    [
        ("gym:Cart*", {"gym:CartPole-v0", "gym:CartPole-v1"}, {"gym:Acrobot-v1", "maze:sample-5x5", "gym:NAME"}),
        ("acrobot", {"gym:Acrobot-v1"}, {"gym:CartPole-v1"}),
        ("sample-?x?", set(), {"maze:sample-5x5"}),
        ("*:sample-?x?", {"maze:sample-3x3", "maze:sample-5x5"}, {"maze:sample-10x10"}),
        ("maze-random-5x5-v0", {"maze:random-5x5"}, {"maze:random-3x3"}),
        ("gym:CliffWalking-v0", {"gym:CliffWalking-v0"}, set()),  # only the legacy package has it
        ("py:", {"py:NAME"}, {"gym:NAME"}),
    ],
)
def test_envs_searches(pattern: str, some: set[str], none: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs", pattern, "--json"]) == 0
    found = {entry["id"] for entry in json.loads(capsys.readouterr().out)["environments"]}
    assert some <= found
    assert not none & found


def test_envs_that_match_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs", "no-such-thing"]) == 0
    assert capsys.readouterr().out == "no environment matches 'no-such-thing'\n"


def test_a_lister_that_fails_is_told(fakes: Any) -> None:
    fakes.module(
        "open_plugin",
        """
        from arl_core.hookspecs import hookimpl
        from arl_core.interfaces import EnvFamily
        @hookimpl
        def arl_environments():
            return [EnvFamily("open", "any", resolver="open_plugin:resolve", lister="open_plugin:known")]
        def known():
            raise RuntimeError("no network")
        """,
    )
    fakes.dist("arl-plugin-open", plugins={"open": "open_plugin"})
    done = fakes.arl("envs", "open:x", "--json")
    (failed,) = json.loads(done.stdout)["failed"]
    assert failed["error"].startswith("arl-plugin-open 1.0: open_plugin:known: RuntimeError: no network\n  Other environments")
    assert fakes.arl("envs", "--json").stdout.count("open:NAME") == 1


def test_commands_that_list_import_no_torch() -> None:
    import subprocess
    import sys

    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}  # of the process that looks at the plugins, too
    for words in (["envs", "cart"], ["plugins", "show", "maze"], ["plugins", "docs", "gym"], ["run", "--help"]):
        command = [sys.executable, "-m", "arl_core", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "arl_core.cli.main" in imported
        assert "torch" not in imported, words
