"""Explain: it agrees with the ledger word by word, follows what takes a node's place, and changes nothing."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from attended import watched
from lowbit.api import passes
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import layer, origin
from lowbit.compiler.inspection.choice import choose
from lowbit.compiler.inspection.explain import EVAL, Record, Verdict, explain, record
from lowbit.compiler.pattern import Bindings, Miss, Weight, aten, either, own
from lowbit.compiler.recipe import parse
from lowbit.compiler.sketches.sketch import network
from lowbit.compiler.sketches.trial import STEPS
from lowbit.testing import fires, graph, refuses, trials
from torch import Tensor, nn

FLOAT = 'name = "float"\nsummary = "no grids"\n[[lower]]\nuse = "fold_batch_norm"\n'
PLAIN = 'name = "plain"\nsummary = "grids alone"\n[[prepare]]\nuse = "insert_fake_quant"\n'


def shown(name: str) -> list[str]:
    """The pass's own trials, and a few of the drawn networks."""
    return [*refuses(name), *list(trials(name))[: len(fires(name)) + 6]]


def verdicts(record: Record, wanted: str) -> list[tuple[str, Verdict]]:
    chosen = choose(record.graphs, wanted)
    chapters = explain(record, [node.name for node in chosen.nodes], chosen.begin)
    return [(chapter.name, verdict) for chapter in chapters for verdict in chapter.verdicts]


@cache
def recorded(sketch: str, recipe: str = PLAIN) -> Record:
    model, x = network(sketch)
    return record(capture(model, (x,), verify=False), parse(recipe, passes()), STEPS)


@pytest.mark.parametrize("name", sorted(passes()))
def test_every_event_of_the_ledger_is_told_of_its_node(name: str) -> None:
    for line in shown(name):
        ran, entry = watched(line)
        alone = Record(ran.before, (ran,))
        for event in entry.events:
            rule = event.rule.partition("/")[2]
            begin = int(event.node not in {node.name for node in ran.before.nodes})
            chapters = explain(alone, [event.node], begin)
            told = {(v.rule, v.outcome, v.why) for v in chapters[0].verdicts if v.node == v.at == event.node}
            if event.fired:
                assert (rule, "fired") in {(rule, outcome) for rule, outcome, _ in told}, line
            else:
                assert (rule, "refused", event.reason) in told, line


@pytest.mark.parametrize("name", sorted(passes()))
def test_what_a_rule_adds_and_takes_away_is_what_the_graphs_differ_in(name: str) -> None:
    for line in shown(name):
        ran, _ = watched(line)
        before, after = ({node.name for node in side.nodes} for side in (ran.before, ran.after))
        made = {node for attempt in ran.attempts for node in attempt.made}
        gone = {node for attempt in ran.attempts for node in attempt.gone}
        assert before - after == gone - made
        assert after - before == made - gone


@pytest.mark.parametrize("name", sorted(passes()))
def test_a_rule_that_nothing_is_told_of_never_looked(name: str) -> None:
    for line in shown(name)[:4]:
        ran, _ = watched(line)
        for node in ran.before.nodes[:-1]:
            (chapter,) = explain(Record(ran.before, (ran,)), [node.name], 0)
            looked = {verdict.rule for verdict in chapter.verdicts} - {""}
            assert looked | {rule for rule, _ in chapter.unseen} == {rule.name for rule in ran.rules}
            assert looked.isdisjoint(rule for rule, _ in chapter.unseen)


def test_a_node_is_followed_through_what_takes_its_place() -> None:
    record = recorded("conv(3) bn relu")
    fired = [(name, v.rule, v.at, v.why) for name, v in verdicts(record, "conv2d") if v.outcome == "fired"]
    assert fired == [
        ("fold_batch_norm", "fold_codes", "conv2d", "replaced by"),
        ("fold_batch_norm", "fold", "batch_norm", "replaced batch_norm by"),
    ]
    *_, last = explain(record, ["conv2d"], 0)
    assert record.deployed is not None
    assert last.after == {n.name for n in record.deployed.nodes if n.target is torch.ops.aten.conv2d.default}


def test_a_part_that_does_not_fit_is_named() -> None:
    found = [v for _, v in verdicts(recorded("conv(3) bn", FLOAT), "conv2d") if v.rule == "fold_codes"]
    assert {v.outcome for v in found} == {"did not fit"}
    assert {v.why for v in found} == {"not a call of lowbit.dequantize.default"}
    assert found[0].what == "its weight is the tensor '0.weight'"


def test_a_pattern_tells_what_it_refuses() -> None:
    found = [v for _, v in verdicts(recorded("conv(3) bn(nostats)", FLOAT), "batch_norm") if v.rule == "fold"]
    assert [(v.outcome, v.why) for v in found] == [("refused", "training is True")]


