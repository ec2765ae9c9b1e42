"""nn.Module + example inputs -> Graph: torch.export in train mode with a dynamic batch, never decomposed."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.utils import _pytree as pytree

from .errors import UserError
from .fidelity import check_fidelity
from .graph import OWN, Graph, Origin, Signature, arguments, stamp
from .verify import verify as verify_graph

_TORCH = os.path.dirname(torch.__file__) + os.sep
_EXPORTED = fx.GraphModule(nn.Module(), fx.Graph())
_TRIED = range(2, 1025)
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in [^\n]*\n\s+([^\n]*)')


def capture(
    model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None, verify: bool = True
) -> Graph:
    """Capture a module as a training graph over its own parameters and buffers.

    args, kwargs: example inputs; the first axis of every tensor is the batch, which becomes symbolic. A batch of 1 is
    doubled, since torch.export would fix it.   verify: compare outputs, buffers, gradients and the eval mode with the
    module on these inputs.   Raises UserError with the user's line where the module cannot be captured.
    """
    _refuse_names(model)
    given: tuple[tuple[Any, ...], dict[str, Any]] = (tuple(args), dict(kwargs or {}))
    positional, named = pytree.tree_map_only(torch.Tensor, _at_least_two, given)
    modes = {module: module.training for module in model.modules()}
    model.train()
    try:
        positional, named = _ordered(model, positional, named)
        program = _export(model, positional, named)
        _refuse_branches(program)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = program.module(check_guards=False)
        graph = _plain(exported, model)
        verify_graph(graph, "capture")
        if verify:
            check_fidelity(graph, model, positional, named)
    finally:
        for module, training in modes.items():
            module.training = training
    return graph


def _refuse_names(model: nn.Module) -> None:
    """Refuse a part that torch.export would fail on, whose result is a GraphModule, or that passes would mix up."""
    parts = [name for names in (model._modules, model._parameters, model._buffers) for name in names]
    for name in parts:
        if hasattr(_EXPORTED, name) or name in ("_guards_fn", OWN):
            raise UserError(f"the model has a part called '{name}'", fix="give that attribute another name")


def _at_least_two(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, twice if it is a batch of one; its own copy, since export takes one tensor given twice for one."""
    own = tensor.detach().clone()
    return torch.cat([own, own]) if own.dim() and own.shape[0] == 1 else own


