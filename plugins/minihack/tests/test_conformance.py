"""Every rule for plugins, as `arl plugins check minihack` has them."""

import pytest

pytest.importorskip("nle", reason="NetHack is not installed: pip install arl-plugin-minihack")

from arl_core.testing import Check, plugin_checks


@pytest.mark.parametrize("check", plugin_checks("minihack"), ids=str)
def test_plugin(check: Check) -> None:
    check.run()
