"""What is checked: a plugin, and the variants of its environments that stand for all. Each is looked at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any, TypeVar

import gymnasium

from arl_core.config.layers import Layer, merge_layers
from arl_core.config.schema import RunConfig
from arl_core.interfaces import (
    AlgorithmSpec,
    EncoderSpec,
    EnvContext,
    EnvFamily,
    EnvSpec,
    LossSpec,
    ModelSpec,
    ResolvedEnv,
    UserError,
    WrapperSpec,
)
from arl_core.registry.catalog import param_overrides
from arl_core.registry.discovery import PluginRecord
from arl_core.registry.loading import Plugin, load
from arl_core.registry.names import records_of
from arl_core.registry.resolve import resolve_env
from arl_core.registry.selection import CORE, normalized
from arl_core.testing.agents import build_joint

FURTHER_VARIANTS = 1  # besides the default one; `--all` takes all
ALGORITHM = "appo"

T = TypeVar("T")


class Subject:
    """An installed plugin. Raises UserError from its properties where the plugin does not deliver them."""

    def __init__(self, record: PluginRecord, variant: str | None = None, all_variants: bool = False) -> None:
        self.record = record
        self.variant = variant
        self.all_variants = all_variants

    def __str__(self) -> str:
        return self.record.name

    @property
    def is_core(self) -> bool:
        """Whether the plugin is arl-core's own."""
        return self.record.dist == CORE

    @cached_property
    def plugin(self) -> Plugin:
        """The loaded plugin."""
        return load(self.record)

    @property
    def module(self) -> ModuleType:
        """The hook module."""
        return self.plugin.module

    @cached_property
    def families(self) -> tuple[EnvFamily, ...]:
        """Every family that the plugin describes."""
        return self.plugin.described("arl_environments", EnvFamily)

    @cached_property
    def family(self) -> EnvFamily | None:
        """The family of the plugin's name; None for a plugin that provides other things."""
        return next((family for family in self.families if family.name == self.record.name), None)

    @cached_property
    def encoders(self) -> tuple[EncoderSpec, ...]:
        """The plugin's encoders."""
        return self.plugin.described("arl_encoders", EncoderSpec)

    @cached_property
    def wrappers(self) -> tuple[WrapperSpec, ...]:
        """The plugin's wrappers."""
        return self.plugin.described("arl_wrappers", WrapperSpec)

    @cached_property
    def models(self) -> tuple[ModelSpec, ...]:
        """The plugin's whole networks."""
        return self.plugin.described("arl_models", ModelSpec)

    @cached_property
    def algorithms(self) -> tuple[AlgorithmSpec, ...]:
        """The plugin's algorithms."""
        return self.plugin.described("arl_algorithms", AlgorithmSpec)

    @cached_property
    def losses(self) -> tuple[LossSpec, ...]:
        """The plugin's auxiliary losses and intrinsic rewards."""
        return self.plugin.described("arl_losses", LossSpec)

    def resolve(self, variant: str, **options: Any) -> ResolvedEnv:
        """The environment that a run with this variant trains on, whoever else claims the family's name."""
        return resolve_env(f"{self.record.dist}::{self.record.name}:{variant}", options)

    def config(self, resolved: ResolvedEnv) -> RunConfig:
        """The configuration of a run with this environment and nothing else set."""
        overrides = param_overrides(resolved, ALGORITHM)
        return merge_layers([Layer("check", {"env": resolved.id}), *([overrides] if overrides else [])]).config

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """The variants whose environments are built: the named one, or the default one and another, or all."""
        if self.family is None:
            return ()
        return tuple(Variant(self, name) for name in self._names(self.family))

    def _names(self, family: EnvFamily) -> Sequence[str]:
        if self.variant is not None:
            return [family.aliases.get(self.variant, self.variant)]
        names = [spec.id for spec in family.variants]
        first = family.default_variant or next(iter(names), None)
        others = [name for name in names if name != first]
        if not self.all_variants and len(others) > FURTHER_VARIANTS:
            share = len(others) / FURTHER_VARIANTS  # evenly spread: neighbours in a list are alike
            others = [others[int((i + 0.5) * share)] for i in range(FURTHER_VARIANTS)]
        return [] if first is None else [first, *others]


class Variant:
    """One environment of the plugin, `family:variant`, and the options that are not the default ones."""

    def __init__(self, subject: Subject, name: str, options: Mapping[str, Any] | None = None) -> None:
        self.subject = subject
        self.name = name
        self.options = options or {}

    def __str__(self) -> str:
        chosen = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.subject}:{self.name}{' with ' if chosen else ''}{chosen}"

    @cached_property
    def resolved(self) -> ResolvedEnv:
        """What a worker receives."""
        return self.subject.resolve(self.name, **self.options)

    @property
    def spec(self) -> EnvSpec | None:
        """The family's description; None in an open-ended family."""
        specs = self.subject.family.variants if self.subject.family else ()
        return next((spec for spec in specs if spec.id == self.name), None)

    @property
    def deterministic(self) -> bool:
        """Whether the same seed promises the same episodes."""
        return self.spec is None or self.spec.deterministic

    @property
    def may_refuse(self) -> bool:
        """Whether it may ask, in one line, for something that is not installed; the family's default variant may not."""
        family = self.subject.family
        return family is not None and self.name != (family.default_variant or next((s.id for s in family.variants), None))

    def build(self, seed: int = 1) -> gymnasium.Env[Any, Any]:
        """The single environment, wrapped as in a run; all agents of several as one."""
        return build_joint(self.resolved, EnvContext(run_seed=seed, index=0, seed=seed))


def find_subjects(name: str, *, all_variants: bool = False) -> list[Subject]:
    """The plugins that `name` (a plugin, `plugin:variant`, `dist::plugin`, a distribution) names. Raises UserError."""
    dist, separator, rest = name.partition("::")
    plugin, colon, variant = (rest if separator else name).partition(":")
    found = [record for record in records_of(plugin) if not separator or normalized(record.dist) == normalized(dist)]
    if not found:
        raise UserError(f"'{dist}' provides no plugin '{plugin}'")
    return [Subject(record, variant if colon else None, all_variants) for record in found]