def _ordered(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments in the order of the model's signature, by position where it allows that."""
    try:
        bound = inspect.signature(model.forward).bind(*args, **kwargs)
    except TypeError as error:
        raise UserError("the model takes other arguments", why=str(error), fix="give what `forward` takes") from None
    return bound.args, bound.kwargs


def _export(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.export.ExportedProgram:
    bound = inspect.signature(model.forward).bind(*args, **kwargs).arguments
    batch = {0: torch.export.Dim.DYNAMIC}
    shapes = pytree.tree_map(lambda x: batch if isinstance(x, torch.Tensor) and x.dim() else None, dict(bound))
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            return torch.export.export(model, args, kwargs, dynamic_shapes=shapes, strict=False)
    except Exception as error:  # torch.export raises whatever the module's own code raised
        raise _refusal(
            error, [tuple(x.shape) for x in pytree.tree_leaves(bound) if isinstance(x, torch.Tensor)]
        ) from error


def _refuse_branches(program: torch.export.ExportedProgram) -> None:
    """Refuse a program that torch recorded for some batch sizes only: at others it would compute something else."""
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"]
    sizes: list[Any] = [value.shape[0] for value in values if isinstance(value, torch.Tensor) and value.dim()]
    for size in sizes:
        if not isinstance(size, torch.SymInt):
            continue
        guards = [guard for guard in size.node.shape_env.guards if _excludes(guard.expr, size.node.expr)]
        bounds = program.range_constraints.get(size.node.expr)
        if guards or (bounds and (bounds.lower > 2 or bounds.upper < sys.maxsize)):
            place = getattr(guards[0].sloc, "framework_loc", None) if guards else None
            raise UserError(
                "the model branches on the batch size",
                where=f"{place.filename}:{place.lineno}  {place.line}" if place else "",
                why=f"what it computes holds only for some sizes: {guards[0].expr if guards else bounds}",
                fix="compute the same for every batch size",
            )


def _excludes(condition: Any, batch: Any) -> bool:
    """Whether a batch size breaks the condition; one that reads two sizes says that two inputs have equal batches.

    Many conditions of torch's own hold always, as (3 * N - 1) // N == 2 does, and no prover of its tells: tried out.
    """
    return condition.free_symbols == {batch} and any(not condition.subs(batch, size) for size in _TRIED)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch.export from printing its half-made graph; the refusal says what the user needs."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # the graph is printed there, not logged
            yield
    finally:
        logger.setLevel(level)


def _refusal(error: Exception, shapes: Sequence[tuple[int, ...]]) -> UserError:
    """The user's line and the cause, in one sentence, of a failed export. Lines of generated code are in no file."""
    frames = traceback.extract_tb(error.__traceback__)
    user = [frame for frame in frames if not frame.filename.startswith((_TORCH, os.path.dirname(__file__), "<"))]
    where = f"{user[-1].filename}:{user[-1].lineno}  {user[-1].line}" if user else ""
    first = str(error).strip().split("\n")[0]
    if isinstance(error, GuardOnDataDependentSymNode):
        why = f"a Python branch there depends on the values of a tensor ({first})"
        fix = "use torch.cond or torch.where, or move the branch out of the model"
    else:
        shown = ", ".join(map(str, shapes))
        why, fix = f"{type(error).__name__}: {first}", f"check that the module runs on inputs of shape {shown}"
    return UserError("the model cannot be captured", where=where, why=why, fix=fix)


def _plain(exported: nn.Module, model: nn.Module) -> Graph:
    """The exported module as a plain Graph: no guards, no hooks, one origin on every node."""
    source: fx.Graph = exported.graph  # type: ignore[assignment]
    for node in list(source.nodes):
        if str(node.target) in ("_guards_fn", "aten._assert_tensor_metadata.default"):
            source.erase_node(node)
        elif _is_identity(node):
            node.replace_all_uses_with(node.all_input_nodes[0])
            source.erase_node(node)
    graph = fx.Graph()
    results: Any = graph.graph_copy(source, {})
    graph.output((tuple(x for x in results if isinstance(x, fx.Node)), (), {}))
    graph.eliminate_dead_code()
    for node in graph.nodes:
        if node.op != "output":
            stamp(node, _origin(node), node.meta["val"])
    state, transient = _state(exported, graph)
    constants = {i: x for i, x in enumerate(results) if not isinstance(x, fx.Node)}
    takes: Any = exported._in_spec
    gives: Any = exported._out_spec
    return Graph(graph, state, Signature(takes, gives, inspect.signature(model.forward), constants), transient)


def _is_identity(node: fx.Node) -> bool:
    """Whether the node is a conversion of a tensor to what it is already, which returns that very tensor."""
    if not str(node.target).startswith(("aten.to.", "aten.type_as.")) or arguments(node).get("copy"):
        return False
    before, after = (kept.meta["val"] for kept in (node.args[0], node))  # type: ignore[union-attr]
    return bool(before.dtype == after.dtype and before.device == after.device and before.stride() == after.stride())


def _origin(node: fx.Node) -> Origin:
    if node.op != "call_function":
        return Origin(str(node.target).rpartition(".")[0] if node.op == "get_attr" else "")
    stack = node.meta.get("nn_module_stack") or {}
    path = next(reversed(stack.values()))[0] if stack else ""
    path = "" if path.startswith("_empty_nn_module_stack") else path  # torch's mark for a node of no module
    frames = [frame for frame in _FRAME.findall(node.meta.get("stack_trace") or "") if not frame[0].startswith(_TORCH)]
    source = f"{os.path.basename(frames[-1][0])}:{frames[-1][1]}  {frames[-1][2]}" if frames else ""
    return Origin(path.split("@")[0], source)


def _state(exported: nn.Module, graph: fx.Graph) -> tuple[dict[str, torch.Tensor], frozenset[str]]:
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
    kept = exported.state_dict().keys()
    read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    return {k: v for k, v in tensors.items() if k in read or k in kept}, frozenset(tensors.keys() - kept)
