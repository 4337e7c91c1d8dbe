"""The games: ALE's names, and the ids under which gymnasium and others know them. Nothing is imported for this."""

from __future__ import annotations

from collections.abc import Iterable

_ALL = """
adventure air_raid alien amidar assault asterix asteroids atlantis atlantis2 backgammon bank_heist basic_math
battle_zone beam_rider berzerk blackjack bowling boxing breakout carnival casino centipede chopper_command crazy_climber
crossbow darkchambers defender demon_attack donkey_kong double_dunk earthworld elevator_action enduro entombed et
fishing_derby flag_capture freeway frogger frostbite galaxian gopher gravitar hangman haunted_house hero
human_cannonball ice_hockey jamesbond journey_escape kaboom kangaroo keystone_kapers king_kong klax koolaid krull
kung_fu_master laser_gates lost_luggage mario_bros miniature_golf montezuma_revenge mr_do ms_pacman name_this_game
othello pacman phoenix pitfall pitfall2 pong pooyan private_eye qbert riverraid road_runner robotank seaquest
sir_lancelot skiing solaris space_invaders space_war star_gunner superman surround tennis tetris tic_tac_toe_3d
time_pilot trondead turmoil tutankham up_n_down venture video_checkers video_chess video_cube video_pinball
wizard_of_wor word_zapper yars_revenge zaxxon
"""
_LEGACY = """
adventure air_raid alien amidar assault asterix asteroids atlantis bank_heist battle_zone beam_rider berzerk bowling
boxing breakout carnival centipede chopper_command crazy_climber defender demon_attack double_dunk elevator_action
enduro fishing_derby freeway frostbite gopher gravitar hero ice_hockey jamesbond journey_escape kangaroo krull
kung_fu_master montezuma_revenge ms_pacman name_this_game phoenix pitfall pong pooyan private_eye qbert riverraid
road_runner robotank seaquest skiing solaris space_invaders star_gunner tennis time_pilot tutankham up_n_down venture
video_pinball wizard_of_wor yars_revenge zaxxon
"""
GAMES = tuple(_ALL.split())  # every game of ale-py 0.12 that one player can play
LEGACY_GAMES = tuple(_LEGACY.split())  # those that have ids of version 4, such as PongNoFrameskip-v4


def id_name(game: str) -> str:
    """The game's name in gymnasium's ids: space_invaders -> SpaceInvaders."""
    return game.title().replace("_", "")


def envpool_id(game: str) -> str:
    """The game's id in EnvPool, which has capitals of its own: TicTacToe3d-v5."""
    return "".join(part.capitalize() for part in game.split("_")) + "-v5"


def aliases() -> dict[str, str]:
    """Historical id -> variant: ALE/Pong-v5, PongNoFrameskip-v4, and spellings without underscores."""
    found = {f"ALE/{id_name(game)}-v5": f"{game}-v5" for game in GAMES}
    found |= {f"{id_name(game)}-v5": f"{game}-v5" for game in GAMES}
    found |= {f"{id_name(game)}NoFrameskip-v4": game for game in LEGACY_GAMES}
    found |= {game.replace("_", ""): game for game in GAMES if "_" in game}
    return found | {"montezuma": "montezuma_revenge"}  # Sample Factory's


def prefixes() -> Iterable[str]:
    """The beginnings of historical ids, as `pyproject.toml` has them."""
    return ["atari_", "ALE/", *(f"{id_name(game)}NoFrameskip-" for game in LEGACY_GAMES)]
