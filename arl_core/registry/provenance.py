"""A saved run and the plugins of today: it goes on with the distribution, and the version, that it was trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from arl_core.config.layers import Layer, nearest
from arl_core.config.schema import RunConfig
from arl_core.interfaces import ResolvedEnv, UserError
from arl_core.registry import given
from arl_core.registry.discovery import plugin_records
from arl_core.registry.known import is_known_distribution
from arl_core.registry.selection import CORE, normalized

LOCAL = "py:"  # begins the names of the user's own code
SCRIPT = f"{LOCAL}__main__:"  # begins the names of environments that the user's script itself defines


def by_itself(name: str, field: str) -> str:
    """What is to be done where a file alone names code of the user's own, as `name`."""
    told = f"a file alone may not name code to run, such as '{name}'."
    if name.startswith(f"{LOCAL}{given.__name__}:") or "<" in name:  # a lambda, or in a function: no module leads to it
        return f"{told} Give it again as the script did: {field}=..."
    yours = name.replace("__main__", "my_script", 1) + ", of my_script.py" if name.startswith(SCRIPT) else name
    return f"{told} Name it yourself: --{field} {yours}"


def saved_run(run_dir: Path) -> tuple[dict[str, Any], Provenance]:
    """The configuration in a run's `config.json`, and what that says of its environment: data, of which nothing is executed.
    Raises UserError where it is not what a run writes."""
    file = run_dir / "config.json"
    check_directory(run_dir)
    if not file.is_file():
        raise UserError(f"{run_dir} is not a run directory: it has no {file.name}.{_runs_in(run_dir)}")
    try:
        data: Any = json.loads(file.read_text(encoding="utf-8"))
        described = (str(data["env"][key]) for key in ("id", "dist", "version"))
        return dict(data["config"]), Provenance(str(run_dir), *described)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{run_dir} is not a run directory: {file.name}: {type(error).__name__}: {error}") from error


def check_directory(run_dir: Path, where: str = "") -> None:
    """Raises UserError, which begins with `where`, where there is no such directory, with the nearest run: beside it, or of
    this name in the default folder of runs."""
    if run_dir.is_dir():
        return
    if run_dir.is_file():
        raise UserError(f"{where}{run_dir} is a file: name its run's directory, and the file as the checkpoint")
    default = Path(str(RunConfig.model_fields["train_dir"].default)) / run_dir
    siblings = [file.parent.name for file in run_dir.parent.glob("*/config.json")]
    hint = nearest(run_dir.name, siblings).replace("'", f"'{run_dir.parent}/" if run_dir.parent.name else "'", 1)
    if (default / "config.json").is_file():
        hint = f" Did you mean '{default}'?"
    raise UserError(f"{where}no directory {run_dir}{'.' if hint else ''}{hint}")


def _runs_in(folder: Path) -> str:
    """The newest run in a folder of runs, for who named the folder; otherwise what a run directory is."""
    runs = sorted(folder.glob("*/config.json"), key=lambda file: file.stat().st_mtime)
    return f" Name one of the runs in it, such as {runs[-1].parent}" if runs else " A run's is <train_dir>/<experiment>"


class Provenance(NamedTuple):
    """What a run's directory says of its environment: `dist` is "" for local code."""

    run: str  # its directory, for messages
    env_id: str
    dist: str
    version: str

    @property
    def is_plugin(self) -> bool:
        """Whether a plugin besides the core made the environment."""
        return self.dist not in {"", CORE}

    def check_installed(self, *, exactly: bool = False) -> None:
        """Raise UserError where neither the plugin nor another of its family is installed; `exactly`: in that version."""
        if not self.is_plugin:
            return
        records = plugin_records()
        family = self.env_id.partition(":")[0]
        own = [record for record in records if self._is(record.dist)]
        if not own and not any(record.name == family for record in records):
            raise UserError(f"{self.run} was trained with {self.dist} {self.version}, which is not installed: {self._cure()}")
        if exactly and own and own[0].version != self.version:
            raise self._other(own[0].dist, own[0].version)

    def is_of(self, env_id: str) -> bool:
        """Whether the run was trained on `env_id`. What a script defines has the name `py:__main__:Corridor` in a run of that
        script, and another module's everywhere else."""
        in_script = self.env_id.startswith(SCRIPT) and env_id.startswith("py:")
        return env_id == self.env_id or (in_script and env_id.split(":")[2:] == self.env_id.split(":")[2:])

    def check_environment(self, env: ResolvedEnv) -> None:
        """Raise UserError where it is another environment."""
        if not self.is_of(env.id):
            raise UserError(f"{self.run} was trained on '{self.env_id}', not on '{env.id}'")

    def check_same(self, env: ResolvedEnv) -> None:
        """Raise UserError where training would go on in another environment, or with another plugin or version of it."""
        if not self.is_of(env.id):
            raise UserError(f"--resume: {self.run} was trained on '{self.env_id}', not on '{env.id}': begin a new run")
        if env.dist != CORE and (env.dist, env.version) != (self.dist, self.version):
            raise self._other(env.dist, env.version)

    def _other(self, dist: str, version: str) -> UserError:
        now = "is installed" if self._is(dist) else f"provides '{self.env_id}' now"
        told = f"{self.run} was trained with {self.dist} {self.version}, but {dist} {version} {now}"
        return UserError(f"--resume: {told}: {self._cure()}")

    def stays_with_its_plugin(self, saved: Layer) -> Layer:
        """The saved configuration; its plugin is preferred if another one has come that claims the same name."""
        rivals = any(self._is(record.dist) and record.status == "conflict" for record in plugin_records())
        if not (self.is_plugin and rivals):
            return saved
        return Layer(saved.origin, {**saved.values, "plugins_prefer": [self.dist, *saved.values.get("plugins_prefer", ())]})

    def _is(self, dist: str) -> bool:
        return normalized(dist) == normalized(self.dist)

    def _cure(self) -> str:
        """What to do. Only what is installed or well known is told to be installed: the name is from a file."""
        named = is_known_distribution(self.dist) or any(self._is(record.dist) for record in plugin_records())
        return f"pip install {self.dist}=={self.version}, or begin a new run" if named else "install that, or begin a new run"
