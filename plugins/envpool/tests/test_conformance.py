"""Every rule for plugins, as `arl plugins check envpool` and `arl plugins check envpool:CartPole-v1` have them. What
starts processes is slow."""

import pytest

pytest.importorskip("envpool", reason="EnvPool is not installed: pip install arl-plugin-envpool")

from arl_core.testing import Check, plugin_checks


def _cases() -> list[object]:
    slow = ("train.serial", "env.seeding")  # processes of their own
    return [
        pytest.param(check, id=str(check), marks=[pytest.mark.slow] if str(check).startswith(slow) else [])
        for check in plugin_checks("envpool:CartPole-v1")
    ]


@pytest.mark.parametrize("check", _cases())
def test_plugin(check: Check) -> None:
    check.run()
