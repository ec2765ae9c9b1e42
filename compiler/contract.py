"""Pass, the one record of a graph pass: its options, what it needs and leaves, its rules, its law and its evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import msgspec
from torch import Tensor

from .facts import Fact
from .graph import Graph
from .rule import Rule


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of a pass's options: the fields are the recipe keys, their types and bounds the checks.

    by_layer: the keys that a recipe may set for single layers; None: all.
    """

    by_layer: ClassVar[frozenset[str] | None] = None


@dataclass(frozen=True)
class Exact:
    """The outputs do not change by a bit."""


@dataclass(frozen=True)
class Close:
    """The outputs, in float64, change by at most this much relative to their largest magnitude.

    trained: so do the gradients and the updated buffers of all that is trained, in both modes: what a pass for training
    does is nothing until grids round.
    """

    relative: float
    trained: bool = False


@dataclass(frozen=True)
class CloseAbove:
    """As `Close`, where no value of some nodes lies below a floor: beside the graph before that raises them to it.

    floors: what the pass planned -> node name -> the floor, which broadcasts against the node's value.
    """

    relative: float
    floors: Callable[[Any], Mapping[str, Tensor]] = field(repr=False)


@dataclass(frozen=True)
class OnGrid:
    """The outputs change, but every chosen edge holds grid values, each within half a step unless it is clipped."""


@dataclass(frozen=True)
class ExactIntegers:
    """The integer program gives the same integers; the outputs, in float64, change as little as `Close` says."""

    relative: float


@dataclass(frozen=True)
class WithinSteps:
    """What each grid rounds, while all before it give what they gave, changes by at most this share of its step.

    most: the pass's options -> the share.
    """

    most: Callable[[Any], float] = field(repr=False)


Law: TypeAlias = Exact | Close | CloseAbove | OnGrid | ExactIntegers | WithinSteps
OptionsFor: TypeAlias = Callable[[str], Any]
"""The options of a pass for the layer of that module path."""


@dataclass(frozen=True, eq=False)
class Pass:
    """A graph pass. The file's docstring says what it does; the file's name is its name.

    rules: what it rewrites, in the order they are tried at a node.   law: what it preserves.   options: its settings.
    plan: an analysis of the whole graph before any rule, handed to the rules as `match.plan`.
    repeatable: whether a recipe may use it twice in one of its two lists, since a pass between can leave it new work.
    costs: why the bytes of weights may grow; without that sentence they never do.
    needs, leaves: facts that must hold before, and that hold after.
    fires, refuses: the evidence, trials (see `trial`) that end in this pass: on these a rule fires, on those one
        refuses for the given reason. The laws hold the pass to drawn networks behind the stages that `fires` shows.
    """

    rules: tuple[Rule, ...]
    law: Law
    options: type[Options] = Options
    plan: Callable[[Graph, OptionsFor], Any] = lambda graph, options: None
    repeatable: bool = False
    costs: str = ""
    needs: tuple[Fact, ...] = ()
    leaves: tuple[Fact, ...] = ()
    fires: tuple[str, ...] = ()
    refuses: Mapping[str, str] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> Pass:
        """Itself: builders know the nodes of a match by the very pattern objects of the file."""
        return self
