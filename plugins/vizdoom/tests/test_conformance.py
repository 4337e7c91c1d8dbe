"""Every rule for plugins, as `arl plugins check vizdoom` has them."""

import pytest

pytest.importorskip("vizdoom", reason="ViZDoom is not installed: pip install arl-plugin-vizdoom")

from arl_core.testing import Check, plugin_checks


@pytest.mark.parametrize("check", plugin_checks("vizdoom"), ids=str)
def test_plugin(check: Check) -> None:
    check.run()
