"""`arl plugins check`: exit codes, what is shown, and that no plugin can stop it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from arl_core.cli.main import main
from arl_core.testing.processes import Ended

Install = Callable[..., Path]
Run = Callable[..., Ended]


def failures(ended: Ended) -> dict[str, str]:
    """Ids and messages of the failed checks, from JSON."""
    (plugin,) = json.loads(ended.stdout)
    return {check["id"]: check["message"] for check in plugin["checks"] if check["outcome"] == "fail"}


def test_a_good_plugin(install_plugin: Install, run_arl: Run) -> None:
    install_plugin("good")
    ended = run_arl("plugins", "check", "good:short", timeout_s=100.0)
    assert (ended.code, ended.stderr) == (0, ""), ended.stdout
    lines = ended.stdout.splitlines()
    assert lines[0] == "good (arl-plugin-good 1.0)"
    marks = {line.split()[0] for line in lines[1:] if line[2:3].strip()}
    assert marks == {"ok", "skip"}
    assert lines[-2].endswith("ok, 0 failed, 4 skipped, 0 notes")
    assert max(map(len, lines)) <= 110
    assert any(line.startswith("  ok    train.serial[good:short]") for line in lines)


WAITS = """    def close(self):
        import time
        time.sleep(100 if hasattr(self, "closed") else 0)
        self.closed = True

    def render"""


def test_a_crash_or_a_hang_is_one_failed_check_and_the_others_still_run(install_plugin: Install, run_arl: Run) -> None:
    crash = "        if cfg.hidden_size:\n            __import__('os').abort()\n        self.output_size"
    install_plugin("trap", {"encoder.py": ("        self.output_size", crash), "env.py": ("    def render", WAITS)})
    ended = run_arl("plugins", "check", "trap:short", "--json", "--timeout", "4", timeout_s=100.0)
    assert ended.code == 1
    failed = failures(ended)
    assert failed.pop("env.close[trap:short]") == "it did not end within 4 s"
    message = failed.pop("encoder.shape[trap/relative]")
    assert message.startswith('the process was ended by SIGABRT at File "')
    assert "encoder.py" in message
    assert list(failed) == ["train.serial[trap:short]"]


def test_what_is_imported_before_a_check_has_time_of_its_own(run_arl: Run) -> None:
    ended = run_arl("plugins", "check", "maze", "--json", "--timeout", "0.2")  # less than an interpreter's start
    assert ended.code == 1  # `import.works`, which starts one itself
    assert "check[maze]" not in failures(ended)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise SystemExit('leaving')", "ended with exit code 1: leaving"),
        ("import os\nos.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
        ("import no_such_library", "ended with exit code 1: ModuleNotFoundError: No module named 'no_such_library'"),
    ],
)
def test_trouble_at_import_is_told_with_a_cure(source: str, message: str, fake_distribution: Install, run_arl: Run) -> None:
    fake_distribution("arl-plugin-trouble", plugins={"trouble": "trouble"}, files={"trouble.py": source})
    ended = run_arl("plugins", "check", "arl-plugin-trouble")
    assert ended.code == 1
    text = " ".join(ended.stdout.split())
    assert f"FAIL import.works[trouble] importing trouble {message} cure: see it whole: python -c" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mase", "no plugin or distribution 'mase'. Did you mean 'maze'?"),
        (
            "neverland",
            "plugin 'neverland' is provided by arl-plugin-neverland, which is not installed: pip install arl-plugin-neverland",
        ),
        ("maze --timeout never", "--timeout: expected a number greater than 0, got 'never'"),
        ("maze --al", "no flag --al. Did you mean --all?"),
    ],
)
@pytest.mark.usefixtures("neverland")
def test_a_users_mistake_is_one_line_and_exit_code_2(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", *words.split()]) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")
