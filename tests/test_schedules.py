"""Coefficients on a schedule: each shape is its closed form, up or down; checkpoints and torch.compile go on."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import lowbit
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lowbit.compiler.clock import STEP
from lowbit.compiler.coefficient import bounded
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import OWN
from lowbit.compiler.schedule import schedule
from lowbit.compiler.sketches.sketch import network
from prepared import STEPS, custom, optimizer, prepared, train
from torch._dynamo.testing import CompileCounterWithBackend

SKETCH = "conv(4) bn relu gap linear(3)"
SHAPES = ("constant", "ramp", "exponential", "tanh")
shapes = pytest.mark.parametrize("shape", SHAPES)
PRUNED = '{use = "schedule_pruning", sparsity = 0.5}'


def recipe(options: str, *more: str) -> str:
    uses = ", ".join((*more, '{use = "insert_fake_quant"}', f'{{use = "attach_msqe", activations = false, {options}}}'))
    return f"\nprepare = [{uses}]"


def scheduled(shape: str, begin: float = 0.25, end: float = 0.75, first: float = 0.5, last: float = 8.0) -> str:
    span = f"begin = {begin}, end = {end}, initial = {first}, final = {last}"
    return f'coefficient = "scheduled", schedule = "{shape}", {span}'


def asked(shape: str, step: int, begin: int, end: int, first: float, last: float) -> float:
    """Of Python's own numbers."""
    u = 1.0 if step >= end else max(0.0, (step - begin) / (end - begin)) if step >= begin else 0.0
    match shape:
        case "constant":
            return last if step >= begin else first
        case "exponential":
            return math.exp((1 - u) * math.log(first) + u * math.log(last))
        case "tanh":
            return first + (last - first) * (math.tanh(6 * u - 3) / math.tanh(3) + 1) / 2
    return (1 - u) * first + u * last


@given(
    shape=st.sampled_from(SHAPES),
    step=st.integers(0, 40),
    begin=st.integers(0, 20),
    length=st.integers(0, 20),
    first=st.floats(0.01, 100),
    last=st.floats(0.01, 100),
)
def test_each_shape_is_its_closed_form(
    shape: str, step: int, begin: int, length: int, first: float, last: float
) -> None:
    found = schedule(torch.tensor(step), shape, begin, begin + length, first, last)
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(asked(shape, step, begin, begin + length, first, last), rel=1e-12)


