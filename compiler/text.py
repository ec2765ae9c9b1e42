"""Canonical text of a graph, and the same as plain data: equal text means equal program, weights by digest."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from .graph import Graph, arguments, fixed, origin


def text(graph: Graph, origins: bool = False) -> str:
    """One line a node, in order, numbered; with origins=True each line ends in the user's path and line."""
    numbers: dict[fx.Node, str] = {}
    lines = []
    for node in graph.fx.nodes:
        line = _line(graph, node, numbers)
        lines.append(f"{line}  # {origin(node)}" if origins and node.op != "output" else line)
        numbers[node] = f"%{len(numbers)}"
    return "\n".join(lines)


def described(graph: Graph) -> dict[str, Any]:
    """The same facts as `text`, and the origins, in dicts, lists, strings and numbers, for JSON; a node is "%3"."""
    numbers: dict[fx.Node, str] = {}
    nodes = []
    for node in graph.fx.nodes:
        if node.op != "output":
            nodes.append(_described(graph, node, numbers))
            numbers[node] = f"%{len(numbers)}"
    return {
        "nodes": nodes,
        "outputs": [numbers[node] for node in graph.outputs],
        "penalties": {name: _plain(one, numbers) for name, one in graph.penalties.items()},
        "updates": {name: numbers[node] for name, node in graph.updates.items()},
    }


def _described(graph: Graph, node: fx.Node, numbers: Mapping[fx.Node, str]) -> dict[str, Any]:
    place = origin(node)
    entry = {"node": f"%{len(numbers)}", "type": type_name(node.meta.get("val")), "op": "input", "arguments": {}}
    if node.op == "get_attr":
        entry |= {"op": "state", "name": str(node.target), "digest": digest(graph.tensor(node))}
    elif node.op == "call_module":
        entry |= {"op": "leaf", "name": str(node.target), "arguments": _arguments(node, numbers)}
    elif node.op == "call_function":
        entry |= {"op": target_name(node.target), "arguments": _arguments(node, numbers)}
    return {**entry, "layer": place.layer, "source": place.source, "trail": list(place.trail)}


def _arguments(node: fx.Node, numbers: Mapping[fx.Node, str]) -> dict[str, Any]:
    return {str(key): _plain(value, numbers) for key, value in _given(node).items()}


def _given(node: fx.Node) -> dict[Any, Any]:
    return arguments(node) if hasattr(node.target, "_schema") else {**dict(enumerate(node.args)), **node.kwargs}


def _plain(value: Any, numbers: Mapping[fx.Node, str]) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item, numbers) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)  # JSON has no infinity
    return _shown(value, numbers)


def _line(graph: Graph, node: fx.Node, numbers: Mapping[fx.Node, str]) -> str:
    if node.op == "output":
        outputs, penalties, updates = (_shown(part, numbers) for part in node.args[0])  # type: ignore[union-attr]
        return f"return {outputs}, penalties {penalties}, updates {updates}"
    name = f"%{len(numbers)}: {type_name(node.meta.get('val'))}"
    if node.op == "placeholder":
        return f"{name} = input"
    if node.op == "get_attr":
        return f"{name} = {node.target} {digest(graph.tensor(node))}"
    shown = ", ".join(f"{key}={_shown(value, numbers)}" for key, value in _given(node).items())
    return f"{name} = {'leaf ' if node.op == 'call_module' else ''}{target_name(node.target)}({shown})"


def target_name(target: Any) -> str:
    """An operator's name without what goes without saying: `conv2d`, `add.Tensor`, `lowbit.fake_quantize`."""
    name = str(target) if hasattr(target, "_schema") else getattr(target, "__name__", str(target))
    return name.removeprefix("aten.").removesuffix(".default")


def digest(tensor: torch.Tensor) -> str:
    """Eight hex digits that tell one tensor's contents from another's, and "parameter" or "buffer"."""
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    kind = "parameter" if isinstance(tensor, torch.nn.Parameter) else "buffer"
    return f"{kind} {hashlib.sha256(data).hexdigest()[:8]}"


def type_name(value: Any) -> str:
    """Type and sizes of a tensor, `float32[N,3,8,8]`; of anything else the name of its class."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    # A symbolic batch is drawn as N whatever its symbol is called, so that two captures give the same text.
    sizes = ",".join("N" if fixed(size) is None else str(size) for size in value.shape)
    return f"{str(value.dtype).removeprefix('torch.')}[{sizes}]"


def _shown(value: Any, numbers: Mapping[fx.Node, str]) -> str:
    if isinstance(value, fx.Node):
        return numbers[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_shown(item, numbers) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_shown(item, numbers)}' for key, item in value.items())}}}"
    return repr(value)
