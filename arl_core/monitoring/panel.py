"""The live view's contents: from a snapshot to lines that fit a width."""

from __future__ import annotations

from rich import box
from rich.console import Group, OverflowMethod
from rich.panel import Panel
from rich.text import Text

from arl_core.monitoring.bottleneck import bottleneck
from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.formats import count, duration, number, printable, short
from arl_core.monitoring.history import History
from arl_core.monitoring.snapshot import Snapshot

MAX_WIDTH = 110
_MAX_METRICS = 6
_GAUGE_WIDTH = 8
_CELL_MIN = 24
_GAP = 2
_LABEL_WIDTH = 10
_SPARK_COLUMN = 38  # where the curve of the return begins
_LABEL, _VALUE, _FAINT, _BAR, _FULL, _SPARK = "dim", "bold", "dim", "cyan", "yellow", "green"

Cell = tuple[str, Text]


def build_panel(
    title: str, snapshot: Snapshot, episodes: EpisodeStatistics, returns: History, width: int, ascii_only: bool
) -> Panel:
    """The whole view, at most `MAX_WIDTH` columns wide."""
    width = min(width, MAX_WIDTH)
    inner = width - 4
    lines = [
        _progress_line(snapshot, inner, ascii_only),
        _return_line(episodes, returns, inner, ascii_only),
        *_grid(_cells(snapshot, episodes, ascii_only), inner, ascii_only),
        *_grid(_metric_cells(episodes), inner, ascii_only),
        _bottleneck_line(snapshot),
    ]
    for line in lines:
        line.no_wrap = True
        line.truncate(max(inner, 1), overflow=_overflow(ascii_only))
    return Panel(
        Group(*lines),
        title=Text.assemble(("arl ", "bold cyan"), (title, "bold")),
        title_align="left",
        subtitle=Text(f"{snapshot.inference} inference", "dim"),
        subtitle_align="right",
        box=box.ROUNDED,
        border_style="dim",
        width=width,
    )


def _overflow(ascii_only: bool) -> OverflowMethod:
    return "crop" if ascii_only else "ellipsis"


def _bar(fraction: float, width: int, style: str, ascii_only: bool) -> Text:
    """Full and empty parts differ in shape too, for terminals without colours."""
    full, empty = "#-" if ascii_only else "━─"
    cells = round(min(max(fraction, 0.0), 1.0) * width)
    return Text.assemble((full * cells, style), (empty * (width - cells), _FAINT))


def _progress_line(snapshot: Snapshot, width: int, ascii_only: bool) -> Text:
    progress, left = snapshot.progress, snapshot.seconds_left
    elapsed = duration(snapshot.seconds)
    if progress is None:
        return Text.assemble((elapsed, _VALUE), (" elapsed, no target", _LABEL))
    remaining = "--" if left is None else duration(left)
    # Fixed widths, so that the bar does not breathe while the numbers change.
    tail = Text.assemble(
        (f"{int(progress * 1000) / 10:6.1f}%", _VALUE),
        (f"{elapsed:>9}", _LABEL),
        (f"{remaining:>9}", _VALUE),
        (" left", _LABEL),
    )
    return _bar(progress, max(width - len(tail), 4), _BAR, ascii_only) + tail


def _return_line(episodes: EpisodeStatistics, returns: History, width: int, ascii_only: bool) -> Text:
    mean, std, best = episodes.return_mean, episodes.return_std, episodes.best_return_mean
    line = Text.assemble(("return".ljust(_LABEL_WIDTH), _LABEL))
    if mean is None:
        return line + Text("no episode has ended yet", _FAINT)
    line.append(number(mean), _VALUE)
    line.append(f" {'+-' if ascii_only else '±'} {number(std)}", _LABEL)
    if best is not None:
        line.append("  best ", _LABEL)
        line.append(number(best))
    line.append(" " * max(_SPARK_COLUMN - len(line), 2))
    line.append(returns.sparkline(width - len(line), ascii_only), _SPARK)
    return line


def _cells(snapshot: Snapshot, episodes: EpisodeStatistics, ascii_only: bool) -> list[Cell]:
    frames = Text(count(snapshot.frames), _VALUE)
    if snapshot.target_frames > 0:
        frames.append(f"/{short(snapshot.target_frames)}", _LABEL)
    lag = Text(f"{snapshot.policy_lag_mean:.1f}", _VALUE)
    lag.append(f" max {snapshot.policy_lag_max:.0f}", _LABEL)
    slots = Text(f"{snapshot.slots_full}", _VALUE)
    slots.append(f"/{snapshot.slots_total} full", _LABEL)
    cells = [
        ("frames", frames),
        ("fps", Text(count(snapshot.fps), _VALUE)),
        ("episodes", Text(count(episodes.total))),
        ("length", Text("-" if episodes.length_mean is None else f"{episodes.length_mean:,.1f}")),
        ("lag", lag),
        ("slots", slots),
        ("learner", _gauge(snapshot.learner_busy, ascii_only)),
        ("workers", _gauge(1.0 - snapshot.sampler_waiting, ascii_only)),
    ]
    if snapshot.inference_busy is not None:
        cells.append(("inference", _gauge(snapshot.inference_busy, ascii_only)))
    dropped = sum(snapshot.dropped_frames.values())
    if dropped:
        cells.append(("dropped", Text(f"{dropped / max(snapshot.frames_sampled, 1):.1%}", "yellow")))
    return cells


def _metric_cells(episodes: EpisodeStatistics) -> list[Cell]:
    return [(printable(key), Text(number(mean))) for key, mean in list(episodes.metric_means.items())[:_MAX_METRICS]]


def _gauge(fraction: float, ascii_only: bool) -> Text:
    """How busy a part is; one that sets the pace stands out."""
    bar = _bar(fraction, _GAUGE_WIDTH, _FULL if fraction > 0.9 else _BAR, ascii_only)
    return bar + Text(f" {fraction:4.0%}")


def _grid(cells: list[Cell], width: int, ascii_only: bool) -> list[Text]:
    """Cells row by row in as many columns as fit, labels and values aligned in each column."""
    overflow = _overflow(ascii_only)
    columns = max(1, min(3, (width + _GAP) // (_CELL_MIN + _GAP)))
    cell_width = (width - _GAP * (columns - 1)) // columns
    label_widths = [  # with the space after them; a long name leaves room for a number
        min(max([_LABEL_WIDTH, *(len(label) + 1 for label, _ in cells[column::columns])]), max(cell_width - 8, 8))
        for column in range(columns)
    ]
    rows = []
    for start in range(0, len(cells), columns):
        row = Text()
        for column, (label, value) in enumerate(cells[start : start + columns]):
            name = Text(label, _LABEL)
            name.truncate(label_widths[column] - 1, overflow=overflow)
            name.pad_right(label_widths[column] - len(name))
            value.truncate(max(cell_width - label_widths[column], 1), overflow=overflow, pad=True)
            row += name + value + Text(" " * _GAP)
        row.rstrip()
        rows.append(row)
    return rows


def _bottleneck_line(snapshot: Snapshot) -> Text:
    part, _, advice = bottleneck(snapshot).partition(": ")
    style = "bold green" if part == "balanced" else "bold" if part == "starting" else "bold yellow"
    known = "--" if snapshot.efficiency is None else f"{snapshot.efficiency:.0%}"
    return Text.assemble(("efficiency ", _LABEL), (f"{known:<5}", _VALUE), (part, style), (f": {advice}", _LABEL))
