"""The learnable coefficient: at rest its penalty is a logarithm, and it follows alpha / R."""

from __future__ import annotations

import math

import pytest
import torch
from penalties import every_penalty, home, measured, recipe, stages
from prepared import prepared


@every_penalty
@pytest.mark.parametrize("alpha", [0.01, 0.5])
def test_a_learnable_coefficient_at_rest_is_a_logarithm(name: str, alpha: float) -> None:
    """At omega = log(alpha / R) nothing pulls omega, and all else is pulled as by alpha log R."""
    line = stages(name, home(name), f"coefficient='learnable', initial=1.0, alpha={alpha}, limit=1e12")
    added, run, parameters = measured(line)
    penalty = added[0]
    omega = parameters[f"lowbit.coefficients.{penalty}"]
    others = [p for key, p in parameters.items() if "coefficients" not in key and p.requires_grad]
    error = run[penalty][1]
    with torch.no_grad():
        omega.fill_(math.log(alpha / error.item()))
    _, rest, _ = measured(line)
    term, measure, factor = rest[penalty]
    assert factor.item() == pytest.approx(alpha / measure.item(), rel=1e-12)
    assert term.item() == pytest.approx(alpha * (1 - math.log(alpha)) + alpha * math.log(measure.item()), rel=1e-9)
    pull, *pulls = torch.autograd.grad(term, [omega, *others], retain_graph=True, allow_unused=True)
    expected = torch.autograd.grad(alpha * measure.log(), others, allow_unused=True)
    assert abs(pull.item()) <= alpha * 1e-12
    for ours, theirs in zip(pulls, expected, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.allclose(ours, theirs, rtol=1e-9, atol=1e-15)


def test_a_learnable_coefficient_follows_alpha_over_r() -> None:
    """While weights go to their grid, lambda grows with 1 / R over more than four orders of magnitude."""
    options = "activations = false, alpha = 0.1, limit = 1e12"
    ours = prepared("conv(3) relu gap linear(3)", recipe(f'{{use = "attach_msqe", {options}}}'), torch.float64)
    groups = ours.parameter_groups(lr=1.0)
    omega = ours.get_parameter("lowbit.coefficients.msqe_weights")
    weights = next(group["params"] for group in groups if group["name"] == "weights")
    first, ratios = ours.penalties()["msqe_weights"], []
    for _ in range(40):
        for _ in range(60):  # omega by its own gradient alone until it rests
            (pull,) = torch.autograd.grad(ours.regularization(), omega)
            with torch.no_grad():
                omega.sub_(pull.clamp(-0.1, 0.1), alpha=10)
        ratios.append(ours.coefficients()["msqe_weights"] * ours.penalties()["msqe_weights"] / 0.1)
        pulls = torch.autograd.grad(ours.regularization(), weights, allow_unused=True)
        error, share = ours.penalties()["msqe_weights"], 0.2
        squares = sum(float(pull.square().sum()) for pull in pulls if pull is not None)
        with torch.no_grad():  # a step of gradient descent that lowers alpha log R by about that share of alpha
            for weight, pull in zip(weights, pulls, strict=True):
                weight.sub_(0 if pull is None else pull, alpha=share * 0.1 / squares)
        assert error > 0
    assert ours.penalties()["msqe_weights"] < 1e-3 * first
    assert ratios == pytest.approx([1.0] * len(ratios), rel=1e-6)
