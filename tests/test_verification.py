"""Verification: what it says of each node is so, it finds what is wrong, and where it begins."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lowbit
import numpy as np
import pytest
import torch
from lowbit import Compiled, Contract, Prepared, UserError, Verification, api
from lowbit.backends.fixed.program import Builder, Program
from lowbit.backends.verification.figures import Codes, Error, Votes
from lowbit.backends.verification.report import Node, described
from lowbit.compiler.correction import clear
from lowbit.compiler.modes import evaluated
from lowbit.testing.observed import Watched
from prepared import RESIDUAL, batch, custom, prepared
from test_lowering_laws import codes, grids
from torch import Tensor, nn

Network = Callable[[], tuple[Prepared, Tensor]]


def post_training() -> tuple[Prepared, Tensor]:
    """Corrected biases, a scale for each channel."""
    return prepared(RESIDUAL[0], "ptq8").eval(), batch(RESIDUAL[0], 64, seed=99)[0]


def pruned() -> tuple[Prepared, Tensor]:
    """Batch norms to be folded, units that move and units that go."""
    ours = prepared(RESIDUAL[0], "choi2020").eval()
    with torch.no_grad():
        ours.get_parameter("3.branch.0.weight")[1] = 0
        ours.get_parameter("3.branch.1.weight")[1] = 0
    return ours, batch(RESIDUAL[0], 64, seed=99)[0]


def powers() -> tuple[Prepared, Tensor]:
    """Every scale a power of two, and a bias of any size."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.Flatten(), nn.Linear(128, 4)).eval()
    x = torch.randn(64, 2, 8, 8)
    kinds = 'weights = "power_of_two"\nactivations = "power_of_two"\nweight_bits = 5'
    recipe = custom(f'name = "p"\npost_training = true\n[[prepare]]\nuse = "insert_fake_quant"\n{kinds}')
    ours = lowbit.prepare(model, (x,), recipe).eval()
    return ours, x


every = pytest.mark.parametrize("network", [post_training, pruned, powers])


@every
def test_the_contract_is_kept(network: Network) -> None:
    ours, x = network()
    found = lowbit.verify(ours, x.split(24), lowbit.lower(ours))
    assert found.holds, found.broken
    assert (found.samples, found.alone) == (64, 0)
    assert found.prepared.count == found.in_float.count == 64
    assert [node.name for node in found.nodes] == [node.name for node in grids(evaluated(ours.graph))]
    assert json.loads(json.dumps(described(found), allow_nan=False))["holds"] is True


@every
def test_end_to_end_codes_are_those_of_the_model_beside_those_of_the_program(network: Network) -> None:
    ours, x = network()
    found = lowbit.verify(ours, [x])
    ours_codes = codes(evaluated(ours.graph), x)
    program = lowbit.lower(ours)
    (outputs,) = program.run_integers(*program.quantize(x), target="numpy")
    assert [node.whole.count for node in found.nodes] == [q.numel() for q in ours_codes]
    assert found.nodes[-1].whole == Codes.of(ours_codes[-1].reshape(outputs.shape), torch.as_tensor(outputs))


@every
def test_error_is_that_of_the_program_beside_the_model_without_rounding(network: Network) -> None:
    ours, x = network()
    last = lowbit.verify(ours, [x]).nodes[-1]
    right = _in_float(ours, x)
    distance = (right - torch.as_tensor(lowbit.lower(ours).run(x)[0])).abs().double()
    assert last.error.largest == pytest.approx(float(distance.max()), rel=1e-3)
    assert last.error.mean == pytest.approx(float(distance.mean()), rel=1e-3)
    power = float((right.double() ** 2).sum() / (distance**2).sum())
    assert last.error.sqnr == pytest.approx(10 * math.log10(power), abs=0.01)


def _in_float(ours: Prepared, x: Tensor) -> Tensor:
    """The outputs without grids and corrections."""
    twin = evaluated(copy.deepcopy(ours).graph)
    clear(twin)
    with torch.no_grad():
        found: Tensor = Watched(twin, rounding=False).run(x)[0][0]
    return found


def test_with_powers_of_two_not_one_code_differs() -> None:
    ours, x = powers()
    found = lowbit.verify(ours, [x])
    assert found.contract.share == 0
    assert found.codes == Codes(found.codes.count, 0, 0)


