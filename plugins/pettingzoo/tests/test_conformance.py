"""Every rule for plugins, as `arl plugins check pettingzoo` has them."""

import pytest

from arl_core.testing import Check, plugin_checks


@pytest.mark.parametrize("check", plugin_checks("pettingzoo"), ids=str)
def test_plugin(check: Check) -> None:
    check.run()
