"""Prepared: the trainable module that the user holds."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NoReturn

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from .arguments import Arguments
from .autocast import warn_of_autocast
from .devices import is_literal, placed, portable
from .direct import called_directly
from .errors import UserError
from .graph import OWN, Graph, Signature
from .limiting import limits_joined
from .modes import evaluated
from .norms.dividing import weights_divided
from .part import grow, switch
from .penalty import Penalty, named
from .pipeline import Entry
from .protect import protected
from .recipe import Recipe
from .weighing import weights_joined

_ONE = pytree.tree_structure(0)


class Prepared(nn.Module):
    """A captured model after a recipe's passes: an ordinary module with the model's own parameter names.

    Call it like the model. Add `regularization()` to the task loss, and call `step()` after each optimizer step.
    Its submodules hold the parameters, and the graph computes: they cannot be called, hooked or switched on their own.
    recipe: what it was prepared with.   ledger: what each pass did.
    """

    def __init__(self, graph: Graph, recipe: Recipe, ledger: tuple[Entry, ...] = ()) -> None:
        """Raises UserError if a top-level part of the model has a name that Prepared needs for itself."""
        super().__init__()
        self.recipe, self.ledger = recipe, ledger
        self._graph = replace(graph, state={})
        self._arguments = Arguments(graph)
        self._returns = {True: graph.signature, False: (graph.evaluation or graph).signature}
        self._returns_one = {mode: _is_one(signature) for mode, signature in self._returns.items()}
        fed = _reached(graph)
        factors = {name: penalty.coefficient for name, penalty in graph.penalties.items()}
        computed = {name: factor for name, factor in factors.items() if isinstance(factor, fx.Node)}
        of_weights = {name: penalty for name, penalty in graph.penalties.items() if penalty.term not in fed}
        measured = {name: penalty for name, penalty in graph.penalties.items() if penalty.term in fed}
        self._train = _function(weights_divided(graph.select(outputs=graph.outputs, penalties=measured)))
        self._eval = _function(evaluated(graph))
        self._penalties = _function(graph.select(penalties=of_weights))
        self._coefficients = _function(graph.select(updates=computed))
        self._factors = {name: None if name in computed else float(factor) for name, factor in factors.items()}
        self._updates = _function(graph.select(updates=graph.updates))
        self._measured = Measured()
        taken = sorted({name.split(".")[0] for name in graph.state if hasattr(self, name.split(".")[0])})
        if taken:
            raise UserError(f"the model has a part called '{taken[0]}'", fix="give that attribute another name")
        self._version = graph.versions.get("", self._version)
        grow(self, graph)
        graph.install(self)  # last, when every attribute of this module's own is there

    @property
    def graph(self) -> Graph:
        """The training graph over the present parameters and buffers. Raises UserError if they changed their type."""
        live: dict[str, Tensor] = {**dict(self.named_parameters(remove_duplicate=False))}
        live.update(self.named_buffers(remove_duplicate=False))
        for node in self._graph.nodes:
            if node.op == "get_attr":
                _same_type(str(node.target), live[str(node.target)], node.meta["val"])
        return replace(placed(self._graph, self._device()), state=live)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's outputs for the model's arguments. Raises UserError for arguments of another form or shape."""
        flat = self._arguments.flat(args, kwargs)
        if (asks := self._graph.assumptions.asks_autocast) and not torch.compiler.is_compiling():
            warn_of_autocast(asks, self._device(flat))
        run = self._train if self.training else self._eval
        outputs, penalties, _ = run(self, self._device(flat), *flat)
        self._measured = Measured(named(penalties))
        return outputs[0] if self._returns_one[self.training] else self._returns[self.training].result(outputs)

    def flat(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The values of the graph's inputs for the arguments of a forward, in whichever order they are named."""
        return self._arguments.flat(args, kwargs)

    def regularization(self) -> Tensor:
        """The sum of all penalties, a scalar: of the weights as they are now, and of the last training forward."""
        total = sum(penalty.term for penalty in self._last_penalties().values())
        return total if isinstance(total, Tensor) else torch.zeros((), device=self._device())

    @torch.no_grad()
    def penalties(self) -> dict[str, float]:
        """Name -> R of each penalty, without its coefficient: of the weights now, and of the last training forward."""
        return {name: float(penalty.measure.detach()) for name, penalty in self._last_penalties().items()}

    @torch.no_grad()
    def coefficients(self) -> dict[str, float]:
        """Name -> lambda of each penalty, by which its R is weighted now."""
        _, _, computed = self._coefficients(self, self._device())
        return {name: float(computed.get(name, factor)) for name, factor in self._factors.items()}

    def _last_penalties(self) -> dict[str, Penalty]:
        _, penalties, _ = self._penalties(self, self._device())
        return {**named(penalties), **self._measured}

    @torch.no_grad()
    def step(self) -> None:
        """Advance schedules by one training step: masks, ramps, counters, weights that settle."""
        _, _, updates = self._updates(self, self._device())
        for name, value in updates.items():
            path, _, leaf = name.rpartition(".")
            if (tensor := getattr(self.get_submodule(path), leaf)) is not value:  # a mask that stays
                tensor.copy_(value)

    def parameter_groups(self, lr: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Groups for an optimizer: weights; scales of grids (log2, and those that are trained as they are: ranges),
        bit widths and regularizer coefficients (log), none of which decays.

        Exponents and widths move ten times faster: a scale has to follow weights that are pruned to a few large ones,
        a coefficient to cross orders of magnitude.
        """
        rates = {"weights": (lr, weight_decay), "ranges": (lr, 0.0)}
        rates |= dict.fromkeys(("scales", "bits", "coefficients"), (10 * lr, 0.0))
        groups: dict[str, list[nn.Parameter]] = {kind: [] for kind in rates}
        for name, parameter in self.named_parameters():
            kind = name.split(".")[1] if name.startswith(f"{OWN}.") else "weights"
            groups[kind].append(parameter)
        return [
            {"name": kind, "params": parameters, "lr": rates[kind][0], "weight_decay": rates[kind][1]}
            for kind, parameters in groups.items()
            if parameters
        ]

    def train(self, mode: bool = True) -> Prepared:
        """Switch the whole model: batch norm, dropout, and the penalties of activations."""
        switch(self, mode)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> Prepared:
        """As of any module; a constant in the code of a forward moves along, but has no type to convert."""
        literals = {name: tensor for name, tensor in self.named_buffers() if is_literal(name)}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, tensor in literals.items():
            path, _, leaf = name.rpartition(".")
            setattr(self.get_submodule(path), leaf, tensor.to(fn(tensor).device))
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As of any module. Raises UserError for a strict load of the float model's state, which has no grids.

        With strict=False it loads, and `missing_keys` of what is returned are those of the recipe, `lowbit.*`: they
        keep their values. A state to start from is better loaded into the model before it is prepared, since
        preparing sets the scales by the weights.
        """
        own = {name for name in self.state_dict() if name.startswith(f"{OWN}.")}
        if strict and own and state_dict.keys() == self.state_dict().keys() - own:
            raise UserError(
                "the state is that of the float model",
                why=f"it has nothing of what the recipe added: {', '.join(sorted(own)[:3])}, ...",
                fix="load it into the model and prepare that, or with strict=False keep the present scales and masks",
            )
        return super().load_state_dict(state_dict, strict, assign)

    def __deepcopy__(self, memo: dict[int, Any]) -> Prepared:
        twin = memo[id(self)] = self.__new__(type(self))
        twin.__setstate__(copy.deepcopy(self.__dict__, memo))  # type: ignore[no-untyped-call]
        return twin

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Say at once what pickle would say of some object deep inside."""
        raise UserError(
            "a prepared model cannot be pickled",
            why="its graph holds operators of torch, which cannot be",
            fix="save its state_dict(), and load that into the same model prepared by the same recipe",
        )

    def _device(self, flat: Sequence[Any] = ()) -> torch.device:
        """Where to compute: where the inputs are, or else the model."""
        for value in chain(flat, self.parameters(), self.buffers()):
            if isinstance(value, Tensor):
                return value.device
        return torch.get_default_device()


def _is_one(signature: Signature) -> bool:
    """Whether the result is a single tensor, not wrapped in anything."""
    return signature.outputs == _ONE and not signature.constants


def _same_type(name: str, live: Tensor, captured: Tensor) -> None:
    if live.dtype != captured.dtype:
        raise UserError(
            f"'{name}' has become {live.dtype}",
            why=f"the model was prepared in {captured.dtype}, and every pass reckons with that",
            fix="prepare the model in the type that it shall have, or convert it back",
        )


class Measured(dict[str, Penalty]):
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
    """The graph as a plain function of (module tree, device, *flat inputs), so that several can share one tree."""
    tree = nn.Module()
    graph.install(tree)
    ready = called_directly(weights_joined(limits_joined(portable(graph))))
    return type(fx.GraphModule(tree, protected(ready, ready.inputs[0]).fx)).forward
