"""A package of somebody else's with passes in it, as tests write and install it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from lowbit.compiler import plugins

PASS = '''"""Let a rectifier behind a rectifier go.

    relu(relu(x)) = relu(x)
"""

from typing import Annotated

from lowbit.compiler.contract import Exact, Options, Pass
from lowbit.compiler.edit import Edit
from lowbit.compiler.pattern import aten
from lowbit.compiler.rule import Match, rule
from msgspec import Meta
from torch import fx


class Settings(Options, frozen=True):
    """most: rectifiers in a row that are looked at."""

    most: Annotated[int, Meta(ge=1, le=9)] = 2


first = aten.relu.default()


@rule(aten.relu.default(self=first), lambda match: "one alone is looked at" if match.options.most == 1 else "")
def once(match: Match, edit: Edit) -> fx.Node:
    return match[first]


my_pass = Pass(
    rules=(once,),
    law=Exact(),
    options=Settings,
    fires=("conv(3) relu relu | {name}", "relu relu relu | {name}(most=3)"),
    refuses={{"relu relu | {name}(most=1)": "one alone is looked at"}},
)
number = 7
'''


class Package:
    """A package in a folder of its own, and what is said of it there.   path: how recipes name its pass."""

    def __init__(self, folder: Path, name: str, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.name, self.path = folder, name, f"{name}.passes:my_pass"
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("")
        self.write(self.path)
        patch.syspath_prepend(str(folder))

    def write(self, called: str) -> None:
        """called: the name that the pass's evidence knows it by."""
        (self.folder / self.name / "passes.py").write_text(PASS.format(name=called))
        for module in [key for key in sys.modules if key.partition(".")[0] == self.name]:
            del sys.modules[module]

    def install(self, point: str, distribution: str = "") -> None:
        """As pip leaves it, with an entry point of that name."""
        info = self.folder / f"{distribution or self.name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution or self.name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{point} = {self.path}\n")
        self.forget()

    @staticmethod
    def forget() -> None:
        """What is installed changes only while tests run."""
        plugins.points.cache_clear()
