"""Wrappers that any environment can use by name (`registry.builtin` lists them): one module a theme, most in two forms.

A wrapper's single form is a `gymnasium.Wrapper`; its vector form does the same to a whole `EnvGroup`, so that an environment
that steps vectorised stays so. Both come from one description of the change where there is one (`base.Change`).
"""

from arl_core.envs.wrappers.images import (
    Grayscale,
    PixelFormatChw,
    Resize,
    grayscale_group,
    pixel_format_chw_group,
    resize_group,
)
from arl_core.envs.wrappers.masks import MaskFromInfo
from arl_core.envs.wrappers.numbers import FlattenDict, FlattenDictGroup, OneHot, one_hot_group
from arl_core.envs.wrappers.rewards import RewardClip, RewardClipGroup, RewardScale, RewardScaleGroup
from arl_core.envs.wrappers.stack import FrameStack, FrameStackGroup
from arl_core.envs.wrappers.steps import FrameSkip, TimeLimit

__all__ = [
    "FlattenDict",
    "FlattenDictGroup",
    "FrameSkip",
    "FrameStack",
    "FrameStackGroup",
    "Grayscale",
    "MaskFromInfo",
    "OneHot",
    "PixelFormatChw",
    "Resize",
    "RewardClip",
    "RewardClipGroup",
    "RewardScale",
    "RewardScaleGroup",
    "TimeLimit",
    "grayscale_group",
    "one_hot_group",
    "pixel_format_chw_group",
    "resize_group",
]
