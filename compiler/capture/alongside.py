"""The check of islands: does the whole model with its islands in place do what the model does?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..randomness import seeded
from .closeness import EVAL, TRAINING, difference
from .copies import copied
from .example import Example
from .fidelity import backward, outputs, plain_attention


def check_alongside(
    model: nn.Module, ours: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None
) -> None:
    """Compare a training step and eval mode of a model and of the same in islands, of copies of both.

    args, kwargs: as of `capture`.
    Raises UserError where the rest of the model asks an island for more than its forward, and gets something else.
    """
    example = Example.of(model, args, kwargs or {})
    theirs, mine = copied(model), copied(ours)
    try:
        name = difference(_step(mine, example), _step(theirs, example), TRAINING)
        name = name or difference(_evaluated(mine, example), _evaluated(theirs, example), EVAL)
    except Exception as error:  # what the user's code raises where an island is no longer what it was
        raise _refusal(f"that it fails with {type(error).__name__}: {error}") from error
    if name:
        raise _refusal(name)


def _step(module: nn.Module, example: Example) -> dict[str, Tensor]:
    with seeded(0), torch.enable_grad():
        seen = outputs(example.run(module.train()), "training")
        backward(seen)
    grads = {f"the gradient of {name}": p.grad for name, p in module.named_parameters() if p.grad is not None}
    buffers: dict[str, Any] = {f"buffer {name}": x for name, x in module.state_dict().items()}
    return {**{name: x.detach() for name, x in seen.items()}, **grads, **buffers}


@torch.no_grad()
def _evaluated(module: nn.Module, example: Example) -> dict[str, Tensor]:
    with seeded(0), plain_attention():
        return outputs(example.run(module.eval()), "eval")


def _refusal(name: str) -> UserError:
    return UserError(
        f"the model in islands differs from the model in {name}",
        why="the rest of the model asks an island for something beside its forward, such as its parts or what it keeps",
        fix="pass such values through arguments and results, or capture one part of the model alone",
    )
