"""Every rule for plugins, as `arl plugins check cpca` has them."""

import pytest

from arl_core.testing import Check, plugin_checks


@pytest.mark.parametrize("check", plugin_checks("cpca"), ids=str)
def test_plugin(check: Check) -> None:
    check.run()
