"""A run's parts: the code that its configuration names, found and checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arl_core.config import RunConfig
from arl_core.interfaces import JSON, LossSpec, ModelSpec, RunParts, UserError
from arl_core.registry.catalog import algorithm_spec, encoder_maker, named_spec
from arl_core.registry.options import named_entry, of_part
from arl_core.registry.selection import ALL, PluginSelection


def run_parts(cfg: RunConfig, selection: PluginSelection = ALL) -> RunParts:
    """The code that the configuration's names mean. Raises UserError for a name that means none, or options that do not fit."""
    if cfg.model is not None and cfg.encoder is not None:
        raise UserError(f"model '{cfg.model}' is a whole network: it takes no encoder ('{cfg.encoder}')")
    losses = tuple(_loss(entry, selection) for entry in cfg.losses)
    names = [name for name, _, _ in losses]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"losses: '{twice[0]}' is there twice")
    return RunParts(
        encoder=encoder_maker(cfg.encoder or "auto", selection),
        algorithm=algorithm_spec(cfg.algo, selection).maker,
        model=None if cfg.model is None else named_spec("model", "arl_models", ModelSpec, cfg.model, selection).maker,
        losses=losses,
    )


def _loss(entry: Mapping[str, Any], selection: PluginSelection) -> tuple[str, str, Mapping[str, JSON]]:
    """Its own name, which is the same with and without "dist::": by it a checkpoint knows its losses."""
    name, options = named_entry("losses", entry)
    what = f"loss '{name}'"
    spec = named_spec("loss", "arl_losses", LossSpec, name, selection)
    # a loss imports torch: not where its options can be checked without it
    makers: dict[str | None, int] = {} if spec.options else {spec.maker: 4}
    return spec.name, spec.maker, of_part(what, options, spec.options, makers)
