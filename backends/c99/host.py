"""A unit in this process: C with its constants left out, compiled, called on batches, and looked into."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from ...compiler.arrays import Floats, Integers
from ..fixed.macs import macs
from ..fixed.program import Program
from ..target import Watch
from . import compiler
from .batches import batches, numbers
from .schedule import ARENA
from .tensors import Tensor
from .text import source
from .threads import shared
from .unit import Unit


@dataclass(frozen=True, eq=False)
class Hosted:
    """A unit that runs here. constants: the arrays that its functions read.

    Threads may call it at once: the arena, and the pointers to constants, are each thread's own.
    """

    unit: Unit
    library: ctypes.CDLL
    constants: tuple[np.ndarray[Any, Any], ...]

    def __call__(self, inputs: Sequence[Integers]) -> list[Integers]:
        """The outputs for int64 inputs, batch first."""
        given = [self._array(port.value, x) for port, x in zip(self._program.inputs, inputs, strict=True)]
        samples = len(inputs[0])
        taken = [self._array(port.value, samples) for port in self._program.outputs]
        self._run(self._batch, samples, [*given, *taken])
        return [array.astype(np.int64) for array in taken]

    def real(self, inputs: Sequence[np.ndarray[Any, Any]]) -> list[Floats] | None:
        """The float32 outputs for real inputs, batch first, as `Compiled` computes them.

        None for inputs that it refuses, or where float32 is too narrow for a grid: it then goes step by step.
        """
        entries, exits = self._shapes
        if self._real is None or len(inputs) != len(entries) or not inputs or not inputs[0].ndim:
            return None
        samples = len(inputs[0])
        for x, shape in zip(inputs, entries, strict=True):
            if x.shape != (samples, *shape) or x.dtype.kind not in "fiub":
                return None
        given = [np.ascontiguousarray(x, np.float32) for x in inputs]
        taken: list[Floats] = [np.empty((samples, *shape), np.float32) for shape in exits]
        return taken if self._run(self._real, samples, [*given, *taken]) else None

    def watched(self, inputs: Sequence[Integers], watch: Watch) -> None:
        """Tell `watch` each value that a step computes, in order. For a unit that is whole."""
        given = [self._array(port.value, x) for port, x in zip(self._program.inputs, inputs, strict=True)]
        made = [step.output for step in self._program.steps]
        kept = {value: self._array(value, len(inputs[0])) for value in made}
        scraps = [self._array(port.value, 1) for port in self._program.outputs]
        for sample in range(len(inputs[0])):
            one = [array[sample : sample + 1] for array in given]
            self._run(self._batch, 1, [*one, *scraps])
            for value, array in kept.items():
                array[sample] = self._look(value, one)
        for value in made:
            watch(value, kept[value].astype(np.int64))

    @cached_property
    def _batch(self) -> Callable[..., int | None]:
        return self._function("batch", self._where)

    @cached_property
    def _real(self) -> Callable[..., int | None] | None:
        """None where float32 is too narrow."""
        ends = numbers(self._program)
        return None if ends is None else self._function("real", self._where, (ctypes.c_double * len(ends))(*ends))

    @cached_property
    def _where(self) -> Any:
        """The pointers to the constants."""
        places = [_address(array) for array in self.constants]
        return (ctypes.c_void_p * max(len(places), 1))(*places)

    def _function(self, name: str, *first: Any) -> Callable[..., int | None]:
        """What it is given first, always the same, is left out."""
        function = self.library[f"{self.unit.name}_{name}"]
        ports = len(self._program.inputs) + len(self._program.outputs)
        function.restype = ctypes.c_int if name == "real" else None
        function.argtypes = (*[ctypes.c_void_p] * len(first), ctypes.c_int64, *[ctypes.c_void_p] * ports)
        return partial(function, *first)

    @cached_property
    def _shapes(self) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Of a sample of each input, and of each output."""
        values, ports = self._program.values, (self._program.inputs, self._program.outputs)
        entries, exits = ([values[port.value].shape for port in side] for side in ports)
        return entries, exits

    @cached_property
    def _work(self) -> int:
        """Multiply-accumulates for a sample, and elements."""
        made = sum(math.prod(self._program.values[step.output].shape) for step in self._program.steps)
        return made + sum(macs(self._program, step) for step in self._program.steps)

    @property
    def _program(self) -> Program:
        return self.unit.schedule.program

    def _array(self, value: int, content: Integers | int) -> np.ndarray[Any, Any]:
        """An array as C sees it: with that content, or empty for that many samples."""
        dtype = self.unit.schedule.values[value].type.dtype
        if isinstance(content, int):
            return np.empty((content, *self._program.values[value].shape), dtype)
        return np.ascontiguousarray(content, dtype)

    def _run(self, function: Callable[..., int | None], samples: int, arrays: Sequence[np.ndarray[Any, Any]]) -> bool:
        """Whether each sample is done, by one thread or another."""
        places = [_address(array) for array in arrays]

        def part(first: int, last: int) -> int | None:
            begins = [at + first * array.strides[0] for at, array in zip(places, arrays, strict=True)]
            return function(last - first, *begins)

        return not any(shared(samples, self._work, part))

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
    library = compiler.library(text, compiler.FAST if flags is None else flags)
    return [Hosted(each, library, tuple(_stored(table) for table in each.constants().values())) for each in units]


def _address(array: np.ndarray[Any, Any]) -> int:
    """Of the first element. numpy takes four times as long to tell, a tenth of a call of a small network."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]  # it has a buffer
    except (TypeError, ValueError):  # what may not be written, or is empty
        place: int = array.__array_interface__["data"][0]
        return place


def _stored(table: Any) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(table.data, table.type.dtype)


def _text(each: Unit) -> str:
    arena = any(memory.arena.size for memory in each.memories.values())
    memory = f"void *{each.name}_memory(void)\n{{\n    return {each.name}_arena.bytes;\n}}" if arena else ""
    return "\n".join([source(each, outside=True), memory, batches(each), ""])


def _arranged(raw: np.ndarray[Any, Any], tensor: Tensor) -> Integers:
    """The elements in the program's order of axes."""
    strides = [raw.itemsize * step for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(raw, tensor.shape, strides)
