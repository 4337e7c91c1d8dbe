"""The user's own code as an environment: named where it can be imported, carried by value where it cannot."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from arl_core.envs.registrations import WithRegistrations, named_in
from arl_core.interfaces import EnvSpec, UserError, load_object
from arl_core.registry import given
from arl_core.registry.loading import cause, load_named
from arl_core.registry.provenance import LOCAL

TARGET_MAKERS = {"maker": "arl_core.envs.make:make_target"}
VECTOR_MAKERS = {"maker": "arl_core.envs.vector_env:make_single", "vector_maker": "arl_core.envs.vector_env:make_group"}


@dataclass(frozen=True)
class LocalEnvSpec(EnvSpec):
    """An `EnvSpec` that brings what a fresh process cannot find by itself.

    `imports` are imported before the maker is called; `code`, a cloudpickle, reaches the maker as its keyword `target`.
    `creator` is what the options will be passed to, for checking them; it does not travel.
    """

    imports: tuple[str, ...] = ()
    code: bytes | None = None
    creator: Callable[..., Any] | None = None


def resolve_target(variant: str) -> LocalEnvSpec:
    """`py:module:attr`: an importable environment class, or callable that returns an environment."""
    module, _, attribute = variant.partition(":")
    if not module or not attribute:
        raise UserError(f"environment 'py:{variant}': write py:module:attr, such as py:my_package.envs:MyEnv")
    look_here(module)
    return _described(load_named(variant, f"environment 'py:{variant}'"), variant, named=not is_running(module))


def look_here(module: str) -> None:
    """Let `module` be found in the present folder where nothing else has it; workers search where this process does.

    The script `arl`, unlike `python -m`, does not search the present folder. It goes last: no file there hides a library.
    """
    top = module.partition(".")[0]
    here = Path.cwd()
    if top in sys.modules or not ((here / f"{top}.py").is_file() or (here / top).is_dir()):
        return
    if importlib.util.find_spec(top) is None:
        sys.path.append(str(here))
        importlib.invalidate_caches()


def describe_target(target: Any) -> LocalEnvSpec:
    """An environment class, or callable that returns an environment, given as an object."""
    if not callable(target):
        made = "; each worker makes its own: give the class, or a lambda that makes one" if hasattr(target, "step") else ""
        raise UserError(f"environment: expected a name, a gymnasium.Env class or a callable, got {target!r}{made}")
    qualified = getattr(target, "__qualname__", type(target).__qualname__)
    name = f"{getattr(target, '__module__', None) or '__main__'}:{qualified}"
    return _described(target, name, named=_importable(target, name))


def _described(target: Any, name: str, *, named: bool) -> LocalEnvSpec:
    if not callable(target):
        raise UserError(f"environment 'py:{name}' is not callable, got {target!r}")
    makers: dict[str, Any] = VECTOR_MAKERS if _is_vector_env(target) else TARGET_MAKERS
    if named:
        return LocalEnvSpec(id=name, kwargs={"target": name}, creator=target, **makers)
    code = by_value(target, f"environment '{name}'")
    if registered := named_in(code):
        code = by_value(WithRegistrations(target, registered), f"environment '{name}'")
    return LocalEnvSpec(id=name, code=code, creator=target, **makers)


def part_name(part: Any) -> Any:
    """A class or function of the user's own (an encoder, a loss) by its name, "py:module:attr"; other values as they are."""
    if not callable(part):
        return part
    name = f"{getattr(part, '__module__', '')}:{getattr(part, '__qualname__', '')}"
    if not _names(name, part):
        plain = getattr(getattr(part, "func", part), "__name__", "part")  # a partial's is that of its function
        setattr(given, plain, part)
        name = f"{given.__name__}:{plain}"
    return f"{LOCAL}{name}"


def part_target(name: str, what: str) -> str:
    """The "module:attr" in the name of a part of the user's own, which is imported. Raises UserError."""
    target = name.removeprefix(LOCAL)
    module, _, attribute = target.partition(":")
    if not module or not attribute:
        raise UserError(f"{what} '{name}': write py:module:attr, such as py:my_package.nets:MyNet")
    look_here(module)
    if not callable(load_named(target, f"{what} '{name}'")):
        raise UserError(f"{what} '{name}' is neither a class nor a function")
    return target


def codes(targets: Iterable[str]) -> dict[str, bytes]:
    """Of these "module:attr" those that the user's script defines, by value."""
    modules = {target: target.partition(":")[0] for target in targets}
    own = [target for target, module in modules.items() if module == given.__name__ or is_running(module)]
    return {target: by_value(load_object(target), f"'{target}'") for target in own}


def _is_vector_env(target: Any) -> bool:
    gymnasium_vector = sys.modules.get("gymnasium.vector")  # imported by now where a class derives from it
    return gymnasium_vector is not None and isinstance(target, type) and issubclass(target, gymnasium_vector.VectorEnv)


def _importable(target: Any, name: str) -> bool:
    """Whether a fresh process finds `target` under `name`."""
    return not is_running(name.partition(":")[0]) and _names(name, target)


def _names(name: str, target: Any) -> bool:
    """Whether `name` means `target` in this process."""
    try:
        return load_object(name) is target
    except (ImportError, AttributeError, ValueError):
        return False  # a local class, a lambda, a module made by hand


def is_running(module: str) -> bool:
    """Whether `module` is the user's program as it runs: a fresh process has another one of that name (`__main__`), has none
    (`runpy.run_path`), or would run the program again as it imports it."""
    found = sys.modules.get(module)
    spec = getattr(found, "__spec__", None)
    if module == "__main__" or spec is not None:
        return module == "__main__" or bool(getattr(spec, "_initializing", False))
    return type(found) is ModuleType and hasattr(found, "__file__")  # others without a specification are parts of libraries


@contextmanager
def _programs_carried() -> Iterator[None]:
    """Have cloudpickle carry what the user's program defines, whatever module it runs as."""
    names = [name for name in list(sys.modules) if name != "__main__" and is_running(name)]
    new = [sys.modules[name] for name in names if name not in cloudpickle.list_registry_pickle_by_value()]
    for module in new:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in new:
            cloudpickle.unregister_pickle_by_value(module)


def by_value(target: Any, what: str) -> bytes:
    """`target`, called `what`, as bytes that carry its code. Raises UserError where it holds what cannot be carried."""
    try:
        with _programs_carried():
            return bytes(cloudpickle.dumps(target))
    except Exception as error:
        raise UserError(
            f"{what} of your script cannot be sent to the workers: {cause(error)}. "
            "Move it into a module and name it py:module:attr"
        ) from error
