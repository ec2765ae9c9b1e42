"""A prepared module under torch.compile, autocast and DistributedDataParallel; the plain module is the oracle."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lowbit.compiler.capture import capture
from lowbit.compiler.prepared import Prepared
from modules import CASES, PLAIN, Residual, gradients, loss, pair, quantized, same, seeded
from torch import Tensor, distributed, nn
from torch._dynamo.testing import CompileCounter
from torch.nn.parallel import DistributedDataParallel

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


def _join(store: Path, rank: int, world: int) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)


def _steps(module: nn.Module, seeds: range) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Gradients of the last batch, and the state, after a distributed step on a batch of each seed."""
    wrapped = DistributedDataParallel(module)
    regularization = getattr(module, "regularization", lambda: torch.zeros(()))
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for seed in seeds:
        batch = torch.randn(X.shape, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        (loss(seeded(wrapped, (batch,), {}, seed)) + regularization()).backward()
        optimizer.step()
        getattr(module, "step", lambda: None)()
    return gradients(module), dict(module.state_dict())


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    _join(tmp_path / "store", 0, 1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_distributed_over_one_process() -> None:
    plain, ours = map(copy.deepcopy, _captured())
    assert same(_steps(ours, range(3)), _steps(plain, range(3)))
    assert ours.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.usefixtures("alone")
def test_distributed_under_a_recipe() -> None:
    wrapped, bare = quantized().train(), quantized().train()
    ours = _steps(wrapped, range(3))
    assert int(ours[1]["lowbit.step"]) == 3
    assert ours[0].keys() == dict(bare.named_parameters()).keys()


def _captured() -> tuple[nn.Module, nn.Module]:
    """A residual network whose every parameter is used, and its captured twin."""
    torch.manual_seed(0)
    model = Residual(spare=False)
    return model, Prepared(capture(copy.deepcopy(model), (X,)), PLAIN)


def _rank(rank: int, folder: str) -> None:
    """One of two processes: other data in each, and at first other statistics, which the first process's replace."""
    _join(Path(folder) / "store", rank, 2)
    plain, ours = _captured()
    for module in (plain, ours, prepared := quantized().train()):
        module.get_buffer("norm.running_mean").fill_(float(rank))
    seeds = range(10 * rank, 10 * rank + 3)
    results = {"plain": _steps(plain, seeds), "ours": _steps(ours, seeds), "recipe": _steps(prepared, seeds)}
    torch.save(results, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


def test_distributed_over_two_processes(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_rank, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert same(first["ours"], first["plain"])
    assert same(second["ours"], second["plain"])
    for kind in ("plain", "ours", "recipe"):
        assert same(first[kind][0], second[kind][0])  # gradients are the mean over both
        trained = [name for name in first[kind][1] if "running" not in name]
        assert all(torch.equal(first[kind][1][name], second[kind][1][name]) for name in trained)
