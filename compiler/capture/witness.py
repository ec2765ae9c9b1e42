"""Watches a model while it is exported, for what no graph can hold: custom gradients, Python's randomness, state."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import CheckpointFunction

from ..errors import UserError
from .changes import containers, content, is_unchanged
from .questions import asking_for_autocast
from .refusal import here
from .seeding import seeding

_Function: Any = torch.autograd.Function


@dataclass(frozen=True)
class Seen:
    """name: the class of a Function, the source of a draw, a call, or the attribute set.   where: the line, or ''."""

    name: str
    where: str


@dataclass
class Witness:
    """A context around torch.export; see the fields afterwards.

    functions: the user's own subclasses of autograd.Function that ran; torch.export records the forward alone.
    draws: the global generators outside torch that were drawn from; torch.export records what came out.
    seeds: what sets or reads the state of torch's random numbers; torch.export records draws alone.
    assigned: attributes that modules set on themselves or change, and that are no buffers; the old values are put
        back, since torch.export leaves fake tensors there.
    autocasts: lines that ask whether an autocast is on around the model; torch.export records the answer no.
    branches: how many decisions the graph holds both sides of; its maker sets this.

    A reentrant checkpoint, which torch.export records without its gradients, runs as the plain call that it computes.
    """

    model: nn.Module
    functions: tuple[Seen, ...] = ()
    draws: tuple[Seen, ...] = ()
    seeds: tuple[Seen, ...] = ()
    assigned: tuple[Seen, ...] = ()
    autocasts: tuple[str, ...] = ()
    branches: int = 0
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Witness:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._applied())
            stack.enter_context(self._drawn())
            stack.enter_context(self._seeded())
            stack.enter_context(self._asked())
            stack.enter_context(self._set())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def _applied(self) -> Iterator[None]:
        kept = _Function.__dict__["apply"]

        def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
            if cls is CheckpointFunction:
                function, _, *given = args
                return function(*given)
            if cls.__module__.partition(".")[0] != "torch":
                self.functions += (Seen(cls.__qualname__, here(self.model)),)
            return kept.__get__(None, cls)(*args, **kwargs)

        with _patched(_Function, "apply", classmethod(apply)):
            yield

    @contextlib.contextmanager
    def _drawn(self) -> Iterator[None]:
        before, lines = _states(), dict[str, str]()
        with contextlib.ExitStack() as stack:
            for name, owner, method in _generators():
                stack.enter_context(_patched(owner, method, self._noted(name, getattr(owner, method), lines)))
            yield
        moved = [name for name, state in _states().items() if state != before[name]]
        self.draws = tuple(Seen(name, lines.get(name, "")) for name in moved)

    @contextlib.contextmanager
    def _seeded(self) -> Iterator[None]:
        with seeding(lambda: here(self.model)) as found:
            yield
        self.seeds = tuple(Seen(*call) for call in found)

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        with asking_for_autocast(lambda: here(self.model)) as found:
            yield
        self.autocasts = tuple(found)

    def _noted(self, name: str, kept: Callable[..., Any], lines: dict[str, str]) -> Callable[..., Any]:
        def draw(*args: Any, **kwargs: Any) -> Any:
            if name not in lines and (line := here(self.model)):
                lines[name] = line
            return kept(*args, **kwargs)

        return draw

    @contextlib.contextmanager
    def _set(self) -> Iterator[None]:
        before = {name: (module, dict(vars(module))) for name, module in self.model.named_modules()}
        paths = {id(module): path for path, (module, _) in before.items()}
        contents = [_Contents.of(path, module) for path, (module, _) in before.items()]
        lines: dict[str, str] = {}
        kept = nn.Module.__setattr__

        def setattr_(module: nn.Module, name: str, value: Any) -> None:
            kept(module, name, value)
            if id(module) in paths and name in vars(module) and name != "training":
                lines.setdefault(f"{paths[id(module)]}.{name}".lstrip("."), here(self.model))

        with _patched(nn.Module, "__setattr__", setattr_):
            yield
        for module, attributes in before.values():
            for name in vars(module).keys() - attributes.keys():
                vars(module).pop(name)
            vars(module).update(attributes)
        changed = {name: "" for known in contents for name in known.restored()}
        self.assigned = tuple(Seen(name, line) for name, line in {**changed, **lines}.items())


@dataclass(frozen=True)
class _Contents:
    """What the lists, dicts, sets and plain tensors among the attributes of a module held, its hooks among them.

    path: of the module.   held: name of the attribute, the object, and its content.
    """

    path: str
    held: list[tuple[str, Any, Any]]

    @classmethod
    def of(cls, path: str, module: nn.Module) -> _Contents:
        own = {name: value for name, value in vars(module).items() if name not in vars(_PLAIN) or "hook" in name}
        return cls(path, [(name, x, content(x)) for name, value in own.items() for x in containers(value)])

    def restored(self) -> Iterator[str]:
        """Put everything back; the names of what had changed."""
        for name, value, before in self.held:
            if not is_unchanged(value, before):
                _put_back(value, before)
                if name not in vars(_PLAIN):  # a hook that the first forward installs is no memory
                    yield f"{self.path}.{name}".lstrip(".")


_PLAIN = nn.Module()


@torch.no_grad()
def _put_back(value: Any, before: Any) -> None:
    if isinstance(value, torch.Tensor):
        value.copy_(before) if value.shape == before.shape else value.set_(before)
    elif isinstance(value, list):
        value[:] = before
    else:
        value.clear()
        value.update(before)


def refusal_of_function(seen: Seen) -> UserError:
    """Where the gradients differ from the module's and this Function ran."""
    return UserError(
        f"the gradient of the autograd.Function '{seen.name}' cannot be captured",
        where=seen.where,
        why="torch.export records its forward alone, and the gradients of the graph differ from the model's",
        fix="make it a torch.library.custom_op with register_autograd, or write a straight-through estimator as "
        "x + (q - x).detach()",
    )


