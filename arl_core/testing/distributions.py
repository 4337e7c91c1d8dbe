"""Installed distributions that are not: their metadata and modules, written into a folder on the import path."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from arl_core.registry import discovery
from arl_core.registry.discovery import PLUGIN_GROUP, PREFIX_GROUP
from arl_core.registry.loading import forget


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


class FakeSite:
    """A folder of fake distributions, on the path of this process and of those that it starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._dists: list[str] = []
        self._path_before = os.environ.get("PYTHONPATH")
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *([self._path_before] if self._path_before else [])])

    def add(self, distribution: FakeDistribution) -> None:
        """Write a distribution; from now on it is found."""
        distribution.write(self.folder)
        self._dists.append(distribution.name)
        importlib.invalidate_caches()
        discovery.refresh()

    def close(self) -> None:
        """Take everything back: path, loaded plugins, imported modules."""
        sys.path.remove(str(self.folder))
        if self._path_before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = self._path_before
        for name in self._dists:
            forget(name)
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(f"{self.folder}{os.sep}"):
                del sys.modules[name]
        discovery.refresh()
