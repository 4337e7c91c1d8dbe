"""Every rule for plugins, as `arl plugins check atari` has them. What plays games for seconds is slow."""

import pytest

pytest.importorskip("ale_py", reason="ale-py is not installed: pip install arl-plugin-atari")

from arl_core.testing import Check, plugin_checks

_SLOW = ("env.vector", "env.state", "env.episodes", "env.reset", "env.seeding", "options.values", "train.serial")


def _cases() -> list[object]:
    checks = plugin_checks("atari")
    slow = [str(check).startswith(_SLOW) or ("env." in str(check) and "atari:pong]" not in str(check)) for check in checks]
    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(check, id=str(check), marks=marks[is_slow]) for check, is_slow in zip(checks, slow, strict=True)]


@pytest.mark.parametrize("check", _cases())
def test_plugin(check: Check) -> None:
    check.run()
