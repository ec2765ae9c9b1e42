"""The outline of whatever `show` draws: of a graph by its modules, of a program by the modules its steps come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..backends.fixed import text as programs
from ..backends.fixed.macs import macs
from ..backends.fixed.program import Program
from ..compiler import text as graphs
from ..compiler.graph import Graph
from ..compiler.inspection.outline import Held, Item, Part, common, outline, outlined, steps
from . import views

KINDS = 3
"""Operations of a module that its row names."""


@dataclass(frozen=True)
class Drawn:
    """All that can be drawn of a graph or a program.   held: what its modules hold.   has_modules: it knows of them."""

    outline: Part
    held: str
    has_modules: bool
    text: Callable[[], str]
    facts: Callable[[], dict[str, Any]]
    flat: Callable[[], views.View]


def drawn(shown: Graph | Program) -> Drawn:
    """What can be drawn of it; the steps of a program that came from a file stand in no module."""
    if isinstance(shown, Graph):
        forms = partial(graphs.text, shown, True), partial(graphs.described, shown), partial(views.graph, shown)
        return Drawn(outlined(shown), "parameters", True, *forms)
    root = outline(_items(shown), _constants(shown), {})
    for part in root.walk():
        kinds = list(dict.fromkeys(item.op for inner in part.walk() for item in inner.items if not item.is_input))
        part.kind = ", ".join(kinds[:KINDS]) + (", ..." if len(kinds) > KINDS else "")
    steps_of = partial(programs.text, shown, True), partial(programs.described, shown), partial(views.program, shown)
    return Drawn(root, "integers", bool(root.parts), *steps_of)


def described(part: Part) -> dict[str, object]:
    """A part and all below it as plain data."""
    return {
        "path": part.path,
        "class": part.kind,
        "nodes": part.calls,
        "output": part.type,
        "parameters": part.parameters,
        "tied": part.tied,
        "macs": part.macs,
        "modules": [described(inner) for inner in part.parts.values()],
    }


def _items(program: Program) -> Iterator[Item]:
    made = {step.output: step for step in program.steps}
    exits = _exits(program)
    for index, value in enumerate(program.values):
        if value.data is not None:
            continue
        step, kind = made.get(index), f"{value.range.bits}-bit[N,{','.join(map(str, value.shape))}]"
        if step is None:
            yield Item(index, "input", "", kind, is_input=True)
            continue
        reads = tuple(f"%{i}" for i in step.inputs if program.values[i].data is None)
        layer, source = place(step.origin)
        yield Item(index, step.op, layer, kind, source, reads, exits.get(index, 0), macs(program, step))


def place(origin: str) -> tuple[str, str]:
    """(module path, source line) of the origin of a step, of which either may be missing."""
    head, _, rest = origin.partition(", ")
    return ("", origin) if ":" in head or " " in head else (head, rest)


def _exits(program: Program) -> dict[int, int]:
    """`Item.exits` of the values that steps compute."""
    layers = {step.output: place(step.origin)[0] for step in program.steps}
    exits: dict[int, int] = {}
    for step in program.steps:
        for index in step.inputs:
            if index in layers:
                own = steps(layers[index])
                exits[index] = max(exits.get(index, 0), len(own) - common(own, layers[step.output]))
    return exits | {port.value: len(steps(layers.get(port.value, ""))) + 1 for port in program.outputs}


def _constants(program: Program) -> Iterator[Held]:
    homes: dict[int, str] = {}
    for step in program.steps:
        for index in step.inputs:
            homes.setdefault(index, place(step.origin)[0])
    for index in program.constants():
        data = program.values[index].data
        yield Held(homes.get(index, ""), f"%{index}", index, 0 if data is None else data.size)
