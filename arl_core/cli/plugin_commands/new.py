"""`arl plugins new`: a plugin to begin with, which installs, trains, and passes its own checks."""

from __future__ import annotations

import keyword
import os
import re
import shutil
import time
from importlib.resources import files
from pathlib import Path
from string import Template

from arl_core._version import __version__
from arl_core.cli.flags import mistake, parse
from arl_core.registry.discovery import plugin_records
from arl_core.registry.known import KNOWN_FAMILIES, known_family

USAGE = """usage: arl plugins new NAME [--dir DIR]

Writes the project arl-plugin-NAME: a small environment with typed options, an encoder of its own, changed defaults, tests and
documentation. It trains as it is; put your own environment in its place.

  NAME       what users will write: arl run --env NAME; lower case, digits, hyphens
  --dir DIR  the folder to write it into (default: this one)"""

# file of the project -> its template in arl_core/scaffold/plugin
FILES = {
    "pyproject.toml": "pyproject.toml.tmpl",
    "README.md": "README.md.tmpl",
    "LICENSE": "LICENSE.tmpl",
    ".gitignore": "gitignore.tmpl",
    ".github/workflows/ci.yml": "ci.yml.tmpl",
    "docs/index.md": "docs.md.tmpl",
    "src/$package/__init__.py": "init.py.tmpl",
    "src/$package/py.typed": "py.typed.tmpl",
    "src/$package/plugin.py": "plugin.py.tmpl",
    "src/$package/options.py": "options.py.tmpl",
    "src/$package/env.py": "env.py.tmpl",
    "src/$package/encoder.py": "encoder.py.tmpl",
    "tests/test_conformance.py": "test_conformance.py.tmpl",
    "tests/test_env.py": "test_env.py.tmpl",
    "tests/test_learning.py": "test_learning.py.tmpl",
}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 20


def command(arguments: list[str]) -> int:
    """Write a new plugin. Returns the exit code."""
    parsed = parse(arguments, {"dir": False}, positional=("NAME",))
    if not parsed.positional:
        raise mistake("arl plugins new: name the environment, such as arl plugins new corridor")
    name = parsed.positional[0]
    check_name(name)
    target = Path(str(parsed.values.get("dir", "."))) / f"arl-plugin-{name}"
    write_project(name, target)
    print(_next_steps(name, target))
    return 0


def check_name(name: str) -> None:
    """Raise UserError where `name` cannot be a new family's."""
    if name.startswith("arl-plugin-"):
        raise mistake(f"'{name}': the project's name is made from the environment's: arl plugins new {name[11:] or 'NAME'}")
    if not _NAME.fullmatch(name):
        better = re.sub(r"[^a-z0-9]+", "-", re.sub(r"^[^a-z]+", "", name.lower())).strip("-")
        hint = f" Did you mean '{better}'?" if _NAME.fullmatch(better) else ""
        raise mistake(f"'{name}': use lower case letters, digits and single hyphens, beginning with a letter.{hint}")
    if len(name) > _LONGEST:
        raise mistake(f"'{name}' has {len(name)} letters, and more than {_LONGEST} are hard to type")
    if keyword.iskeyword(name):
        raise mistake(f"'{name}' is a word of Python's: choose another name")
    claims = [record for record in plugin_records() if record.name == name]
    if claims:
        raise mistake(f"'{name}' is taken: {claims[0].owner} is installed and provides it")
    known = known_family(name)
    if known:
        raise mistake(f"'{name}' is taken: {KNOWN_FAMILIES[known][0]} provides '{known}' and names that begin like it")


def write_project(name: str, target: Path) -> None:
    """Write the project as the folder `target`: whole, or not at all. Raises UserError."""
    if target.exists():
        raise mistake(f"{target} exists already: move it away, or choose another name or --dir")
    if not target.parent.is_dir():
        raise mistake(f"--dir: there is no folder {target.parent}")
    names = _names(name)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        unfinished.mkdir()
        for path, template in FILES.items():
            file = unfinished / Template(path).substitute(names)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(rendered(template, names), encoding="utf-8")
        unfinished.rename(target)
    except OSError as error:
        raise mistake(f"cannot write {target}: {error.strerror}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # there is none after a good end


def rendered(template: str, names: dict[str, str]) -> str:
    """A template with its names filled in."""
    text = (files("arl_core") / "scaffold" / "plugin" / template).read_text(encoding="utf-8")
    return Template(text).substitute(names)


def _names(name: str) -> dict[str, str]:
    return {
        "name": name,
        "dist": f"arl-plugin-{name}",
        "package": f"arl_plugin_{name.replace('-', '_')}",
        "classname": "".join(part.capitalize() for part in name.split("-")),
        "core_version": __version__,
        "year": time.strftime("%Y"),
    }


def _next_steps(name: str, target: Path) -> str:
    return f"""{target} is written. Next:

  cd {target}
  pip install -e ".[test]"
  arl run --env {name}
  arl plugins check {name}
  pytest"""
