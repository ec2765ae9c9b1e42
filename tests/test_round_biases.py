"""Rounded biases: whole numbers of the accumulator's units, as coarse as asked, and a smaller file."""

from __future__ import annotations

import numpy as np
import pytest
from lowbit.backends import blob
from lowbit.backends.fixed.program import Program
from lowbit.backends.lowering.lower import lower
from lowbit.testing import graph

FROZEN = (
    'conv(16) bn relu linear(24) | insert_fake_quant(weight_bits=3, inputs={"*"={scale=0.3, bits=8, signed=true}})'
    " | eval | freeze | fold_batch_norm"
)


def biases(program: Program) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    steps = [step for step in program.steps if step.op in ("conv2d", "linear")]
    return [np.asarray(program.values[step.inputs[2]].data) for step in steps]


@pytest.mark.parametrize("fraction", [1.0, 0.25])
def test_biases_are_whole_numbers_of_units(fraction: float) -> None:
    """No step is left that adds what a unit is too coarse for, and the whole numbers have a common power of two."""
    rounded = lower(graph(f"{FROZEN} | round_biases(fraction={fraction})"))
    assert not [step for step in rounded.steps if step.op == "requantize"]
    bias, _ = biases(rounded)
    assert not (bias % (4 if fraction == 1.0 else 2)).any()


def test_files_shrink_the_more_the_coarser() -> None:
    passes = ("", " | round_biases(fraction=0.0625)", " | round_biases", " | round_biases(fraction=1.0)")
    sizes = [len(blob.dumps(lower(graph(FROZEN + more)))) for more in passes]
    assert sorted(set(sizes), reverse=True) == sizes


def test_what_is_scaled_before_it_is_rounded_stays() -> None:
    line = "conv(3) gain relu linear(3) | insert_fake_quant | eval | freeze | round_biases"
    made = [node.name for node in graph(line).nodes if "rounded_bias" in str(node.target)]
    assert len(made) == 1  # the linear's
