"""The text of a unit: one C99 file of types, arena, constants, functions, and the one that runs them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from typing import TypeAlias

import numpy as np

from ...compiler.arrays import Integers
from ..fixed.program import Port
from .body import Table, held
from .integers import INT16, UINT8, UINT16, WORD, literal
from .kernel import Task, kernels
from .schedule import ARENA
from .tensors import Tensor
from .unit import Function, Unit
from .variants import PORTABLE, VNNI_256

WIDTH = 116
TYPES = """\
/* The arena holds one type after another in the same place; compilers that reason by types must know of it. */
#if defined(__GNUC__) || defined(__clang__)
#define $name_SHARED __attribute__((may_alias))
#else
#define $name_SHARED
#endif"""
LONG_TABLE, STRING = 1024, 1000
"""Bytes of a table that is written as strings, and of a line of these: C99 promises lines of 4,095 characters."""
PLAIN = {*range(32, 127)} - {*b'01234567"\\?'}
ESCAPED = np.array([bytes([byte]) if byte in PLAIN else b"\\%o" % byte for byte in range(256)])
"""How each byte is written in a string: no octal digit is plain, so whatever may follow; nor is what trigraphs have."""
STRINGS = """\
/* Long tables of bytes are strings, which compilers read thirty times as fast as numbers. */
#if defined(__GNUC__) || defined(__clang__)
#pragma GCC diagnostic ignored "-Woverlength-strings"
#endif"""
ARENA_TEXT = """\
static __thread union {
    int64_t aligned;
    uint8_t bytes[$size];
} $name_arena;"""
HIDE = """\
/* gcc 12 specialized functions for addresses in the arena, and left out what they store: it must not know them. */
#if defined(__GNUC__) || defined(__clang__)
#define $name_HIDE(p) __asm__("" : "+r"(p))
#else
#define $name_HIDE(p) (void)(p)
#endif"""
VNNI = """\
#if defined(__AVXVNNI__) || (defined(__AVX512VNNI__) && defined(__AVX512VL__))
#define $name_VNNI
#endif"""
HEADERS = "#include <string.h>\n\n#include <immintrin.h>"
Alike: TypeAlias = Mapping[tuple[str, str], list[int]]
"""The parameters and the body of each function of a variant -> its tasks, however many have other constants."""


def source(unit: Unit, outside: bool = False) -> str:
    """The C99 file. outside: constants are not in it; `NAME_constants` is given where they lie, in order.

    What is not constant is then each thread's own, in the words of gcc and clang.
    """
    strings = STRINGS if not outside and any(map(_is_long, unit.constants().values())) else ""
    parts = [
        VNNI.replace("$name", unit.name.upper()) if VNNI_256 in unit.variants else "",
        "#include <stdint.h>",
        *_headers(unit),
        strings,
        _types(unit),
        *_arenas(unit, outside),
        _constants(unit, outside),
    ]
    parts += [_conditional(unit, used, text) for text, used in _helpers(unit).items()]
    alike = {variant: _alike(unit, variant) for variant in unit.variants}
    return "\n\n".join(filter(None, [*parts, *_functions(unit, alike), _run(unit, alike)])) + "\n"


def signature(unit: Unit) -> str:
    """The function that runs the program on one sample, without its semicolon."""
    program = unit.schedule.program
    given = [f"const {_port_type(unit, port)} *in{i}" for i, port in enumerate(program.inputs)]
    taken = [f"{_port_type(unit, port)} *out{i}" for i, port in enumerate(program.outputs)]
    return f"void {unit.name}_run({', '.join(given + taken)})"


def _port_type(unit: Unit, port: Port) -> str:
    return unit.schedule.values[port.value].type.name


def _headers(unit: Unit) -> list[str]:
    """What the kernels of a variant include, where it has one that is not portable."""
    own = {v for v, functions in unit.variants.items() if any(kernels()[f.kernel].when for f in functions)}
    return [_conditional(unit, own, HEADERS)] if own else []


def _types(unit: Unit) -> str:
    texts = [function.text for functions in unit.variants.values() for function in functions]
    types = [held(unit.name, tensor.type) for task in unit.schedule.tasks for tensor in (*task.reads, task.output)]
    everything = "\n".join([*texts, *_helpers(unit), *types])
    macro = f"{unit.name.upper()}_SHARED"
    names = [f"typedef {t.name} {macro} {held(unit.name, t)};" for t in (INT16, UINT16, WORD)]
    needed = [line for line in names if line.split()[-1].rstrip(";") in everything]
    return "\n".join([TYPES.replace("$name", unit.name.upper()), *needed]) if needed else ""


