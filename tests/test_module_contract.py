"""A prepared module is an ordinary one: modes, state, copies, types, devices, hooks; the plain module is the oracle."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import lowbit
import pytest
import torch
from lowbit import UserError
from lowbit.compiler.devices import is_literal
from modules import CASES, PLAIN, Residual, gradients, loss, pair, quantized, same, seeded
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, parametrize
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils import _pytree as pytree

NAMES = list(CASES)
X = CASES["residual"].args[0]


@pytest.fixture(autouse=True)
def _slow_attention() -> Any:
    """Without gradients torch swaps attention for a fused kernel of other roundings, in modules of its own classes."""
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


def trained(module: nn.Module, args: Any, kwargs: Any, steps: int = 3) -> nn.Module:
    """After some optimizer steps, gradients accumulated over two batches and clipped."""
    groups = [{"params": [p], "lr": 0.1 / (i + 1)} for i, p in enumerate(module.parameters())]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    module.train()
    for step in range(steps):
        optimizer.zero_grad()
        for part in range(2):
            loss(seeded(module, args, kwargs, seed=2 * step + part)).backward()
        clip_grad_norm_(module.parameters(), 0.5)
        optimizer.step()
    return module


@pytest.mark.parametrize("name", NAMES)
def test_trains_and_evaluates_alike(name: str) -> None:
    probe = pair(name)
    for module in probe:
        trained(module, probe.args, probe.kwargs)
    assert same(dict(probe.ours.state_dict()), dict(probe.plain.state_dict()))
    assert same(gradients(probe.ours), gradients(probe.plain))
    for mode in (False, True, False):
        results = [seeded(module.train(mode), probe.args, probe.kwargs) for module in probe]
        assert same(*results)


@pytest.mark.parametrize("name", NAMES)
def test_names_and_their_order(name: str) -> None:
    probe = pair(name)
    for listing in ("state_dict", "named_parameters", "named_buffers"):
        theirs = list(dict(getattr(probe.plain, listing)()))
        ours = [key for key in dict(getattr(probe.ours, listing)()) if not is_literal(key)]
        assert ours == theirs
    ours = [path for path, _ in probe.ours.named_modules() if path.split(".")[0] != "lowbit"]
    assert set(ours) <= {path for path, _ in probe.plain.named_modules()}


@pytest.mark.parametrize("name", NAMES)
def test_state_goes_both_ways(name: str) -> None:
    probe, other = pair(name), pair(name)
    trained(probe.ours, probe.args, probe.kwargs, steps=1)
    file = io.BytesIO()
    torch.save(probe.ours.state_dict(), file)
    for state in (torch.load(io.BytesIO(file.getvalue())), pickle.loads(pickle.dumps(probe.ours.state_dict()))):
        for module in other:
            module.load_state_dict(state)
            assert same(module.eval()(*probe.args, **probe.kwargs), probe.ours.eval()(*probe.args, **probe.kwargs))


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_independent(name: str) -> None:
    probe = pair(name)
    probe.ours.train()(*probe.args, **probe.kwargs)
    before = copy.deepcopy(dict(probe.ours.state_dict()))
    twin = copy.deepcopy(probe.ours)
    assert len(list(twin.parameters())) == len(list(probe.plain.parameters()))
    assert not {id(p) for p in twin.parameters()} & {id(p) for p in probe.ours.parameters()}
    trained(twin, probe.args, probe.kwargs, steps=1)
    assert same(dict(probe.ours.state_dict()), before)
    assert not same(dict(twin.state_dict()), before)


def test_tied_weights_stay_tied_in_a_copy() -> None:
    twin = copy.deepcopy(pair("tied").ours)
    state = dict(twin.named_parameters(remove_duplicate=False))
    assert state["embed.weight"] is state["out.weight"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_converted_to_another_type(name: str, dtype: torch.dtype) -> None:
    def convert(value: Any) -> Any:
        return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

    probe = pair(name)
    args, kwargs = pytree.tree_map(convert, (probe.args, dict(probe.kwargs)))
    for mode in (True, False):
        assert same(*[seeded(module.to(dtype).train(mode), args, kwargs) for module in probe])


DEVICES = ["meta", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("device", DEVICES)
def test_moved_to_another_device(name: str, device: str) -> None:
    probe = pair(name)
    args, kwargs = pytree.tree_map_only(Tensor, lambda x: x.to(device), (probe.args, dict(probe.kwargs)))
    for mode in (True, False):
        theirs, ours = (pytree.tree_leaves(seeded(m.to(device).train(mode), args, kwargs)) for m in probe)
        for a, b in zip(ours, theirs, strict=True):
            assert a is b is None or (a.device == b.device and a.shape == b.shape)
            assert a is None or device == "meta" or torch.allclose(a, b, atol=1e-5)


def test_the_graph_of_a_moved_module_moves_along() -> None:
    ours = pair("positions").ours
    assert ours.graph.module()(*CASES["positions"].args)[0][0].device.type == "cpu"
    x = CASES["positions"].args[0].to("meta")
    assert ours.to("meta").graph.module()(x)[0][0].device.type == "meta"


@pytest.mark.parametrize("frozen", [("stem.",), ("stem.", "norm.", "conv.", "bn."), ("",)])
def test_frozen_parameters_get_no_gradient(frozen: tuple[str, ...]) -> None:
    probe = pair("residual")
    for module in probe:
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(not name.startswith(frozen))
        out = seeded(module, probe.args, {})
        assert out.requires_grad == ("" not in frozen)
        if out.requires_grad:
            loss(out).backward()
    assert same(gradients(probe.ours), gradients(probe.plain))


def test_frozen_at_capture_and_thawed_after() -> None:
    probe = pair("residual")
    frozen = copy.deepcopy(probe.plain).requires_grad_(False)
    ours = lowbit.Prepared(lowbit.compiler.capture.capture(frozen, probe.args), PLAIN)
    assert not any(p.requires_grad for p in ours.parameters())
    for module in (ours.requires_grad_(), probe.plain):
        loss(seeded(module, probe.args, {})).backward()
    assert same(gradients(ours), gradients(probe.plain))
    assert gradients(ours)
    ours.zero_grad()
    assert not gradients(ours)


@pytest.mark.parametrize("name", NAMES)
def test_called_with_other_parameters(name: str) -> None:
    probe = pair(name)
    results = []
    for module in probe:
        given = {key: value.detach() * 1.5 for key, value in module.named_parameters()}

        def value(tensors: Any, module: nn.Module = module) -> Tensor:
            return loss(torch.func.functional_call(module, tensors, probe.args, dict(probe.kwargs)))

        module.eval()
        results.append((value(given), torch.func.grad(value)(given)))
    assert same(*results)


def test_the_average_of_a_training() -> None:
    probe = pair("residual")
    averages = []
    for module in probe:
        average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
        average.update_parameters(trained(module, probe.args, {}))
        average.update_parameters(trained(module, probe.args, {}))
        averages.append(average.eval()(*probe.args))
    assert same(*averages)


def test_hooks_of_the_whole() -> None:
    probe, seen = pair("residual"), []
    for module in probe:
        calls: list[Any] = []
        seen.append(calls)
        module.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
        module.register_forward_hook(lambda module, args, out, calls=calls: calls.append(out.detach().clone()))
        module.register_full_backward_hook(lambda module, given, out, calls=calls: calls.append(out[0].clone()))
        loss(seeded(module, (X.clone().requires_grad_(),), {})).backward()
    assert len(seen[0]) == 2
    assert same(*seen)


class Half(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight * 0.5


def test_a_parametrized_weight() -> None:
    probe = pair("residual")
    for module in probe:
        parametrize.register_parametrization(module.stem, "weight", Half())
        trained(module, probe.args, {})
    assert same(*[module.eval()(*probe.args) for module in probe])


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (lambda part: part.eval(), "be switched to eval"),
        (lambda part: part(X), "be called"),
        (lambda part: part.register_forward_hook(print), "have a hook"),
        (lambda part: part.register_full_backward_hook(print), "have a hook"),
    ],
)
def test_what_would_do_nothing_on_a_part_is_refused(use: Callable[[Any], Any], what: str) -> None:
    with pytest.raises(UserError, match=f"submodule of a prepared model cannot {what}") as caught:
        use(pair("residual").ours.stem)
    assert caught.value.where == "stem"


def test_switching_all_modules_one_by_one() -> None:
    ours = pair("residual").ours
    for mode in (False, True):
        for module in ours.modules():
            module.train(mode)
        assert {module.training for module in ours.modules()} == {mode}


def test_pickle_says_why_not() -> None:
    with pytest.raises(UserError, match="cannot be pickled") as caught:
        pickle.dumps(pair("residual").ours)
    assert "state_dict" in caught.value.fix


def test_the_state_of_the_float_model_under_a_recipe() -> None:
    model, ours = Residual(spare=False), quantized()
    theirs = list(model.state_dict())
    assert list(ours.state_dict())[: len(theirs)] == theirs
    with pytest.raises(UserError, match="that of the float model"):
        ours.load_state_dict(model.state_dict())
    report = ours.load_state_dict(model.state_dict(), strict=False)
    assert not report.unexpected_keys
    assert report.missing_keys == [name for name in ours.state_dict() if name.startswith("lowbit.")]
    assert all(torch.equal(ours.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    with pytest.raises(RuntimeError, match="Missing key"):
        ours.load_state_dict({"stem.weight": model.state_dict()["stem.weight"]})


def test_modes_under_a_recipe() -> None:
    ours = quantized().eval()
    before = copy.deepcopy(dict(ours.state_dict()))
    assert same(ours(X), ours(X))
    assert same(dict(ours.state_dict()), before)
    ours.train()
    assert not same(seeded(ours, (X,), {}, 0), seeded(ours, (X,), {}, 1))
    assert int(ours.state_dict()["norm.num_batches_tracked"]) == int(before["norm.num_batches_tracked"]) + 2
    assert not torch.equal(ours.state_dict()["norm.running_mean"], before["norm.running_mean"])


def test_copies_and_state_under_a_recipe() -> None:
    ours = quantized().train()
    ours(X)  # leaves penalties that belong to an autograd graph
    twin, other = copy.deepcopy(ours), quantized()
    other.load_state_dict(pickle.loads(pickle.dumps(ours.state_dict())))
    for module in (ours, twin, other):
        loss(seeded(module, (X,), {}) + module.regularization()).backward()
        module.step()
    assert same(gradients(twin), gradients(ours))
    assert same(gradients(other), gradients(ours))
    assert same(dict(twin.state_dict()), dict(ours.state_dict()))
    assert int(ours.state_dict()["lowbit.step"]) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_converted_under_a_recipe(dtype: torch.dtype) -> None:
    ours = quantized()
    expected = ours.eval()(X)
    assert torch.allclose(ours.to(dtype)(X.to(dtype)).float(), expected, atol=0.05)


@pytest.mark.parametrize("device", DEVICES)
def test_moved_under_a_recipe(device: str) -> None:
    ours = quantized().to(device).train()
    total = loss(ours(X.to(device))) + ours.regularization()
    total.backward()
    ours.step()
    assert total.device.type == device
    assert {grad.device.type for grad in gradients(ours).values()} == {device}
