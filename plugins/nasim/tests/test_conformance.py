"""Every rule for plugins, as `arl plugins check nasim` has them."""

import pytest

pytest.importorskip("nasim", reason="NASim is not installed: pip install arl-plugin-nasim")

from arl_core.testing import Check, plugin_checks


@pytest.mark.parametrize("check", plugin_checks("nasim"), ids=str)
def test_plugin(check: Check) -> None:
    check.run()
