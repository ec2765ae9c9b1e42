"""Writes docs/passes.md, docs/recipes.md and docs/fixed.md from what the files say of themselves: `make docs`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from lowbit.backends.blob.layout import VERSION
from lowbit.backends.fixed.op import Legal, Op
from lowbit.backends.fixed.registry import PACKAGE as OPS
from lowbit.backends.fixed.registry import ops
from lowbit.compiler.contract import Pass
from lowbit.compiler.registry import explanation, members
from lowbit.compiler.settings import explained, settings
from lowbit.recipes import described, shipped

HERE = Path(__file__).parent
PAGE, RECIPES, FIXED = HERE / "passes.md", HERE / "recipes.md", HERE / "fixed.md"
RESULTS = HERE.parent / "benchmarks" / "RESULTS.md"
PACKAGE = "lowbit.passes"
TABLE = ("| option | type | bounds | default |", "| --- | --- | --- | --- |")
HEAD = """# The passes

Written by `make docs` from the files in `passes/`; change those. `lowbit passes NAME` tells the same, and of passes of
other packages too. A trial, such as `conv(3) bn | eval | fold_batch_norm`, is a network in a line and the passes that
it goes through.
"""
RECIPES_HEAD = """# The recipes

Written by `make docs` from the files in `recipes/` and the tables in `benchmarks/RESULTS.md`; change those.
`lowbit recipes NAME` prints a recipe, to be changed; `lowbit passes NAME` tells the options of a pass, which
`lowbit compile --set PASS.OPTION=VALUE` sets anew.
"""

FIXED_HEAD = f"""# The integer program, version {VERSION}

Written by `make docs` from the records in `backends/fixed/ops/`; change those. The version is that of the file
([format.md](format.md)): a change to what an op computes, or to a number by which a file names it, makes a new one.
`lowbit ops NAME` tells the same of one op.

## Values

A program is a list of values, each defined once, before it is read: inputs, constants, and the result of one step
each. A value is a tensor of integers with an interval [lo, hi] that it is proven to stay in; every interval fits a
signed 32-bit integer. An input and the result of a step have a leading batch axis of any size, which shapes and
axes below leave out; each sample is computed as if it were alone. A constant has no batch axis. All other sizes are
fixed, and at least 1.

Ports at both ends tell what integers stand for: real = M 2^-s (q - zero), with 2^23 <= M < 2^24, which is a float32
held exactly. A real input becomes clamp(floor(real / scale + 1/2) + zero, lo, hi), in float32. There is no float in
between.

## Arithmetic

Equations are in integers without bound; by the constraints no sum or product within them leaves 32 bits, or 64
where it is said. `>>` floors. The one rounding is to the nearest, halves up: floor(t / 2^s + 1/2), which is
`(t + 2^(s-1)) >> s` and below `halves_up(t, s)`. clamp(x, lo, hi) = min(max(x, lo), hi).

## Steps

A step is one op over values, with attributes. It is legal if each attribute lies in its interval, if the operands
marked constant are constants and the others not, and if each constraint holds. Constraints are checked in the order
given; each may rely on those before it. C1 is what proves that nothing overflows, in any order of summation. The
result has the shape and the interval that the op's rules give. These are written in Python: `call` has operands and
attributes by name, an operand its `shape` and `range`, a constant its `data`; `a | b` is the least interval around
two, `x.clamp(lo, hi)` that of the clamped values, `scaled(x, k)` that of k x, `dot` and `partial_dot` those of all
sums of weights times x and of their partial sums, `Range.of` that of the numbers in an array.

Core ops are what every target implements. The others are built of core ops, so that no program holds one.
"""


def recipes_page() -> str:
    """The whole page of recipes: a list, then a section for each."""
    names = shipped()
    lines = [f"* [`{name}`](#{name}): {described(name).summary}" for name in names]
    sections = ["\n".join(recipe_section(name)) for name in names]
    return "\n".join([RECIPES_HEAD, *lines, "", "\n\n".join(sections), ""])


def recipe_section(name: str) -> Iterator[str]:
    """What a recipe is, where it comes from, its passes and options, and what was measured of it."""
    own = described(name)
    number = re.search(r"arXiv (\S+)$", own.paper)
    link = f"[{own.paper}](https://arxiv.org/abs/{number[1]})" if number else own.paper
    yield from (f"## {name}", "", f"{own.summary}. Paper: {link}.", "")
    if own.notes:
        yield from (own.notes, "")
    body = "\n".join(line for line in own.text.splitlines() if not line.startswith("#"))
    yield from ("```toml", body.strip(), "```", "")
    yield from (measured(name) or ["Not measured under this name yet."])


def measured(name: str) -> list[str]:
    """The rows of the results that begin with the recipe's name, each table with its head and title."""
    found: list[str] = []
    title, head = "", []
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            title = line[3:]
        if not line.startswith("|"):
            head = []
        elif len(head) < 2:
            head = [*head, line]
        elif line.startswith(f"| `{name}` |"):
            known = f"Measured, {title} (benchmarks/RESULTS.md):"
            found += [line] if known in found else [*([""] if found else []), known, "", *head, line]
    return found


