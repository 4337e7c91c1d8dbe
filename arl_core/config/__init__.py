"""A run's configuration: what it may say (`schema`), where each value came from (`layers`), and its files."""

from arl_core.config.layers import Layer, ResolvedConfig, merge_layers
from arl_core.config.schema import LEGACY_NAMES, RunConfig

__all__ = ["LEGACY_NAMES", "Layer", "ResolvedConfig", "RunConfig", "merge_layers"]
