"""What there is to watch in a training: the estimated bytes beside the file, the scalars, the line, the log."""

from __future__ import annotations

import math
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import lowbit
import pytest
import torch
from lowbit import Progress
from lowbit.cli.live import PAUSE, Live, line
from lowbit.compiler.coded_size import entropy, size
from lowbit.compiler.training.scalars import scalars
from lowbit.recipes import shipped
from prepared import RESIDUAL, batch, optimizer, prepared, train
from torch import nn

SKETCH = RESIDUAL[0]
WIDE = "conv(32) bn relu conv(48) bn relu gap linear(10)"


def test_entropy_is_the_closed_form() -> None:
    values = [0] * 50 + [1] * 25 + [-1] * 20 + [7] * 5
    bits = -sum(math.log2(n / 100) * n for n in Counter(values).values())
    assert entropy(torch.tensor(list(Counter(values).values()))) == pytest.approx(bits, rel=1e-12)
    assert entropy(torch.tensor([9, 0])) == 0


@pytest.mark.parametrize("recipe", shipped())
def test_the_estimate_is_near_the_file(recipe: str, tmp_path: Path) -> None:
    """Of a network with some weights. Units that are idle go from the file, and not from the estimate."""
    ours = prepared(WIDE, recipe)
    train(ours, WIDE, 0, 10, optimizer(ours))
    guess = size(ours.eval().graph)
    compiled = lowbit.lower(ours)
    from lowbit.backends.compiled import zeros

    real = compiled.save(tmp_path / "x.lowbit")
    none, weights = zeros(compiled.program)
    gone = guess.weights - weights
    assert 0.9 * real <= guess.bytes <= 1.1 * real * guess.weights / weights
    assert 0 <= guess.zeros - none <= gone


def test_scalars_of_a_module_and_of_what_holds_it() -> None:
    ours = prepared(SKETCH, "choi2020")
    train(ours, SKETCH, 0, 12, optimizer(ours))
    found = scalars(ours)
    assert {name.removeprefix("penalty/") for name in found if name.startswith("penalty/")} == ours.penalties().keys()
    assert found["coefficient/msqe_weights"] == ours.coefficients()["msqe_weights"]
    assert found["zeros"] == pytest.approx(0.8, abs=0.05)
    assert scalars(nn.Sequential(ours, nn.ReLU())) == found
    assert scalars(nn.Linear(3, 3)) == {}


def test_the_line_names_every_regularizer_and_its_coefficient() -> None:
    given = {"penalty/a": 0.00012, "penalty/b": 2.0, "coefficient/a": 31.4159, "zeros": 0.8, "coded_bytes": 2833.4}
    assert line(0.02134, given) == "loss 0.0213  a 0.00012 x 31.4  b 2 x 1  zeros 80.0 %  about 2,833 bytes"
    assert line(1.5, {}) == "loss 1.5000"


def test_the_line_looks_at_the_scalars_now_and_then() -> None:
    ours, clock, notes, logged = prepared(SKETCH, "choi2020"), [0.0], [], []

    def work(stage: str, done: int = 0, total: int = 0, note: str = "") -> None:
        notes.append(note)

    live = Live(work, lambda stage, at: logged.append((stage, at)), lambda: clock[0])  # type: ignore[arg-type]
    live("preparing", None)
    looked: list[bool] = []
    for step, now in ((1, 0.0), (2, PAUSE / 2), (3, PAUSE), (4, PAUSE * 1.5)):
        train(ours, SKETCH, step, step + 1, optimizer(ours))
        clock[0] = now
        live("training", Progress(step, 5, 1.0, 0.0, ours))
        looked.append(notes[-1] == line(1.0, scalars(ours)))
    assert looked == [True, False, True, False]
    assert [at.step for _, at in logged[1:]] == [1, 2, 3, 4]


def test_the_log_is_read_by_tensorboard(tmp_path: Path) -> None:
    missing = "tensorboard is not installed: pip install 'lowbit[tensorboard]'"
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=missing)
    from lowbit.integrations.tensorboard import Log

    ours, log = prepared(SKETCH, "choi2020"), Log(tmp_path, every=2)
    log("preparing", None)
    expected: list[Any] = []
    for step in range(1, 6):
        train(ours, SKETCH, step, step + 1, optimizer(ours))
        log("training under choi2020", Progress(step, 5, step / 8, 0.0, ours))
        if step in (2, 4, 5):
            expected.append((step, pytest.approx(scalars(ours)["penalty/msqe_weights"])))
    log.close()
    events = reader.EventAccumulator(str(tmp_path / "choi2020"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("penalty/msqe_weights")] == expected
    assert [event.value for event in events.Scalars("loss")] == [0.25, 0.5, 0.625]
    assert {"zeros", "coded_bytes", "coefficient/msqe_weights"} <= set(events.Tags()["scalars"])


def test_a_recipe_called_float_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lowbit.integrations.tensorboard import Log

    stand_in, opened = types.ModuleType("torch.utils.tensorboard"), list[str]()
    stand_in.SummaryWriter = lambda folder, **kwargs: opened.append(folder) or MagicMock()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    log, module = Log(tmp_path, every=1), nn.Linear(2, 2)
    for stage in ("training in float", "training under float", "training under my float"):
        log(stage, Progress(1, 1, 0.5, 0.0, module))
    assert [Path(folder).name for folder in opened] == ["float", "float (recipe)", "my float"]


def test_without_tensorboard_the_log_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lowbit.integrations.tensorboard import Log

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(lowbit.UserError, match="needs tensorboard"):
        Log(tmp_path)


def test_an_untrained_batch_is_enough(tmp_path: Path) -> None:
    """Before any forward there is nothing measured of activations, and the scalars are there all the same."""
    ours = prepared(SKETCH, "choi2020")
    assert scalars(ours)["coded_bytes"] > 0
    ours(batch(SKETCH)[0])
    assert "penalty/msqe_activations" in scalars(ours)
