"""Where masks stand: behind a weight, before all that computes with it; `step()` sets them by a criterion.

    w -> w * m,   m: a buffer `lowbit.masks.*` of w's shape, of zeros and ones

A masked weight keeps its value in its parameter, where momentum and weight decay may move it: it comes back if a later
mask lets it, and never on its own. Masks of several passes stand one behind another, and each pass meets the weights as
the masks before its own leave them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx

from ..clock import step_ending
from ..contract import OptionsFor
from ..direct import gradient
from ..edit import Edit
from ..graph import Graph, arguments, layer
from ..layers import MASKS, is_layer, is_mask, weight_of, weights_multiplied
from ..operators import EMBEDDING, MATMULS
from ..pattern import Planned, Whole
from ..rule import Match, Rule, rule
from .criterion import Schedule

_aten, _own = torch.ops.aten, torch.ops.lowbit


@torch.library.custom_op("lowbit::masked", mutates_args=())
def masked(weight: Tensor, mask: Tensor) -> Tensor:
    """weight * mask; its gradient reaches masked weights too, as if they were not masked."""
    return weight * mask


@masked.register_fake
def _(weight: Tensor, mask: Tensor) -> Tensor:
    return torch.empty_like(weight)


gradient(masked, lambda ctx, grad: (grad, None))
_COMPUTING = frozenset({_aten.batch_norm.default, EMBEDDING}) | MATMULS
_PRODUCTS = (_aten.mul.Tensor, _own.masked.default)

Given: TypeAlias = Callable[[Match, Edit, list[fx.Node]], Sequence[Any]]
"""The arguments of a criterion behind its schedule, for the weights that it is asked about."""


@dataclass(frozen=True, eq=False)
class Plan:
    """By name of a weight, or of its product with the masks before: the options of its layer, or why it stays whole.

    shapes: those of masks that have another shape than the weight, and broadcast against it.
    """

    chosen: Mapping[str, Any]
    kept: Mapping[str, str]
    shapes: Mapping[str, torch.Size] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.chosen or name in self.kept


Refuses: TypeAlias = Callable[[list[fx.Node], Any], str]
"""Why a weight, told the layers that multiply by it and the options of the first, cannot be pruned; or nothing."""


def placed(criterion: Any, refuses: Refuses = lambda calls, own: "") -> Callable[[Graph, OptionsFor], Plan]:
    """The plan of a pass that asks this criterion."""

    def plan(graph: Graph, options: OptionsFor) -> Plan:
        chosen: dict[str, Any] = {}
        kept: dict[str, str] = {}
        for weight, calls in layers_of(graph).items():
            own, end = options(layer(weight)), end_of(graph, weight, criterion).name
            reason = refuses(calls, own) if own.pruned else "the recipe leaves it out"
            if reason:
                kept[end] = reason
            else:
                chosen[end] = own
        return Plan(chosen, kept)

    return plan


def layers_of(graph: Graph) -> dict[fx.Node, list[fx.Node]]:
    """Each parameter that layers multiply by, in graph order, with those layers."""
    found: dict[fx.Node, list[fx.Node]] = {weight: [] for weight in weights_multiplied(graph)}
    for node in graph.nodes:
        if is_layer(node) and (weight := weight_of(arguments(node)["weight"])) is not None:
            found[weight].append(node)
    return found


def product_of(weight: fx.Node) -> fx.Node | None:
    """The product of a weight with its mask, if it has one."""
    return next((reader for reader in weight.users if mask_of(reader) is not None and reader.args[0] is weight), None)


def mask_of(product: fx.Node) -> fx.Node | None:
    """The mask in a product of a weight with one; None for any other node."""
    if product.target not in _PRODUCTS:
        return None
    factor = product.args[1]
    return factor if is_mask(factor) else None  # type: ignore[return-value]  # then it is a node


def masks_behind(value: fx.Node) -> list[fx.Node]:
    """The masks of a weight, on the way from its parameter to this value."""
    found = []
    while weight_of(value) is not None and value.op != "get_attr":
        mask = mask_of(value)
        found += [] if mask is None else [mask]
        value = value.args[0]  # type: ignore[assignment]
    return found


def end_of(graph: Graph, weight: fx.Node, criterion: Any) -> fx.Node:
    """The weight behind all its masks; before the one of this criterion, which then refuses another."""
    end = weight
    while (product := product_of(end)) is not None and _setter(graph, product) is not criterion:
        end = product
    return end


def _setter(graph: Graph, product: fx.Node) -> Any:
    """The criterion that sets the mask in a product; None if none does."""
    mask = mask_of(product)
    value = None if mask is None else graph.updates.get(str(mask.target))
    return value.args[0].target if value is not None and value.target is operator.getitem else None  # type: ignore[union-attr]


def _chosen(match: Match) -> str:
    plan: Plan = match.plan
    return plan.kept.get(match.root.name, "")


def _unmasked(match: Match) -> str:
    return "" if product_of(match.root) is None else "the weight is masked already"


@rule(Planned(), _chosen, _unmasked)
def mask(match: Match, edit: Edit) -> fx.Node:
    """w -> w * mask, for all that computes with w, such as the embedding that a head is tied to; penalties read w."""
    weight: fx.Node = weight_of(match.root)  # type: ignore[assignment]  # what is planned has one
    for reader in match.root.users:
        if not (is_layer(reader) or reader.target in _COMPUTING or weight_of(reader) is weight):
            edit.keep(reader)
    value = match.graph.tensor(weight)
    ones = value.new_ones(match.plan.shapes.get(match.root.name, value.shape))
    product = _own.masked.default if match.options.gradient == "straight" else _aten.mul.Tensor
    return edit.call(product, match.root, edit.buffer(f"{MASKS}{weight.target}", ones))


def masking(criterion: Any, name: str, given: Given) -> tuple[Rule, Rule]:
    """The rules of a pass of that name: masks on the weights of its plan, and the criterion that sets them."""

    def unscheduled(match: Match) -> str:
        if any(node.target is criterion for node in match.graph.nodes):
            return "the masks are scheduled already"
        return "" if match.plan.chosen else "no layer has a weight to prune"

    @rule(Whole(), unscheduled)
    def schedule(match: Match, edit: Edit) -> fx.Node:
        """step() sets every mask."""
        options: Schedule = match.options
        begin, end = (match.step_at(share, name) for share in (options.begin, options.end))
        weights = [node for node in match.graph.nodes if node.name in match.plan.chosen]
        masks = [mask for product in map(product_of, weights) if product and (mask := mask_of(product))]
        own = given(match, edit, weights)
        when = step_ending(edit), begin, max(1, end), options.every
        changed = edit.call(criterion, weights, masks, *when, *own)
        for i, buffer in enumerate(masks):
            edit.update(buffer, edit.item(changed, i))
        return match.root

    return mask, schedule
