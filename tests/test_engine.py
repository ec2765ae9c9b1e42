"""The engine: rules that chase each other are stopped and named, and a refusal keeps the reason of its guard."""

from __future__ import annotations

import pytest
import torch
from lowbit.compiler.edit import Edit
from lowbit.compiler.engine import Context, rewrite
from lowbit.compiler.errors import Broken
from lowbit.compiler.pattern import Weight, aten
from lowbit.compiler.rule import Match, Rule, rule
from lowbit.compiler.sketches.sketch import build
from lowbit.compiler.termination import FREE, GROWING
from torch import fx

_aten = torch.ops.aten
CONTEXT = Context("mine", lambda layer: None)
relu, relu6 = aten.relu.default(), aten.relu6.default()


@rule(relu)
def clip(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.relu6.default, match.argument(relu, "self"))


@rule(relu6)
def unclip(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.relu.default, match.argument(relu6, "self"))


def kinds(line: str, *rules: Rule) -> tuple[list[str], list[str]]:
    """(names of the calls after the rules, reasons of what refused)."""
    graph, events = rewrite(build(line), rules, CONTEXT)
    calls = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    return calls, [event.reason for event in events if not event.fired]


def test_rules_that_chase_each_other_are_stopped_and_named() -> None:
    with pytest.raises(Broken, match=f"after {FREE + 2} sweeps: mine/clip, mine/unclip") as stopped:
        kinds("conv(2) relu", clip, unclip)
    assert stopped.value.where == "mine"
    assert stopped.value.why == "the graph is again what it was"


def test_a_rule_that_chases_itself_is_stopped_and_named_alone() -> None:
    @rule(relu)
    def again(match: Match, edit: Edit) -> fx.Node:
        return edit.like(match.root)

    quiet = Rule("quiet", aten.conv2d.default(), (lambda match: "not now",), clip.build)
    with pytest.raises(Broken) as stopped:
        kinds("conv(2) relu", again, quiet)
    assert stopped.value.what.endswith("sweeps: mine/again")


curve = aten.sigmoid.default()


@rule(aten.relu.default(self=curve))
def lift(match: Match, edit: Edit) -> fx.Node:
    """A rectifier moves one place to the left; what it comes to is met in the next sweep."""
    return edit.like(match[curve], self=edit.like(match.root, self=match.argument(curve, "self")))


def test_a_rule_may_move_a_node_one_place_a_sweep() -> None:
    places = 2 * FREE
    calls, _ = kinds(f"{'sigmoid ' * places} relu", lift)
    assert calls == ["aten.relu.default"] + ["aten.sigmoid.default"] * places


def test_a_rule_that_chases_another_while_a_third_moves_is_stopped() -> None:
    """Only the two that chase each other are named: the third came to an end."""
    back = Rule("back", aten.silu.default(), (), lambda match, edit: edit.call(_aten.gelu.default, match.root.args[0]))
    forth = Rule(
        "forth", aten.gelu.default(), (), lambda match, edit: edit.call(_aten.silu.default, match.root.args[0])
    )
    with pytest.raises(Broken) as stopped:
        kinds(f"silu tanh {'sigmoid ' * (FREE + 5)} relu", lift, back, forth)
    assert stopped.value.what.endswith("sweeps: mine/back, mine/forth")


def test_rules_that_make_the_graph_grow_are_stopped_and_named() -> None:
    @rule(relu)
    def grow(match: Match, edit: Edit) -> fx.Node:
        return edit.like(match.root, self=edit.call(_aten.sigmoid.default, match.argument(relu, "self")))

    with pytest.raises(Broken) as stopped:
        kinds("conv(2) relu", grow)
    assert stopped.value.what.endswith(f"after {GROWING} sweeps: mine/grow")
    assert stopped.value.why == "the graph grows with every sweep"


def test_a_rule_that_always_makes_another_tensor_is_stopped_and_named() -> None:
    """No graph is there twice, and none is larger than the one before."""
    conv = aten.conv2d.default(weight=Weight("w"))

    @rule(conv)
    def drift(match: Match, edit: Edit) -> fx.Node:
        return edit.like(match.root, weight=edit.buffer("w", match.tensor("w") + 1))

    with pytest.raises(Broken) as stopped:
        kinds("conv(2)", drift)
    assert stopped.value.what.endswith("sweeps: mine/drift")
    assert stopped.value.why == "there were more sweeps than the graph has nodes"


def test_rules_that_come_to_an_end_are_not_stopped() -> None:
    assert kinds("relu conv(2) relu", clip) == (["aten.relu6.default", "aten.conv2d.default", "aten.relu6.default"], [])


def test_the_first_guard_that_refuses_tells_why() -> None:
    guarded = Rule("clip", relu, (lambda match: "", lambda match: "not today", lambda match: "nor here"), clip.build)
    assert kinds("conv(2) relu", guarded)[1] == ["not today"]


def test_the_given_graph_is_not_touched_when_rules_are_stopped() -> None:
    graph = build("conv(2) relu")
    before = [node.format_node() for node in graph.nodes]
    with pytest.raises(Broken):
        rewrite(graph, (clip, unclip), CONTEXT)
    assert [node.format_node() for node in graph.nodes] == before


def test_a_refusal_at_a_node_that_is_gone_stays_told() -> None:
    """The first sweep alone sees the rectifier; where it is still there, the second one tells again, once."""
    alone = Rule("alone", relu, (lambda match: "not yet",), clip.build)

    @rule(aten.sigmoid.default(self=relu))
    def swallow(match: Match, edit: Edit) -> fx.Node:
        return edit.call(_aten.tanh.default, match.argument(relu, "self"))

    assert kinds("conv(2) relu sigmoid", alone, swallow)[1] == ["not yet"]
    assert kinds("relu conv(2) relu sigmoid", alone, swallow)[1] == ["not yet"] * 2
