"""Every rule for plugins, as `arl plugins check minigrid` has them."""

import pytest

pytest.importorskip("minigrid", reason="minigrid is not installed: pip install arl-plugin-minigrid")

from arl_core.testing import Check, plugin_checks


@pytest.mark.parametrize("check", plugin_checks("minigrid"), ids=str)
def test_plugin(check: Check) -> None:
    check.run()
