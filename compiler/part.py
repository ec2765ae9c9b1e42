"""Part: what stands for a submodule in a prepared model. It owns tensors; the graph of the whole computes with them."""

from __future__ import annotations

from typing import Any, NoReturn

from torch import nn

from .errors import UserError
from .graph import Graph


class Part(nn.Module):
    """The parameters and buffers of a submodule, under its path. What only a module that runs can do is refused."""

    def __init__(self, path: str, kind: str = "") -> None:
        """kind: the class of the user's module, for the eye."""
        super().__init__()
        self._path, self._kind = path, kind

    def extra_repr(self) -> str:
        return self._kind

    def train(self, mode: bool = True) -> Part:
        """Itself, if it is in that mode; else raises UserError, for the model switches as a whole."""
        if mode != self.training:
            self._refuse(f"be switched to {'train' if mode else 'eval'} on its own", "switch the prepared model")
        return self

    def forward(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("be called on its own", "call the prepared model, or prepare that submodule alone")

    def _no_hook(self, *args: Any, **kwargs: Any) -> NoReturn:
        fix = "register the hook on the prepared model, or on the submodule before it is prepared"
        self._refuse("have a hook: it would never be called", fix)

    register_forward_hook = register_forward_pre_hook = _no_hook
    register_full_backward_hook = register_full_backward_pre_hook = register_backward_hook = _no_hook

    def _refuse(self, what: str, fix: str) -> NoReturn:
        why = "a prepared model is one graph; its submodules hold the tensors and do not run"
        raise UserError(f"a submodule of a prepared model cannot {what}", where=self._path, why=why, fix=fix)


def switch(module: nn.Module, mode: bool) -> None:
    """Put a prepared model into train or eval mode: the parts with it, and leaves as they themselves wish."""
    module.training = mode
    for child in module.children():
        if isinstance(child, Part):
            switch(child, mode)
        else:
            child.train(mode)


def grow(root: nn.Module, graph: Graph) -> None:
    """Parts below `root` for all that the graph has tensors or leaves in, in the order of the user's modules."""
    owners = [path.rpartition(".")[0] for path in (*graph.leaves, *graph.state)]
    wanted = dict.fromkeys(prefix for owner in owners for prefix in _prefixes(owner))
    ranks = {path: i for i, path in enumerate(graph.classes)}
    for path in sorted(wanted, key=lambda path: ranks.get(path, len(ranks))):
        above, _, name = path.rpartition(".")
        part = Part(path, graph.classes.get(path, ""))
        part._version = graph.versions.get(path, part._version)
        root.get_submodule(above).add_module(name, part)


def _prefixes(path: str) -> list[str]:
    """The path and all that are above it, the topmost first."""
    parts = path.split(".") if path else []
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
