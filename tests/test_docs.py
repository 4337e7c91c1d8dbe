"""The documentation is true: pages are fresh, links lead somewhere, what is named exists."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")]


def test_the_configuration_page_is_fresh() -> None:
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == generate["configuration_page"](), "run: python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert missing == []


def test_commands_in_the_readme_exist() -> None:
    from arl_core.config.schema import RunConfig

    flags = set(re.findall(r"(?<=\s)--([a-z][a-z-]+)", (ROOT / "README.md").read_text()))
    known = {name.replace("_", "-") for name in RunConfig.model_fields} | {"resume", "help", "explain", "picture"}
    assert flags - known == set()
