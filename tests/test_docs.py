"""The documentation is true: pages are fresh, links lead somewhere, what is named exists and the reverse, examples run."""

from __future__ import annotations

import inspect
import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

import arl_core
from arl_core import APPO, Status, interfaces
from arl_core.cli import main as commands
from arl_core.cli import plugins as plugin_commands
from arl_core.cli.main import main
from arl_core.config.schema import RunConfig
from arl_core.hookspecs import HOOK_NAMES

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")]
GENERATE = runpy.run_path(str(ROOT / "docs" / "generate.py"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(read(page)) if kind == language]


def named(word: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def unnamed(words: Any, *pages: str) -> list[str]:
    """Those of `words` that occur in none of the pages, generated from the same source or not."""
    text = "\n".join(map(read, pages))
    return sorted({word for word in words if not named(word, text)})


# --------------------------------------------------------------------------- what is generated is fresh


def test_the_configuration_page_is_fresh() -> None:
    assert read("docs/configuration.md") == GENERATE["configuration_page"](), "run: python docs/generate.py"


@pytest.mark.parametrize("name", GENERATE["TABLES"])
def test_generated_parts_are_fresh(name: str) -> None:
    page = read(f"docs/{name}")
    assert page == GENERATE["with_table"](page, GENERATE["TABLES"][name]()), "run: python docs/generate.py"


def test_every_field_of_a_type_has_its_whole_meaning() -> None:
    source = (ROOT / "arl_core" / "interfaces.py").read_text(encoding="utf-8")
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "hooks").glob("*.md"))
    told = re.findall(r"^\| `\w+` \| `.*` \| .*\| (.+) \|$", pages, re.MULTILINE)
    assert [text for text in told if f"  # {text.replace('&lt;', '<')}\n" not in source] == []
    assert len(told) > 40
    assert any(text.startswith("[E]; False where the step was a reset") for text in told)


@pytest.mark.parametrize("name", ["encoders.md", "wrappers.md"])
def test_the_tables_of_parts_have_them_all(name: str) -> None:
    assert read(f"docs/{name}").count("\n| `") >= 10


# --------------------------------------------------------------------------- what exists is named


