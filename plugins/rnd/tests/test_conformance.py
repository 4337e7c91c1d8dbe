"""Every rule for plugins, as `arl plugins check rnd` has them."""

import pytest

from arl_core.testing import Check, plugin_checks


@pytest.mark.parametrize("check", plugin_checks("rnd"), ids=str)
def test_plugin(check: Check) -> None:
    check.run()