def _arenas(unit: Unit, outside: bool) -> list[str]:
    """The arena, in each variant as large as it needs."""
    texts: dict[str, set[str]] = {}
    for variant, memory in unit.memories.items():
        text = ARENA_TEXT if outside else ARENA_TEXT.replace("__thread ", "")
        text = text.replace("$size", str(memory.arena.size)).replace("$name", unit.name)
        if memory.arena.size:
            texts.setdefault(text, set()).add(variant)
    made = [_conditional(unit, used, text) for text, used in texts.items()]
    return [*made, HIDE.replace("$name", unit.name)] if made else []


def _conditional(unit: Unit, used: Iterable[str], text: str) -> str:
    """The text for some of the variants, each of which is taken where those behind it cannot be."""
    chosen, tests = set(used), []
    if chosen == set(unit.variants):
        return text
    runs = [(taken, [*run]) for taken, run in groupby(unit.variants, chosen.__contains__)]
    for (taken, run), (_, behind) in pairwise([*runs, (False, [])]):
        if taken:
            first = [f"defined({_macro(unit, run[0])})"] if run[0] != PORTABLE else []
            tests.append(" && ".join([*first, *(f"!defined({_macro(unit, each)})" for each in behind[:1])]))
    return f"#if {' || '.join(tests)}\n{text}\n#endif"


def _macro(unit: Unit, variant: str) -> str:
    """What tells that a variant can be taken. With VNNI in AVX-512 that of 256 bits can be, too."""
    return f"{unit.name.upper()}_VNNI" if variant == VNNI_256 else variant


def _usage(unit: Unit, parts: Callable[[Function], Iterable[str]]) -> dict[str, set[str]]:
    """What functions refer to, in order -> the variants in which one does."""
    used: dict[str, set[str]] = {}
    for variant, functions in unit.variants.items():
        for function in functions:
            for part in parts(function):
                used.setdefault(part, set()).add(variant)
    return used


def _helpers(unit: Unit) -> dict[str, set[str]]:
    return _usage(unit, lambda function: (text.rstrip() for text in function.body.helpers.values()))


def _table_names(unit: Unit) -> dict[tuple[str, bytes], str]:
    return {each: f"{unit.name}_t{number}" for number, each in enumerate(unit.constants())}


def _constants(unit: Unit, outside: bool) -> str:
    names, tables = _table_names(unit), unit.constants()
    if not outside:
        used = _usage(unit, lambda function: (names[table.key] for table in function.body.tables))
        return "\n\n".join(_conditional(unit, used[name], _listed(tables[each], name)) for each, name in names.items())
    declared = [f"static __thread {_pointer(tables[each])}{name};" for each, name in names.items()]
    given = [f"    {name} = ({_pointer(tables[each])})where[{i}];" for i, (each, name) in enumerate(names.items())]
    head = f"void {unit.name}_constants(const void *const *where)\n{{\n    (void)where;"
    return "\n".join([*declared, head, *given, "}"])


def _pointer(table: Table) -> str:
    return f"const {table.type.name} *"


def _listed(table: Table, name: str) -> str:
    if _is_long(table):
        strings = _strings(table.data.reshape(-1) & 255)
        return f"static const {table.type.name} {name}[{table.data.size} + 1] =\n{strings};"
    numbers = in_lines([literal(int(each)) for each in table.data.reshape(-1)])
    return f"static const {table.type.name} {name}[{table.data.size}] = {{\n    {numbers}\n}};"


