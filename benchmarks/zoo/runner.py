"""Runs rows in worker processes: a crash or a hang costs one row; results are kept a line each as they come."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Result = dict[str, Any]
TIMEOUT = 180.0
"""Seconds that one row may take before its worker is ended."""
_ROWS_A_WORKER = 25  # memory of a long-lived process grows with what torch caches


class Worker:
    """A subprocess that measures rows one after another. log: where it says what no row is to blame for."""

    def __init__(self, log: Path) -> None:
        self._rows, self._log = 0, log
        self._process: subprocess.Popen[str] | None = None

    def measure(self, name: str, timed: bool) -> Result:
        if self._process is None or self._rows >= _ROWS_A_WORKER:
            self.close()
            self._process, self._rows = _started(self._log), 0
        self._rows += 1
        process, began = self._process, time.monotonic()
        line, ready = self._asked(process, json.dumps({"name": name, "timed": timed}))
        if line:
            found: Result = json.loads(line)
            return found
        self.close(patience=5 if ready else 0)
        spent = time.monotonic() - began
        what = f"no answer after {spent:.0f} s" if not ready else f"the process ended with code {process.returncode}"
        return {"name": name, "outcome": "timeout" if not ready else "crashed", "what": what, "wall": spent}

    def _asked(self, process: subprocess.Popen[str], request: str) -> tuple[str, bool]:
        """The answer, empty from a dead worker, and whether there was an end within the time."""
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(request + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return "", True
        ready, _, _ = select.select([process.stdout], [], [], TIMEOUT)
        return (process.stdout.readline() if ready else ""), bool(ready)

    def close(self, patience: float = 0) -> None:
        """End the process; one that is ending by itself is given so many seconds to say with which code."""
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
            self._process.kill()
            self._process.communicate()
        self._process = None


def _started(log: Path) -> subprocess.Popen[str]:
    here = Path(__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(here), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "zoo.worker"]
    with log.open("a", encoding="utf-8") as errors:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, cwd=here
        )


def run(names: Sequence[str], file: Path, jobs: int, timed: bool, again: bool, say: Callable[[str], None]) -> None:
    """Measure the rows, unless `again` those that the file does not hold yet, and append each result to it."""
    done = set() if again else {result["name"] for result in results(file)}
    todo = [name for name in names if name not in done]
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and not file.read_text(encoding="utf-8").endswith("\n"):
        _append(file, "")  # the end of a line that was cut
    queue, count, began = iter(todo), iter(range(1, len(todo) + 1)), time.monotonic()

    def work() -> None:
        worker = Worker(file.with_name("worker.log"))
        for name in queue:
            result = worker.measure(name, timed)
            _append(file, json.dumps(result))
            say(f"[{next(count)}/{len(todo)} {time.monotonic() - began:5.0f} s] {line(result)}")
        worker.close()

    with ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(work) for _ in range(jobs)]:
            future.result()


def _append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8") as out:
        out.write(text + "\n")


def results(file: Path) -> Iterator[Result]:
    """The results that a file holds; the last line of a run that was stopped may be cut."""
    for text in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            continue


def line(result: Result) -> str:
    """A result in one line."""
    worst = {k: v for part in ("equal", "other batch") for k, v in result.get(part, {}).items() if v > 1e-5}
    seconds = result.get("seconds", {})
    ratio = (
        f" {seconds['capture'] / seconds['export']:.2f}x {seconds['verified'] / seconds['export']:.2f}x"
        if seconds
        else ""
    )
    shown = " ".join(f"{name} {value:.1e}" for name, value in worst.items())
    told = {**result.get("refusal", {}), **result}
    said = " | ".join(filter(None, (told.get(k, "") for k in ("what", "where", "why", "static"))))
    return f"{result['name']}: {result['outcome']}{ratio} {result.get('nodes', '')} {shown}{said}".rstrip()
