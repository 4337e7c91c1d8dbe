"""A hook that would never be called."""

from arl_core.hookspecs import hookimpl


@hookimpl
def arl_enviroments():
    return []
