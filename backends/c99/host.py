"""A unit in this process: C with its constants left out, compiled, called on batches, and looked into."""

from __future__ import annotations

import ctypes
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ...compiler.arrays import Integers
from ..fixed.program import Program
from ..target import Watch
from . import compiler
from .schedule import ARENA
from .tensors import Tensor
from .text import source
from .unit import Unit

BATCH = """
$memory
void $name_batch(int64_t samples, const void *const *in, void *const *out)
{
    for (int64_t n = 0; n < samples; n++)
        $name_run($given);
}
"""


@dataclass
class _Shared:
    """What programs of one library share: its arena, and the constants that it points to."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    constants: object = None


_SHARED: defaultdict[str, _Shared] = defaultdict(_Shared)


@dataclass(frozen=True, eq=False)
class Hosted:
    """A unit that runs here. constants: the arrays that its functions read."""

    unit: Unit
    library: ctypes.CDLL
    constants: tuple[np.ndarray[Any, Any], ...]

    def __call__(self, inputs: Sequence[Integers]) -> list[Integers]:
        """The outputs for int64 inputs, batch first."""
        given = [self._array(port.value, x) for port, x in zip(self._program.inputs, inputs, strict=True)]
        samples = len(inputs[0])
        taken = [self._array(port.value, samples) for port in self._program.outputs]
        with self._shared.lock:
            self._run(samples, given, taken)
        return [array.astype(np.int64) for array in taken]

    def watched(self, inputs: Sequence[Integers], watch: Watch) -> None:
        """Tell `watch` each value that a step computes, in order. For a unit that is whole."""
        given = [self._array(port.value, x) for port, x in zip(self._program.inputs, inputs, strict=True)]
        made = [step.output for step in self._program.steps]
        kept = {value: self._array(value, len(inputs[0])) for value in made}
        scraps = [self._array(port.value, 1) for port in self._program.outputs]
        with self._shared.lock:
            for sample in range(len(inputs[0])):
                one = [array[sample : sample + 1] for array in given]
                self._run(1, one, scraps)
                for value, array in kept.items():
                    array[sample] = self._look(value, one)
        for value in made:
            watch(value, kept[value].astype(np.int64))

    @cached_property
    def _called(self) -> tuple[Any, Any, Any]:
        """What each run calls, looked up once, and the pointers to the constants."""
        name = self.unit.name
        batch = self.library[f"{name}_batch"]
        batch.argtypes, batch.restype = (ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p), None
        return self.library[f"{name}_constants"], batch, _pointers(self.constants)

    @property
    def _program(self) -> Program:
        return self.unit.schedule.program

    @cached_property
    def _shared(self) -> _Shared:
        return _SHARED[f"{self.library._name} {self.unit.name}"]

    def _array(self, value: int, content: Integers | int) -> np.ndarray[Any, Any]:
        """An array as C sees it: with that content, or empty for that many samples."""
        dtype = self.unit.schedule.values[value].type.dtype
        if isinstance(content, int):
            return np.empty((content, *self._program.values[value].shape), dtype)
        return np.ascontiguousarray(content, dtype)

    def _run(self, samples: int, given: Sequence[Any], taken: Sequence[Any]) -> None:
        constants, batch, where = self._called
        if self._shared.constants is not where:
            constants(where)
            self._shared.constants = where
        batch(samples, _pointers(given), _pointers(taken))

    def _look(self, value: int, inputs: Sequence[Any]) -> Integers:
        """A value of the last sample, from where it lies."""
        tensor = self.unit.schedule.values[value]
        buffer = self.unit.schedule.buffers[tensor.buffer]
        if buffer.where == ARENA:
            memory = self.library[f"{self.unit.name}_memory"]
            memory.restype = ctypes.c_void_p
            place = memory() + next(iter(self.unit.memories.values())).buffers[tensor.buffer]
            raw = np.frombuffer(ctypes.string_at(place, buffer.bytes), tensor.type.dtype)
        else:
            raw = inputs[buffer.port].reshape(-1)
        return _arranged(raw, tensor)


def hosted(units: Sequence[Unit], flags: Sequence[str] | None = None) -> list[Hosted]:
    """Those units, of different names, in one library. Raises Unsupported without a compiler."""
    text = "\n".join(map(_text, units))
    library = compiler.loaded(compiler.built(text, compiler.FAST if flags is None else flags))
    return [Hosted(each, library, tuple(_stored(table) for table in each.constants().values())) for each in units]


def _stored(table: Any) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(table.data, table.type.dtype)


def _text(each: Unit) -> str:
    ports = each.schedule.program
    given = [_moved(each, "in", i, port.value, "const ") for i, port in enumerate(ports.inputs)]
    taken = [_moved(each, "out", i, port.value, "") for i, port in enumerate(ports.outputs)]
    arena = any(memory.arena.size for memory in each.memories.values())
    memory = f"void *{each.name}_memory(void)\n{{\n    return {each.name}_arena.bytes;\n}}" if arena else ""
    text = BATCH.replace("$name", each.name).replace("$memory", memory).replace("$given", ", ".join(given + taken))
    return source(each, outside=True) + text


def _moved(each: Unit, side: str, number: int, value: int, const: str) -> str:
    """The pointer to sample n of an input or output."""
    tensor = each.schedule.values[value]
    return f"({const}{tensor.type.name} *){side}[{number}] + n * {tensor.elements}"


def _pointers(arrays: Sequence[Any]) -> Any:
    places = [array.__array_interface__["data"][0] for array in arrays]
    return (ctypes.c_void_p * max(len(places), 1))(*places)


def _arranged(raw: np.ndarray[Any, Any], tensor: Tensor) -> Integers:
    """The elements in the program's order of axes."""
    strides = [raw.itemsize * step for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(raw, tensor.shape, strides)
