import io
import logging
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console

from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.live import LiveView, PlainView, plain_line
from arl_core.monitoring.terminal import TerminalView


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_line_has_stable_keys_and_plain_values(make_snapshot, episodes):
    assert plain_line(make_snapshot(), episodes) == (
        "frames=421888 target_frames=1000000 seconds=11.3 seconds_left=14 fps=41233 episodes=3 return_mean=2 "
        "return_std=0.8165 length_mean=30 policy_lag_mean=1.25 policy_lag_max=4 slots_full=3 slots_total=32 "
        "learner_busy=0.93 sampler_waiting=0.21 inference_busy=- efficiency=0.74 dropped_frames=32 "
        "bottleneck=learner env/success=0.5"
    )


def test_line_keeps_its_keys_when_nothing_is_known(make_snapshot, episodes):
    full = plain_line(make_snapshot(), episodes)
    empty = plain_line(make_snapshot(fps=0.0, target_frames=0), EpisodeStatistics(3))
    keys = [pair.partition("=")[0] for pair in empty.split(" ")]
    assert keys == [pair.partition("=")[0] for pair in full.split(" ")][:-1]
    assert " target_frames=- " in empty
    assert " return_mean=- " in empty


def test_every_pair_splits_at_spaces_whatever_a_metric_is_called(make_snapshot):
    statistics = EpisodeStatistics(2)
    statistics.add_many([12345.678], [5], {"keys found": [2.0]})
    line = plain_line(make_snapshot(), statistics)
    assert all(re.fullmatch(r"[\w/]+=\S+", pair) for pair in line.split(" "))
    assert line.endswith("env/keys_found=2")
    assert "return_mean=12345.678" in line


def test_plain_lines_come_every_few_seconds_and_the_last_state_is_not_lost(make_snapshot, episodes):
    clock, file = Clock(), io.StringIO()
    view = PlainView(file, "maze", interval_s=5.0, clock=clock)
    for tick in range(42):
        clock.now = tick / 4
        view.update(make_snapshot(frames=tick), episodes)
    view.message("checkpoint \x1b[31msaved")
    view.close("done")
    view.close("done")
    lines = file.getvalue().splitlines()
    assert lines[0] == "maze"
    assert [line.split()[0] for line in lines[1:]] == [
        "frames=0", "frames=20", "frames=40", "checkpoint", "frames=41", "done"
    ]  # fmt: skip
    assert "\x1b" not in file.getvalue()


def test_close_prints_no_state_twice(make_snapshot, episodes):
    file = io.StringIO()
    view = PlainView(file, "maze")
    view.update(make_snapshot(), episodes)
    view.close("")
    assert len(file.getvalue().splitlines()) == 2


def test_file_without_unicode(make_snapshot):
    raw = io.BytesIO()
    view = PlainView(io.TextIOWrapper(raw, encoding="ascii"), "maze · appo")
    view.close("")
    assert raw.getvalue() == b"maze \\xb7 appo\n"


def test_console_decides(make_snapshot, episodes):
    pipe = LiveView.create(Console(file=io.StringIO()), "maze")
    assert isinstance(pipe, PlainView)
    panel = LiveView.create(Console(file=io.StringIO(), force_terminal=True, force_interactive=True), "maze")
    assert isinstance(panel, TerminalView)
    panel.close("")


@pytest.mark.parametrize(
    ("stdout", "environment", "kind"),
    [
        (io.StringIO(), {"TERM": "xterm"}, PlainView),
        (Terminal(), {"TERM": "xterm"}, TerminalView),
        (Terminal(), {"TERM": "dumb"}, PlainView),
        (Terminal(), {"TERM": "xterm", "CI": "true"}, PlainView),
    ],
)
def test_standard_output_decides_where_no_console_is_given(monkeypatch, stdout, environment, kind):
    monkeypatch.delenv("CI", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", stdout)
    view = LiveView.create(None, "maze")
    try:
        assert type(view) is kind
    finally:
        view.close("bye")
    assert sys.stdout is stdout
    assert stdout.getvalue().endswith("bye\n")


def test_a_view_that_cannot_be_written_says_so_once_and_is_silent(make_snapshot, episodes, caplog):
    with open("/dev/full", "w") as full, caplog.at_level(logging.WARNING, "arl"):
        view = PlainView(full, "maze", interval_s=0.0)
        view.update(make_snapshot(), episodes)
        view.close("done")
        full.flush()  # as the interpreter does at its end
    assert caplog.messages == ["progress cannot be shown any more, training goes on: [Errno 28] No space left on device"]


def test_a_file_that_is_closed_or_missing_is_no_error(make_snapshot, episodes, caplog):
    file = io.StringIO()
    caplog.set_level(logging.WARNING, "arl")
    for view in (PlainView(file, "maze", interval_s=0.0), PlainView(None, "maze", interval_s=0.0)):
        file.close()
        view.update(make_snapshot(), episodes)
        view.close("done")
    assert caplog.text.count("progress cannot be shown any more") == 1  # of the closed one; who gave none wants none


def test_a_terminal_that_goes_takes_no_run_with_it(make_snapshot, episodes, caplog):
    theirs, ours = os.openpty()
    with open(ours, "w") as file, caplog.at_level(logging.WARNING, "arl"):
        view = TerminalView(Console(file=file, force_terminal=True, force_interactive=True), "maze")
        view.update(make_snapshot(), episodes)
        os.close(theirs)
        view.update(make_snapshot(), episodes)
        view.message("saved")
        view.close("done")
    assert caplog.messages == ["progress cannot be shown any more, training goes on: [Errno 5] Input/output error"]


def test_rich_is_not_imported_for_a_pipe():
    code = "import sys; from arl_core.monitoring.live import LiveView; LiveView.create(None, 'x').close('y')"
    code += "; sys.exit('rich' in sys.modules or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "x\ny\n")