def refusal_of_randomness(seen: Witness) -> UserError | None:
    """Why no graph can hold how the model draws, if none can."""
    return next((refusal_of_draw(x) for x in seen.draws), None) or next((_refusal_of_seed(x) for x in seen.seeds), None)


def refusal_of_draw(seen: Seen) -> UserError:
    """Of randomness that the graph would repeat: the same outcome in every step."""
    layer = _layer(seen)
    return UserError(
        f"the model draws from {seen.name}",
        where=seen.where,
        why="torch.export records the one outcome of that draw, which would hold for ever",
        fix=f"draw with torch, as torch.rand does, or keep the module out of the graph with leaves = ['{layer}']",
    )


def _refusal_of_seed(seen: Seen) -> UserError:
    return UserError(
        f"the model sets or reads the state of torch's random numbers, with {seen.name}",
        where=seen.where,
        why="a graph holds draws, and not the state of the generator that they come from",
        fix="seed before the model is called, and draw what is always to be the same when the model is built, into a "
        f"buffer; or keep the module out of the graph with leaves = ['{_layer(seen)}']",
    )


def _layer(seen: Seen) -> str:
    """The path of the module, for a fix."""
    return seen.where.partition(" (")[0] if " (" in seen.where else "path.of.the.module"


def _states() -> dict[str, str]:
    """The state of each global generator, as text, so that arrays compare."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "Python's random": repr(random.getstate()),
        "NumPy's random": repr((kind, np.asarray(keys).tobytes(), rest)),
    }


def _generators() -> Iterator[tuple[str, Any, str]]:
    """(name, owner, attribute) of everything through which a global generator is drawn from by its full name."""
    for name, module in (("Python's random", random), ("NumPy's random", np.random)):
        for method in dir(module):
            owner = getattr(getattr(module, method), "__self__", None)
            if isinstance(owner, random.Random | np.random.RandomState) and "state" not in method:
                yield name, module, method


@contextlib.contextmanager
def _patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    kept = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)
