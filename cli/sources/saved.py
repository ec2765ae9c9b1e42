"""A program of torch.export.save as an ordinary module: trainable, with its names, ties, lines and both modes."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.fx.traceback
from torch import fx, nn
from torch.utils import _pytree as pytree

from ...compiler.capture.regions import inlined
from ...compiler.errors import UserError
from ...compiler.graph import Graph, Signature, arguments
from ...compiler.modes import FLAGS, evaluated

_TOLD = ("stack_trace", "nn_module_stack")
"""What a node of an exported program tells of the code that it came from."""


def model(path: str) -> nn.Module:
    """The program in a .pt2 as a module. torch.export.load runs code that a file may hide: open only what you trust.

    Warns where it was exported in eval mode. Raises UserError for a file that is none, or is damaged.
    """
    exported: Any = _loaded(path).module(check_guards=False)
    _tie(exported)
    # Capture binds arguments by the signature of forward, which belongs to a class.
    made: nn.Module = type("Exported", (Exported,), {"forward": _forward(exported)})(exported)
    return made


class Exported(nn.Module):
    """A program that flips between train and eval, which torch.export's own module refuses to do.

    An export of this module tells of the original one: its module paths, its lines of code.
    """

    def __init__(self, exported: Any) -> None:
        super().__init__()
        graph = _graph(exported)
        _warn(graph)
        self._signature = graph.signature
        _plant(self, graph.fx)
        self._graphs = {mode: _retold(own.fx) for mode, own in ((True, graph), (False, evaluated(graph)))}
        graph.install(self)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The program's outputs for its arguments, in the mode that the module is in."""
        bound = self._signature.forward.bind(*args, **kwargs)
        flat = pytree.tree_leaves((bound.args, bound.kwargs))
        # An interpreter sets the meta of the node it is at, and an export that is going on copies it.
        with torch.fx.traceback.preserve_node_meta():
            outputs = fx.Interpreter(self, graph=self._graphs[self.training]).run(*flat)
        return self._signature.result(outputs[0])


def _forward(exported: nn.Module) -> Any:
    """A forward with the signature of the model that was exported."""

    def forward(self: Exported, *args: Any, **kwargs: Any) -> Any:
        return self.run(*args, **kwargs)

    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(exported.forward).parameters.values()
    forward.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]
    return forward


def _loaded(path: str) -> torch.export.ExportedProgram:
    if not Path(path).is_file():
        raise UserError("there is no such file", where=path, fix="name a .pt2 of torch.export.save, with no ? behind")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(path)
    except Exception as error:  # damage shows as whatever the reader of a part raises
        why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        fix = "save it again with torch.export.save, by a torch no newer than this"
        raise UserError(
            "the file is no program of torch.export.save, or is damaged", where=path, why=why, fix=fix
        ) from error


def _graph(exported: Any) -> Graph:
    """The program's calls over its tensors, without the guards of the shapes that it was exported with."""
    graph = inlined(exported)
    for node in graph.find_nodes(op="call_module", target="_guards_fn"):
        graph.erase_node(node)
    results: Any = graph.output_node().args[0]
    graph.output_node().args = ((tuple(x for x in results if isinstance(x, fx.Node)), (), {}),)
    constants = {i: x for i, x in enumerate(results) if not isinstance(x, fx.Node)}
    signature = Signature(exported._in_spec, exported._out_spec, inspect.signature(exported.forward), constants)
    tensors = {**dict(exported.named_parameters(remove_duplicate=False))}
    tensors.update(exported.named_buffers(remove_duplicate=False))
    kept = exported.state_dict().keys()
    for node in graph.find_nodes(op="get_attr"):  # a constant is an attribute like any other
        tensors.setdefault(node.target, _attribute(exported, node.target))
    return Graph(graph, tensors, signature, frozenset(tensors.keys() - kept))


def _attribute(root: Any, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), root)


def _tie(exported: nn.Module) -> None:
    """Make one parameter again of those that share their memory: reading gives each name an object of its own."""
    seen: dict[tuple[Any, ...], nn.Parameter] = {}
    for name, parameter in exported.named_parameters(remove_duplicate=False):
        path, _, leaf = name.rpartition(".")
        layout = (parameter.data_ptr(), parameter.shape, parameter.stride(), parameter.dtype)
        if parameter.numel():
            exported.get_submodule(path)._parameters[leaf] = seen.setdefault(layout, parameter)


def _plant(root: nn.Module, graph: fx.Graph) -> None:
    """Modules at the paths of the original, of empty classes with its names, by which views sum up."""
    stacks = [node.meta.get("nn_module_stack") or {} for node in graph.nodes]
    kinds = dict(entry for stack in stacks for entry in stack.values() if entry[0])
    for path in sorted(kinds):
        if "@" in path:  # a further call of the same module
            continue
        owner = root
        *above, name = path.split(".")
        for part in above:
            owner = owner._modules.setdefault(part, nn.Module())  # type: ignore[assignment]
        owner.add_module(name, type(kinds[path].rpartition(".")[2], (nn.Module,), {})())


def _retold(graph: fx.Graph) -> fx.Graph:
    """The graph with nothing on its nodes but what they tell of their origin."""
    for node in graph.nodes:
        node.meta = {key: node.meta[key] for key in _TOLD if node.meta.get(key)}
    return graph


def _warn(graph: Graph) -> None:
    """Say so where the program is that of eval mode, whose noise and statistics of the batch are in no node."""
    if {trains for _, trains in _flags(graph.fx)} == {False}:
        what = "the program was exported in eval mode: its dropout stays off and its norms keep their statistics"
        warnings.warn(f"{what} in training too; export it in train mode to train it", stacklevel=4)


def _flags(graph: fx.Graph) -> Iterator[tuple[fx.Node, bool]]:
    """The calls that tell the mode of an export, and whether they tell of training.

    Not a norm without statistics, which is alike in both modes, nor an attention without dropout, which may be.
    """
    for node in graph.nodes:
        name = node.target._schema.name.removeprefix("aten::") if isinstance(node.target, torch._ops.OpOverload) else ""
        if name in FLAGS and arguments(node).get("running_mean", "") is not None:
            flag, off = FLAGS[name]
            trains = arguments(node)[flag] != off
            if trains or isinstance(off, bool):
                yield node, trains
