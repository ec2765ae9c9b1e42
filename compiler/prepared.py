"""Prepared: the trainable module that the user holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from .errors import UserError
from .graph import OWN, Graph, shape
from .modes import evaluated
from .pipeline import Entry
from .recipe import Recipe


class Prepared(nn.Module):
    """A captured model after a recipe's passes: an ordinary module with the model's own parameter names.

    Call it like the model. Add `regularization()` to the task loss, and call `step()` after each optimizer step.
    recipe: what it was prepared with.   ledger: what each pass did.
    """

    def __init__(self, graph: Graph, recipe: Recipe, ledger: tuple[Entry, ...] = ()) -> None:
        """Raises UserError if a top-level part of the model has a name that Prepared needs for itself."""
        super().__init__()
        self.recipe, self.ledger = recipe, ledger
        self._graph = replace(graph, state={})
        self._inputs = [_expected(node) for node in graph.inputs]
        fed = _reached(graph)
        weight_penalties = tuple(node for node in graph.penalties if node not in fed)
        fed_penalties = tuple(node for node in graph.penalties if node in fed)
        self._train = _function(graph.select(outputs=graph.outputs, penalties=fed_penalties))
        self._eval = _function(evaluated(graph))
        self._penalties = _function(graph.select(penalties=weight_penalties))
        self._updates = _function(graph.select(updates=graph.updates))
        self._measured = Measured()
        taken = sorted({name.split(".")[0] for name in graph.state if hasattr(self, name.split(".")[0])})
        if taken:
            raise UserError(f"the model has a part called '{taken[0]}'", fix="give that attribute another name")
        graph.install(self)  # last, when every attribute of this module's own is there

    @property
    def graph(self) -> Graph:
        """The training graph over the present parameters and buffers. Raises UserError if they changed their type."""
        live: dict[str, Tensor] = {**dict(self.named_parameters(remove_duplicate=False))}
        live.update(self.named_buffers(remove_duplicate=False))
        for node in self._graph.nodes:
            if node.op == "get_attr":
                _same_type(str(node.target), live[str(node.target)], node.meta["val"])
        return replace(self._graph, state=live)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's outputs for the model's arguments. Raises UserError for arguments of another form or shape."""
        flat = self.flat(args, kwargs)
        run = self._train if self.training else self._eval
        outputs, penalties, _ = run(self, *flat)
        self._measured = Measured(penalties)
        return self._graph.signature.result(outputs)

    def flat(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The values of the graph's inputs for the arguments of a forward, in whichever order they are named."""
        try:
            bound = self._graph.signature.forward.bind(*args, **kwargs)
        except TypeError as error:
            raise UserError("the arguments have another form than at capture", why=str(error)) from None
        flat, spec = pytree.tree_flatten((bound.args, bound.kwargs))
        self._check(flat, spec)
        return flat

    def regularization(self) -> Tensor:
        """The sum of all penalties, a scalar: of the weights as they are now, and of the last training forward."""
        _, penalties, _ = self._penalties(self)
        total = sum([*penalties, *self._measured])
        return total if isinstance(total, Tensor) else torch.zeros(())

    @torch.no_grad()
    def step(self) -> None:
        """Advance schedules by one training step: masks, ramps, counters."""
        _, _, updates = self._updates(self)
        buffers = dict(self.named_buffers(remove_duplicate=False))
        for name, value in updates.items():
            buffers[name].copy_(value)

    def parameter_groups(self, lr: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Groups for an optimizer: weights; grid scales (log2) and regularizer coefficients (log), never decayed.

        Scales and coefficients are exponents and move ten times faster: a scale has to follow weights that are pruned
        to a few large ones, a coefficient to cross orders of magnitude.
        """
        groups: dict[str, list[nn.Parameter]] = {"weights": [], "scales": [], "coefficients": []}
        for name, parameter in self.named_parameters():
            kind = name.split(".")[1] if name.startswith(f"{OWN}.") else "weights"
            groups[kind].append(parameter)
        rates = {"weights": (lr, weight_decay), "scales": (10 * lr, 0.0), "coefficients": (10 * lr, 0.0)}
        return [
            {"name": kind, "params": parameters, "lr": rates[kind][0], "weight_decay": rates[kind][1]}
            for kind, parameters in groups.items()
            if parameters
        ]

    def _check(self, flat: list[Any], spec: pytree.TreeSpec) -> None:
        if spec != self._graph.signature.inputs:
            raise UserError("the arguments have another form than at capture", why=f"given {spec}")
        for i, (value, wanted) in enumerate(zip(flat, self._inputs, strict=True)):
            if not isinstance(wanted, Sizes):
                if isinstance(value, Tensor) or value != wanted:
                    raise UserError(f"input {i} is {value!r}", why=f"the model was captured with {wanted!r} for good")
            elif not wanted.fit(tuple(getattr(value, "shape", ()))):
                given = tuple(getattr(value, "shape", ()))
                raise UserError(f"input {i} has shape {given}", why=f"the model was captured with {wanted}")


def _same_type(name: str, live: Tensor, captured: Tensor) -> None:
    if live.dtype != captured.dtype:
        raise UserError(
            f"'{name}' has become {live.dtype}",
            why=f"the model was prepared in {captured.dtype}, and every pass reckons with that",
            fix="prepare the model in the type that it shall have, or convert it back",
        )


class Sizes(tuple[int | None, ...]):
    """The shape that an input must have; None is the batch."""

    def fit(self, given: tuple[int, ...]) -> bool:
        return len(given) == len(self) and all(own in (None, size) for own, size in zip(self, given, strict=True))

    def __str__(self) -> str:
        return f"({', '.join('N' if size is None else str(size) for size in self)})"


def _expected(node: fx.Node) -> Any:
    """The shape of a tensor input; of another the value itself, which capture made part of the graph."""
    if not isinstance(node.meta["val"], Tensor):
        return node.meta["val"]
    return Sizes(size if isinstance(size, int) else None for size in shape(node))


class Measured(tuple[Tensor, ...]):
    """Penalties of the last forward. They belong to its autograd graph, so a copy of the module starts without."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Measured:
        return Measured()


def _reached(graph: Graph) -> set[fx.Node]:
    """The nodes that an input reaches."""
    found: set[fx.Node] = set(graph.inputs)
    for node in graph.fx.nodes:
        if any(operand in found for operand in node.all_input_nodes):
            found.add(node)
    return found


def _function(graph: Graph) -> Any:
    """The graph as a plain function of (module tree, *flat inputs), so that several can share one tree."""
    tree = nn.Module()
    graph.install(tree)
    return type(fx.GraphModule(tree, graph.fx)).forward
