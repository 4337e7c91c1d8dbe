"""Missions as numbers: words of a fixed vocabulary, so that a network trained on one variant reads every other."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# every word of every mission that minigrid makes (a test plays them)
_WORDS = """
a after and at avoid ball behind blue box door end fetch find from front get go goal green grey hallway in key
lava left matching maze must near next object of on open opening pick purple put reach red right room rooms
square the then to traverse unlock up use yellow you your
"""
VOCABULARY = tuple(_WORDS.split())
UNKNOWN = 1  # the token of a word that is not there; 0 fills the end
NUM_TOKENS = len(VOCABULARY) + 2
MAX_WORDS = 64  # BabyAI's longest: four times "put the grey box in front of you next to ...", joined
_PLACE = {word: place for place, word in enumerate(VOCABULARY)}

# variants whose mission says what is to be done, by the beginning of their ids
TOLD = ("BabyAI-", "MiniGrid-Fetch-", "MiniGrid-GoToDoor-", "MiniGrid-GoToObject-", "MiniGrid-PutNear-")


def is_told(gym_id: str) -> bool:
    """Whether the mission says what is to be done."""
    return gym_id.startswith(TOLD)


def words_of(mission: str) -> list[str]:
    """The words, in lower case, without punctuation."""
    return re.findall("[a-z]+", mission.lower())


@lru_cache(maxsize=4096)
def bag(mission: str) -> NDArray[np.int8]:
    """Which words of the vocabulary occur: int8 [54] of 0 and 1, read-only."""
    found = np.zeros(len(VOCABULARY), np.int8)
    found[[_PLACE[word] for word in words_of(mission) if word in _PLACE]] = 1
    found.setflags(write=False)  # shared by all who ask
    return found


@lru_cache(maxsize=4096)
def tokens(mission: str) -> NDArray[np.int8]:
    """The words in their order, int8 [64]: 2 + place in the vocabulary, UNKNOWN, 0 after the end; read-only."""
    ids = [_PLACE.get(word, UNKNOWN - 2) + 2 for word in words_of(mission)][:MAX_WORDS]
    found = np.array(ids + [0] * (MAX_WORDS - len(ids)), np.int8)
    found.setflags(write=False)
    return found
