"""Every rule for plugins, as `arl plugins check mujoco` has them."""

import pytest

pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install arl-plugin-mujoco")

from arl_core.testing import Check, plugin_checks


@pytest.mark.parametrize("check", plugin_checks("mujoco"), ids=str)
def test_plugin(check: Check) -> None:
    check.run()
