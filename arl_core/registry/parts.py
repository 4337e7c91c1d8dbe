"""A run's parts: the code that its configuration names, found and checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from arl_core.config import RunConfig
from arl_core.interfaces import JSON, LossSpec, ModelSpec, RunParts, UserError
from arl_core.registry.catalog import algorithm_spec, encoder_maker, named_spec
from arl_core.registry.local import codes
from arl_core.registry.options import named_entry, of_part
from arl_core.registry.provenance import LOCAL, by_itself
from arl_core.registry.selection import ALL, PluginSelection

NETWORK_FIELDS = ("encoder", "model")
PART_FIELDS = (*NETWORK_FIELDS, "algo", "losses")  # what may be code of the user's own


def run_parts(cfg: RunConfig, selection: PluginSelection = ALL) -> RunParts:
    """The code that the configuration's names mean. Raises UserError for a name that means none, or options that do not fit."""
    algorithm = algorithm_spec(cfg.algo, selection).maker
    losses = tuple(_loss(entry, selection) for entry in cfg.losses)
    names = [name for name, _, _ in losses]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"losses: '{twice[0]}' is there twice")
    return _parts(cfg, selection, algorithm, losses)


def network_parts(cfg: RunConfig, selection: PluginSelection = ALL) -> RunParts:
    """As `run_parts`, of the network alone: for who plays."""
    return _parts(cfg, selection, "", ())


def _parts(
    cfg: RunConfig, selection: PluginSelection, algorithm: str, losses: tuple[tuple[str, str, Mapping[str, JSON]], ...]
) -> RunParts:
    if cfg.model is not None and cfg.encoder is not None:
        raise UserError(f"model '{cfg.model}' is a whole network: it takes no encoder ('{cfg.encoder}')")
    encoder = encoder_maker(cfg.encoder or "auto", selection)
    model = None if cfg.model is None else named_spec("model", "arl_models", ModelSpec, cfg.model, selection).maker
    makers = [maker for maker in (encoder, model, algorithm, *(maker for _, maker, _ in losses)) if maker]
    return RunParts(encoder, algorithm, model, losses, codes(makers))


def local_names(cfg: RunConfig, field: str) -> list[str]:
    """The names of code of the user's own in one of the `PART_FIELDS`."""
    named = getattr(cfg, field)
    names = [entry.get("name") for entry in named] if field == "losses" else [named]
    return [name for name in names if isinstance(name, str) and name.startswith(LOCAL)]


def refuse_local_parts(cfg: RunConfig, fields: Sequence[str], origin_of: Callable[[str], str], files: Collection[str]) -> None:
    """Raise UserError where, in one of these fields, one of these files names code of the user's own: a file alone may not."""
    for field in fields:
        own = local_names(cfg, field)
        if own and origin_of(field) in files:
            raise UserError(f"{origin_of(field)}: {by_itself(own[0], field)}")


def _loss(entry: Mapping[str, Any], selection: PluginSelection) -> tuple[str, str, Mapping[str, JSON]]:
    """Its own name, which is the same with and without "dist::": by it a checkpoint knows its losses."""
    name, options = named_entry("losses", entry)
    what = f"loss '{name}'"
    spec = named_spec("loss", "arl_losses", LossSpec, name, selection)
    # a loss imports torch: not where its options can be checked without it
    makers: dict[str | None, int] = {} if spec.options else {spec.maker: 4}
    return spec.name, spec.maker, of_part(what, options, spec.options, makers)
