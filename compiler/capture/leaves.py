"""Opaque leaves: modules that a recipe keeps out of the graph, which calls them as they are.

While torch.export runs, a leaf answers with the marker operator `lowbit::leaf`, one call for each tensor that it
returns; afterwards the markers of one call become one `call_module` node. What shape a leaf returns for another batch
is found out beforehand, by running the model on three batch sizes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from ..errors import Broken, UserError
from ..graph import tensor_of
from .copies import copied
from .example import Example


@torch.library.custom_op("lowbit::leaf", mutates_args=())
def _leaf(
    inputs: Sequence[Tensor], path: str, call: int, index: int, size: Sequence[int], dtype: torch.dtype,
    device: torch.device,
) -> Tensor:  # fmt: skip
    raise Broken(f"the marker of the leaf '{path}' was run")


@_leaf.register_fake
def _(
    inputs: Any, path: str, call: int, index: int, size: Sequence[int], dtype: torch.dtype, device: torch.device
) -> Tensor:
    return torch.empty(size, dtype=dtype, device=device)


MARKER = torch.ops.lowbit.leaf.default


@dataclass(frozen=True)
class Size:
    """A size of an output: `slope` for each row of the leaf's first tensor, and `base`."""

    slope: int
    base: int


@dataclass(frozen=True)
class Returned:
    """What one call of a leaf returns: the structure; of each leaf of it the sizes, type and device, or the value."""

    spec: pytree.TreeSpec
    parts: tuple[Any, ...]


