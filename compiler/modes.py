"""Train and eval: the eval graph is derived from the training graph, which stays as it was captured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import fx

from .graph import Graph, arguments

aten = torch.ops.aten


def evaluated(graph: Graph) -> Graph:
    """The graph as `.eval()` computes it: outputs only, statistics used and not updated, no noise.

    Batch norm without running statistics is weight standardisation and keeps its batch; counters are not advanced.
    """
    derived = graph.select(outputs=graph.outputs)
    for node in reversed(derived.nodes):  # a norm used twice counts on what it counted before
        if node.op != "call_function":
            continue
        for name, value in _eval_arguments(node).items():
            _set(node, name, value)
        if _counts_batches(node):
            derived.fx.erase_node(node)
    derived.fx.eliminate_dead_code()
    read = {str(node.target) for node in derived.fx.nodes if node.op == "get_attr"}
    return replace(derived, state={k: v for k, v in derived.state.items() if k in read})


def _eval_arguments(node: fx.Node) -> dict[str, Any]:
    given = arguments(node) if hasattr(node.target, "_schema") else {}
    match node.target:
        case aten.batch_norm.default | aten.instance_norm.default:
            flag = "training" if "training" in given else "use_input_stats"
            return {flag: False} if given["running_mean"] is not None else {}
        case (
            aten.dropout.default
            | aten.dropout_.default
            | aten.feature_dropout.default
            | aten.feature_dropout_.default
            | aten.alpha_dropout.default
            | aten.alpha_dropout_.default
            | aten.feature_alpha_dropout.default
            | aten.feature_alpha_dropout_.default
        ):
            return {"train": False}
        case aten.rrelu.default | aten.rrelu_.default:
            return {"training": False}
        case aten.scaled_dot_product_attention.default:
            return {"dropout_p": 0.0}
        case _:
            return {"train": False} if "train" in given and "dropout" in given else {}


def _set(node: fx.Node, name: str, value: Any) -> None:
    position = [argument.name for argument in node.target._schema.arguments].index(name)  # type: ignore[union-attr]
    if position < len(node.args):
        node.update_arg(position, value)
    elif arguments(node)[name] != value:
        node.update_kwarg(name, value)


def _counts_batches(node: fx.Node) -> bool:
    counter = node
    while counter.op == "call_function" and counter.target is aten.add_.Tensor and counter.args:
        counter = counter.args[0]  # type: ignore[assignment]
    counts = counter.op == "get_attr" and str(counter.target).endswith("num_batches_tracked")
    return counts and counter is not node and not node.users
