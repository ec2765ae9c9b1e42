"""The check at capture: does the graph compute what the module computes, forward, backward, in train and in eval?"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..errors import UserError
from ..graph import Graph, fixed
from ..modes import evaluated
from ..protect import protected
from ..randomness import seeded
from .asides import drawing_alike, holds_both_sides
from .closeness import EVAL, TRAINING, difference
from .copies import copied, restorer
from .example import Example
from .refusal import refusal

SEEDS = (0, 1)
"""A second seed tells what the model draws anew from what the export froze."""
SHAKE = 0.02
"""Share of its own size by which each parameter moves before the second run: zeros that a model starts from hide what
they multiply, and a state that has converged hides that it is still updated."""

ALONE, STRIDED, UNRECORDED = " for a batch of 1", " for inputs that are not contiguous", " without gradients"
"""End the name of what differs there alone."""


class Fidelity:
    """Module and graph side by side on the example inputs. They run as copies: neither is changed."""

    def __init__(self, graph: Graph, model: nn.Module, example: Example) -> None:
        """Raises UserError for NaN anywhere, and for infinity; attention masks may have the negative one."""
        _refuse_unreal(model, example)
        self._example = example
        self._theirs, self._ours = copied(model), copy.deepcopy(protected(drawing_alike(graph)).module())
        self._names = _first_names(_named_parameters(model))
        self._buffer_names = _first_names(_named_buffers(model))
        self._both_sides = holds_both_sides(graph)
        self._untouched = self._buffers(model)
        self._numbers: list[dict[str, float]] = []
        self._first = example.first() if _takes_one(graph, example) else None

    def in_training(self) -> str:
        """What differs in train mode: an output, a gradient or a buffer after the step; empty if nothing does.

        The second run has other random numbers and parameters, and gradients that go on to the inputs.
        Raises UserError when the model itself fails, forward or backward.
        """
        for seed in SEEDS:
            tracked = seed != SEEDS[0]
            if tracked:
                self._shake()
            try:
                theirs = self._trained(self._theirs, self._model, seed, tracked)
            except Exception as error:  # whatever the user's code raises
                if not tracked:
                    raise refusal(error, self._theirs, self._example.shapes, error) from error
                tracked = False  # it takes no inputs with gradients, such as one that goes through NumPy
                theirs = self._trained(self._theirs, self._model, seed, tracked)
            try:
                ours = self._trained(self._ours, self._graph, seed, tracked)
            except RuntimeError as error:
                return f"that it fails: {str(error).splitlines()[0]}"
            self._numbers.append(_numbers(self._theirs))
            ours = {**self._untouched, **ours}  # a graph has no use for every buffer
            if self._both_sides:
                ours = {name: x for name, x in ours.items() if name in theirs or not _is_no_gradient(name, x)}
            if name := difference(ours, theirs, TRAINING):
                return name
        name = self._differs(self._example, self._ours, "training", TRAINING)
        return f"{name}{UNRECORDED}" if name else self._alone(self._ours, "training", TRAINING)

    def counters(self) -> tuple[str, ...]:
        """Attributes, numbers, that were other ones after the second step than after the first."""
        first, second = self._numbers
        return tuple(name for name, value in first.items() if second.get(name, value) != value)

    def in_eval(self, graph: Graph) -> str:
        """What differs in eval mode, after the training steps before: an output or a buffer; empty if nothing does."""
        trained = {**_named_parameters(self._theirs), **_named_parameters(self._ours), **_named_buffers(self._ours)}
        # A copy, or the model's own buffers would change below.
        module = copy.deepcopy(protected(drawing_alike(evaluated(graph))).module()).eval()
        for name, tensor in {**_named_parameters(module), **_named_buffers(module)}.items():
            tensor.data = trained.get(name, tensor).data.clone()
        restore, buffers = restorer(self._theirs), self._buffers(self._theirs)
        with seeded(SEEDS[0]), torch.no_grad(), plain_attention():
            theirs = outputs(self._example.run(self._theirs.eval()), "eval") | self._buffers(self._theirs)
        with seeded(SEEDS[0]), torch.no_grad():
            ours = outputs(module(*copy.deepcopy(self._example.flat))[0], "eval")
        name = difference({**buffers, **ours, **self._buffers(module)}, theirs, EVAL)
        name = name or self._alone(module, "eval", EVAL) or self._strided(module)
        restore()  # for a second graph, to be compared from here too
        return name

    def _alone(self, ours: nn.Module, mode: str, tolerance: float) -> str:
        """What differs for a batch of one, which torch.export takes for impossible."""
        name = self._first and self._differs(self._first, ours, mode, tolerance)
        return f"{name}{ALONE}" if name else ""

    def _strided(self, ours: nn.Module) -> str:
        """What differs for inputs that lie otherwise in memory. In eval mode, where no mask is drawn in that order."""
        example = self._example.strided()
        name = example and self._differs(example, ours, "eval", EVAL)
        return f"{name}{STRIDED}" if name else ""

    def _differs(self, example: Example, ours: nn.Module, mode: str, tolerance: float) -> str:
        """What differs without gradients; nothing if the model fails on the inputs. Leaves the buffers as they are."""
        restore = restorer(self._theirs, ours)
        try:
            with torch.no_grad(), seeded(SEEDS[0]), plain_attention():
                theirs = outputs(example.run(self._theirs), mode)
            with torch.no_grad(), seeded(SEEDS[0]):
                found = outputs(ours(*copy.deepcopy(example.flat))[0], mode)
        except Exception:  # whatever the user's code raises, and the graph is then free to
            return ""
        finally:
            restore()
        return difference(found, theirs, tolerance)

    def _buffers(self, module: nn.Module) -> dict[str, Tensor]:
        """Copies; a buffer with several names goes by its first one."""
        named = _named_buffers(module)
        return {f"buffer {self._buffer_names.get(name, name)}": buffer.clone() for name, buffer in named.items()}

    def _model(self, args: Any, kwargs: Any) -> Any:
        with warnings.catch_warnings():  # torch.cond compiles its sides and looks at gradients that nobody asked for
            warnings.filterwarnings("ignore", r"The \.grad attribute of a Tensor that is not a leaf")
            return self._theirs(*args, **kwargs)

    def _graph(self, args: Any, kwargs: Any) -> Any:
        return self._ours(*pytree.tree_leaves((args, kwargs)))[0]

    def _trained(
        self, module: nn.Module, run: Callable[[Any, Any], Any], seed: int, tracked: bool
    ) -> dict[str, Tensor]:
        """Everything compared of one training step, by name; tied tensors go by their first one."""
        given = copy.deepcopy((self._example.args, self._example.kwargs))
        inputs = [x for x in pytree.tree_leaves(given) if isinstance(x, Tensor) and x.is_floating_point()]
        with seeded(seed):
            if tracked:
                for x in inputs:
                    x.requires_grad_()
                given = pytree.tree_map_only(Tensor, Tensor.clone, given)  # which may be changed in place
            seen = outputs(run(*given), "training")
            module.zero_grad()
            backward(seen)
        grads = {self._names[name]: p.grad for name, p in _named_parameters(module).items()}
        grads |= {f"input {i}": x.grad for i, x in enumerate(inputs)}
        seen |= {f"the gradient of {name}": _dense(grad) for name, grad in grads.items() if grad is not None}
        return {**{name: tensor.detach() for name, tensor in seen.items()}, **self._buffers(module)}

    @torch.no_grad()
    def _shake(self) -> None:
        """Move the parameters of both a little, alike."""
        generator = torch.Generator().manual_seed(0)
        theirs, ours = _named_parameters(self._theirs), _named_parameters(self._ours)
        for parameter in {id(p): p for p in theirs.values()}.values():
            if parameter.is_floating_point() and parameter.numel() and 0 not in parameter.stride():
                noise = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter.data.add_(noise, alpha=SHAKE * (float(parameter.abs().mean()) or 1.0))
        for name in theirs.keys() & ours.keys():
            ours[name].data.copy_(theirs[name].data)


def _is_no_gradient(name: str, grad: Tensor) -> bool:
    """Whether this is a gradient of zeros, such as a layer has that is computed but not taken; the module has none."""
    return name.startswith("the gradient") and not grad.any()


def _dense(grad: Tensor) -> Tensor:
    """Its own copy; of embeddings with sparse gradients, filled up with zeros."""
    return grad.to_dense() if grad.layout is torch.sparse_coo else grad.clone()


def _takes_one(graph: Graph, example: Example) -> bool:
    """Whether the graph may be given the first row of this example alone."""
    tensors = [node.meta["val"] for node in graph.inputs if isinstance(node.meta["val"], Tensor)]
    any_batch = all(fixed(x.shape[0]) is None for x in tensors if x.dim())
    return any_batch and any(x.dim() for x in tensors) and not graph.assumptions.broken(example.first().shapes)


def _refuse_unreal(model: nn.Module, example: Example) -> None:
    inputs = {f"example input {i}": x for i, x in enumerate(example.flat) if isinstance(x, Tensor)}
    parameters = {f"parameter '{name}'": x for name, x in model.named_parameters()}
    buffers = {f"buffer '{name}'": x for name, x in model.named_buffers()}
    for name, tensor in {**inputs, **parameters, **buffers}.items():
        seen = tensor.isinf() if name in parameters or tensor.is_complex() else tensor.isposinf()
        infinite = name not in buffers and bool(seen.any())
        if infinite or tensor.isnan().any():
            what = f"{name} holds {'NaN' if tensor.isnan().any() else 'infinity'}"
            raise UserError(what, why="nothing that it reaches can be compared or rounded", fix="give it real numbers")


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Without the fused kernels of nn.Transformer in inference: they round otherwise, and zero what is padding."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def outputs(result: Any, mode: str) -> dict[str, Tensor]:
    tensors = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
    return {f"{mode} output {i}": tensor for i, tensor in enumerate(tensors)}


def backward(seen: Mapping[str, Tensor]) -> None:
    """Gradients of a sum of the outputs that have any, with weights that are drawn."""
    differentiable = [out for out in seen.values() if out.requires_grad and out.is_floating_point()]
    if differentiable:
        sum((out * torch.rand_like(out)).sum() for out in differentiable).backward()  # type: ignore[union-attr]


def _first_names(named: Mapping[str, Tensor]) -> dict[str, str]:
    """Name of a tensor -> the first name of the same tensor."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in named.items()}


def _named_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    return dict(module.named_parameters(remove_duplicate=False))


def _numbers(model: nn.Module) -> dict[str, float]:
    """The plain numbers among the attributes of the modules."""
    found = ((path, name, x) for path, part in model.named_modules() for name, x in vars(part).items())
    return {f"{path}.{name}".lstrip("."): x for path, name, x in found if isinstance(x, int | float)}


def _named_buffers(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_buffers(remove_duplicate=False))
