"""Train and eval: of modules, and of graphs, whose eval graph is derived from the training graph as captured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from .graph import Graph, arguments, is_effect
from .norms.norm import forms, sets_statistics

aten = torch.ops.aten

_DROPOUTS = ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
_NORMS = ("batch_norm", "instance_norm")
FLAGS: Mapping[str, tuple[str, Any]] = {
    "batch_norm": ("training", False),
    "instance_norm": ("use_input_stats", False),
    **dict.fromkeys(_DROPOUTS, ("train", False)),
    **{f"{name}_": ("train", False) for name in _DROPOUTS},
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), ("train", False)),
    "rrelu": ("training", False),
    "rrelu_": ("training", False),
    "scaled_dot_product_attention": ("dropout_p", 0.0),
}
"""ATen operator -> the argument that tells it of training, and its value in eval mode."""


@contextlib.contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """The model in that mode, and each of its modules back in its own afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, before in modes.items():
            module.training = before


def evaluated(graph: Graph) -> Graph:
    """The graph as `.eval()` computes it: outputs only, statistics used and not updated, no noise.

    A norm without running statistics is weight standardisation and keeps its batch; counters are not advanced;
    stochastic depth keeps every path. A norm that freezes by steps is one norm, which leaves its statistics alone.
    """
    if (
        twin := graph.twin
    ) is not None:  # what still trains in it, such as a dropout with training=True, does so in eval too
        return _trimmed(twin.select(outputs=twin.outputs))
    derived = graph.select(outputs=graph.outputs)
    for node in reversed(derived.nodes):  # a norm used twice counts on what it counted before
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        name = node.target._schema.name.removeprefix("aten::")
        if name in FLAGS and not (name in _NORMS and arguments(node)["running_mean"] is None):
            _set(node, *FLAGS[name])
        elif _is_path_noise(node):
            node.target = aten.fill_.Scalar
        elif (kept := _dropped_path(node)) is not None:
            node.replace_all_uses_with(kept)
        elif (both := forms(node)) is not None:
            node.replace_all_uses_with(both[1])
            for name in ("running_mean", "running_var"):
                _set(both[1], name, arguments(arguments(both[1])[name])["self"])
        elif _counts_batches(node) or sets_statistics(node):
            derived.fx.erase_node(node)
    derived.fx.eliminate_dead_code(is_effect)
    return _trimmed(derived)


def _trimmed(graph: Graph) -> Graph:
    """The graph with the tensors alone that it reads."""
    read = graph.read()
    return replace(graph, state={name: tensor for name, tensor in graph.state.items() if name in read})


def _set(node: fx.Node, name: str, value: Any) -> None:
    position = list(arguments(node)).index(name)
    if position < len(node.args):
        node.update_arg(position, value)
    elif arguments(node)[name] != value:
        node.update_kwarg(name, value)


def _is_path_noise(node: fx.Node) -> bool:
    """Whether the node draws the mask of a stochastic depth, keep-or-drop divided by the chance to keep.

    Filling it with that chance makes the quotient 1.
    """
    if node.target is not aten.bernoulli_.float or len(node.args) != 2 or node.kwargs:
        return False
    divisions = [reader for reader in node.users if reader.target in (aten.div_.Tensor, aten.div.Tensor)]
    return len(divisions) == len(node.users) == 1 and divisions[0].args == (node, node.args[1])


def _dropped_path(node: fx.Node) -> fx.Node | None:
    """What a stochastic depth drops, written x / keep * floor(rand + keep); eval mode leaves x alone."""
    if node.target is not aten.mul.Tensor:
        return None
    quotient, mask = (arguments(node)[name] for name in ("self", "other"))
    if getattr(mask, "target", None) is not aten.floor.default or quotient.target is not aten.div.Tensor:
        return None
    x, keep = (arguments(quotient)[name] for name in ("self", "other"))
    total = arguments(mask)["self"]
    drawn = total.target is aten.add.Tensor and arguments(total)["self"].target is aten.rand.default
    shifted = drawn and isinstance(keep, float) and (arguments(total)["other"], arguments(total)["alpha"]) == (keep, 1)
    return x if shifted and len(mask.users) == 1 and node.meta["val"].dtype == x.meta["val"].dtype else None


def _counts_batches(node: fx.Node) -> bool:
    counter: Any = node
    while counter.op == "call_function" and counter.target is aten.add_.Tensor and counter.args:
        counter = counter.args[0]
    counts = counter.op == "get_attr" and str(counter.target).endswith("num_batches_tracked")
    return counts and counter is not node and not node.users
