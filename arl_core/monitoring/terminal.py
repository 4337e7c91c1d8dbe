"""The live view on a terminal: a panel that is drawn over itself, with messages above it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import IO

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.control import Control
from rich.file_proxy import FileProxy
from rich.segment import ControlType, Segment
from rich.text import Text

from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.formats import printable
from arl_core.monitoring.history import History
from arl_core.monitoring.live import LiveView, give_up
from arl_core.monitoring.panel import build_panel
from arl_core.monitoring.snapshot import Snapshot


class _Lines:
    """Rendered lines, each with a line end."""

    def __init__(self, lines: list[list[Segment]]) -> None:
        self.lines = lines
        self.width = Segment.get_line_length(lines[0]) if lines else 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            yield from line
            yield Segment.line()

    def rows_at(self, width: int) -> int:
        """Rows that the lines take in a terminal `width` columns wide, which breaks lines that were drawn wider."""
        return len(self.lines) * -(-self.width // width)


class TerminalView(LiveView, RenderHook):
    """A panel below everything that is printed.

    rich's own `Live` erases before it draws, hides the cursor and loses count of its rows when the window gets
    narrower. Here an unchanged layout is written over in place by a single write, the rows are counted anew for the
    width that the terminal has now, and the cursor rests, visible, below the panel: a killed run leaves a usable
    terminal.
    """

    def __init__(self, console: Console | None, title: str) -> None:
        self._console = console or Console(highlight=False)
        self._title = printable(title, self._console.encoding).replace("\n", " ")
        self._lock = threading.RLock()
        self._returns = History()
        self._state: tuple[Snapshot, EpisodeStatistics] | None = None
        self._drawn = _Lines([])
        self._closed = False
        self._lost = False
        self._replaced = _redirect_terminal_streams(self._console)
        self._console.push_render_hook(self)

    def update(self, snapshot: Snapshot, episodes: EpisodeStatistics) -> None:
        """Draw the panel anew."""
        with self._lock:
            if self._closed:
                return
            self._state = (snapshot, episodes)
            if episodes.return_mean is not None:
                self._returns.add(episodes.return_mean)
            self._write(lambda: self._console.print(Control()))

    def message(self, text: str) -> None:
        """Print text above the panel."""
        self._write(lambda: self._console.print(Text(printable(text, self._console.encoding)), soft_wrap=True))

    def close(self, final: str) -> None:
        """Take the panel away, give back the streams, print the final line."""
        with self._lock:
            if self._closed:
                return
            _give_back_streams(self._replaced)
            self._closed = True
            self._write(lambda: self._console.control(self._rewind(erase=True)))
            self._console.pop_render_hook()
            if final:
                self.message(final)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """rich's hook into every print: back to the panel's top, what is printed, the panel."""
        with self._lock:
            if self._closed or self._state is None:
                return renderables
            lines = _Lines(self._render(*self._state))
            same_place = lines.width == self._drawn.width and len(lines.lines) == len(self._drawn.lines)
            only_panel = all(isinstance(item, Control) for item in renderables)
            start = self._rewind(erase=not (same_place and only_panel))
            self._drawn = lines
            return [start, *renderables, lines]

    def _write(self, action: Callable[[], None]) -> None:
        """Do it, unless the terminal has gone: a run that was started in it may stay."""
        if self._lost:
            return
        try:
            action()
        except OSError as error:
            self._lost = True
            give_up(self._console.file, error)

    def _render(self, snapshot: Snapshot, episodes: EpisodeStatistics) -> list[list[Segment]]:
        options = self._console.options
        panel = build_panel(self._title, snapshot, episodes, self._returns, options.max_width, options.ascii_only)
        lines = self._console.render_lines(panel, options.update(height=None), pad=False)
        # One row is the cursor's; a panel higher than the screen could not be drawn over.
        return lines[: max(self._console.height - 1, 1)]

    def _rewind(self, *, erase: bool) -> Control:
        rows = self._drawn.rows_at(self._console.width) if self._drawn.lines else 0
        return Control(*_to_top(rows, erase))


def _to_top(rows: int, erase: bool) -> Iterator[ControlType | tuple[ControlType, int]]:
    # The cursor's own row may hold what was typed, such as ^C.
    yield ControlType.CARRIAGE_RETURN
    yield (ControlType.ERASE_IN_LINE, 2)
    if erase:
        for _ in range(rows):
            yield (ControlType.CURSOR_UP, 1)
            yield (ControlType.ERASE_IN_LINE, 2)
    elif rows:
        yield (ControlType.CURSOR_UP, rows)


def _redirect_terminal_streams(console: Console) -> dict[str, tuple[FileProxy, IO[str]]]:
    """Let what this process prints to a terminal appear above the panel; a stream that goes elsewhere is left alone."""
    replaced = {}
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, FileProxy) and stream.isatty():
            replaced[name] = (FileProxy(console, stream), stream)
            setattr(sys, name, replaced[name][0])
    return replaced


def _give_back_streams(replaced: dict[str, tuple[FileProxy, IO[str]]]) -> None:
    """Print what has no line end yet, and undo the redirection, unless somebody else has redirected since."""
    for name, (proxy, stream) in replaced.items():
        proxy.flush()
        if getattr(sys, name) is proxy:
            setattr(sys, name, stream)
