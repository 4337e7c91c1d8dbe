"""The documentation is true: pages are fresh, links lead somewhere, what is named exists."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

from arl_core.cli.main import main

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")]


def test_the_configuration_page_is_fresh() -> None:
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == generate["configuration_page"](), "run: python docs/generate.py"


@pytest.mark.parametrize("name", ["encoders.md", "wrappers.md"])
def test_the_tables_of_parts_are_fresh(name: str) -> None:
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert page == generate["with_table"](page, generate["TABLES"][name]()), "run: python docs/generate.py"
    assert page.count("\n| `") >= 10


@pytest.mark.parametrize(
    ("name", "printed"),
    [("encoders.md", 3 * 64 * 32 + 32 + 32_832 + 36_928 + (64 * 16 + 1) * 512), ("wrappers.md", (16,))],
)
def test_the_examples_of_parts_run(name: str, printed: object, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, name, "exec"), {})
    assert capsys.readouterr().out.strip() == str(printed)
    for line in re.findall(r"^arl run (.*)$", page, re.MULTILINE):
        assert main(["config", *shlex.split(line)]) == 0


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