def test_every_configuration_field_is_described() -> None:
    missing = [name for name in RunConfig.model_fields if f"\n| `{name}` | " not in read("docs/configuration.md")]
    assert missing == []
    assert [name for name, field in RunConfig.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("hook", HOOK_NAMES)
def test_every_hook_has_a_page_with_its_signature(hook: str) -> None:
    source = (ROOT / "arl_core" / "hookspecs.py").read_text(encoding="utf-8")
    found = re.search(rf"def ({hook}\()self(?:, )?(.*?)\) -> (.*?):(?: *#.*)?$", source, re.MULTILINE)
    assert found is not None
    page = read(f"docs/hooks/{hook}.md")
    assert page.startswith(f"# {hook}\n")
    assert f"```python\ndef {found[1]}{found[2]}) -> {found[3]}\n```" in page
    assert page.count("\n## Example\n") == page.count("\n## Pitfalls\n") == 1
    assert f"]({hook}.md)" in read("docs/hooks/README.md")


def test_every_public_type_and_its_fields_are_described() -> None:
    pages = "\n".join(map(read, (f"docs/hooks/{path.name}" for path in (ROOT / "docs" / "hooks").glob("*.md"))))
    classes = {name: value for name, value in vars(interfaces).items() if isinstance(value, type)}
    own = {name: value for name, value in classes.items() if value.__module__ == interfaces.__name__}
    types = {name: value for name, value in own.items() if not issubclass(value, Exception)}
    assert len(types) > 10
    for name, value in types.items():
        (section,) = re.findall(rf"^## {name}\n(.*?)(?=^## |^<!-- end)", pages, re.DOTALL | re.MULTILINE)
        methods = [key for key, member in vars(value).items() if inspect.isfunction(member) and not key.startswith("_")]
        members = [*value.__annotations__, *(methods if name == "EnvGroup" else [])]
        assert [key for key in members if f"`{key}" not in section] == [], name


def test_the_python_interface_is_described() -> None:
    methods = [name for name in vars(APPO) if not name.startswith("_")]
    statuses = [*Status.__annotations__, *(name for name in vars(Status) if name.isupper())]
    assert unnamed([*arl_core.__all__, *methods, *statuses], "docs/python.md") == []
    parameters = {name for method in methods if callable(getattr(APPO, method)) for name in _parameters(getattr(APPO, method))}
    assert unnamed(parameters | _parameters(APPO.__init__), "docs/python.md") == []


def _parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self"}


def test_what_a_callback_is_given_is_described() -> None:
    from arl_core.runtime.api import _statistics

    keys = re.findall(r'^ +"(\w+)":', inspect.getsource(_statistics), re.MULTILINE)
    assert len(keys) > 5
    assert unnamed(keys, "docs/python.md") == []


@pytest.mark.parametrize(
    "command", [*(name for name in commands.COMMANDS if name != "plugins"), *(f"plugins {n}" for n in plugin_commands.COMMANDS)]
)
def test_every_command_and_its_flags_are_described(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = read("docs/command-line.md")
    assert f"arl {command}" in page
    assert main([*command.split(), "--help"]) == 0
    flags = {flag.replace("-", "_") for flag in re.findall(r"(?<![\w-])--([a-z][\w-]*)(?![\w.-])", capsys.readouterr().out)}
    own = {flag.replace("_", "-") for flag in flags - set(RunConfig.model_fields)} - {"field", "help"}
    assert [flag for flag in sorted(own) if f"--{flag}" not in page] == []


# --------------------------------------------------------------------------- what is named exists


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    missing = []
    for target, section in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", text):
        if target.startswith("http"):
            continue
        file = page.parent / target if target else page
        if not file.exists() or (section and file.suffix == ".md" and section not in _sections(file)):
            missing.append(f"{target}#{section}")
    assert missing == []


def _sections(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made on GitHub."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_commands_in_the_readme_exist() -> None:
    flags = set(re.findall(r"(?<=\s)--([a-z][a-z-]+)", read("README.md")))
    known = {name.replace("_", "-") for name in RunConfig.model_fields} | {"resume", "help", "explain", "picture"}
    assert flags - known == set()


# --------------------------------------------------------------------------- examples run


@pytest.mark.parametrize(
    ("name", "printed"),
    [("encoders.md", 3 * 64 * 32 + 32 + 32_832 + 36_928 + (64 * 16 + 1) * 512), ("wrappers.md", (16,))],
)
def test_the_examples_of_parts_run(name: str, printed: object, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks(f"docs/{name}", "python")
    exec(compile(example, name, "exec"), {})
    assert capsys.readouterr().out.strip() == str(printed)
    for line in re.findall(r"^arl run (.*)$", read(f"docs/{name}"), re.MULTILINE):
        assert main(["config", *shlex.split(line)]) == 0


def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("README.md", "python")
    assert example.count("300_000") == 2
    exec(compile(example.replace("300_000", "2_000").replace("episodes=20", "episodes=2"), "README.md", "exec"), {})
    assert "return_mean" in capsys.readouterr().out


def test_the_python_of_the_python_page_runs() -> None:
    names: dict[str, Any] = {}
    for example in blocks("docs/python.md", "python"):
        exec(compile(example, "python.md", "exec"), names)
    assert names["env"].render().ndim == 3
    assert names["APPO"] is APPO


def test_the_python_of_the_how_to_page_is_one_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    program = "\n".join(blocks("docs/how-to.md", "python"))
    exec(compile(program, "how-to.md", "exec"), {"__name__": "how_to"})
    assert capsys.readouterr().out.splitlines()[1].startswith("True "), "it stopped early"
    assert "turns" in json.loads((tmp_path / "curve.jsonl").read_text().splitlines()[-1])
    assert len(list((tmp_path / "train_dir").iterdir())) == 2


@pytest.mark.parametrize("number", range(3))
def test_the_programs_on_experiments(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nasim", reason="NASim is not installed: pip install arl-plugin-nasim")
    monkeypatch.chdir(tmp_path)
    with APPO("gym:CartPole-v1", policy_kwargs={"serial": True, "experiment": "r-s1", "train_dir": "sweep"}) as model:
        model.train(500)
    examples = blocks("docs/experiments.md", "python")
    assert len(examples) == 3
    exec(compile(examples[number].replace("20_000", "2_000"), "experiments.md", "exec"), {})


SHELL = [line for block in blocks("README.md", "bash") for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("line", SHELL)
def test_the_commands_of_the_readme_run(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`arl run` and `arl bench` as far as their configuration; what needs a run says that there is none; targets of `make` and
    packages exist."""
    monkeypatch.chdir(tmp_path)
    program, command, *words = shlex.split(line, comments=True)
    if program == "make":
        assert re.search(rf"^{command}:", read("Makefile"), re.MULTILINE)
    elif program == "pip":
        assert words[-1] == "torch" or (ROOT / "plugins" / words[-1].removeprefix("arl-plugin-")).is_dir()
    elif "--resume" in words or command == "eval":
        assert main([command, *words]) == 2
        assert re.match(r"error: (arl eval: no directory|--resume: no run in) ", capsys.readouterr().err)
    else:
        assert program == "arl"
        assert main(["config" if command in {"run", "bench"} and "--help" not in words else command, *words]) == 0
