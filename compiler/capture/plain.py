"""The exported module as a plain Graph: no guards, no hooks, one origin on every node."""

from __future__ import annotations

import inspect
import os
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from ..autocast import Autocast
from ..devices import home
from ..errors import UserError
from ..graph import Graph, Origin, Signature, must_stay, stamp
from .leaves import NONE, Opaque, called
from .refusal import TORCH, place_of, recorded_frames
from .regions import BLOCKS, inlined

_OTHERS = (TORCH, os.path.dirname(__file__) + os.sep, "<eval_with_key>")
"""Where code lies that is not the user's."""


def plain(exported: fx.GraphModule, model: nn.Module, leaves: Opaque = NONE) -> Graph:
    """The exported module as a plain Graph: no guards, no hooks, one origin on every node."""
    graph = inlined(exported)
    called(graph, leaves)
    _tie(graph, exported)
    for node in reversed(graph.nodes):
        if str(node.target) in ("_guards_fn", "aten._assert_tensor_metadata.default") or _copies_itself(node):
            graph.erase_node(node)
    results: Any = graph.output_node().args[0]
    graph.output_node().args = ((tuple(x for x in results if isinstance(x, fx.Node)), {}, {}),)
    graph.eliminate_dead_code(must_stay)
    _refuse_objects(exported, graph)
    here = home(graph)
    for node in graph.nodes:
        if node.op != "output":
            stamp(node, replace(_origin(node), autocasts=_blocks(node, here)), node.meta["val"])
    state, transient = _state(exported, graph, leaves)
    constants = {i: x for i, x in enumerate(results) if not isinstance(x, fx.Node)}
    takes: Any = exported._in_spec
    gives: Any = exported._out_spec
    signature = Signature(takes, gives, inspect.signature(model.forward), constants)
    modules = dict(model.named_modules(remove_duplicate=False))
    classes = {path: type(module).__name__ for path, module in modules.items()}
    versions = {path: module._version for path, module in modules.items()}
    return Graph(graph, state, signature, transient, classes, versions, leaves.modules)


def _copies_itself(node: fx.Node) -> bool:
    """Whether a tensor is copied over itself, as torch.export ends an in-place change: gradients would fail on that."""
    if node.target is not torch.ops.aten.copy_.default or node.users:
        return False
    target, source = node.args[:2]
    while source is not target and isinstance(source, fx.Node) and _returns_first(source.target):
        source = source.args[0]
    return source is target


def _returns_first(target: Any) -> bool:
    """Whether a call changes its first argument and returns it, in its own shape."""
    if not isinstance(target, torch._ops.OpOverload) or torch.Tag.inplace_view in target.tags:
        return False
    return target._schema.is_mutable and target._schema.name.endswith("_")


def _tie(graph: fx.Graph, exported: nn.Module) -> None:
    """Read a tensor that has several names once, under the first of them: it is one weight and gets one grid."""
    named = [*exported.named_parameters(remove_duplicate=False), *exported.named_buffers(remove_duplicate=False)]
    first: dict[int, str] = {}
    names = {name: first.setdefault(id(tensor), name) for name, tensor in named}
    reads: dict[str, fx.Node] = {}
    for node in graph.find_nodes(op="get_attr"):
        node.target = names.get(node.target, node.target)
        kept = reads.setdefault(node.target, node)
        if kept is not node:
            node.replace_all_uses_with(kept)
            graph.erase_node(node)


def _origin(node: fx.Node) -> Origin:
    if node.op not in ("call_function", "call_module"):
        return Origin(str(node.target).rpartition(".")[0] if node.op == "get_attr" else "")
    stack = node.meta.get("nn_module_stack") or {}
    path = next(reversed(stack.values()))[0] if stack else ""
    path = "" if path.startswith("_empty_nn_module_stack") else path  # torch's mark for a node of no module
    frames = [frame for frame in recorded_frames(node) if not frame[0].startswith(_OTHERS)]
    source = f"{os.path.basename(frames[-1][0])}:{frames[-1][1]}  {frames[-1][2]}" if frames else ""
    return Origin(str(node.target) if node.op == "call_module" else path.split("@")[0], source)


def _blocks(node: fx.Node, here: torch.device | None) -> tuple[Autocast, ...]:
    """The blocks of autocast around a call; those for the device of the model are for it wherever it moves."""
    blocks: tuple[Autocast, ...] = node.meta.get(BLOCKS, ())
    return tuple(replace(one, device="") if here and one.device == here.type else one for one in blocks)


def _refuse_objects(exported: nn.Module, graph: fx.Graph) -> None:
    """Refuse what a call reads and no state can hold."""
    for node in graph.find_nodes(op="get_attr"):
        owner, _, name = str(node.target).rpartition(".")
        value = getattr(exported.get_submodule(owner), name)
        if isinstance(value, torch.Tensor):
            continue
        own = isinstance(value, torch.Generator)
        draw = "draw without generator=, which torch.manual_seed governs"
        raise UserError(
            "the model draws from a torch.Generator of its own" if own else f"the model holds a {type(value).__name__}",
            where=str(place_of(next(iter(node.users)))),
            why="a graph holds tensors, and no state_dict or device would follow it",
            fix=draw if own else "keep that module out with leaves",
        )


def _state(exported: nn.Module, graph: fx.Graph, leaves: Opaque) -> tuple[dict[str, torch.Tensor], frozenset[str]]:
    """Tensors by dotted name, the model's own objects and in its order; the names that `state_dict` leaves out."""
    tensors: dict[str, torch.Tensor] = {
        **dict(exported.named_parameters(remove_duplicate=False)),
        **dict(exported.named_buffers(remove_duplicate=False)),
    }
    for node in graph.nodes:
        name = str(node.target)
        if node.op == "get_attr" and name not in tensors:
            owner: Any = exported.get_submodule(name.rpartition(".")[0])
            tensors[name] = getattr(owner, name.rpartition(".")[2])
    literals = [f"{path}." for path, part in exported.named_modules() if path and isinstance(part, fx.GraphModule)]
    kept = {name for name in exported.state_dict() if not name.startswith(tuple(literals))}
    read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    own = {k: v for k, v in tensors.items() if k in read or (k in kept and not leaves.hold(k))}
    return own, frozenset(tensors.keys() - kept)
