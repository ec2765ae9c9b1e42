"""Archipelago: a model that is captured in islands, submodules that are graphs, with the model's own Python between."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .callers import batch
from .errors import UserError
from .graph import Graph
from .modes import in_mode
from .pipeline import Entry
from .prepared import Prepared
from .recipe import Recipe


class Island(Prepared):
    """A prepared submodule in its place. What else the model asks of that module, the module itself answers."""

    def __init__(self, graph: Graph, recipe: Recipe, ledger: tuple[Entry, ...], module: nn.Module) -> None:
        super().__init__(graph, recipe, ledger)
        object.__setattr__(self, "_module", module)  # not a submodule: its tensors are held here

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "_module" not in self.__dict__:
                raise
            return getattr(self.__dict__["_module"], name)


class Archipelago(nn.Module):
    """A model whose islands are prepared: it trains like the model, whose names its parameters keep.

    islands: by module path; each is lowered on its own.   left: path -> why a module stays plain Python.
    """

    def __init__(self, model: nn.Module, islands: Mapping[str, Island], left: Mapping[str, UserError]) -> None:
        """model: is changed, its islands take the places of those submodules. Raises UserError for taken names."""
        super().__init__()
        taken = sorted(name for name in (*model._modules, *model._parameters, *model._buffers) if hasattr(self, name))
        if taken or hasattr(model, "islands"):
            raise UserError(f"the model has a part called '{[*taken, 'islands'][0]}'", fix="give it another name")
        for path, island in islands.items():
            above, _, name = path.rpartition(".")
            model.get_submodule(above).add_module(name, island)
        # One set of parts for both: where the model runs is where this module is moved, switched and loaded.
        self._modules, self._parameters, self._buffers = model._modules, model._parameters, model._buffers
        self._non_persistent_buffers_set = model._non_persistent_buffers_set
        object.__setattr__(self, "_model", model)
        self.left = dict(left)
        self._paths = tuple(islands)

    @property
    def islands(self) -> Mapping[str, Island]:
        """The prepared submodules by path."""
        return {path: self.get_submodule(path) for path in self._paths}  # type: ignore[misc]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model returns for these arguments."""
        return self._own()(*args, **kwargs)

    def regularization(self) -> Tensor:
        """The sum of the islands' penalties, a scalar."""
        return torch.stack([island.regularization() for island in self.islands.values()]).sum()

    def penalties(self) -> dict[str, float]:
        """`ISLAND.NAME` -> R of each penalty, see `Prepared.penalties`."""
        return {f"{path}.{n}": r for path, island in self.islands.items() for n, r in island.penalties().items()}

    def coefficients(self) -> dict[str, float]:
        """`ISLAND.NAME` -> lambda of each penalty, see `Prepared.coefficients`."""
        return {f"{path}.{n}": c for path, island in self.islands.items() for n, c in island.coefficients().items()}

    @torch.no_grad()
    def met(self, examples: Iterable[tuple[tuple[Any, ...], dict[str, Any]]]) -> Mapping[str, list[list[Any]]]:
        """What every island is given, flat, while the model runs on these arguments in eval mode. For calibration."""
        seen: dict[str, list[list[Any]]] = {path: [] for path in self._paths}
        hooks = [
            island.register_forward_pre_hook(
                lambda island, args, kwargs, path=path: seen[path].append(copy.deepcopy(island.flat(args, kwargs))),
                with_kwargs=True,
            )
            for path, island in self.islands.items()
        ]
        try:
            with in_mode(self._own(), False):
                for number, (args, kwargs) in enumerate(examples, 1):
                    with batch(number):
                        self(*args, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()
        return seen

    def step(self) -> None:
        """Advance the schedules of every island by one training step."""
        for island in self.islands.values():
            island.step()

    def parameter_groups(self, lr: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """As of `Prepared`; what no island holds is among the weights."""
        groups: dict[str, dict[str, Any]] = {}
        groups["weights"] = {"name": "weights", "params": [], "lr": lr, "weight_decay": weight_decay}
        for island in self.islands.values():
            for group in island.parameter_groups(lr, weight_decay):
                groups.setdefault(group["name"], {**group, "params": []})["params"].extend(group["params"])
        held = {id(parameter) for group in groups.values() for parameter in group["params"]}
        groups["weights"]["params"].extend(p for p in self.parameters() if id(p) not in held)
        return list(groups.values())

    def train(self, mode: bool = True) -> Archipelago:
        """Switch the model and its islands."""
        self._own().train(mode)
        self.training = mode
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Archipelago:
        twin = memo[id(self)] = self.__new__(type(self))
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def _own(self) -> nn.Module:
        model: nn.Module = self.__dict__["_model"]
        return model
