"""Training state on disk, at any step: written whole or not at all, and read without running pickled code."""

from __future__ import annotations

import io
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import ndiff
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .disk import reason, write
from .errors import UserError

FORM = 2
"""Of the file; it is raised with what the file holds."""
KEPT = frozenset({"about", "parts", "place", "random"})
"""What the file has of each training."""
FIX = "remove the file to begin again, or name another one"


@dataclass(frozen=True)
class Place:
    """Where a training is: whole epochs, batches of the next one, and the order of its samples where it has begun."""

    epoch: int = 0
    batch: int = 0
    order: Tensor | None = None


@dataclass
class Checkpoint:
    """A file with the state of one or more trainings, one behind the other.

    steps: saved every so many steps; 0: by time alone.   minutes: saved when so many have gone by since the last time.
    Raises UserError for a file that is no checkpoint.
    """

    path: Path
    steps: int = 0
    minutes: float = 5.0
    _stages: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._stages = _read(self.path)

    def stage(self, name: str = "training") -> Stage:
        """One training of those in the file."""
        return Stage(self, name)


@dataclass
class Stage:
    """One training in a checkpoint. `parts` are what has a `state_dict`, by name; `about` is plain data that must be
    the same for the training to go on."""

    checkpoint: Checkpoint
    name: str
    _saved: float = field(default_factory=time.monotonic)

    def restore(self, parts: Mapping[str, Any], about: Mapping[str, Any]) -> Place:
        """Bring every part and the random numbers back, and return the place; the beginning where nothing is kept.

        Raises UserError for the state of another training.
        """
        held = self.checkpoint._stages.get(self.name)
        if held is None:
            return Place()
        changed = [_changed(key, held["about"].get(key), value) for key, value in about.items()]
        if any(changed):
            raise self._unfit(", ".join(filter(None, changed)))
        try:
            for name, part in parts.items():
                if name in held["parts"]:
                    part.load_state_dict(held["parts"][name])
            _set_random(held["random"])
            return Place(*held["place"])
        except (KeyError, ValueError, RuntimeError, TypeError, UserError) as error:
            raise self._unfit(str(error)) from None

    @property
    def begun(self) -> bool:
        """Whether the file holds something of this training."""
        return self.name in self.checkpoint._stages

    def due(self, step: int) -> bool:
        """Whether it is time to save, after that step."""
        every, minutes = self.checkpoint.steps, self.checkpoint.minutes
        return bool(every and step % every == 0) or time.monotonic() - self._saved >= 60 * minutes

    def save(self, parts: Mapping[str, Any], about: Mapping[str, Any], place: Place) -> None:
        """Write the file anew, with the present state of every part. Raises UserError where that is not possible."""
        self.checkpoint._stages[self.name] = {
            "about": dict(about),
            "parts": {name: part.state_dict() for name, part in parts.items()},
            "place": (place.epoch, place.batch, place.order),
            "random": _random(),
        }
        data = io.BytesIO()
        torch.save({"form": FORM, "stages": self.checkpoint._stages}, data)
        write(self.checkpoint.path, data.getvalue())
        self._saved = time.monotonic()

    def close(self, parts: Mapping[str, Any], about: Mapping[str, Any], place: Place) -> None:
        """Save a training that is over: the module without what only its training needed."""
        self.save({"module": parts["module"]}, about, place)
        self.checkpoint._stages[self.name]["parts"]["module"] = {
            name: tensor.clone() for name, tensor in parts["module"].state_dict().items()
        }  # it goes into later saves as it is now

    def _unfit(self, why: str) -> UserError:
        what = "the checkpoint does not fit this training"
        return UserError(what, where=str(self.checkpoint.path), why=why, fix=f"use the same settings; {FIX}")


def _changed(key: str, there: Any, here: Any) -> str:
    """How a setting differs, nothing where it does not; of a recipe, or another long text, the lines that differ."""
    if there == here:
        return ""
    if isinstance(there, str) and isinstance(here, str) and "\n" in there:
        lines = list(ndiff(there.splitlines(), here.splitlines()))
        there, here = ([line[2:].strip() for line in lines if line[0] == side] for side in "-+")
    return f"{key} {there!r} there, {here!r} here"


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        held = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
        why = _wrong(held)
    except OSError as error:
        why = reason(error)
    except Exception:  # torch raises whatever comes, and advises to run what lies in the file
        why = "torch cannot read it"
    if why:
        raise UserError("the file is no checkpoint of lowbit", where=str(path), why=why, fix=FIX)
    return dict(held["stages"])


def _wrong(held: Any) -> str:
    """Why what was read is no checkpoint; nothing if it is one."""
    if not isinstance(held, dict) or not held.keys() >= {"form", "stages"}:
        return "it holds something else"
    if held["form"] != FORM:
        return f"it has the form {held['form']}, and this lowbit reads {FORM}"
    stages = held["stages"].values() if isinstance(held["stages"], dict) else [None]
    whole = all(isinstance(stage, dict) and stage.keys() == KEPT for stage in stages)
    return "" if whole else "a part of it is missing"


def _random() -> dict[str, Any]:
    """The random numbers of torch, numpy and Python: datasets draw from any of them."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    numpy = (kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest)
    return {"torch": torch.get_rng_state(), "cuda": cuda, "numpy": numpy, "python": random.getstate()}


def _set_random(held: Mapping[str, Any]) -> None:
    kind, keys, *rest = held["numpy"]
    torch.set_rng_state(held["torch"])
    if held["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(held["cuda"])
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    random.setstate(held["python"])


@contextmanager
def held_back(active: bool) -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C back until a step is whole: what is yielded tells whether it came. A second one is not held back."""
    came: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if not active or before is None or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)