def page() -> str:
    """The whole page: a list of the shipped passes, then a section for each."""
    passes = members(PACKAGE, Pass)
    lines = [f"* [`{name}`](#{name}): {explanation(PACKAGE, name).partition(chr(10))[0]}" for name in passes]
    sections = ["\n".join(section(name, found)) for name, found in passes.items()]
    return "\n".join([HEAD, *lines, "", "\n\n".join(sections), ""])


def section(name: str, found: Pass) -> Iterator[str]:
    """What there is to know of one pass."""
    yield from (f"## {name}", "", explanation(PACKAGE, name).strip(), "")
    if options := settings(found.options):
        yield from (
            explained(found.options).strip(),
            "",
            *TABLE,
        )
        yield from (f"| `{one.name}` | {one.type} | {one.bounds} | `{one.default}` |" for one in options)
        yield ""
    yield f"* Law: `{found.law!r}`."
    if found.costs:
        yield f"* Costs bytes of weights: {found.costs}."
    yield from (f"* Needs: {fact.name}." for fact in found.needs)
    yield from (f"* Leaves: {fact.name}." for fact in found.leaves)
    yield from (f"* Fires on `{trial}`." for trial in found.fires)
    yield from (f"* Refuses `{trial}`: {reason}." for trial, reason in found.refuses.items())


def fixed_page() -> str:
    """The specification of the integer program: a list of the ops, then a section for each."""
    found = sorted(ops().items(), key=lambda pair: pair[1].code)
    lines = [f"* [`{name}`](#{name}): {explanation(OPS, name).partition(chr(10))[0]}" for name, _ in found]
    sections = ["\n".join(op_section(name, op)) for name, op in found]
    return "\n".join([FIXED_HEAD, "## The ops", "", *lines, "", "\n\n".join(sections), ""])


def op_section(name: str, op: Op) -> Iterator[str]:
    """What there is to know of one op."""
    inputs = [f"{given} (constant)" if given in op.constants else given for given in op.inputs]
    yield from (f"### {name}", "", *_equations(explanation(OPS, name)), "")
    yield from (f"* Number in a file: {op.code}.", f"* Operands: {', '.join(inputs)}.")
    yield from (f"* {rule.name}: {rule.sentence}" for rule in op.constraints)
    yield f"* {'Core.' if op.expand is None else 'Not core: it is built of others.'}"
    if op.attributes:
        yield from ("", "| attribute | integers | each in |", "| --- | --- | --- |")
        yield from (f"| `{key}` | {_count(legal)} | [{legal.lo}, {legal.hi}] |" for key, legal in op.attributes.items())
    rules = {"shape": op.shape, "range": op.range, **({"expansion": op.expand} if op.expand else {})}
    yield from ("", "```", *_code(rules), "```")


def _equations(text: str) -> Iterator[str]:
    """The docstring, an equation in a block of its own wherever a paragraph is indented or begins as one."""
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        formula = number == 1 and re.match(r"\s*\w+(\[.*?\])? +=", paragraph)
        block = ["```", *dedent(paragraph).splitlines(), "```"] if formula else paragraph.splitlines()
        yield from ([""] * bool(number) + block)


def _count(legal: Legal) -> str:
    return {None: "1", 0: "any number"}.get(legal.length, str(legal.length))


def _code(rules: Mapping[str, Callable[..., Any]]) -> Iterator[str]:
    """The rules of a record as they are written, behind the functions of their files that they call."""
    told: dict[str, str] = {}
    found = {key: _rule(rule, told) for key, rule in rules.items()}
    yield from told.values()
    yield from (f"{key} = {expression}" for key, expression in found.items())


def _rule(rule: Callable[..., Any], told: dict[str, str]) -> str:
    """The expression of a lambda, or the call of a function.   told: takes the functions, by name."""
    place: Any = rule.__code__
    tree = ast.parse(Path(place.co_filename).read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    lambdas = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda) and node.lineno == place.co_firstlineno]
    if rule.__name__ in functions:
        _tell(functions[rule.__name__], functions, told)
        return f"{rule.__name__}({', '.join(place.co_varnames[: place.co_argcount])})"
    (body,) = [node.body for node in lambdas]
    _tell_called(body, functions, told)
    return ast.unparse(body)


def _tell(function: ast.FunctionDef, functions: Mapping[str, ast.FunctionDef], told: dict[str, str]) -> None:
    """Put the function behind those that it calls."""
    _tell_called(function, {**functions, function.name: function}, told, function.name)
    function.body = [line for line in function.body if not _is_docstring(line)]
    told.setdefault(function.name, ast.unparse(function) + "\n")


def _tell_called(body: ast.AST, functions: Mapping[str, ast.FunctionDef], told: dict[str, str], but: str = "") -> None:
    names = [node.id for node in ast.walk(body) if isinstance(node, ast.Name)]
    for name in dict.fromkeys(names):
        if name in functions and name not in (but, *told):
            _tell(functions[name], functions, told)


def _is_docstring(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    RECIPES.write_text(recipes_page(), encoding="utf-8")
    FIXED.write_text(fixed_page(), encoding="utf-8")
