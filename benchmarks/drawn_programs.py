"""Drawn programs: every target beside the interpreter, on every value, with what of each op's equation was reached.

    python benchmarks/drawn_programs.py [--programs 2000] [--targets numpy torch c99] [--out runs/drawn]

Half of a lot are programs of several steps, half single steps of each op in turn, as the tests draw them: constants up
to the brim of each proof, inputs at the edges of each equation. None is taken twice. A lot is a line of OUT/lots.jsonl;
a run that was stopped goes on where it was. Exits with 1 where a single integer differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from lowbit.backends.c99.host import Hosted, hosted
from lowbit.backends.c99.unit import unit
from lowbit.backends.check import REFERENCE, compare
from lowbit.backends.fixed.op import Call, Operand
from lowbit.backends.fixed.program import Program, Step
from lowbit.backends.fixed.registry import op_named, ops
from lowbit.backends.fixed.sums import partial_dot
from lowbit.backends.fixed.text import text
from lowbit.backends.fixed.types import INT32
from lowbit.backends.fixed.verify import IllegalStep, check
from lowbit.backends.target import Target, Watch, targets

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # where the drawers are

from op_evidence import EVIDENCE
from programs import Drawn, every_op, programs, steps

SEVERAL, SINGLE = 100, 4
"""Programs of several steps in a lot, and single steps of each op."""
TAKES = 2
"""How many are drawn for each that is kept: hypothesis begins with the simplest."""
COLUMNS = ("asked for", "steps", "integers", "ties", "saturate low", "saturate high", "at a proven end", "on an edge")
Array = np.ndarray[Any, Any]


def drawn(strategy: st.SearchStrategy[Drawn], count: int, number: int) -> list[Drawn]:
    """So many cases of that seed, without the first ones."""
    found: list[Drawn] = []

    @seed(number)
    @settings(
        max_examples=TAKES * count, database=None, deadline=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def draw(case: Drawn) -> None:
        found.append(case)

    draw()
    return found[-count:]


def lot(number: int) -> Iterator[Drawn]:
    """The cases of a lot."""
    yield from drawn(programs(), SEVERAL, number)
    for place, name in enumerate(every_op()):
        yield from drawn(steps(name), SINGLE, 1000 * number + place)


def name_of(case: Drawn) -> str:
    """What tells one case from another: its program and its inputs."""
    content = hashlib.sha256(text(case.program).encode())
    for array in case.inputs:
        content.update(f"{array.shape}".encode() + np.ascontiguousarray(array, np.int64).tobytes())
    return content.hexdigest()[:16]


def measured(cases: Sequence[Drawn], chosen: Sequence[str]) -> dict[str, Any]:
    """Every target on every value of the cases, and what of each op they reach."""
    compiled = _compiled(cases) if "c99" in chosen else {}
    counts: dict[str, Counter[str]] = {name: Counter() for name in every_op()}
    compared: dict[str, Counter[str]] = {name: Counter() for name in chosen}
    different: list[str] = []
    for case in cases:
        held = values_of(case)
        for name, _ in case.asked:
            counts[name]["asked for"] += 1
        for step in case.program.steps:
            counts[step.op].update(reached(case.program, step, held))
        among = {name: compiled[case.program] if name == "c99" else targets()[name] for name in chosen}
        for found in compare(case.program, case.inputs, among):
            compared[found.target].update(programs=1, values=found.values, integers=found.elements)
            if not found.equal:
                different.append(f"{found.target}: {found.difference}\n{case}")
    return {"names": list(map(name_of, cases)), "ops": counts, "compared": compared, "different": different}


def _compiled(cases: Sequence[Drawn]) -> Mapping[Program, Target]:
    """The target c99 for each program, all of them built at once, and quickly; each keeps every value."""
    units = [unit(case.program, f"look{i}", whole=True) for i, case in enumerate(cases)]
    return {
        case.program: Target(partial(_executed, built))
        for case, built in zip(cases, hosted(units, ("-O1", "-march=native")), strict=True)
    }


def _executed(built: Hosted, program: Program, inputs: Sequence[Array], watch: Watch | None) -> list[Array]:
    if watch is not None:
        built.watched(inputs, watch)
    return built(inputs)


def values_of(case: Drawn) -> Mapping[int, Array]:
    """Every value of a program as the interpreter has it, of Python integers."""
    program = case.program
    held: dict[int, Array] = {i: np.asarray(program.values[i].data) for i in program.constants()}
    held |= {port.value: given for port, given in zip(program.inputs, case.inputs, strict=True)}
    targets()[REFERENCE].run(program, case.inputs, held.__setitem__)
    return {value: np.asarray(array).astype(object) for value, array in held.items()}


def reached(program: Program, step: Step, held: Mapping[int, Array]) -> Counter[str]:
    """How often the step comes to where its equation changes."""
    op, out, span = op_named(step.op), held[step.output], program.values[step.output].range
    operands = {
        name: Operand(program.values[i].shape, program.values[i].range, program.values[i].data)
        for name, i in zip(op.inputs, step.inputs, strict=True)
    }
    call, arrays = Call(operands, step.attributes), [held[i] for i in step.inputs]
    varying = [held[i] for i in step.inputs if program.values[i].data is None]
    edges = set(op.edges(call))
    found = Counter({"steps": 1, "integers": out.size, "brim": _at_the_brim(call)})
    found["on an edge"] = sum(int(x) in edges for array in varying for x in array.reshape(-1))
    found["at a proven end"] = int(((out == span.lo) | (out == span.hi)).sum()) if span.lo < span.hi else 0
    if {"lo", "hi"} <= step.attributes.keys():
        free = np.asarray(op.value(*arrays, **{**step.attributes, "lo": -(2**80), "hi": 2**80}))
        found["saturate low"], found["saturate high"] = int((free < call.lo).sum()), int((free > call.hi).sum())
    if step.op in SUMS:
        total, shift = SUMS[step.op](call, *arrays)
        half = np.asarray([1 << (int(s) - 1) for s in np.reshape(shift, -1)], object).reshape(np.shape(shift))
        found["ties"] = int(np.asarray(total % (2 * half) == half).sum())
    return found


def _along(call: Call, vector: Array) -> Array:
    """One number, or one for each index of the axis, shaped to broadcast against x with its batch."""
    axes = len(call.x.shape) + 1
    return vector.reshape([-1 if axis == call.axis + 1 else 1 for axis in range(axes)]) if len(vector) > 1 else vector


SUMS: Mapping[str, Callable[..., tuple[Array, Any]]] = {
    "rescale": lambda call, x, m, s: (x * _along(call, m), _along(call, s)),
    "requantize": lambda call, x, m, s, f: (x * _along(call, m) + _along(call, (f * m) >> 16), _along(call, s)),
    "add": lambda call, a, b: (a * call.multiplier_a + b * call.multiplier_b + call.offset, call.shift),
}
"""What is rounded, and by which shift."""


def _at_the_brim(call: Call) -> int:
    """Whether the widest partial sum is the last one that fits 32 bits."""
    if "bias" not in call.operands:
        return 0
    seen = partial_dot(call.weight.data, call.bias.data, call.x.range)
    return int(seen.hi == INT32.hi or seen.lo == INT32.lo)


def refused(name: str) -> int:
    """How many steps that break one constraint alone are refused by its number. Exits where one is not."""
    broken = [(rule, step) for rule, some in EVIDENCE[name].breaks.items() for step in some]
    for rule, step in broken:
        try:
            check(name, tuple(step.operands.values()), step.attributes)
        except IllegalStep as refusal:
            if refusal.what.startswith(f"{rule} "):
                continue
        raise SystemExit(f"{name}: a step that breaks {rule} is not refused by it")
    return len(broken)


def table(lots: Sequence[Mapping[str, Any]]) -> str:
    """What was compared, and the counts of each op."""
    compared: dict[str, Counter[str]] = {}
    counts: dict[str, Counter[str]] = {name: Counter() for name in every_op()}
    for one in lots:
        for name, found in one["compared"].items():
            compared.setdefault(name, Counter()).update(found)
        for name, found in one["ops"].items():
            counts.setdefault(name, Counter()).update(found)
    lines = ["| target | programs | values | integers | different |", "| --- | --- | --- | --- | --- |"]
    for name, found in compared.items():
        numbers = " | ".join(f"{found[key]:,}" for key in ("programs", "values", "integers"))
        wrong = sum(difference.startswith(f"{name}:") for one in lots for difference in one["different"])
        lines.append(f"| {name} | {numbers} | {wrong} |")
    lines += ["", f"| op | {' | '.join(COLUMNS)} | at the brim | constraints | broken alone, refused |"]
    lines.append("| --- " * (len(COLUMNS) + 4) + "|")
    for name, count in counts.items():
        numbers = " | ".join(f"{count[column]:,}" if count[column] else "" for column in (*COLUMNS, "brim"))
        lines.append(f"| `{name}` | {numbers} | {len(ops()[name].constraints)} | {refused(name)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runnable = [name for name, target in targets().items() if name != REFERENCE and not target.available()]
    parser.add_argument("--programs", type=int, default=2000, help="at least so many, none twice")
    parser.add_argument("--targets", nargs="+", choices=runnable, default=runnable, help="default: all that run here")
    parser.add_argument("--out", type=Path, default=Path("runs/drawn"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file: Path = args.out / "lots.jsonl"
    lots = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    seen = {name for one in lots for name in one["names"]}
    while len(seen) < args.programs:
        fresh = {name_of(case): case for case in lot(len(lots))}
        lots.append(measured([case for name, case in fresh.items() if name not in seen], args.targets))
        with file.open("a") as out:
            out.write(json.dumps(lots[-1]) + "\n")
        seen |= fresh.keys()
        print(f"{len(seen)} programs, {sum(len(one['different']) for one in lots)} differences", flush=True)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}")
    print(table(lots))
    if found := [difference for one in lots for difference in one["different"]]:
        raise SystemExit("\n\n".join(found[:5]))


if __name__ == "__main__":
    main()
