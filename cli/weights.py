"""The file behind --weights: read without running code in it, and loaded whole or not at all."""

from __future__ import annotations

import difflib
import os
import pickle
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..compiler.disk import reason
from ..compiler.errors import UserError

SAFE, TORCH = (".safetensors",), (".pt", ".pth", ".bin", ".ckpt")
NESTED = ("state_dict", "model_state_dict", "model")
"""Keys under which a checkpoint keeps the weights."""
PREFIXES = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every name."""
SHOWN = 5
_GLOBAL = re.compile(r"(?:GLOBAL|global|class|function) `?([\w.]+\.\w+)")


def load(path: str, model: nn.Module) -> None:
    """Load a file of weights into a module, every name of it. Raises UserError, and then the module is to be discarded.

    path: .safetensors, or what torch.save made of a state_dict or of a checkpoint that holds one. Of tied parameters
    one name is enough.
    """
    state = _stripped(read(path), model)
    own = model.state_dict(keep_vars=True)
    state = _tied(path, state, own)
    _refuse_misfits(path, state, own)
    try:
        kept = model.load_state_dict(state, strict=False)
    except Exception as error:  # a module's own hook may raise anything
        raise UserError("the weights cannot be loaded", where=path, why=f"{type(error).__name__}: {error}") from error
    _refuse_strangers(path, kept.missing_keys, kept.unexpected_keys, own)


def read(path: str) -> dict[str, Any]:
    """The state_dict in a file, on the CPU. Raises UserError for another kind of file, damage, and pickled code."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in SAFE + TORCH:
        fix = "name a .pt2 as the SOURCE itself" if suffix == ".pt2" else f"name one of {', '.join(SAFE + TORCH)}"
        raise UserError("the file holds no weights by its name", where=path, fix=fix)
    try:
        with open(path, "rb"):  # a folder or a missing file is not damage
            pass
    except (OSError, ValueError) as error:
        raise UserError("the weights cannot be read", where=path, why=reason(error)) from None
    found = _safetensors(path) if suffix in SAFE else _pickled(path)
    state = _state(found)
    if state is None:
        held = f"keys {_some(list(found))}" if isinstance(found, Mapping) else f"a {type(found).__name__}"
        why = f"it holds {held}; the weights may also be under {', '.join(map(repr, NESTED))}"
        raise UserError("the file holds no state_dict", where=path, why=why, fix="torch.save(model.state_dict(), FILE)")
    return state


def _safetensors(path: str) -> Any:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # damage shows as whatever the reader of a part raises
        raise _damaged(path, error) from error


def _pickled(path: str) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = _GLOBAL.search(str(error))
        if named is None:
            raise _damaged(path, error) from error
        why = f"it holds {named[1]}, which only running code of the file could restore"
        fix = "save the weights alone: torch.save(model.state_dict(), FILE), or as .safetensors"
        raise UserError("the file holds more than weights", where=path, why=why, fix=fix) from None
    except Exception as error:  # as above
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> UserError:
    first = str(error).strip().partition("\n")[0]
    why = f"{type(error).__name__}: {first}"
    return UserError("the weights cannot be read, the file may be damaged", where=path, why=why, fix="save it again")


def _state(found: Any) -> dict[str, Any] | None:
    """The state_dict that is there, or in there under one of the usual keys; None where there is none."""
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        return None
    inner = [found[key] for key in NESTED if isinstance(found.get(key), Mapping)]
    if inner:
        return _state(inner[0])
    tensors = [name for name, value in found.items() if isinstance(value, Tensor) or name.endswith("_extra_state")]
    return dict(found) if len(tensors) == len(found) else None


def _stripped(state: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    """The state without what wrappers put before every name, unless the model's own names begin so too."""
    own = list(model.state_dict())
    stripped = dict(state)
    while stripped:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in stripped)), "")
        if not prefix or any(name.startswith(prefix) for name in own):
            return stripped
        stripped = {name.removeprefix(prefix): value for name, value in stripped.items()}
    return stripped


def _tied(path: str, state: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The state with every name of a tied parameter of which it has one. Raises UserError where two of them differ."""
    complete, groups = dict(state), dict[int, list[str]]()
    for name, value in own.items():
        groups.setdefault(id(value), []).append(name)
    for names in groups.values():
        first, *others = [name for name in names if name in state] or [""]
        for other in others:
            if not _same(state[first], state[other]):
                why = f"the model ties '{first}' and '{other}', and the file has two different tensors"
                raise UserError(
                    "the weights do not fit the model", where=path, why=why, fix="untie them, or save again"
                )
        complete.update({name: state[first] for name in names if first})
    return complete


def _same(one: Any, other: Any) -> bool:
    return bool(one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other))


def _refuse_misfits(path: str, state: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse tensors of another shape, and fractions or complex numbers where the model would cut them off."""
    misfits = []
    for name, value in own.items():
        given = state.get(name)
        if not isinstance(value, Tensor) or not isinstance(given, Tensor):
            continue
        if given.shape != value.shape:
            misfits.append(f"{name} is {tuple(given.shape)}, the model has {tuple(value.shape)}")
        elif not torch.can_cast(given.dtype, value.dtype) or given.is_quantized:
            misfits.append(f"{name} is {given.dtype}, the model has {value.dtype}")
    if misfits:
        fix = "build the model as it was when the weights were saved; a SOURCE takes arguments behind a ?"
        raise UserError("the weights do not fit the model", where=path, why=_some(misfits, "\n"), fix=fix)


def _refuse_strangers(path: str, missing: Sequence[str], unknown: Sequence[str], own: Mapping[str, Any]) -> None:
    if not missing and not unknown:
        return
    said = [f"the file lacks {len(missing)} of {len(own)}: {_near(missing, unknown)}"] if missing else []
    said += [f"the model lacks {len(unknown)} of the file: {_near(unknown, list(own))}"] if unknown else []
    fix = "build the model as it was when the weights were saved, or rename the keys of the file"
    raise UserError("the weights do not fit the model", where=path, why="\n".join(said), fix=fix)


def _near(names: Sequence[str], others: Sequence[str]) -> str:
    """The first few names, each with the one on the other side that resembles it."""
    shown = []
    for name in names[:SHOWN]:
        near = difflib.get_close_matches(name, others[:1000], 1)
        shown.append(f"{name} (there is {near[0]})" if near else name)
    return _some(shown, count=len(names))


def _some(items: Sequence[Any], between: str = ", ", count: int | None = None) -> str:
    rest = (count if count is not None else len(items)) - SHOWN
    return between.join([*map(str, items[:SHOWN]), *([f"and {rest} more"] if rest > 0 else [])])