def wrong(monkeypatch: pytest.MonkeyPatch, change: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
    """Let every step that lowering appends be another."""
    step = Builder.step

    def other(self: Builder, op: str, *inputs: int, origin: str = "", **attributes: Any) -> int:
        return step(self, op, *inputs, origin=origin, **change(origin, attributes))

    monkeypatch.setattr(Builder, "step", other)


def test_the_first_bad_node_is_the_one_that_is_lowered_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A border of another value than zero, in one layer; all behind it are fed the program's integers, and good."""
    ours, x = post_training()

    def border(origin: str, given: dict[str, Any]) -> dict[str, Any]:
        return {**given, "pad_value": 1} if "3.branch.3" in origin and "pad_value" in given else given

    wrong(monkeypatch, border)
    found = lowbit.verify(ours, [x])
    assert not found.holds
    assert found.first_bad is not None
    assert [node.layer for node in found.nodes if not node.keeps(found.contract)] == [found.first_bad.layer]
    assert "3.branch.3" in found.first_bad.layer
    assert "codes differ" in found.broken[-1]
    assert described(found)["first_bad"] == found.first_bad.name
    assert found.nodes[-1].whole.different > found.nodes[-1].fed.different  # end to end it travels on


def test_a_pass_that_does_not_only_move_units_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped program has one weight less; the nodes compared are all right."""
    ours, x = pruned()
    lower = api.lower
    monkeypatch.setattr(api, "lower", lambda given: Compiled(_damaged(lower(given).program)))
    found = lowbit.verify(ours, [x])
    assert found.first_bad is None
    assert found.moved.different
    assert found.broken == (
        f"{found.moved.different:,} of 192 output integers are others behind the passes that move units",
    )


def _damaged(program: Program) -> Program:
    """The program with another weight in its last layer."""
    place = max(i for i in program.constants() if len(program.values[i].shape) == 2)
    data = np.array(program.values[place].data)
    data[0, np.abs(data[0]).argmax()] = 0
    values = list(program.values)
    values[place] = replace(values[place], data=data)
    return replace(program, values=tuple(values))


def test_a_program_of_another_model_is_refused(tmp_path: Path) -> None:
    ours, x = post_training()
    lowbit.lower(ours).save(tmp_path / "own.lowbit")
    assert lowbit.verify(ours, [x], lowbit.load(tmp_path / "own.lowbit")).holds
    with pytest.raises(UserError, match="not what the prepared model becomes"):
        lowbit.verify(ours, [x], lowbit.lower(pruned()[0]))
    with pytest.raises(UserError, match="which no recipe has prepared"):
        lowbit.verify(nn.Linear(2, 2), [x])  # type: ignore[arg-type]


def test_neither_model_nor_samples_are_changed() -> None:
    ours, x = post_training()
    before, given = {name: tensor.clone() for name, tensor in ours.state_dict().items()}, x.clone()
    lowbit.verify(ours, [x])
    assert torch.equal(x, given)
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


def node(count: int, different: int, largest: int = 1) -> Node:
    return Node("n", "relu", "a", "b.py:1", 0, 255, fed=Codes(count, different, largest))


@pytest.mark.parametrize(
    ("found", "keeps"),
    [
        (node(1_000_000, 100), True),
        (node(1_000_000, 144), True),  # 100, and four deviations, and four
        (node(1_000_000, 145), False),
        (node(1_000_000, 1, 2), False),
        (node(100, 4), True),
        (node(100, 5), False),
        (node(0, 0, 0), True),
    ],
)
def test_a_node_may_differ_as_chance_has_it(found: Node, keeps: bool) -> None:
    assert found.keeps(Contract()) == keeps
    assert not node(1_000_000, 1).keeps(Contract(share=0.0))


def test_the_contract_counts_all_codes_and_all_votes() -> None:
    some = Verification((node(1_000_000, 100), node(1_000_000, 100)), 10, Contract(), Votes(1000, 999))
    assert some.holds
    assert not replace(some, nodes=(node(1_000_000, 140), node(1_000_000, 140))).holds
    assert not replace(some, prepared=Votes(10_000, 9_989)).holds
    assert replace(some, in_float=Votes(10, 0)).holds


def test_figures_of_two_batches_are_those_of_one() -> None:
    a, b = torch.randn(2, 2, 40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for of in (Error.of, lambda x, y: Codes.of(x.round(), y.round()), Votes.of):
        whole, parts = of(torch.cat([*a]), torch.cat([*b])), of(a[0], b[0]) + of(a[1], b[1])
        assert list(vars(parts).values()) == pytest.approx(list(vars(whole).values()))
    assert Codes(1, 1, 5) + Codes(2, 1, 3) == Codes(3, 2, 5)
    assert Error.of(a, a).sqnr == math.inf
    assert Error.of(0 * a, a).sqnr == -math.inf
    assert Codes.of(torch.tensor([1, 5, 2]), torch.tensor([1, 2, 3])) == Codes(3, 2, 3)
    assert Votes.of(torch.tensor([[1, 2], [3, 1]]), torch.tensor([[0, 9], [1, 3]])) == Votes(2, 1)
