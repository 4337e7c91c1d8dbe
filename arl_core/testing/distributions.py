"""Installed distributions that are not: their metadata and modules, written into a folder on the import path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from arl_core.registry.discovery import PLUGIN_GROUP, PREFIX_GROUP


@dataclass(frozen=True)
class FakeDistribution:
    """What to write: `plugins` and `prefixes` are the entry points, `files` maps paths below the folder to their text."""

    name: str
    version: str = "1.0"
    plugins: Mapping[str, str] | None = None
    prefixes: Mapping[str, str] | None = None
    requires: Sequence[str] = ("arl-core",)
    files: Mapping[str, str] | None = None

    def write(self, folder: Path) -> None:
        """Write metadata and files below `folder`."""
        # hyphens would make importlib.metadata take every such folder for one and the same distribution
        info = folder / f"{self.name.replace('-', '_')}-{self.version}.dist-info"
        info.mkdir(parents=True)
        required = "".join(f"Requires-Dist: {requirement}\n" for requirement in self.requires)
        metadata = f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n{required}"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        (info / "entry_points.txt").write_text(self._entry_points(), encoding="utf-8")
        for path, text in (self.files or {}).items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    def _entry_points(self) -> str:
        lines = [f"[{PLUGIN_GROUP}]", *(f"{name} = {target}" for name, target in (self.plugins or {}).items())]
        lines += [f"[{PREFIX_GROUP}]", *(f"{text} = {family}" for text, family in (self.prefixes or {}).items())]
        return "\n".join(lines) + "\n"
