"""Drawn networks, as sketch text; few of them, chosen so that all words of the strategy come up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

NORMS = ("bn", "bn(eval)", "bn(noaffine)", "bn(tiny)", "bn(huge)", "bn(nostats)")
ACTS = ("relu", "relu(inplace)", "id", "gain", "dropout", "relu6", "leaky")
INPUTS = ("5,5", "5,5", "1,1", "7", "3,3,3")
"""Sizes without the channels: planes, single pixels, lines and volumes."""


@st.composite
def _conv(draw: st.DrawFn, channels: int) -> str:
    """A convolution, as often a transposed one, whose input has that many channels."""
    word = draw(st.sampled_from(("conv", "tconv")))
    grouped = draw(st.booleans())
    options = [str(channels if grouped else draw(st.sampled_from((1, 2, 4))))]
    options += [f"groups={channels}"] * grouped
    options += draw(st.lists(st.sampled_from(("k=1", "stride=2", "nobias", "coarse")), unique=True, max_size=2))
    return f"{word}({','.join(options)})"


def _same(channels: int) -> st.SearchStrategy[str]:
    """A convolution that keeps the shape."""
    return st.sampled_from((f"conv({channels})", f"conv({channels},k=1,nobias)", f"conv({channels},groups={channels})"))


@st.composite
def _block(draw: st.DrawFn, channels: int) -> tuple[list[str], int]:
    """A few words, and the channels behind them. Norms are read once or twice; weights are shared by `twice`."""
    norm, act = draw(st.sampled_from(NORMS)), draw(st.sampled_from(ACTS))
    match draw(st.sampled_from(("conv", "conv", "residual", "skipped norm", "cat", "gate", "twice", "act"))):
        case "conv":
            word = draw(_conv(channels))
            return [word, norm, act], int(word.partition("(")[2].split(",")[0].rstrip(")"))
        case "residual":
            return ["[", draw(_same(channels)), norm, act, "]", "+"], channels
        case "skipped norm":
            return [draw(_same(channels)), "[", norm, "]", "+"], channels
        case "cat":
            return [draw(_same(channels)), "[", norm, act, "]", "cat"], 2 * channels
        case "gate":
            return ["[", draw(_same(channels)), "sigmoid", "]", "*", norm], channels
        case "twice":
            return ["[", draw(_same(channels)), norm, act, "]", "twice"], channels
    return [norm, act], channels


@st.composite
def sketches(draw: st.DrawFn) -> str:
    """A small network; it reaches both sides of every guard (the census checks that)."""
    channels = draw(st.sampled_from((1, 2, 3)))
    sizes = draw(st.sampled_from(INPUTS))
    words = [f"input({channels},{sizes})"]
    for _ in range(draw(st.integers(1, 2))):
        block, channels = draw(_block(channels))
        words += block
    words += draw(st.sampled_from(((), ("maxpool",), ("avgpool", "relu")))) if sizes == "5,5" else ()
    tails = (
        (),
        ("gap", "linear(3)"),
        ("view", "linear(2)"),
        ("linear(3)", "bn"),
        ("rows", "mix(4)", "bn"),
        ("linear(2,coarse)", "relu"),
    )
    return " ".join([*words, *draw(st.sampled_from(tails)), *draw(st.sampled_from(((), (), ("tied",))))])


POOL = 10
"""How many networks are drawn for each that is kept; to draw one costs nothing, to capture it half a second."""


@cache
def drawn(count: int | None = None) -> tuple[str, ...]:
    """Networks, the same for every law, since each is an export; short ones first.

    count: how many, by default as many as the profile of hypothesis asks for.
    """
    profile = settings()
    wanted = count or profile.max_examples
    found: dict[str, None] = {}

    @settings(
        derandomize=profile.derandomize,
        max_examples=POOL * wanted,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(sketches())
    def draw(sketch: str) -> None:
        found.setdefault(sketch)

    draw()
    return tuple(sorted(covering(list(found), wanted), key=lambda sketch: (len(sketch), sketch)))


def covering(pool: Sequence[str], count: int) -> list[str]:
    """So many networks of the pool: each in turn the one with the most features that none before it has.

    Once all features were there, it begins anew.
    """
    left, chosen, seen = {sketch: features(sketch) for sketch in pool}, list[str](), set[str]()
    while left and len(chosen) < count:
        best = max(left, key=lambda sketch: len(left[sketch] - seen))  # of several the first
        if left[best] <= seen and seen:
            seen.clear()
            continue
        seen |= left.pop(best)
        chosen.append(best)
    return chosen


def features(sketch: str) -> set[str]:
    """The words of a sketch, and each with each of its options: `bn`, `bn tiny`, `tconv groups`, `input 1,1`."""
    found: set[str] = set()
    for word, options in re.findall(r"(\w+|[+*])(?:\(([^)]*)\))?", sketch):
        sizes = [options.partition(",")[2]] if word == "input" else []
        named = sizes or [option.partition("=")[0] for option in options.split(",") if not option.isdigit()]
        found |= {word, *(f"{word} {option}" for option in named if option)}
    return found
