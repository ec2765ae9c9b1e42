"""A folded outline in the DOT language: clusters for open modules, boxes for closed ones and for calls."""

from __future__ import annotations

from collections.abc import Iterator

from ..compiler.inspection.outline import Item
from .folding import Row


def dot(root: Row) -> str:
    """A digraph. An edge goes from what computes a value to what reads it; edges within a box are not drawn."""
    boxes: dict[str, str] = {}
    inputs = [_call((item,), boxes, "  ") for item in root.parts[0].items if item.is_input]
    body = [*inputs, *_body(root, root, boxes, "  ")]
    edges: dict[tuple[str, str], None] = {}
    for part in root.parts[0].walk():
        for item in part.items:
            ends = [(boxes[name], boxes[item.name]) for name in item.reads if name in boxes]
            edges.update(dict.fromkeys((tail, head) for tail, head in ends if tail != head))
    drawn = [f"  {_quoted(tail)} -> {_quoted(head)};" for tail, head in edges]
    style = ['  graph [rankdir=TB, fontname="sans-serif"];', '  node [shape=box, fontname="sans-serif"];']
    return "\n".join([f"digraph {_quoted(root.parts[0].kind or 'model')} {{", *style, *body, *drawn, "}"])


def _body(row: Row, above: Row, boxes: dict[str, str], indent: str) -> Iterator[str]:
    """The statements of one row, whose items are noted under the box that they are drawn in."""
    if row.is_own:
        for group in zip(*(part.items for part in row.parts), strict=True):
            if not group[0].is_input:
                yield _call(group, boxes, indent)
        return
    if not row.rows and not row.items:
        path = row.parts[0].path or "model"
        items = (item for own in row.parts for part in own.walk() for item in part.items if not item.is_input)
        boxes.update((item.name, path) for item in items)
        if row.calls:
            yield f"{indent}{_quoted(path)} [label={_quoted(_label(row, above))}];"
        return
    yield f"{indent}subgraph {_quoted(f'cluster {row.parts[0].path}')} {{"
    yield f"{indent}  label={_quoted(_label(row, above))};"
    for item in row.items:
        yield _call((item,), boxes, f"{indent}  ")
    for inner in row.rows:
        yield from _body(inner, row, boxes, f"{indent}  ")
    yield f"{indent}}}"


def _call(group: tuple[Item, ...], boxes: dict[str, str], indent: str) -> str:
    """The box of a call, or of the same call of several equal modules."""
    first = group[0]
    boxes.update((item.name, first.name) for item in group)
    return f"{indent}{_quoted(first.name)} [label={_quoted(chr(10).join((first.op, first.type)))}, style=rounded];"


def _label(row: Row, above: Row) -> str:
    part = row.parts[0]
    return "\n".join(line for line in (row.label(above), part.kind, part.type) if line)


def _quoted(text: str) -> str:
    """A string of DOT: only quotes and backslashes mean something in it, and a line break is written."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
