"""The ways in which torch.export fails: each with its cause in one sentence and the usual way round."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, UnsupportedOperatorException
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.jit import ScriptModule
from torch.nn.modules.batchnorm import _BatchNorm

from .branches import FrozenDraw


class InnerDerivative(Exception):
    """A model that differentiates a function of its own; torch.export would fail later, if at all, and say no line."""


@dataclass(frozen=True)
class Failure:
    """error, first: what was raised, and the first line of it.   layer: the path of the module of the model in it."""

    error: Exception
    first: str
    model: nn.Module
    layer: str

    @property
    def module(self) -> nn.Module:
        return self.model.get_submodule(self.layer)

    def says(self, *parts: str) -> bool:
        return any(part in str(self.error) for part in parts)


_Known = Callable[[Failure], tuple[str, str] | None]


def explained(failure: Failure) -> tuple[str, str]:
    """The cause and the way round."""
    for known in _KNOWN:
        found = known(failure)
        if found is not None:
            return found
    return f"{type(failure.error).__name__}: {failure.first}", _around(failure, "write it with torch operators")


def _around(failure: Failure, change: str) -> str:
    """The change of the line, or what to do where it cannot be changed."""
    if failure.layer:
        return f"{change}; or keep the module out of the graph with leaves = ['{failure.layer}']"
    children = {name: sum(p.numel() for p in child.parameters()) for name, child in failure.module.named_children()}
    largest = max(children, key=children.__getitem__, default="")
    return f"{change}; or compile a part of the model alone" + (f", such as '{largest}'" if largest else "")


def _scripted(failure: Failure) -> tuple[str, str] | None:
    if not isinstance(failure.module, ScriptModule):
        return None
    # No leaf: capture tries things on copies, and torch copies no script that trains.
    return (
        "the module is scripted, and torch.export does not see into it",
        "put the module itself there, not its script",
    )


def _cumulative_norm(failure: Failure) -> tuple[str, str] | None:
    module = failure.module
    if not isinstance(module, _BatchNorm) or module.momentum is not None:
        return None
    why = "a batch norm with momentum=None makes its count of batches a Python number in training"
    return why, _around(failure, "give it a number, such as momentum=0.1")


def _drawn(failure: Failure) -> tuple[str, str] | None:
    if not isinstance(failure.error, FrozenDraw):
        return None
    why = "a number that is drawn leaves torch, and the graph would hold the one outcome of that draw"
    return why, _around(failure, "keep it a tensor, as in `if torch.rand([]) < p` and in x * torch.rand([])")


def _value(failure: Failure) -> tuple[str, str] | None:
    """A Python branch or number, or a shape, that is known only when the values are."""
    if not isinstance(failure.error, GuardOnDataDependentSymNode):
        return None
    found = re.search(r"data-dependent expression (.*?) \(unhinted", failure.first)
    asked = found.group(1) if found else ""
    if "Size-like symbols: none" not in failure.first:
        why = f"a shape depends on values, as after nonzero or a boolean mask, and something depends on it: {asked}"
        return why, _around(failure, "keep the shape fixed with torch.where or topk, or do this after the model")
    if "extract specialized" in failure.first or re.fullmatch(r"\w+", asked):
        why = "the value of a tensor becomes a Python number"
        return why, _around(failure, "keep it a tensor, or set the number when the model is built")
    why = "a Python branch depends on the values of a tensor"
    return why, _around(failure, "use torch.cond or torch.where, or move the branch out of the model")


def _outside(failure: Failure) -> tuple[str, str] | None:
    words = (".numpy()", "data pointer", "Cannot access data", "tolist")
    if not isinstance(failure.error, DataDependentOutputException) and not failure.says(*words):
        return None
    why = "values leave torch, for NumPy or another library, and no graph holds what happens to them there"
    return why, _around(failure, "use the torch operators of the same names")


def _kernel(failure: Failure) -> tuple[str, str] | None:
    if not isinstance(failure.error, UnsupportedOperatorException):
        return None
    space, _, name = failure.first.partition(".")
    name = name.partition(".")[0]
    if space == "aten":
        why = f"torch cannot tell the shape of what {name} returns without its values"
        return why, _around(failure, "use another operator")
    why = f"the custom operator {space}::{name} does not say what shape it returns"
    return why, f"describe it with torch.library.register_fake('{space}::{name}')"


def _number_alone(failure: Failure) -> tuple[str, str] | None:
    # The second is what torch 2.11 says of any generator.
    words = (
        "SymIntArrayRef expected to contain only concrete integers",
        "argument of type: <class 'torch._C.Generator'>",
    )
    if not failure.says(*words):
        return None
    why = "torch takes numbers alone as sizes here, as where it draws with generator=, and the batch is none"
    return why, _around(failure, "draw without generator=, which torch.manual_seed governs")


def _device(failure: Failure) -> tuple[str, str] | None:
    words = ("not linked with support for", "not compiled with", "is not on the expected device", "No CUDA GPUs")
    if not failure.says(*words, "no NVIDIA driver"):
        return None
    change = "take the device of an input, as in device=x.device"
    return f"the model names a device: {failure.first}", _around(failure, change)


def _batch(failure: Failure) -> tuple[str, str] | None:
    found = re.search(r"specialized it to be a constant \((\d+)\)", str(failure.error))
    if not found:
        return None
    why = f"the model works with a batch of {found.group(1)} alone"
    return why, "take the batch from x.shape[0], or -1 in a view, in place of the number"


def _result(failure: Failure) -> tuple[str, str] | None:
    found = re.search(r"Found <(?:class|enum) '([^']*)'> in output", str(failure.error))
    # An Enum; and in torch 2.11 what has an __eq__ alone.
    odd = re.search(r"^(?:'(\w+)' object has no attribute 'meta'|unhashable type: '(\w+)')", str(failure.error))
    if not found and not odd:
        return None
    name = found.group(1) if found else odd.group(odd.lastindex or 0) if odd else ""
    why = f"the model returns a {name}, of which torch does not know the tensors"
    short = name.rpartition(".")[2]
    change = f"return tensors in tuples, lists or plain dicts; if {short} is a dataclass"
    return why, f"{change}, call torch.export.register_dataclass({short})"


def _inner_function(failure: Failure) -> tuple[str, str] | None:
    if type(failure.error).__name__ != "UncapturedHigherOrderOpError":
        return None
    if failure.says("Encountered input mutation"):
        why = "a side of torch.cond changes what it was given, or a buffer, in place, and torch does not allow that"
        return why, _around(failure, "return the new value, and write it after torch.cond")
    if failure.says("Encountered aliasing"):
        why = "a side of torch.cond returns what it was given, or a view of it, and torch does not allow that"
        return why, _around(failure, "return a copy, as .clone() makes one")
    found = re.search(r"graph break/error:\s+(.+)", str(failure.error))
    why = "torch.cond, or another operator that takes functions, does not take this one"
    why += f": {found.group(1)}" if found else ""
    return why, _around(failure, "compute both sides and choose with torch.where")


def _hidden(failure: Failure) -> tuple[str, str] | None:
    if not failure.says("fake tensor in the exported program constant's list"):
        return None
    why = "a tensor goes by torch.export unseen, as through .data or torch.autograd.grad"
    return why, _around(failure, "use .detach() or torch.no_grad() in place of .data")


def _transform(failure: Failure) -> tuple[str, str] | None:
    if not isinstance(failure.error, InnerDerivative):
        return None
    why = "torch.func differentiates a function of the model's, in a way that no list of calls can hold"
    return why, _around(failure, "write the derivative with torch operators")


def _lazy(failure: Failure) -> tuple[str, str] | None:
    if not failure.says("uninitialized parameter"):
        return None
    return "the model is lazy: the shapes of its parameters are not known yet", "run it once before it is captured"


_KNOWN: Sequence[_Known] = (
    _scripted,
    _hidden,
    _lazy,
    _cumulative_norm,
    _drawn,
    _value,
    _outside,
    _kernel,
    _number_alone,
    _device,
    _batch,
    _result,
    _inner_function,
    _transform,
)
