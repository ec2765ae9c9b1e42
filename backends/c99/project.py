"""The files that `lowbit emit` writes: the program, its header, golden vectors, and what builds and tests them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

import numpy as np

from ...compiler.arrays import Integers
from ...compiler.errors import UserError
from ..fixed.macs import macs
from ..fixed.program import Port, Program
from ..target import targets
from .text import in_lines, signature, source
from .unit import Unit
from .variants import PORTABLE

PLAIN = ("Makefile", "CMakeLists.txt", "cortex_m.c", "cortex_m.ld")
TAKEN = {
    "cortex_m": "the emitted project, which has a file of that name",
    "rans": "the decoder of coded weights, whose functions begin so",
    **dict.fromkeys(("stdint", "stdio", "string", "immintrin"), "C, which has a header of that name"),
    **dict.fromkeys(("all", "clean", "help", "install", "test"), "make or CMake, which have a target of that name"),
}
"""Names that a program cannot have, and to whom they belong."""
FEW = 10**7
"""Multiply-accumulates up to which the interpreter computes the golden vectors; above, a target that equals it."""
HEAD = """\
/* @name@: an integer program of lowbit, in C99. No heap, no floating point, nothing but <stdint.h>.
 *
 * Every value is exact: all compilers and machines compute the same integers. `@name@_run` calls one function for each
 * layer, in order; what works element by element runs in the loops of the layer before it. The values lie in one static
 * arena, which they share: @arena@ bytes, where no less than @bound@ are held at one time.
 */
#include "@name@.h"
"""


def named(text: str) -> str:
    """A C identifier for a program of that name. Raises UserError where there is none."""
    name = re.sub(r"[^0-9a-zA-Z]+", "_", text).strip("_").lower()
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(f"'{text}' gives no name for C", fix="choose one with --name, such as --name net")
    if name in TAKEN:
        raise UserError(f"'{name}' means something else to {TAKEN[name]}", fix="choose another with --name")
    return name


def project(unit: Unit) -> dict[str, str]:
    """File name -> text."""
    name, arena = unit.name, unit.memories[PORTABLE].arena
    known = {"name": name, "NAME": name.upper(), "arena": str(arena.size), "bound": str(arena.bound)}
    found = {f"{name}.c": filled(HEAD, known) + "\n" + source(unit), f"{name}.h": _header(unit, known)}
    found[f"{name}_test.c"] = _test(unit, known)
    return found | {each: filled(_template(each), known) for each in PLAIN}


def filled(text: str, known: Mapping[str, str]) -> str:
    """The template with its @names@ filled in."""
    return re.sub(r"@(\w+)@", lambda match: known[match[1]], text)


def golden(program: Program) -> list[Integers]:
    """Inputs for golden vectors: the least integers, the greatest, and some of each kind between."""
    random = np.random.default_rng(0)
    drawn = []
    for port in program.inputs:
        value = program.values[port.value]
        lo, hi = value.range.lo, value.range.hi
        between = random.integers(lo, hi, (2, *value.shape), endpoint=True)
        between[0] = random.choice([lo, hi], value.shape)
        drawn.append(np.concatenate([np.full((1, *value.shape), end) for end in (lo, hi)] + [between]))
    return drawn


def _template(name: str) -> str:
    return files(f"{__package__}.templates").joinpath(name).read_text(encoding="utf-8")


def _header(unit: Unit, known: Mapping[str, str]) -> str:
    program = unit.schedule.program
    ends = [("in", i, port) for i, port in enumerate(program.inputs)]
    ends += [("out", i, port) for i, port in enumerate(program.outputs)]
    ports = "\n".join(f" *   {side}{i}: {_described(unit, port)}" for side, i, port in ends)
    defines = "\n\n".join(_defines(f"{unit.name.upper()}_{side.upper()}{i}", unit, port) for side, i, port in ends)
    more = {"ports": ports, "defines": defines, "signature": signature(unit)}
    return filled(_template("header.h"), {**known, **more})


def _described(unit: Unit, port: Port) -> str:
    tensor = unit.schedule.values[port.value]
    shape = " x ".join(map(str, tensor.shape)) or "1"
    return f"{shape} of {tensor.type.name}, row by row; one step is {port.scale:.9g}, {port.zero} is zero"


def _defines(name: str, unit: Unit, port: Port) -> str:
    value = unit.schedule.program.values[port.value]
    numbers = {
        "SIZE": unit.schedule.values[port.value].elements,
        "LOW": value.range.lo,
        "HIGH": value.range.hi,
        "MULTIPLIER": port.multiplier,
        "SHIFT": port.shift,
        "ZERO": port.zero,
    }
    return "\n".join(f"#define {name}_{key} ({number})" for key, number in numbers.items())


def _test(unit: Unit, known: Mapping[str, str]) -> str:
    program = unit.schedule.program
    inputs = golden(program)
    few = sum(macs(program, step) for step in program.steps) * len(inputs[0]) <= FEW
    outputs = targets()["interpreter" if few else "numpy"].run(program, inputs)
    vectors = [
        _vectors(unit, f"in{i}", port, x) for i, (port, x) in enumerate(zip(program.inputs, inputs, strict=True))
    ]
    vectors += [
        _vectors(unit, f"expected{i}", port, y)
        for i, (port, y) in enumerate(zip(program.outputs, outputs, strict=True))
    ]
    types = [unit.schedule.values[port.value] for port in program.outputs]
    given = [f"in{i}[n]" for i in range(len(inputs))] + [f"out{i}" for i in range(len(outputs))]
    more = {
        "samples": str(len(inputs[0])),
        "vectors": "\n\n".join(vectors),
        "buffers": "\n".join(f"static {t.type.name} out{i}[{t.elements}];" for i, t in enumerate(types)),
        "run": f"{unit.name}_run({', '.join(given)});",
        "compare": "\n".join(_compared(i, t.elements) for i, t in enumerate(types)),
    }
    return filled(_template("test.c"), {**known, **more})


def _compared(number: int, size: int) -> str:
    head = f"        for (long i = 0; i < {size}; i++, all++)"
    return f"{head}\n            wrong += out{number}[i] != expected{number}[n][i];"


def _vectors(unit: Unit, name: str, port: Port, samples: Integers) -> str:
    tensor = unit.schedule.values[port.value]
    lines = [f"    {{{in_lines(list(map(str, sample.reshape(-1).tolist())))}}}," for sample in samples]
    return f"static const {tensor.type.name} {name}[SAMPLES][{tensor.elements}] = {{\n" + "\n".join(lines) + "\n};"
