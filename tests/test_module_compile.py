"""A prepared module under torch.compile, autocast and DistributedDataParallel; the plain module is the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ranks
import torch
from modules import CASES, gradients, loss, pair, quantized, same, seeded
from torch import Tensor, distributed
from torch._dynamo.testing import CompileCounter

X = CASES["residual"].args[0]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()


def compiled(call: Any, backend: str = "aot_eager") -> Any:
    """Without graph breaks, which are errors."""
    return torch.compile(call, fullgraph=True, backend=backend)


@pytest.fixture
def _no_onednn() -> Iterator[None]:
    """AOT autograd fails on an LSTM of oneDNN, in any module; `torch.backends.mkldnn` would warn of other things."""
    torch._C._set_mkldnn_enabled(False)
    yield
    torch._C._set_mkldnn_enabled(True)


@pytest.mark.parametrize("name", CASES)
def test_compiles_whole(name: str) -> None:
    """By AOT autograd, which sees all that dynamo sees; of an LSTM that makes a graph of hundreds of calls."""
    probe, backend = pair(name), "eager" if name == "recurrent" else "aot_eager"
    for mode in (True, False):
        results = []
        for module, call in ((probe.plain, probe.plain), (probe.ours, compiled(probe.ours, backend))):
            module.zero_grad()
            module.train(mode)
            result = seeded(call, probe.args, probe.kwargs)
            loss(result).backward()
            results.append((result, gradients(module), dict(module.state_dict())))
        assert same(*results)


def test_other_batch_sizes_are_one_graph() -> None:
    counter = CompileCounter()
    call = torch.compile(pair("residual").ours, fullgraph=True, backend=counter)
    for size in (4, 3, 7, 9):
        call(torch.randn(size, 3, 6, 6))
    assert counter.frame_count == 2  # for the first size, and for any


# Of torch itself: dynamo looks at `.grad` of any tensor that the compiled call finds and did not make.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_the_parts_of_a_training_step_compile() -> None:
    results = []
    for wrap in (lambda call: call, compiled):
        module = quantized().train()
        call, regularization, step = (wrap(part) for part in (module, module.regularization, module.step))
        for seed in range(3):
            module.zero_grad()
            (loss(seeded(call, (X,), {}, seed)) + regularization()).backward()
            step()
        results.append((gradients(module), dict(module.state_dict()), seeded(call, (X,), {})))
    assert int(results[0][1]["lowbit.step"]) == 3
    assert same(*results)


def test_a_loss_with_its_penalties_compiles() -> None:
    results = []
    for wrap in (lambda call: call, compiled):
        module = quantized()

        def total(x: Tensor, module: Any = module) -> Tensor:
            return loss(module(x)) + module.regularization()

        call = wrap(total)
        for mode in (True, True, False):
            module.train(mode)
            module.zero_grad()
            value = seeded(call, (X,), {})
            value.backward()
            results.append((value, gradients(module)))
    assert same(results[:3], results[3:])


@pytest.mark.usefixtures("_no_onednn")  # whose LSTM in bfloat16 needs a newer processor
@pytest.mark.parametrize("name", CASES)
def test_autocast(name: str) -> None:
    probe = pair(name)
    for mode in (True, False):
        results = []
        for module in probe:
            module.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                result = seeded(module.train(mode), probe.args, probe.kwargs)
            loss(result).backward()
            results.append((result, gradients(module)))
        assert same(*results)


def test_autocast_under_a_recipe() -> None:
    module, exact = quantized().train(), quantized().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = seeded(module, (X,), {})
        total = loss(out) + module.regularization()
    total.backward()
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.float(), seeded(exact, (X,), {}), atol=0.05)
    assert gradients(module).keys() == dict(module.named_parameters()).keys()
    assert all(gradient.isfinite().all() for gradient in gradients(module).values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [torch.tensor([0.1]), torch.tensor([0.1, 0.2, 0.3, 0.4])])
@pytest.mark.parametrize("straight", [False, True])
def test_fake_quantize_keeps_the_contract_of_an_operator(scale: Tensor, dtype: torch.dtype, straight: bool) -> None:
    x = X.clone().to(dtype).requires_grad_()
    given = (x, scale.clone().requires_grad_(), 0, -7, 7, 0, straight)
    torch.library.opcheck(torch.ops.lowbit.fake_quantize.default, given)


@pytest.mark.parametrize("samples", [0, 16])
@pytest.mark.parametrize("halves", [(), (0,), (1,), (0, 1)])
def test_the_penalty_keeps_the_contract_of_an_operator(samples: int, halves: tuple[int, ...]) -> None:
    """Under autocast, too: compiled code reads what the fake of an operator foretells, whatever lies there."""
    xs = [X.clone().bfloat16() if i in halves else X.clone() for i in range(2)]
    scales = [torch.tensor([0.1]), torch.tensor([0.1, 0.2, 0.3, 0.4])]
    grids = [0, 0], [-7, -7], [7, 7], [0, 0], [False, False]
    given = (xs, scales, *grids, [0.5, 0.5], samples)
    torch.library.opcheck(torch.ops.lowbit.msqe.default, given, test_utils="test_faketensor")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_distributed_over_one_process() -> None:
    plain, ours = ranks.twins()
    assert same(ranks.stepped(ours, range(3)), ranks.stepped(plain, range(3)))
    assert ours.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.usefixtures("alone")
def test_distributed_under_a_recipe() -> None:
    wrapped, bare = quantized().train(), quantized().train()
    ours = ranks.stepped(wrapped, range(3))
    assert int(ours[1]["lowbit.step"]) == 3
    assert ours[0].keys() == dict(bare.named_parameters()).keys()
