"""A run's whole configuration: every owner's values in order, and the environment they name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from arl_core.config.layers import Layer, ResolvedConfig, canonical_field, merge_layers
from arl_core.config.sources import environment_layer, yaml_layer
from arl_core.interfaces import ResolvedEnv, UserError
from arl_core.registry.catalog import NAMING_FIELDS, algorithm_spec, param_overrides
from arl_core.registry.extensions import load_extensions
from arl_core.registry.local import part_name
from arl_core.registry.names import spell
from arl_core.registry.parts import PART_FIELDS, refuse_local_parts, run_parts
from arl_core.registry.provenance import by_itself
from arl_core.registry.resolve import given_options, resolve_env
from arl_core.registry.selection import PluginSelection, selection_of


def resolve_run(
    *layers: Layer,
    config_file: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    saved: Layer | None = None,
    layout: Layer | None = None,
) -> tuple[ResolvedConfig, ResolvedEnv]:
    """Core < `layout` < the algorithm < the environment's plugin < `config_file` (YAML) < `ARL_*` in `environ` < `layers`.

    `environ` is the process's own by default. `env` in a layer may be a class or callable. On resume, `saved` (the
    saved configuration) stands above what is merely around (`ARL_*`) and below what is named now (`config_file`,
    `layers`). `layout`, numbers that belong together, is left out as a whole where the environment's plugin sets one of them.
    Raises UserError for whatever does not fit, with its origin, and for a file that names code of its own to run.
    """
    around = [environment_layer(os.environ if environ is None else environ)]
    file = [yaml_layer(config_file)] if config_file is not None else []
    explicit = [*around, saved, *file, *layers] if saved is not None else [*file, *around, *layers]
    env, stack = _without_objects(explicit)
    named = merge_layers(layer.only(NAMING_FIELDS) for layer in stack)
    naming, selection = named.config, selection_of(named)
    check_required(selection)
    files = {layer.origin for layer in (*file, saved) if layer is not None}
    if named.origin("env") in files:
        if env is not None:
            raise UserError(f"{named.origin('env')}: env: expected a name, such as maze, got {env!r}")
        refuse_local_code(naming.env, selection, named.origin("env"))
    resolved = resolve_env(naming.env if env is None else env, naming.env_options, naming.wrappers, selection)
    model = merge_layers(layer.only(frozenset({"model"})) for layer in stack).config.model
    merged = merge_layers([*_defaults(resolved, naming.algo, model, selection, layout), *stack])
    refuse_local_parts(merged.config, PART_FIELDS, merged.origin, files)
    run_parts(merged.config, selection)  # every name means something
    dist, separator, _ = naming.env.partition("::")
    typed: dict[str, Any] = {
        "env": f"{dist}::{resolved.id}" if separator else resolved.id,
        "env_options": given_options(resolved, naming.env_options),
    }
    load_extensions(merged.config.extensions, selection)
    by_user = [layer for layer in explicit if layer is not saved and (saved is None or layer not in around)]
    named_now = frozenset(canonical_field(name, layer.origin) for layer in by_user for name in layer.values)
    return replace(merged, config=merged.config.model_copy(update=typed), named=named_now), resolved


def _defaults(
    resolved: ResolvedEnv, algo: str, model: str | None, selection: PluginSelection, layout: Layer | None
) -> list[Layer]:
    """What the algorithm sets, and above it the environment's plugin; a whole network takes the place of its encoder."""
    spec = algorithm_spec(algo, selection)
    layers = [Layer(f"algorithm {spec.name}", dict(spec.defaults))]
    overrides = param_overrides(resolved, spec.name, selection)
    if overrides is not None:
        has_network = model is not None or "model" in spec.defaults
        kept = {name: value for name, value in overrides.values.items() if not has_network or name != "encoder"}
        layers.append(Layer(overrides.origin, kept))
    if layout is None or (overrides is not None and overrides.only(frozenset(layout.values)).values):
        return layers
    return [layout, *layers]


def check_required(selection: PluginSelection) -> None:
    """Raise UserError where a distribution that the run requires is not installed, or not in the version that it asks for."""
    if not selection.require:
        return
    from arl_core.registry.requirements import unsatisfied

    complaint = unsatisfied(selection.require)
    if complaint:
        raise UserError(f"{selection.require_setting}: {complaint}")


def refuse_local_code(name: str, selection: PluginSelection, origin: str) -> None:
    """Raise UserError where building the environment `name`, which the file `origin` names, imports a module that the name
    itself names, rather than an installed plugin."""
    spelling = spell(name, selection)
    if spelling.record.name == "py" or (spelling.record.name in ("gym", "gym-vector") and ":" in (spelling.variant or "")):
        raise UserError(f"{origin}: {by_itself(name, 'env')}")


def _without_objects(layers: Iterable[Layer]) -> tuple[Any, list[Layer]]:
    """The environment, where the last layer that names one gives an object; and layers of plain values."""
    env: Any = None
    plain = []
    for layer in map(with_names, layers):
        given = layer.values.get("env")
        if given is not None:
            env = None if isinstance(given, str) else given
            if env is not None:
                layer = Layer(layer.origin, {**layer.values, "env": f"py:{getattr(given, '__name__', 'object')}"})
        plain.append(layer)
    return env, plain


def with_names(layer: Layer) -> Layer:
    """`layer` with the names of classes and functions that it gives as a network, an encoder or a loss."""
    named: dict[str, Any] = {}
    for given in layer.values:
        value = layer.values[given]
        field = canonical_field(given, layer.origin, value)
        if field in PART_FIELDS and callable(value):
            named[given] = part_name(value)
        elif field == "losses" and isinstance(value, Sequence) and not isinstance(value, str):
            named[given] = [_named_loss(entry) for entry in value]
    return Layer(layer.origin, {**layer.values, **named}) if named else layer


def _named_loss(entry: Any) -> Any:
    if isinstance(entry, Mapping):
        return {**entry, "name": part_name(entry.get("name"))}
    return {"name": part_name(entry)} if callable(entry) else entry
