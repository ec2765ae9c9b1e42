"""Datasets of pairs, in batches: of tensors in memory by slices, of anything else one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from ..errors import UserError
from ..randomness import seeded

ENDS = 4
"""Samples at either end of a dataset by which it is known again."""
PAIR = "each sample of a dataset is a pair of tensors, or of a tensor and a number: the input, and what is asked for it"


@dataclass(frozen=True)
class Data:
    """What a model is trained on and judged by: datasets of pairs, an input and its target, as the task has them."""

    train: Dataset[Any]
    test: Dataset[Any]


def length(dataset: Dataset[Any]) -> int:
    """How many samples there are. Raises UserError for a dataset that cannot tell."""
    try:
        if not isinstance(dataset, IterableDataset):
            return len(dataset)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        pass
    fix = "give a dataset with `__len__` and `__getitem__`, such as torch.utils.data.TensorDataset"
    raise UserError(f"a {type(dataset).__name__} has no length and no order to shuffle", fix=fix)


def steps(dataset: Dataset[Any], size: int) -> int:
    """Batches of an epoch of training; a last batch of one sample is none, see `split`."""
    full, rest = divmod(length(dataset), size)
    return full + (rest > 1 or (rest == 1 and not full))


def split(order: Tensor, size: int, training: bool = False) -> list[Tensor]:
    """Positions in batches of `size`; the last one may be smaller.

    training: a last batch of one sample is left out unless it is all there is: batch norm cannot be trained on it.
    """
    parts = list(torch.split(order, size)) if len(order) else []
    return parts[:-1] if training and len(parts) > 1 and len(parts[-1]) == 1 < size else parts


def batches(dataset: Dataset[Any], size: int, shuffle: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
    """The dataset in batches; the last one may be smaller.   shuffle: for training, see `split`.

    Raises UserError for a dataset that does not give pairs.
    """
    count = length(dataset)
    yield from taken(dataset, split(torch.randperm(count) if shuffle else torch.arange(count), size, shuffle))


def taken(dataset: Dataset[Any], chosen: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """A batch of the samples at each of the chosen positions. Tensors in memory are sliced, not collated one by one."""
    if isinstance(dataset, TensorDataset):
        x, y = _pair(dataset.tensors)
        for places in chosen:
            yield x[places.to(x.device)], y[places.to(y.device)]
        return
    # Its own random numbers, which only workers would use: those of torch are the model's and the dataset's.
    lists = [places.tolist() for places in chosen]
    for batch in DataLoader(dataset, batch_sampler=lists, generator=torch.Generator()):
        yield _pair(batch)


def fingerprint(dataset: Dataset[Any]) -> str:
    """What tells one dataset from another of the same length: a hash of its first and last samples.

    Samples that are drawn are those of one seed; it is empty where they come from random numbers of their own.
    """
    count = length(dataset)
    places = torch.tensor(sorted({*range(min(ENDS, count)), *range(max(0, count - ENDS), count)}))
    try:
        once, again = (_hash(dataset, places) for _ in range(2))
    except Exception:  # the user's own dataset can fail in any way, and the training then tells how
        return ""
    return once if once == again else ""


def _hash(dataset: Dataset[Any], places: Tensor) -> str:
    found = hashlib.sha256()
    with seeded(0):
        for pair in taken(dataset, split(places, 1)):
            for part in pair:
                found.update(f"{part.dtype} {tuple(part.shape)}".encode())
                found.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def _pair(batch: Any) -> tuple[Tensor, Tensor]:
    if isinstance(batch, (list, tuple)) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch):
        return batch[0], batch[1]
    raise UserError("a sample of the data is not a pair of an input and a target", fix=PAIR)


def example(dataset: Dataset[Any], size: int, name: str) -> tuple[Tensor, Tensor]:
    """The first samples of the dataset called `name`. Raises UserError where it gives none, or no pairs."""
    if not length(dataset):
        raise UserError(f"the {name} data is empty")
    try:
        return next(batches(dataset, size))
    except UserError:
        raise
    except Exception as error:  # the user's own dataset can fail in any way
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"no batch can be made of the {name} data", why=why, fix=PAIR) from error
