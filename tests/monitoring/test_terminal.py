"""The panel on a small model of a terminal: what a user would see, cell by cell."""

import io
import re
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console
from screen import Screen

from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.terminal import TerminalView


def open_view(width: int, height: int = 40) -> tuple[Screen, Console, TerminalView]:
    screen = Screen(width)
    console = Console(file=screen, force_terminal=True, width=width, height=height, highlight=False, _environ={})
    return screen, console, TerminalView(console, "maze:10x10")


def assert_one_panel(rows: list[str], width: int) -> None:
    assert rows[0].startswith("╭─ arl")
    assert (rows[-1][0], rows[-1][-1]) == ("╰", "╯")
    assert all(row.startswith("│") and row.endswith("│") for row in rows[1:-1])
    assert {cell_len(row) for row in rows} == {width}


@pytest.mark.parametrize("width", [20, 40, 60, 80, 110])
def test_panel_fits_every_width(make_snapshot, episodes, width):
    screen, _, view = open_view(width)
    view.update(make_snapshot(inference="central", inference_busy=0.5), episodes)
    assert_one_panel(screen.visible(), width)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_numbers_are_whole_from_60_columns_on(make_snapshot, episodes, width):
    screen, _, view = open_view(width)
    big = {"frames": 999_999_999, "frames_sampled": 10**9, "target_frames": 123_456_789_000, "slots_total": 1024}
    view.update(make_snapshot(**big, fps=1_234_567.0, policy_lag_max=100.0), episodes)
    text = "\n".join(screen.visible())
    assert "…" not in text
    parts = [
        "1000.0M/123.5G",
        "1.235M",
        "3/1024 full",
        "1.2 max 100",
        "93%",
        "79%",
        "2.000 ± 0.816",
        "success",
        "0.500",
    ]
    assert [part for part in parts if part not in text] == []
    assert "efficiency 74%  learner: larger batch_size, fewer epochs" in text


def test_panel_is_drawn_over_itself(make_snapshot, episodes):
    screen, _, view = open_view(80)
    for frames in (100_000, 200_000, 300_000):
        view.update(make_snapshot(frames=frames), episodes)
        assert_one_panel(screen.visible(), 80)
    assert "300,000/1M" in "\n".join(screen.visible())
    assert "100,000" not in "\n".join(screen.visible())


def test_unchanged_layout_is_not_erased_first(make_snapshot, episodes):
    screen, _, view = open_view(80)
    view.update(make_snapshot(), episodes)
    before = screen.tell()
    view.update(make_snapshot(frames=500_000), episodes)
    written = screen.getvalue()[before:]
    assert written.count("\x1b[2K") == 1  # the row of the cursor, below the panel
    assert len(re.findall(r"\x1b\[\d+A", written)) == 1


def test_cursor_is_never_hidden(make_snapshot, episodes):
    screen, _, view = open_view(80)
    view.update(make_snapshot(), episodes)
    view.close("done")
    assert "\x1b[?25" not in screen.getvalue()


def test_messages_stay_above(make_snapshot, episodes):
    screen, console, view = open_view(60)
    view.message("before [bold]the[/bold] first update")
    view.update(make_snapshot(), episodes)
    view.message("worker 3\x1b[2J is late")
    console.print("printed by a user")
    view.update(make_snapshot(), episodes)
    rows = screen.visible()
    assert rows[:3] == ["before [bold]the[/bold] first update", "worker 3 is late", "printed by a user"]
    assert_one_panel(rows[3:], 60)


def test_long_message_is_broken_by_the_terminal_only(make_snapshot, episodes):
    screen, _, view = open_view(60)
    view.update(make_snapshot(), episodes)
    view.message("x" * 150)
    rows = screen.visible()
    assert rows[:3] == ["x" * 60, "x" * 60, "x" * 30]
    assert_one_panel(rows[3:], 60)


def test_panel_that_grows_and_shrinks_leaves_nothing(make_snapshot, episodes):
    screen, _, view = open_view(60)
    view.message("above")
    central = make_snapshot(inference="central", inference_busy=0.5)
    for snapshot, statistics in [
        (make_snapshot(), EpisodeStatistics(3)),
        (central, episodes),
        (make_snapshot(dropped_frames={}), EpisodeStatistics(3)),
    ]:
        view.update(snapshot, statistics)
        assert screen.visible()[0] == "above"
        assert_one_panel(screen.visible()[1:], 60)


def test_resizing_leaves_one_panel(make_snapshot, episodes):
    screen, console, view = open_view(80)
    view.message("above")
    view.update(make_snapshot(), episodes)
    for width in (60, 33, 100, 59, 80):
        screen.resize(width)
        console.width = width
        view.update(make_snapshot(), episodes)
        assert screen.visible()[0] == "above"
        assert_one_panel(screen.visible()[1:], width)


def test_low_terminal_shows_the_first_rows(make_snapshot, episodes):
    screen, _, view = open_view(80, height=5)
    view.update(make_snapshot(), episodes)
    view.update(make_snapshot(), episodes)
    assert len(screen.visible()) == 4


def test_close_leaves_a_clean_final_line(make_snapshot, episodes):
    screen, console, view = open_view(80)
    view.message("above")
    view.update(make_snapshot(), episodes)
    screen.write("^C")
    view.close("done: 1,000,000 frames")
    view.close("done again")
    console.print("next")
    view.update(make_snapshot(), episodes)
    assert screen.visible() == ["above", "done: 1,000,000 frames", "next"]
    assert screen.column == 0


def test_close_before_the_first_update(make_snapshot):
    screen, _, view = open_view(80)
    view.close("stopped")
    assert screen.visible() == ["stopped"]


def test_prints_of_this_process_appear_above_until_close(make_snapshot, episodes, monkeypatch):
    screen = Screen(60)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    pipe = sys.stderr
    view = TerminalView(Console(force_terminal=True, width=60, height=40, _environ={}), "maze")
    assert sys.stderr is pipe  # goes elsewhere: left alone
    view.update(make_snapshot(), episodes)
    print("a whole line")
    print("no line end", end="")
    view.close("done")
    print("after")
    assert sys.stdout is screen
    assert screen.visible() == ["a whole line", "no line end", "done", "after"]


def test_terminal_without_unicode(make_snapshot, episodes):
    class AsciiScreen(Screen):
        encoding = "ascii"

    screen = AsciiScreen(60)
    view = TerminalView(Console(file=screen, force_terminal=True, width=60, height=40, _environ={}), "maze · appo")
    for _ in range(3):
        view.update(make_snapshot(), episodes)
    assert screen.getvalue().isascii()
    assert "maze \\xb7 appo" in screen.visible()[0]
    assert "#######-  93%" in "\n".join(screen.visible())


def test_run_without_target_or_episodes(make_snapshot):
    screen, _, view = open_view(60)
    view.update(make_snapshot(target_frames=0, fps=0.0), EpisodeStatistics(3))
    text = "\n".join(screen.visible())
    assert "11s elapsed, no target" in text
    assert "no episode has ended yet" in text
    assert "starting: no frame trained yet" in text
