"""What the terminal shows while songs are separated: a bar for each, and a line when it is done."""

from __future__ import annotations

import sys
import time
from collections import Counter
from math import ceil
from pathlib import PurePath
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
)
from rich.progress import Task as Bar
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    from unbraid.planning import Result, Task

SECONDS_BETWEEN_LINES = 10.0  # where there is no terminal


def clock(seconds: float) -> str:
    """Whole seconds as m:ss, or h:mm:ss from one hour up."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minutes}:{second:02}"


class _PaceColumn(ProgressColumn):
    """Time left, and speed relative to real time: a bar counts seconds of the song."""

    def render(self, task: Bar) -> Text:
        if not (task.completed and task.elapsed and task.total):
            return Text(" " * 15)
        speed = task.completed / task.elapsed
        left = clock(ceil((task.total - task.completed) / speed))
        return Text(f"{left:>7} {speed:6.1f}x", style="progress.data.speed")


class Display:
    """Bars in a terminal, plain lines elsewhere; failures go to standard error.

    Args:
        count: number of songs that will be separated; None if it is not known yet.
    """

    def __init__(self, count: int | None) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._live = self._console.is_interactive
        self._bars = Progress(
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(ratio=2, no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            TaskProgressColumn(),
            _PaceColumn(),
            console=self._console,
            transient=True,
            disable=not self._live,
            redirect_stderr=sys.stderr is not None and sys.stderr.isatty(),
            expand=True,
        )
        self._bar_of: dict[PurePath, TaskID] = {}
        self._count = count
        self._begun = 0
        self._last_line = 0.0
        self._tally: Counter[str] = Counter()

    def __enter__(self) -> Display:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()
        if kind is KeyboardInterrupt:
            print("cancelled", file=sys.stderr)
        elif kind is None and self._tally.total() > 1:
            statuses = ("done", "skipped", "failed")
            counts = (f"{self._tally[status]} {status}" for status in statuses)
            self._console.print(f"{self._tally.total()} songs: {', '.join(counts)}")

    def progress(self, task: Task, fraction: float) -> None:
        """Shows how much of a song is done, from 0 to 1."""
        path = task.song.path
        self._last_line = self._last_line or time.monotonic()  # to load the model does not count
        if self._live:
            if path not in self._bar_of:
                self._bar_of[path] = self._bars.add_task(
                    self._place() + path.name, total=task.duration
                )
            self._bars.update(self._bar_of[path], completed=fraction * (task.duration or 0.0))
        elif time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._line(f"{path}: {fraction:.0%}")

    def result(self, result: Result) -> None:
        """Shows what became of a song, in one line."""
        path = result.song.path
        if path in self._bar_of:
            self._bars.remove_task(self._bar_of.pop(path))
        self._tally[result.status] += 1
        if result.error is not None:
            named = result.error.startswith(f"{path}:")
            print("error:", result.error if named else f"{path}: {result.error}", file=sys.stderr)
            return
        places = {str(file.parent) for file in result.files.values()}
        line = f"{path} -> {', '.join(sorted(places))}"
        if result.status == "skipped":
            line += "  (there already)"
        else:
            speed = result.duration / max(result.elapsed, 1e-9)
            line += f"  {clock(result.duration)} in {clock(result.elapsed)}, {speed:.1f}x real time"
        self._line("; ".join((line, *result.warnings)))

    def _place(self) -> str:
        if self._count == 1:
            return ""
        self._begun += 1
        return f"{self._begun} " if self._count is None else f"{self._begun}/{self._count} "

    def _line(self, text: str) -> None:
        self._console.print(text)
        self._last_line = time.monotonic()
