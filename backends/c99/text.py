"""The text of a unit: one C99 file of types, arena, constants, functions, and the one that runs them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable

import numpy as np

from ..fixed.program import Port
from .body import Table, held
from .integers import INT16, UINT8, UINT16, WORD, literal
from .kernel import Task, kernels
from .schedule import ARENA
from .tensors import Tensor
from .unit import Function, Unit
from .variants import PORTABLE

WIDTH = 116
TYPES = """\
/* The arena holds one type after another in the same place; compilers that reason by types must know of it. */
#if defined(__GNUC__) || defined(__clang__)
#define $name_SHARED __attribute__((may_alias))
#else
#define $name_SHARED
#endif"""
LONG_TABLE, STRING = 1024, 112
OCTAL = np.array([f"\\{byte:03o}".encode() for byte in range(256)])
"""How each byte is written in a string, whatever follows it."""
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
HEADERS = "#include <string.h>\n\n#include <immintrin.h>"


def source(unit: Unit, outside: bool = False) -> str:
    """The C99 file. outside: constants are not in it; `NAME_constants` is given where they lie, in order.

    What is not constant is then each thread's own, in the words of gcc and clang.
    """
    strings = STRINGS if not outside and any(map(_is_long, unit.constants().values())) else ""
    parts = [
        "#include <stdint.h>",
        *_headers(unit),
        strings,
        _types(unit),
        *_arenas(unit, outside),
        _constants(unit, outside),
    ]
    parts += [_conditional(unit, used, text) for text, used in _helpers(unit).items()]
    parts += [_function(unit, number) for number in range(len(unit.schedule.tasks))]
    return "\n\n".join(filter(None, [*parts, _run(unit)])) + "\n"


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
    everything = "\n".join([*texts, *_helpers(unit), *(_parameters(unit, task) for task in unit.schedule.tasks)])
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
    """The text for some of the variants."""
    chosen = set(used)
    if chosen == set(unit.variants):
        return text
    macros = [variant for variant in unit.variants if variant != PORTABLE]
    none = " && ".join(f"!defined({macro})" for macro in macros)
    tests = [f"defined({variant})" if variant else none for variant in unit.variants if variant in chosen]
    return f"#if {' || '.join(tests)}\n{text}\n#endif"


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
        octal = OCTAL[table.data.reshape(-1) & 255].tobytes().decode()
        lines = [f'    "{octal[at : at + STRING]}"' for at in range(0, len(octal), STRING)]
        return "\n".join([f"static const {table.type.name} {name}[{table.data.size} + 1] =", *lines]) + ";"
    numbers = ", ".join(literal(int(each)) for each in table.data.reshape(-1))
    lines = textwrap.wrap(numbers, WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False)
    return "\n".join([f"static const {table.type.name} {name}[{table.data.size}] = {{", *lines, "};"])


def _is_long(table: Table) -> bool:
    return table.type.size == 1 and table.data.size >= LONG_TABLE


def _function(unit: Unit, number: int) -> str:
    task, names = unit.schedule.tasks[number], _table_names(unit)
    texts: dict[str, set[str]] = {}
    for variant, functions in unit.variants.items():
        texts.setdefault(_body(functions[number], names), set()).add(variant)
    bodies = "\n".join(_conditional(unit, used, text) for text, used in texts.items())
    origin = f"; {task.origin}" if task.origin else ""
    title = f"{', '.join([task.op, *(link.op for link in task.chain)])}{origin}".replace("*/", "* /")
    return f"/* {title} */\nstatic void {unit.name}_{number}({_parameters(unit, task)})\n{{\n{bodies}\n}}"


def _body(function: Function, names: dict[tuple[str, bytes], str]) -> str:
    lines = [f"    {_pointer(table)}const {table.name} = {names[table.key]};" for table in function.body.tables]
    unused = [] if function.body.scratch else ["    (void)s;"]
    begins = [f"    {line}" for line in function.body.begins]
    return "\n".join([*lines, *unused, *begins, function.text])


def _parameters(unit: Unit, task: Task) -> str:
    """Pointers to the operands, to the output, and to scratch memory; one in whose place the output is made is `y`."""
    own = task.output.buffer
    given = [f"const {held(unit.name, t.type)} *restrict x{i}" for i, t in enumerate(task.reads) if t.buffer != own]
    return ", ".join([*given, f"{held(unit.name, task.output.type)} *restrict y", "uint8_t *s"])


def _run(unit: Unit) -> str:
    """The calls, one after another; arenas of variants differ."""
    texts: dict[str, set[str]] = {}
    for variant in unit.variants:
        calls = [_call(unit, number, variant) for number in range(len(unit.schedule.tasks))]
        texts.setdefault("\n".join(calls), set()).add(variant)
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


def _call(unit: Unit, number: int, variant: str) -> str:
    task, memory = unit.schedule.tasks[number], unit.memories[variant]
    tensors = [*(t for t in task.reads if t.buffer != task.output.buffer), task.output]
    given = [_place(unit, tensor, variant) for tensor in tensors]
    used = unit.variants[variant][number].body.scratch
    scratch = f"arena + {memory.scratch[number]}" if used else "0"
    return f"    {unit.name}_{number}({', '.join([*given, scratch])});"


def _place(unit: Unit, tensor: Tensor, variant: str) -> str:
    buffer = unit.schedule.buffers[tensor.buffer]
    if buffer.where != ARENA:
        return f"{buffer.where}{buffer.port}"
    place = f"arena + {unit.memories[variant].buffers[tensor.buffer]}"
    return place if tensor.type == UINT8 else f"({held(unit.name, tensor.type)} *)(void *)({place})"
