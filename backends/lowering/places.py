"""Places: inputs whose integers number the rows of tables, such as words."""

from __future__ import annotations

import torch
from torch import fx

from ...compiler.graph import arguments, shape
from ...compiler.operators import CARRIERS, EMBEDDING
from ..fixed.types import Range


def places(node: fx.Node) -> Range | None:
    """The numbers that an input may hold whose readers look them up; nothing of other inputs."""
    value = node.meta["val"]
    if not isinstance(value, torch.Tensor) or value.is_floating_point():
        return None
    tables, seen = list[fx.Node](), [node]
    for source in seen:
        looking = [reader for reader in source.users if reader.target is EMBEDDING]
        tables += [arguments(reader)["weight"] for reader in looking if arguments(reader)["indices"] is source]
        seen += [reader for reader in source.users if reader.target in CARRIERS and reader not in seen]
    return Range(0, min(int(shape(table)[0]) for table in tables) - 1) if tables else None
