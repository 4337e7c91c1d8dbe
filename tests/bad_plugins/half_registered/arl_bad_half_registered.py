"""Its second hook means one that there is not, which is seen only after the first is registered."""

from arl_core.hookspecs import hookimpl

calls = []


@hookimpl
def arl_encoders():
    calls.append("arl_encoders")
    return []


@hookimpl(specname="arl_worlds")
def arl_environments():
    calls.append("arl_environments")
    return []
