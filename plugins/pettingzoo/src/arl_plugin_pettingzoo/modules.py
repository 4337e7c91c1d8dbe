"""`MODULE/NAME`: which module that is, and which there are. PettingZoo's environment modules are imported when one is built."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from arl_core.config.layers import nearest
from arl_core.interfaces import EnvSpec, UserError

# folder -> package that has it; mpe left PettingZoo for a package of its own
PACKAGES = {
    "mpe": "mpe2",
    "classic": "pettingzoo.classic",
    "butterfly": "pettingzoo.butterfly",
    "sisl": "pettingzoo.sisl",
    "atari": "pettingzoo.atari",
}
_NAME = re.compile(r"\w+_v\d+")


def _files(folder: str) -> list[str]:
    """The environment modules of a folder, found without importing one."""
    try:
        spec = find_spec(PACKAGES[folder])
    except ModuleNotFoundError:  # its parent package
        spec = None
    places = spec.submodule_search_locations if spec is not None else None
    return sorted(path.stem for place in places or () for path in Path(place).glob("*.py") if _NAME.fullmatch(path.stem))


def listed() -> dict[str, str]:
    """Every `MODULE/NAME` that is installed, and the package that has it."""
    return {f"{folder}/{name}": package for folder, package in PACKAGES.items() for name in _files(folder)}


def resolve(variant: str) -> EnvSpec:
    """The environment that `MODULE/NAME` means. Raises UserError with the nearest one for a name that means none."""
    known = listed()
    folder = variant.partition("/")[0]
    if folder in PACKAGES and not any(name.startswith(f"{folder}/") for name in known):
        package = PACKAGES[folder].partition(".")[0]
        raise UserError(f"pettingzoo:{variant}: the package {package} is missing: pip install arl-plugin-pettingzoo")
    if variant not in known:
        raise UserError(
            f"no environment 'pettingzoo:{variant}'.{nearest(variant, known)} "
            "Names are MODULE/NAME, such as mpe/simple_spread_v3; 'arl envs pettingzoo' lists what is installed"
        )
    module = f"{known[variant]}.{variant.partition('/')[2]}"
    return EnvSpec(id=variant, maker="arl_plugin_pettingzoo.make:make", kwargs={"module": module}, summary=known[variant])
