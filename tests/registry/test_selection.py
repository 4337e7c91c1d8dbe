"""Allow, block, prefer, require: from wherever they are set to the plugin that is, or is not, used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arl_core.config import Layer, merge_layers
from arl_core.config.sources import environment_layer, yaml_layer
from arl_core.interfaces import UserError
from arl_core.registry import resolve_run, selection_of
from arl_core.registry.discovery import plugin_records
from arl_core.registry.selection import ALL, PluginSelection

NAMED = Layer("command line", {"env": "gym:CartPole-v1"})


def test_what_is_excluded() -> None:
    assert ALL.exclusion("x", "dist") == ""
    block = PluginSelection(block=("Arl_Plugin.X",))
    assert block.exclusion("x", "arl-plugin-x") == "arl-plugin-x is excluded by plugins_block"
    assert block.exclusion("x", "arl-plugin-y") == ""
    allow = PluginSelection(allow=("Arl_Plugin.X", "maze"), block=("maze-two",))
    assert [allow.exclusion(*plugin) for plugin in (("x", "arl-plugin-x"), ("maze", "any"), ("gym", "arl-core"))] == [
        "",
        "",
        "",
    ]
    assert allow.exclusion("y", "arl-plugin-y") == "arl-plugin-y is excluded: plugins_allow does not name it"
    assert allow.exclusion("maze", "maze-two") == "maze-two is excluded by plugins_block"


def test_the_first_preferred_distribution_wins() -> None:
    assert PluginSelection(prefer=("c", "B_b", "a")).preferred(["a", "b-b"]) == "b-b"
    assert PluginSelection(prefer=("c",)).preferred(["a", "b-b"]) is None


def test_a_file_may_nest_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "plugins:\n  block: [acme-maze]\n  prefer: one, two\n  require: ['arl-core>=0.1,<9', pytest]\n  allow: []\nseed: 3\n"
    )
    selection = selection_of(merge_layers([yaml_layer(file)]))
    assert selection == PluginSelection(
        block=("acme-maze",),
        allow=(),
        prefer=("one", "two"),
        require=("arl-core>=0.1,<9", "pytest"),
        block_setting=f"plugins_block (from {file})",
        allow_setting=f"plugins_allow (from {file})",
        require_setting=f"plugins_require (from {file})",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plugins: {blok: [x]}", "plugins: no setting 'blok'. Did you mean 'block'?"),
        ("plugins: {zzz: [x]}", "plugins: no setting 'zzz'. It has: block, allow, prefer, require"),
        ("plugins: [x]", "plugins: must be a mapping, such as {block: [acme-maze]}, got ['x']"),
        (
            "plugins: {block: [x]}\nplugins-block: [y]",
            "'plugins_block' is there twice, the other time as 'plugins: {block: ...}'",
        ),
    ],
)
def test_mistakes_in_a_file(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        yaml_layer(file)
    assert str(caught.value) == f"{file}: {message}"


@pytest.mark.parametrize(
    ("environ", "allow"),
    [
        ({}, None),
        ({"ARL_PLUGINS": ""}, ()),
        ({"ARL_PLUGINS": "maze, arl-plugin-x,"}, ("maze", "arl-plugin-x")),
        ({"ARL_PLUGINS_ALLOW": "maze"}, ("maze",)),
        ({"ARL_PLUGINS_ALLOW": "[maze, x]"}, ("maze", "x")),
        ({"ARL_PLUGINS_ALLOW": "none"}, None),
    ],
)
def test_variables(environ: dict[str, str], allow: tuple[str, ...] | None) -> None:
    selection = selection_of(merge_layers([environment_layer(environ)]))
    assert selection.allow == allow
    assert not environ or selection.allow_setting == "plugins_allow (from environment variables, ARL_PLUGINS)"


def test_two_variables_for_one_setting_are_refused() -> None:
    with pytest.raises(UserError, match="ARL_PLUGINS and ARL_PLUGINS_ALLOW mean the same: set one"):
        environment_layer({"ARL_PLUGINS": "a", "ARL_PLUGINS_ALLOW": "b"})


def test_a_run_requires_and_names_where_that_stands() -> None:
    with pytest.raises(UserError) as caught:
        resolve_run(NAMED, environ={"ARL_PLUGINS_REQUIRE": "arl-core>=99"})
    assert str(caught.value).startswith(
        "plugins_require (from environment variables): 'arl-core>=99' is not satisfied, arl-core "
    )
    assert resolve_run(NAMED, environ={"ARL_PLUGINS_REQUIRE": "arl-core>=0.1,<99"})[0].config.plugins_require == [
        "arl-core>=0.1,<99"
    ]


def test_who_wins_a_conflict_and_stays_so_in_the_saved_configuration(fakes: Any) -> None:
    fakes.corridor()
    fakes.corridor("acme-corridor", "2.0")
    result = fakes.python(
        """
        from arl_core.config import Layer
        from arl_core.registry import resolve_run, selection_of
        from arl_core.registry.catalog import encoder_maker
        prefer = Layer("keyword", {"env": "corridor", "plugins_prefer": "Acme.Corridor"})
        first, env = resolve_run(prefer, environ={})
        again, same = resolve_run(environ={}, saved=Layer("saved run", first.config.model_dump()))
        other = Layer("keyword", {"env": "arl-plugin-corridor::corridor-long-v0"})
        loser, third = resolve_run(prefer, other, environ={})
        result = [env.dist, first.config.env, first.config.encoder, same.dist, third.dist, loser.config.encoder]
        result += [encoder_maker(run.config.encoder, selection_of(run)) for run in (again, loser)]
        """
    )
    assert result == [
        "acme-corridor", "corridor:short", "corridor/onehot", "acme-corridor",
        "arl-plugin-corridor", "arl-plugin-corridor::corridor/onehot",
        "acme_corridor:OneHot", "arl_plugin_corridor:OneHot",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "env", "setting"),
    [
        (["--no-plugins"], {}, "excluded: plugins_allow (from --no-plugins) does not name it"),
        (["--plugins-allow", "x,y"], {}, "excluded: plugins_allow (from command line) does not name it"),
        (["--plugins_block=arl_plugin_corridor"], {}, "excluded by plugins_block (from command line)"),
        ([], {"ARL_PLUGINS": ""}, "excluded: plugins_allow (from environment variables, ARL_PLUGINS) does not name it"),
    ],
)
@pytest.mark.parametrize("command", [["config"], ["run", "--help"]], ids=" ".join)
def test_every_way_to_exclude_a_plugin_is_named(
    command: list[str], words: list[str], env: dict[str, str], setting: str, fakes: Any
) -> None:
    fakes.corridor()
    done = fakes.arl(*command, "--env", "corridor-long", *words, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: environment 'corridor-long': arl-plugin-corridor is {setting}\n"


def test_an_excluded_plugin_in_the_listings(fakes: Any) -> None:
    fakes.corridor()
    done = fakes.arl("plugins", "list", "--json", "--no-plugins")
    assert done.returncode == 0, done.stderr
    corridor = next(record for record in json.loads(done.stdout) if record["name"] == "corridor")
    assert (corridor["status"], corridor["error"]) == (
        "blocked",
        "arl-plugin-corridor is excluded: --no-plugins does not name it",
    )
    listed = fakes.arl("plugins", "list", env={"ARL_PLUGINS": "maze"}).stdout.replace("\n", " ").replace("   ", " ")
    assert "arl-plugin-corridor is excluded: plugins_allow (from environment variables, ARL_PLUGINS) does not name it" in listed
    assert "--env corridor " in fakes.arl("run", "--help").stdout
    shown = fakes.arl("run", "--help", "--no-plugins").stdout
    assert "--env corridor " not in shown
    assert "not usable" in shown


def test_contradicting_flags_are_refused(fakes: Any) -> None:
    done = fakes.arl("config", "--env", "gym:CartPole-v1", "--no-plugins", "--plugins-allow", "maze")
    assert done.stderr == "error: --no-plugins and --plugins_allow contradict each other: give one\n"


def test_options_of_a_preferred_plugin_on_the_command_line(fakes: Any) -> None:
    fakes.corridor()
    fakes.corridor("acme-corridor", "2.0")
    words = ["--env", "corridor", "--corridor.view", "far", "--json"]
    assert fakes.arl("config", *words).returncode == 2
    done = fakes.arl("config", *words, "--plugins-prefer", "acme-corridor")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["env"]["dist"], shown["config"]["env_options"]) == ("acme-corridor", {"view": "far"})


def test_names_that_are_not_installed_do_no_harm() -> None:
    assert plugin_records(PluginSelection(block=("nobody",), prefer=("nobody",))) == plugin_records()