@shapes
@pytest.mark.parametrize(("first", "last"), [(0.5, 8.0), (8.0, 0.5)])
def test_it_follows_the_steps_of_a_training(shape: str, first: float, last: float) -> None:
    """coefficients() tells the lambda that the next forward has, and the loss has that one."""
    ours = prepared(SKETCH, recipe(scheduled(shape, 0.25, 0.75, first, last)))

    def look(done: int) -> None:
        expected = asked(shape, done, STEPS // 4, 3 * STEPS // 4, first, last)
        assert ours.coefficients() == {"msqe_weights": pytest.approx(expected, rel=1e-6)}
        weighted = ours.coefficients()["msqe_weights"] * ours.penalties()["msqe_weights"]
        assert ours.regularization().item() == pytest.approx(weighted, rel=1e-6)

    look(0)
    train(ours, SKETCH, 0, STEPS, optimizer(ours), lambda step: look(step + 1))


def test_one_clock_for_all_schedules() -> None:
    """A pruning schedule, norms that freeze and two coefficients count one buffer, once a step."""
    folds = '{use = "simulate_fold", freeze_statistics = 0.5}'
    sparse = '{use = "attach_partial_l2", coefficient = "scheduled"}'
    ours = prepared(SKETCH, recipe(scheduled("ramp"), folds, PRUNED, sparse))
    train(ours, SKETCH, 0, 3, optimizer(ours))
    counters = {name: int(b) for name, b in ours.named_buffers() if OWN in name and b.dtype == torch.int64}
    assert counters == {STEP: 3}


@shapes
def test_a_checkpoint_goes_on_with_it(shape: str, tmp_path: Path) -> None:
    whole, first, second = (prepared(SKETCH, recipe(scheduled(shape), PRUNED)) for _ in range(3))
    train(whole, SKETCH, 0, STEPS, optimizer(whole))
    train(first, SKETCH, 0, STEPS // 2, opt := optimizer(first))
    torch.save((first.state_dict(), opt.state_dict()), tmp_path / "saved.pt")
    state, opt_state = torch.load(tmp_path / "saved.pt")
    second.load_state_dict(state)
    resumed = optimizer(second)
    resumed.load_state_dict(opt_state)
    train(second, SKETCH, STEPS // 2, STEPS, resumed)
    assert second.coefficients() == whole.coefficients()
    assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in whole.state_dict().items())


# Of torch itself: dynamo looks at `.grad` of any tensor that the compiled call finds and did not make.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_it_compiles_without_a_number_baked_in() -> None:
    torch._dynamo.reset()
    ours = prepared(SKETCH, recipe(scheduled("ramp", 0.0, 1.0)))
    other = copy.deepcopy(ours)
    counter = CompileCounterWithBackend("aot_eager")
    loss, step = (torch.compile(part, fullgraph=True, backend=counter) for part in (other.regularization, other.step))
    for _ in range(4):
        assert torch.equal(loss(), ours.regularization())
        ours.step(), step()
    assert other.coefficients() == ours.coefficients() != {"msqe_weights": 0.5}
    assert counter.frame_count == 2


def test_it_asks_for_the_length_of_the_training() -> None:
    model, x = network(SKETCH)
    with pytest.raises(UserError, match="how long the training is") as caught:
        lowbit.prepare(model, (x,), custom(recipe(scheduled("ramp"))))
    assert "msqe_weights" in caught.value.where


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ("initial = 0.0", "cannot begin at 0"),
        ("final = 0.0", "`final` is of a scheduled coefficient"),
        (scheduled("exponential", first=0.0), "cannot begin or end at 0"),
        (scheduled("exponential", last=0.0), "cannot begin or end at 0"),
        (scheduled("ramp", 0.75, 0.25), "before it begins"),
        ("limit = 0.5", "above the limit"),
    ],
)
def test_numbers_that_make_no_schedule(options: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        custom(recipe(options))


@pytest.mark.parametrize("shape", ["constant", "ramp", "tanh"])
def test_nothing_may_be_where_it_begins(shape: str) -> None:
    ours = prepared(SKETCH, recipe(scheduled(shape, first=0.0)))
    assert ours.coefficients() == {"msqe_weights": 0.0}


@given(st.floats(-3, 3), st.floats(-3, 3).filter(bool))
def test_a_bounded_exponent_can_come_back(x: float, grad: float) -> None:
    """min(x, limit); at the limit descent may lower x and not raise it."""
    given_x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    bounded(given_x, 1.0).backward(torch.tensor(grad, dtype=torch.float64))
    assert bounded(given_x, 1.0).item() == min(x, 1.0)
    assert given_x.grad is not None
    assert given_x.grad.item() == (0.0 if x >= 1 and grad < 0 else grad)


def test_coefficients_are_not_decayed() -> None:
    ours = prepared(SKETCH, "choi2020")
    decay = {group["name"]: group["weight_decay"] for group in ours.parameter_groups(0.01, 0.1)}
    learned = {id(p) for name, p in ours.named_parameters() if name.startswith("lowbit.coefficients.")}
    (own,) = [group for group in ours.parameter_groups(0.01, 0.1) if group["name"] == "coefficients"]
    assert learned == {id(p) for p in own["params"]}
    assert len(learned) == 3
    assert decay["coefficients"] == decay["scales"] == 0
    assert list(ours.coefficients()) == ["partial_l2", "msqe_weights", "msqe_activations"]
