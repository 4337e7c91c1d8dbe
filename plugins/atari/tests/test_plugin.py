"""The plugin as the core sees it: names, defaults, messages."""

import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from arl_plugin_atari import plugin
from arl_plugin_atari.games import GAMES, LEGACY_GAMES, envpool_id, id_name, prefixes
from arl_plugin_atari.task import import_ale

from arl_core.cli.main import main
from arl_core.interfaces import UserError
from arl_core.registry import resolve_env

HERE = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["atari", "atari_pong", "atari:pong", "PongNoFrameskip-v4", "atari:PongNoFrameskip-v4"])
def test_every_spelling_means_pong(name: str) -> None:
    assert resolve_env(name) == resolve_env("atari:pong")
    assert resolve_env(name).kwargs == {"game": "pong", "sticky": 0.0}


def test_ids_of_version_5_have_sticky_actions() -> None:
    assert resolve_env("ALE/SpaceInvaders-v5").kwargs == {"game": "space_invaders", "sticky": 0.25}
    assert resolve_env("atari_spaceinvaders").kwargs == {"game": "space_invaders", "sticky": 0.0}
    assert resolve_env("atari_montezuma").id == "atari:montezuma_revenge"
    with pytest.raises(UserError, match="atari:breakout"):
        resolve_env("atari:breakuot")


def test_the_games_are_those_of_ale_py() -> None:
    pytest.importorskip("ale_py", reason="ale-py is not installed: pip install arl-plugin-atari")
    from ale_py import registration, roms

    assert {game for game in GAMES if roms.get_rom_path(game) is None} == set()
    assert all(registration.rom_id_to_name(game) == id_name(game) for game in GAMES)
    with_two_players = {"combat", "joust", "maze_craze", "warlords"}
    assert set(roms.get_all_rom_ids()) - set(GAMES) <= with_two_players
    assert set(LEGACY_GAMES) <= set(GAMES)


def test_the_games_have_ids_in_envpool() -> None:
    envpool = pytest.importorskip("envpool", reason="EnvPool is not installed: pip install 'arl-plugin-atari[envpool]'")
    assert {envpool_id(game) for game in GAMES} - set(envpool.list_all_envs()) == set()


def test_the_metadata_lists_every_prefix() -> None:
    points = distribution("arl-plugin-atari").entry_points.select(group="arl.prefixes.v1")
    assert {point.name for point in points} == set(prefixes())


def test_defaults_are_those_of_the_literature() -> None:
    overrides = plugin.arl_param_overrides("atari:pong", "appo")
    assert overrides is not None
    assert (overrides["learning_rate"], overrides["ppo_clip_ratio"], overrides["gamma"]) == (2.5e-4, 0.1, 0.99)
    (family,) = plugin.arl_environments()
    assert family.encoder == "nature"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(UserError, match="pip install arl-plugin-atari"):
        import_ale()


def test_a_missing_back_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ale_py", reason="ale-py is not installed: pip install arl-plugin-atari")
    from arl_core.registry import make_env

    monkeypatch.setitem(sys.modules, "arl_plugin_envpool.pool", None)
    with pytest.raises(UserError, match=r"arl-plugin-atari\[envpool\]"):
        make_env("atari:pong", backend="envpool")


def test_the_reference_page_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    page = HERE / "docs" / "reference.md"
    assert main(["plugins", "docs", "atari"]) == 0
    assert capsys.readouterr().out == page.read_text(encoding="utf-8"), f"run: arl plugins docs atari --output {page}"
