"""The screen: tables, text, progress and errors. The only file that knows what a terminal is."""

from __future__ import annotations

import json
import shlex
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..compiler.errors import Broken, LowbitError
from ..compiler.meter import listening

PATIENCE = 2.0
"""Seconds of work before any progress is shown."""
OFTEN = 0.1
"""Seconds between two looks at work that tells more often than a bar is drawn."""
PAUSE = 5.0
"""Seconds between two lines of progress where there is no terminal."""
WIDE = 10_000
"""Columns where there is no terminal, so that nothing is wrapped that a program might read."""


@dataclass
class Screen:
    """Results go to stdout; progress and errors to stderr.   color: False for none.   trace: show Python tracebacks."""

    color: bool = True
    trace: bool = False

    def text(self, text: str) -> None:
        """Write text as it is."""
        sys.stdout.write(f"{text}\n")

    def json(self, value: Any) -> None:
        """Write plain data as JSON."""
        self.text(json.dumps(value, indent=2, ensure_ascii=False))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
        """Write rows under their columns, with whole numbers to the right."""
        table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
        for place, column in enumerate(columns):
            number = bool(rows) and all(isinstance(row[place], int) for row in rows)
            table.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in rows:
            table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
        console = self._console(sys.stdout)
        with console.capture() as captured:
            console.print(*([Text(title, "bold")] if title else []), table, sep="\n")
        lines = [line.rstrip() for line in captured.get().splitlines()]
        sys.stdout.write("\n".join(lines) + "\n")

    @contextmanager
    def work(self) -> Iterator[Work]:
        """Progress of long work, which the caller reports to the `Work` handed out, and passes by themselves."""
        work = Work(self._console(sys.stderr))
        try:
            with listening(work.hear):
                yield work
        finally:
            work.close()

    def failure(self, error: BaseException) -> None:
        """Draw an error on one screen: what lowbit says of it, or for a bug of lowbit itself how to report it."""
        console = self._console(sys.stderr)
        if self.trace:
            sys.stderr.write("".join(traceback.format_exception(error)))
        drawn = str(error) if isinstance(error, LowbitError) else _bug(error)
        what, *rest = drawn.split("\n")
        console.print(Text(what, "bold red"), soft_wrap=True)
        rest += [_report()] if isinstance(error, Broken) or not isinstance(error, LowbitError) else []
        console.print(Text("\n".join(rest)), soft_wrap=True, end="\n" if rest else "")

    def notice(self, text: str) -> None:
        """One line on stderr."""
        self._console(sys.stderr).print(Text(text), soft_wrap=True)

    def _console(self, file: TextIO) -> Console:
        width = None if file.isatty() else WIDE
        return Console(file=file, width=width, no_color=True if not self.color else None, markup=False, highlight=False)


class Work:
    """A bar on a terminal, a line now and then elsewhere; nothing at all for work under two seconds."""

    def __init__(self, console: Console) -> None:
        self._console, self._due = console, time.monotonic() + PATIENCE
        self._stage, self._bar = "", _bar(console)
        self._task = self._bar.add_task("", total=None, note="")
        self._heard, self._next = "", 0.0
        self._begin = threading.Timer(PATIENCE, self._bar.start)  # work that tells nothing more is shown too
        if console.is_terminal:
            self._begin.daemon = True
            self._begin.start()

    def __call__(self, stage: str, done: int = 0, total: int = 0, note: str = "") -> None:
        """Tell what is going on, and how far it is where that is known."""
        if self._console.is_terminal:
            self._bar.update(self._task, description=stage, completed=done, total=total or None, note=note)
        elif time.monotonic() >= self._due and (stage != self._stage or done):
            self._say(stage, done, total, note)

    def hear(self, stage: str, done: int, total: int) -> None:
        """Be told of every step of a pass, which is for a bar alone, and of few of them."""
        now = time.monotonic()
        if self._console.is_terminal and (stage != self._heard or now >= self._next):
            self._heard, self._next = stage, now + OFTEN
            self(stage, done, total)

    @property
    def tasks(self) -> list[Task]:
        """What the bar shows, or would show: one task."""
        return self._bar.tasks

    def close(self) -> None:
        """Take the bar away."""
        if self._begin.is_alive():
            self._begin.cancel()
            self._begin.join()
        if self._bar.live.is_started:  # stopping one that is not would print an empty line
            self._bar.stop()

    def _say(self, stage: str, done: int, total: int, note: str) -> None:
        place = f" {done}/{total}" if total else ""
        self._console.print(Text(f"{stage}{place}  {note}".rstrip()), soft_wrap=True)
        self._stage, self._due = stage, time.monotonic() + PAUSE


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    return Progress(*columns, console=console, transient=True)


def _bug(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f"\n  at   {frame.filename}:{frame.lineno}, in {frame.name}" for frame in last)
    return f"lowbit has a bug: {type(error).__name__}: {error}{place}"


def _report() -> str:
    again = shlex.join(["lowbit", "--traceback", *sys.argv[1:]])
    return f"  bug  please report it, with what this prints: {again}"
