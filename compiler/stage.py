"""Where in a recipe a pass stands, and what it may do there: nothing is trained or calibrated behind its turn."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from .calibrate import calibrated
from .contract import Pass
from .errors import UserError
from .facts import weights_frozen
from .graph import Graph


@dataclass(frozen=True)
class Stage:
    """A list of passes in a recipe.

    name: as an error calls it.   untrained, uncalibrated: why no training, no calibration follows; empty if one does.
    """

    name: str
    untrained: str = ""
    uncalibrated: str = ""

    def check(self, name: str, pass_: Pass, before: Graph, after: Graph) -> None:
        """Raises UserError for a pass of that name whose work here would be in vain."""
        if self.untrained and (place := _stepped(before, after)):
            raise UserError(
                f"'{name}' acts in the steps of a training, and none follows",
                where=place,
                why=self.untrained,
                fix="put it under [[prepare]] of a recipe without post_training, or leave it out",
            )
        if self.uncalibrated and (new := calibrated(after) - calibrated(before)):
            raise UserError(
                f"'{name}' adds what calibration sets, and none follows",
                where=min(new),
                why=self.uncalibrated,
                fix="put it under [[prepare]]",
            )
        if not self.uncalibrated and weights_frozen in pass_.leaves and (grids := calibrated(before)):
            raise UserError(
                f"'{name}' freezes grids before they are calibrated",
                where=min(grids),
                why=f"calibration follows behind {self.name}",
                fix="put it under [[lower]]",
            )


TRAINING = Stage("[[prepare]]")
POST_TRAINING = Stage("[[prepare]]", untrained="the recipe says post_training = true: the model comes trained")
LOWERING = Stage("[[lower]]", *["[[lower]] runs behind training and calibration"] * 2)


def _stepped(before: Graph, after: Graph) -> str:
    """What it added to the penalties or the updates."""
    if len(after.penalties) > len(before.penalties):
        return "a penalty"
    new: Set[str] = after.updates.keys() - before.updates.keys()
    return min(new, default="")