def in_lines(numbers: Sequence[str]) -> str:
    """Numbers with commas between, in each line as many as would fit if all were as long as the longest."""
    some = max(1, (WIDTH - 4) // (max(map(len, numbers)) + 2))
    return ",\n    ".join(", ".join(numbers[at : at + some]) for at in range(0, len(numbers), some))


def _strings(data: Integers) -> str:
    """Bytes as strings, one a line. Numpy pads each escape with zeros, which are left out in the end."""
    whole = len(data) // STRING * STRING
    rows = [data[:whole].reshape(-1, STRING), data[whole:].reshape(1, -1)]
    texts = [ESCAPED[row].view(np.uint8).reshape(len(row), -1) for row in rows if row.size]
    quoted = [np.pad(text, ((0, 0), (6, 1))) for text in texts]
    for text in quoted:
        text[:, :6], text[:, -1] = [*b'\n    "'], ord('"')
    flat = np.concatenate([text.reshape(-1) for text in quoted])
    return bytes(flat[flat != 0]).decode().removeprefix("\n")


def _is_long(table: Table) -> bool:
    return table.type.size == 1 and table.data.size >= LONG_TABLE


def _alike(unit: Unit, variant: str) -> Alike:
    found: dict[tuple[str, str], list[int]] = {}
    for number in range(len(unit.schedule.tasks)):
        found.setdefault(_definition(unit, variant, number), []).append(number)
    return found


def _functions(unit: Unit, alike: Mapping[str, Alike]) -> list[str]:
    """Each function once, in the order of the tasks that it is named after."""
    texts: list[dict[str, set[str]]] = [{} for _ in unit.schedule.tasks]
    for variant, definitions in alike.items():
        for definition, tasks in definitions.items():
            texts[tasks[0]].setdefault(_function(unit, definition, tasks), set()).add(variant)
    return [_conditional(unit, used, text) for functions in texts for text, used in functions.items()]


def _function(unit: Unit, definition: tuple[str, str], tasks: Sequence[int]) -> str:
    told = [unit.schedule.tasks[number] for number in tasks]
    origins = "; ".join(task.origin for task in told if task.origin)
    title = f"{', '.join([told[0].op, *(link.op for link in told[0].chain)])}{'; ' if origins else ''}{origins}"
    lines = textwrap.wrap(f"/* {title.replace('*/', '* /')} */", WIDTH, subsequent_indent="   ")
    head, body = definition
    lines += textwrap.wrap(f"static void {unit.name}_{tasks[0]}({head})", WIDTH, subsequent_indent="    ")
    return "\n".join([*lines, body])


def _definition(unit: Unit, variant: str, number: int) -> tuple[str, str]:
    """The parameters of a task's function, tables among them, and its body."""
    function, task = unit.variants[variant][number], unit.schedule.tasks[number]
    unused = [] if function.body.scratch else ["    (void)s;"]
    begins = [f"    {line}" for line in function.body.begins]
    return _parameters(unit, task, function), "\n".join(["{", *unused, *begins, function.text, "}"])


def _parameters(unit: Unit, task: Task, function: Function) -> str:
    """Pointers to the operands, the output, scratch memory and tables; one in whose place the output is made is `y`."""
    own = task.output.buffer
    given = [f"const {held(unit.name, t.type)} *restrict x{i}" for i, t in enumerate(task.reads) if t.buffer != own]
    tables = [f"{_pointer(table)}restrict {table.name}" for table in function.body.tables]
    return ", ".join([*given, f"{held(unit.name, task.output.type)} *restrict y", "uint8_t *s", *tables])


def _run(unit: Unit, alike: Mapping[str, Alike]) -> str:
    """The calls, one after another; arenas of variants differ."""
    names, texts = _table_names(unit), dict[str, set[str]]()
    for variant, definitions in alike.items():
        called = {number: tasks[0] for tasks in definitions.values() for number in tasks}
        calls = [
            f"{unit.name}_{called[number]}({_arguments(unit, number, variant, names)});"
            for number in range(len(unit.schedule.tasks))
        ]
        lines = [
            line
            for call in calls
            for line in textwrap.wrap(call, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8)
        ]
        texts.setdefault("\n".join(lines), set()).add(variant)
    bodies = [_conditional(unit, used, text) for text, used in texts.items()]
    kept = {variant for variant, memory in unit.memories.items() if memory.arena.size}
    if kept:
        arena = f"    uint8_t *arena = {unit.name}_arena.bytes;\n    {unit.name}_HIDE(arena);"
        bodies.insert(0, _conditional(unit, kept, arena))
    unread = [f"    (void)in{i};" for i in range(len(unit.schedule.program.inputs)) if not _read(unit, i)]
    return "\n".join([signature(unit), "{", *unread, *bodies, "}"])


def _read(unit: Unit, number: int) -> bool:
    """Whether any task reads the input of that number, which is its buffer's too."""
    return any(tensor.buffer == number for task in unit.schedule.tasks for tensor in task.reads)


def _arguments(unit: Unit, number: int, variant: str, names: Mapping[tuple[str, bytes], str]) -> str:
    """What the function of a task is called with, see `_parameters`."""
    task, memory, body = unit.schedule.tasks[number], unit.memories[variant], unit.variants[variant][number].body
    tensors = [*(t for t in task.reads if t.buffer != task.output.buffer), task.output]
    given = [_place(unit, tensor, variant) for tensor in tensors]
    scratch = f"arena + {memory.scratch[number]}" if body.scratch else "0"
    return ", ".join([*given, scratch, *(names[table.key] for table in body.tables)])


def _place(unit: Unit, tensor: Tensor, variant: str) -> str:
    buffer = unit.schedule.buffers[tensor.buffer]
    if buffer.where != ARENA:
        return f"{buffer.where}{buffer.port}"
    place = f"arena + {unit.memories[variant].buffers[tensor.buffer]}"
    return place if tensor.type == UINT8 else f"({held(unit.name, tensor.type)} *)(void *)({place})"
