"""Canonical text of a graph: equal text means equal program, weights included by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from .graph import Graph, arguments, origin


def text(graph: Graph, origins: bool = False) -> str:
    """One line a node, in order, numbered; with origins=True each line ends in the user's path and line."""
    numbers: dict[fx.Node, str] = {}
    lines = []
    for node in graph.fx.nodes:
        line = _line(graph, node, numbers)
        lines.append(f"{line}  # {origin(node)}" if origins and node.op != "output" else line)
        numbers[node] = f"%{len(numbers)}"
    return "\n".join(lines)


def _line(graph: Graph, node: fx.Node, numbers: Mapping[fx.Node, str]) -> str:
    if node.op == "output":
        outputs, penalties, updates = (_shown(part, numbers) for part in node.args[0])  # type: ignore[union-attr]
        return f"return {outputs}, penalties {penalties}, updates {updates}"
    name = f"%{len(numbers)}: {_type(node.meta.get('val'))}"
    if node.op == "placeholder":
        return f"{name} = input"
    if node.op == "get_attr":
        return f"{name} = {node.target} {digest(graph.tensor(node))}"
    given = arguments(node) if hasattr(node.target, "_schema") else dict(enumerate(node.args))
    shown = ", ".join(f"{key}={_shown(value, numbers)}" for key, value in given.items())
    return f"{name} = {target_name(node.target)}({shown})"


def target_name(target: Any) -> str:
    """An operator's name without what goes without saying: `conv2d`, `add.Tensor`, `lowbit.fake_quantize`."""
    name = str(target) if hasattr(target, "_schema") else getattr(target, "__name__", str(target))
    return name.removeprefix("aten.").removesuffix(".default")


def digest(tensor: torch.Tensor) -> str:
    """Eight hex digits that tell one tensor's contents from another's, and "parameter" or "buffer"."""
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    kind = "parameter" if isinstance(tensor, torch.nn.Parameter) else "buffer"
    return f"{kind} {hashlib.sha256(data).hexdigest()[:8]}"


def _type(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    # A symbolic batch is drawn as N whatever its symbol is called, so that two captures give the same text.
    sizes = ",".join(str(size) if isinstance(size, int) else "N" for size in value.shape)
    return f"{str(value.dtype).removeprefix('torch.')}[{sizes}]"


def _shown(value: Any, numbers: Mapping[fx.Node, str]) -> str:
    if isinstance(value, fx.Node):
        return numbers[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_shown(item, numbers) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_shown(item, numbers)}' for key, item in value.items())}}}"
    return repr(value)