@dataclass
class Opaque:
    """The leaves of one model while it is exported.   modules: by path.   calls: what each call was given."""

    modules: Mapping[str, nn.Module]
    returned: Mapping[str, Sequence[Returned]]
    calls: dict[tuple[str, int], tuple[Any, Any]] = field(default_factory=dict)

    @contextlib.contextmanager
    def standing_in(self) -> Iterator[None]:
        """Let every leaf answer with markers instead of running."""
        self.calls.clear()
        own: dict[str, Any] = {path: module.__dict__.get("forward") for path, module in self.modules.items()}
        for path, module in self.modules.items():
            module.forward = self._marker(path)
        try:
            yield
        finally:
            for path, module in self.modules.items():
                del module.__dict__["forward"]
                if own[path] is not None:
                    module.forward = own[path]

    def hold(self, name: str) -> bool:
        """Whether a parameter or buffer belongs to a leaf."""
        return any(name.startswith(f"{path}.") for path in self.modules)

    def _marker(self, path: str) -> Callable[..., Any]:
        count = 0

        def forward(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            call, count = count, count + 1
            inputs = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            self.calls[path, call] = pytree.tree_map_only(Tensor, lambda _: _INPUT, (args, kwargs))
            known = self.returned[path][call]
            parts = [_marked(inputs, path, call, i, part) for i, part in enumerate(known.parts)]
            return pytree.tree_unflatten(parts, known.spec)

        return forward


NONE = Opaque({}, {})
_INPUT = object()
"""Stands in the recorded arguments of a leaf where a tensor was."""


def _marked(inputs: Sequence[Tensor], path: str, call: int, index: int, part: Any) -> Any:
    if not isinstance(part, tuple):
        return part.value
    sizes, dtype, device = part
    rows = inputs[0].shape[0] if inputs and inputs[0].dim() else 0
    size = [known.slope * rows + known.base for known in sizes]
    return MARKER(inputs, path, call, index, size, dtype, device)


@dataclass(frozen=True)
class _Fixed:
    """A value among a leaf's results that is no tensor."""

    value: Any


def opaque(model: nn.Module, patterns: Sequence[str], example: Example) -> Opaque:
    """The modules of those paths, the outermost where they are nested, and what each returns.

    Raises UserError for a pattern without a module, and for a leaf whose results do not follow the batch.
    """
    modules = _chosen(model, patterns)
    if not modules:
        return NONE
    batches = (example, example.grown(), example.grown().grown())
    seen = [_observed(model, modules, given) for given in batches]
    calls = {path: zip(*(results[path] for results in seen), strict=True) for path in modules}
    returned = {path: [_returned(path, observed) for observed in calls[path]] for path in modules}
    return Opaque(modules, returned)


def _chosen(model: nn.Module, patterns: Sequence[str]) -> dict[str, nn.Module]:
    # A list of modules has no forward: it is not called, and so the modules in it are the outermost.
    paths = {path: one for path, one in model.named_modules() if _has_forward(one)}
    for pattern in patterns:
        if not any(path and fnmatchcase(path, pattern) for path in paths):
            raise UserError(
                f"the leaf pattern '{pattern}' matches no module",
                where="leaves",
                fix=f"use one of: {', '.join(path for path in paths if path)}",
            )
    fitting = [path for path in paths if path and any(fnmatchcase(path, pattern) for pattern in patterns)]
    inner = {path for path in fitting for outer in fitting if path.startswith(f"{outer}.")}
    return {path: paths[path] for path in fitting if path not in inner}


def _has_forward(module: nn.Module) -> bool:
    return getattr(module.forward, "__func__", None) is not nn.Module.forward


def _observed(model: nn.Module, modules: Iterable[str], example: Example) -> dict[str, list[tuple[int, Any]]]:
    """Of each leaf and each of its calls: the rows of its first tensor, and what it returned."""
    twin = copied(model)
    seen: dict[str, list[tuple[int, Any]]] = {path: [] for path in modules}

    def watch(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
            inputs = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            seen[path].append((inputs[0].shape[0] if inputs and inputs[0].dim() else 0, result))

        return hook

    for path in modules:
        twin.get_submodule(path).register_forward_hook(watch(path), with_kwargs=True)
    example.tried(twin)
    return seen


def _returned(path: str, observed: Sequence[tuple[int, Any]]) -> Returned:
    """From the results of one call at three batch sizes."""
    rows = [count for count, _ in observed]
    flat = [pytree.tree_flatten(result) for _, result in observed]
    if any(spec != flat[0][1] for _, spec in flat):
        raise UserError(f"the leaf '{path}' returns another structure for another batch", where=path)
    parts = zip(*(leaves for leaves, _ in flat), strict=True)
    return Returned(flat[0][1], tuple(_part(path, rows, part) for part in parts))


def _part(path: str, rows: Sequence[int], seen: Sequence[Any]) -> Any:
    if not isinstance(seen[0], Tensor):
        if not isinstance(seen[0], bool | int | float | str | None) or any(value != seen[0] for value in seen):
            shown = " and ".join(dict.fromkeys(map(repr, seen)))
            why = f"besides tensors in tuples, lists and dicts it returns {shown}"
            raise UserError(f"the leaf '{path}' returns what no graph can pass on", where=path, why=why)
        return _Fixed(seen[0])
    sizes = tuple(_size(path, rows, axis) for axis in zip(*(tensor.shape for tensor in seen), strict=True))
    return sizes, seen[0].dtype, seen[0].device


def _size(path: str, rows: Sequence[int], seen: Sequence[int]) -> Size:
    grown = rows[1] - rows[0]
    slope = (seen[1] - seen[0]) // grown if grown else 0
    size = Size(slope, seen[0] - slope * rows[0])
    if any(size.slope * count + size.base != found for count, found in zip(rows, seen, strict=True)):
        why = f"for {', '.join(map(str, rows))} rows a size is {', '.join(map(str, seen))}"
        raise UserError(f"the shape that the leaf '{path}' returns does not follow its input", where=path, why=why)
    return size


def called(graph: fx.Graph, leaves: Opaque) -> None:
    """Turn the markers of each call of a leaf into one `call_module` node and a pick for each result read."""
    made: dict[tuple[str, int], fx.Node] = {}
    for node in list(graph.nodes):
        if node.target is not MARKER:
            continue
        inputs, path, call, index, *_ = node.args
        if (path, call) not in made:
            with graph.inserting_before(node):
                made[path, call] = _call(graph, leaves, path, call, inputs, node)
        with graph.inserting_before(node):
            pick = graph.call_function(tensor_of, (made[path, call], index))
        pick.meta = dict(node.meta)
        node.replace_all_uses_with(pick)
        graph.erase_node(node)


def _call(graph: fx.Graph, leaves: Opaque, path: str, call: int, inputs: Any, marker: fx.Node) -> fx.Node:
    values = iter(inputs)
    args, kwargs = pytree.tree_map(lambda x: next(values) if x is _INPUT else x, leaves.calls[path, call])
    node = graph.call_module(path, tuple(args), kwargs)
    node.meta = {**marker.meta, "val": None}
    return node
