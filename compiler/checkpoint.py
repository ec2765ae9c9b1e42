"""Training state on disk, written whole or not at all, and read without running pickled code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .errors import UserError


def save(path: Path, parts: Mapping[str, Any], done: int) -> None:
    """Write the `state_dict` of every part, the random state, and how many epochs are done."""
    state = {name: part.state_dict() for name, part in parts.items()}
    draft = path.with_name(path.name + ".part")
    torch.save({"done": done, "rng": torch.get_rng_state(), **state}, draft)
    os.replace(draft, path)


def restore(path: Path, parts: Mapping[str, Any]) -> int:
    """Bring every part and the random state back, and return the epochs done; 0 and nothing else if there is no file.

    Raises UserError for a file that is not a checkpoint of these parts.
    """
    if not path.exists():
        return 0
    try:
        state = torch.load(path, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["rng"])
        return int(state["done"])
    except (KeyError, ValueError, RuntimeError, EOFError, TypeError) as error:
        fix = "remove the file to begin again"
        raise UserError("the checkpoint does not fit this training", where=str(path), why=str(error), fix=fix) from None
