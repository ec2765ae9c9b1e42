"""Where in a recipe a pass stands: what no training or calibration would follow is refused, idle passes say why."""

from __future__ import annotations

from collections.abc import Sequence

import lowbit
import pytest
from lowbit.api import passes
from lowbit.compiler import facts
from lowbit.compiler.errors import Unsupported, UserError
from lowbit.compiler.facts import Fact
from lowbit.compiler.pipeline import run
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.recipe import parse
from lowbit.compiler.sketches.sketch import build, network
from lowbit.compiler.stage import POST_TRAINING
from lowbit.testing import graph, result, split
from torch import Tensor, nn

NET = "conv(4) bn relu conv(4,k=1) relu gap linear(3)"
POST = "post_training = true\n"
GRID, FOLD = "insert_fake_quant", "fold_batch_norm"


def toml(prepare: Sequence[str], lower: Sequence[str] = (), head: str = "") -> str:
    lists = {"prepare": prepare, "lower": lower}
    return head + "".join(f'[[{key}]]\nuse = "{name}"\n' for key, names in lists.items() for name in names)


class Running(nn.Module):
    """Sums along an axis, of which no integers come."""

    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(1)


def prepared(prepare: Sequence[str], lower: Sequence[str] = (), head: str = "") -> Prepared:
    model, x = network(NET)
    return lowbit.prepare(model, (x,), parse(toml(prepare, lower, head), passes()), steps=10)


def refusal(prepare: Sequence[str], lower: Sequence[str] = (), head: str = "") -> UserError:
    with pytest.raises(UserError) as caught:
        prepared(prepare, lower, head)
    return caught.value


IN_TRAINING = ["schedule_pruning", "attach_partial_l2", "attach_msqe"]


@pytest.mark.parametrize("name", IN_TRAINING)
def test_what_acts_in_training_is_refused_where_none_follows(name: str) -> None:
    after_training, behind = refusal([FOLD, GRID, name], (), POST), refusal([GRID], [name, "freeze", FOLD])
    for error in (after_training, behind):
        assert error.what == f"'{name}' acts in the steps of a training, and none follows"
        assert error.where
        assert "[[prepare]]" in error.fix
    assert "post_training = true" in after_training.why
    assert "[[lower]]" in behind.why


@pytest.mark.parametrize("name", passes())
def test_what_acts_in_training_is_told_by_the_graph(name: str) -> None:
    """No list of names: whatever leaves a penalty or an update is refused, and nothing else."""
    line = passes()[name].fires[0]
    before = graph(split(line)[0])
    use = result(line).ledger[0].use
    after = graph(line)
    acts = (len(after.penalties), len(after.updates)) != (len(before.penalties), len(before.updates))
    refused = ""
    try:
        run(before, [use], 10, stage=POST_TRAINING)
    except UserError as error:
        refused = error.what
    assert ("steps of a training" in refused) == acts
    assert acts or name not in IN_TRAINING


def test_frozen_statistics_are_told_by_their_option() -> None:
    frozen = '[[prepare]]\nuse = "simulate_fold"\nfreeze_statistics = 0.5\n'
    use = parse(frozen, passes()).prepare
    assert run(build("conv(3) bn"), use, 10).graph.updates
    with pytest.raises(UserError, match="'simulate_fold' acts in the steps"):
        run(build("conv(3) bn"), use, 10, stage=POST_TRAINING)


@pytest.mark.parametrize("name", [GRID, "correct_bias"])
def test_what_calibration_sets_is_refused_behind_it(name: str) -> None:
    error = refusal([] if name == GRID else [GRID], [name, "freeze", FOLD])
    assert error.what == f"'{name}' adds what calibration sets, and none follows"
    assert error.where.startswith("lowbit.")
    assert error.fix == "put it under [[prepare]]"


def test_what_leaves_the_grids_alone_may_stand_before_freeze() -> None:
    assert lowbit.lower(prepared([GRID], ["normalize", "freeze", FOLD])) == lowbit.lower(prepared([GRID]))


def test_grids_are_not_frozen_before_they_are_calibrated() -> None:
    error = refusal([FOLD, GRID, "freeze"], (), POST)
    assert error.what == "'freeze' freezes grids before they are calibrated"
    assert error.fix == "put it under [[lower]]"


@pytest.mark.parametrize("name", ["simulate_fold", "equalize", "absorb_bias"])
def test_what_changes_weights_comes_before_their_grids(name: str) -> None:
    late, lower = refusal([GRID, name], (), POST), refusal([GRID], [name, "freeze", FOLD])
    assert late.what == lower.what == f"'{name}' needs 'no weight on a grid yet'"
    assert late.why == "'insert_fake_quant', which ran before it, ended that"
    assert late.fix == f"put '{name}' before 'insert_fake_quant' in the recipe"
    assert "[[prepare]]" in lower.fix


@pytest.mark.parametrize(
    "fact", [one for one in vars(facts).values() if isinstance(one, Fact)], ids=lambda one: one.name
)
def test_the_way_out_of_a_lacking_fact_names_the_pass_that_leaves_it(fact: Fact) -> None:
    leaving = [name for name, pass_ in passes().items() if fact in pass_.leaves]
    named = {name for name in passes() if f" {name} " in f"{fact.fix} "}
    assert "see `lowbit passes`" in fact.fix or named.issuperset(leaving)


def test_without_grids_the_pass_that_puts_them_is_named() -> None:
    assert refusal([]).fix == "add insert_fake_quant to [[prepare]]"
    assert refusal([GRID], [FOLD]).fix == "add freeze to [[lower]], before it"


def test_norms_that_nothing_folds_name_the_pass() -> None:
    with pytest.raises(Unsupported) as caught:
        prepared([GRID], ["freeze"])
    assert caught.value.where.startswith("batch_norm: 1")
    assert caught.value.fix.startswith("add fold_batch_norm to the recipe, behind freeze, and simulate_fold")
    model, x = network("conv(4) bn")
    with pytest.raises(Unsupported) as caught:
        lowbit.prepare(nn.Sequential(model, Running()), (x,), parse(toml([GRID], ["freeze"]), passes()), steps=10)
    assert caught.value.fix.startswith("for the batch norms add fold_batch_norm")
    assert "replace the others in the model" in caught.value.fix


def why(sketch: str, name: str, head: str = "") -> str:
    recipe = parse(toml([name], (), head), passes())
    (entry,) = run(recipe.first(build(sketch)), recipe.prepare, stage=recipe.stage).ledger
    assert not entry.fired
    return entry.idle


def test_a_pass_that_changed_nothing_says_why() -> None:
    assert why("conv(3) bn conv(4,k=1)", "equalize") == "batch_norm stands behind it; conv2d is an output"
    assert why("conv(3) tanh", "equalize", POST) == "tanh stands behind it"
    assert (
        why("conv(8) bn relu conv(4,k=1)", "absorb_bias") == "no norm before it gives anything away; training is True"
    )
    assert why("conv(8) relu conv(4,k=1)", "absorb_bias", POST) == "no norm before it gives anything away"
    assert why("relu", "equalize") == "the graph holds nothing that it looks at"
    fired, *_ = prepared([GRID]).ledger
    assert fired.idle == ""
