"""What torch.export assumed of the sizes of the inputs, which each forward is held to, and of what is around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._sympy.printers import PythonPrinter


@dataclass(frozen=True)
class Assumptions:
    """Conditions on sizes, and that no autocast is on around the model.

    sizes: name -> (which of the tensor inputs, which axis).   conditions: Python expressions over those names.
    asks_autocast: the first line of the model's that asks for an autocast around it; '' if none does.
    """

    sizes: tuple[tuple[str, tuple[int, int]], ...] = ()
    conditions: tuple[str, ...] = ()
    asks_autocast: str = ""
    _hold: ClassVar[Callable[..., bool]]

    def __post_init__(self) -> None:
        # One function of all conditions: there may be hundreds, and a forward asks every time.
        names = ", ".join(name for name, _ in self.sizes)
        holds = eval(f"lambda {names}: {' and '.join(self.conditions) or 'True'}", {"math": math})
        object.__setattr__(self, "_hold", holds)

    def broken(self, shapes: Sequence[Sequence[int]]) -> str:
        """The first condition that tensor inputs of these shapes break; empty if there is none."""
        given = {name: shapes[i][axis] for name, (i, axis) in self.sizes}
        if self._hold(**given):
            return ""
        shown = ", ".join(f"{name} = {size}" for name, size in given.items())
        first = next(text for text in self.conditions if not eval(text, {"math": math, **given}))
        return f"{first}, with {shown}"


def assumptions(program: torch.export.ExportedProgram) -> Assumptions:
    """What an exported program assumes of the sizes of its tensor inputs."""
    given = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in given]
    tensors = [node.meta["val"] for node in nodes if isinstance(node.meta.get("val"), FakeTensor)]
    places = {(i, axis): size for i, tensor in enumerate(tensors) for axis, size in enumerate(tensor.shape)}
    symbolic = {place: size.node for place, size in places.items() if isinstance(size, torch.SymInt)}
    names: dict[str, tuple[int, int]] = {}
    conditions: dict[str, None] = {}
    for (i, axis), size in symbolic.items():
        if size.expr.is_Symbol and str(size.expr) not in names:
            names[str(size.expr)] = (i, axis)
        else:
            names[f"t{i}_{axis}"] = (i, axis)
            conditions[f"(t{i}_{axis} == {_python(size.expr)})"] = None
    for guard in guards(program):
        met = shape_env(program).replace(guard.expr)  # in terms of the symbols that stand for the others
        if met.free_symbols and {str(symbol) for symbol in met.free_symbols} <= names.keys():
            conditions[f"({_python(met)})"] = None
    return Assumptions(tuple(names.items()), tuple(conditions))


def guards(program: torch.export.ExportedProgram) -> list[Any]:
    """What torch assumed of sizes on the way."""
    env = shape_env(program)
    return list(env.guards) if env is not None else []


def shape_env(program: torch.export.ExportedProgram) -> Any:
    """Where torch keeps what it knows of the program's symbolic sizes; None if there are none."""
    values = [node.meta.get("val") for node in program.graph.nodes]
    mode = next((value.fake_mode for value in values if isinstance(value, FakeTensor)), None)
    return mode.shape_env if mode is not None else None


def _python(expression: Any) -> str:
    return str(PythonPrinter().doprint(expression))
