"""From a module of PettingZoo's to an environment whose agents all act at once, in equal spaces."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from arl_core.envs.multi_agent import ParallelEnv
from arl_core.interfaces import EnvContext, UserError
from arl_plugin_pettingzoo.options import PettingZooOptions
from arl_plugin_pettingzoo.padding import padded


def make(*, options: PettingZooOptions | None, context: EnvContext, module: str) -> ParallelEnv:
    """The environment of `module`. Raises UserError where a package that it needs is not installed, or where the constructor
    does not know an option."""
    given = options or PettingZooOptions()
    arguments = dict(given.constructor)
    if context.render_mode is not None:
        arguments["render_mode"] = context.render_mode
    try:
        env = _parallel(import_module(module), arguments)
    except ImportError as error:
        package, _, rest = module.partition(".")
        if package != "pettingzoo":
            raise
        # a package of the folder's own, which PettingZoo has as an extra of that name
        raise UserError(f"{module}: {error}: pip install 'pettingzoo[{rest.partition('.')[0]}]'") from error
    except (TypeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{module} cannot be made with {arguments or 'its defaults'}: {reason}") from error
    return padded(env) if given.pad else env


def _parallel(module: ModuleType, arguments: dict[str, Any]) -> ParallelEnv:
    """PettingZoo's own conversion, where the environment has no parallel form: agents whose turns alternate all act at every
    step, and the actions of those whose turn it is not are ignored."""
    if hasattr(module, "parallel_env"):
        env: ParallelEnv = module.parallel_env(**arguments)
        return env
    from pettingzoo.utils.conversions import turn_based_aec_to_parallel

    converted: ParallelEnv = turn_based_aec_to_parallel(module.env(**arguments))
    return converted