def test_what_only_training_computes_is_dropped_in_eval_mode() -> None:
    found = {v.node for name, v in verdicts(recorded("conv(3) bn"), "1") if (name, v.outcome) == (EVAL, "dropped")}
    assert found == {"_1_num_batches_tracked", "add_"}


class Modes(nn.Module):
    """A linear that eval mode alone reads."""

    def __init__(self) -> None:
        super().__init__()
        self.lin, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin(x)
        return y if self.training else self.last(y)


def test_a_graph_of_eval_mode_is_what_is_explained() -> None:
    found = record(capture(Modes(), (torch.randn(3, 4),)), parse(PLAIN, passes()), STEPS)
    assert "fired" in {v.outcome for name, v in verdicts(found, "last.weight") if name == "insert_fake_quant"}
    assert found.deployed is not None
    assert len([node for node in found.deployed.nodes if node.target is torch.ops.aten.linear.default]) == 2


def test_a_path_is_all_below_it_and_a_line_the_file_that_is_meant() -> None:
    chain = recorded("relu relu relu relu relu relu relu relu relu linear(3) linear(4)").graphs
    paths = [{layer(node).split(".")[0] for node in choose(chain, wanted).nodes} for wanted in ("1", "10")]
    assert paths == [{"1"}, {"10"}]
    graph = capture(Modes(), (torch.randn(3, 4),))
    (line,) = {origin(node).source.split()[0] for node in graph.nodes if node.name == "linear"}
    assert {node.name for node in choose([graph], line).nodes} >= {"linear"}
    assert choose([graph], f"tests/{line}").nodes == choose([graph], line).nodes
    with pytest.raises(UserError):
        choose([graph], f"other_{line}")


def test_a_node_that_a_pass_made_begins_with_that() -> None:
    (name, first), *_ = verdicts(recorded("conv(3) relu"), "fake_quantize_default")
    assert (name, first.rule, first.at, first.outcome, first.why) == (
        "insert_fake_quant",
        "put",
        "_0_weight",
        "fired",
        "made",
    )


def test_a_pass_that_cannot_run_stops_the_record_and_the_others_are_told() -> None:
    found = recorded("conv(3) bn", 'name = "p"\n[[prepare]]\nuse = "schedule_pruning"\n')
    assert found.stopped is not None
    assert "freeze" in found.stopped.what
    assert found.deployed is None
    assert [ran.name for ran in found.ran] == ["schedule_pruning", EVAL]


def test_one_that_cannot_be_lowered_is_told_to_the_end() -> None:
    found = recorded("bn(nostats) dropout")
    assert found.stopped is None
    assert {name for name, _ in verdicts(found, "batch_norm")} >= {"insert_fake_quant", "fold_batch_norm"}


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("conv2d", ["conv2d"]),
        ("%10", ["conv2d"]),
        ("0.weight", ["_0_weight"]),
        ("0", ["_0_weight", "_0_bias", "conv2d"]),
        ("2", ["_2_1_weight", "_2_1_bias", "flatten", "linear"]),
        ("2.*", ["_2_1_weight", "_2_1_bias", "flatten", "linear"]),
        ("2.[2-9]", None),
        ("fake_quantize_default", ["fake_quantize_default"]),
        ("%99", None),
    ],
)
def test_a_node_goes_by_name_number_tensor_module_and_pattern(wanted: str, names: list[str] | None) -> None:
    graphs = recorded("conv(3) bn linear(4)").graphs
    if names is None:
        with pytest.raises(UserError, match=r"no node %99|is called '2"):
            choose(graphs, wanted)
    else:
        assert [node.name for node in choose(graphs, wanted).nodes] == names


@pytest.mark.parametrize(
    ("wanted", "near"), [("conv2", "conv2d"), ("0.wieght", "0.weight"), ("bacth_norm", "batch_norm")]
)
def test_a_wrong_name_is_answered_with_near_ones(wanted: str, near: str) -> None:
    with pytest.raises(UserError) as refused:
        choose(recorded("conv(3) bn").graphs, wanted)
    assert near in refused.value.fix


def test_the_miss_of_alternatives_is_that_of_the_one_that_fits_furthest() -> None:
    """And where none begins to fit, it names all that were looked for."""
    nodes = {node.name: node for node in graph("conv(3) relu").nodes}
    pattern = either(aten.linear.default(), aten.conv2d.default(input=own.fake_quantize(), weight=Weight("w")))
    nearest = pattern.match(nodes["conv2d"], Bindings())
    assert isinstance(nearest, Miss)
    assert nearest.path == ("input",)
    neither = pattern.match(nodes["relu"], Bindings())
    assert isinstance(neither, Miss)
    assert neither.reason == "not a call of aten.conv2d.default or aten.linear.default"
