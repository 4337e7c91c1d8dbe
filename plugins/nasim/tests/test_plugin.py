"""The plugin as the core sees it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from arl_plugin_nasim import plugin
from arl_plugin_nasim.options import NASimOptions

import arl_core
from arl_core.cli.main import main
from arl_core.config import RunConfig
from arl_core.config.sources import Text
from arl_core.interfaces import UserError
from arl_core.registry import resolve_env

HERE = Path(__file__).parents[1]
NASIM = "NASim is not installed: pip install arl-plugin-nasim"


@pytest.mark.parametrize("name", ["nasim:small-honeypot", "nasim_small_honeypot"])
def test_every_spelling_means_the_same_environment(name: str) -> None:
    assert resolve_env(name) == resolve_env("nasim:small-honeypot")
    assert resolve_env("nasim").id == "nasim:tiny"


def test_param_overrides_are_valid_configurations() -> None:
    overrides = plugin.arl_param_overrides("nasim:small", "appo")
    assert overrides
    assert RunConfig(**overrides).model_dump(include=set(overrides)) == dict(overrides)


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("arl_plugin_nasim.plugin", ["torch", "gymnasium", "pydantic", "nasim"]),
        ("arl_plugin_nasim.group", ["torch", "nasim", "matplotlib"]),
    ],
)
def test_imports_stay_light(imported: str, absent: list[str]) -> None:
    code = f"import sys, {imported}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pictures_and_text_show_the_attack() -> None:
    pytest.importorskip("nasim", reason=NASIM)
    env = arl_core.make_env("nasim:medium", render_mode="rgb_array")
    env.reset(seed=1)
    before = env.render()
    env.step(4)  # an exploit of the public host
    for _ in range(20):
        env.step(6)
    assert before.shape == env.render().shape
    assert before.dtype == "uint8"
    assert (before != env.render()).any()
    text = arl_core.make_env("nasim:tiny", render_mode="ansi")
    text.reset(seed=1)
    for _ in range(20):
        text.step(4)
    shown = text.render()
    assert shown.splitlines()[:2] == ["tiny: e_ssh (1, 0)", "   (1, 0)           user"]
    assert shown.count("sensitive") == 2


def test_learning_comes_close_to_the_optimum() -> None:
    pytest.importorskip("nasim", reason=NASIM)
    options = {"seed": 3, "serial": True}
    with arl_core.APPO(env="nasim:tiny", num_workers=1, num_envs_per_worker=64, policy_kwargs=options) as model:
        status = model.train(100_000)
    assert status.return_mean is not None
    assert status.return_mean > 160  # the best is 193.25; random actions that the mask allows earn about 145


def test_the_readme_names_every_option() -> None:
    text = (HERE / "README.md").read_text(encoding="utf-8")
    for name in NASimOptions.model_fields:
        assert f"`--nasim.{name.replace('_', '-')}`" in text


def test_the_readmes_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nasim", reason=NASIM)
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", (HERE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(program, {})
    assert (tmp_path / "network.png").stat().st_size > 500


def test_the_reference_page_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    page = HERE / "docs" / "reference.md"
    assert main(["plugins", "docs", "nasim"]) == 0
    assert capsys.readouterr().out == page.read_text(encoding="utf-8"), f"run: arl plugins docs nasim --output {page}"


@pytest.mark.parametrize(("typed", "meant"), [("mixed", "mixed"), ("0.5", 0.5), ("none", None)])
def test_probabilities_are_a_number_or_mixed(typed: str, meant: object) -> None:
    assert resolve_env("nasim:generated", {"exploit_probs": Text(typed)}).options["exploit_probs"] == meant


@pytest.mark.parametrize(("wrong", "told"), [("0", "greater than 0"), ("1.5", "less than"), ("MIXED", "Did you mean 'mixed'")])
def test_what_is_no_probability_is_one_line(wrong: str, told: str) -> None:
    with pytest.raises(UserError, match=rf"nasim\.exploit_probs: .*{told}"):
        resolve_env("nasim:generated", {"exploit_probs": Text(wrong)})


def test_a_file_of_ones_own_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("", encoding="utf-8")
    for given, kept in (("mine", str(tmp_path / "mine")), ("nowhere", "nowhere"), (None, None)):
        assert resolve_env("nasim", {"scenario": given}).options["scenario"] == kept
