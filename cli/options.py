"""What the options of commands have in common: those of a training, and a help that ends in those of every pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import click


class Coder(click.ParamType[str]):
    """A codec that files are written with. Which there are is known once it is asked, or told in a help."""

    name = "coder"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return self._choice().convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        return self._choice().get_metavar(param, ctx)

    def _choice(self) -> click.Choice[str]:
        from ..backends.codec import written

        return click.Choice(written())


class WithPasses(click.Command):
    """A command with `--set`: its help lists what may be set. To know that takes an import of all passes."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names, types, bounds and defaults of all options behind the help."""
        from .. import api
        from ..compiler.settings import Setting, settings

        def row(name: str, setting: Setting) -> tuple[str, str]:
            bounds = f" {setting.bounds}" if setting.bounds else ""
            return f"{name}.{setting.name}", f"{setting.type}{bounds}  [default: {setting.default}]"

        rows = [row(name, setting) for name, found in api.passes().items() for setting in settings(found.options)]
        with formatter.section("What --set may set"):
            formatter.write_dl(rows)


def coder_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The choice of codecs in the file that is written: the most demanding that may be used, None for any."""
    told = "The most demanding codec that may be used, see `lowbit recode`.  [default: any, the smallest]"
    return click.option("--coder", type=Coder(), help=told)(command)


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how long a training is, of what task, and from which seed."""
    given = (
        click.option("--task", default="classification", show_default=True, metavar="TASK",
                     help="classification, or 'super_resolution?loss=mse&luma=true&border=2'."),
        click.option("--float-epochs", type=click.IntRange(0), default=30, show_default=True,
                     help="Epochs in float; 0: none."),
        click.option("--epochs", type=click.IntRange(0), default=40, show_default=True,
                     help="Epochs under the recipe."),
        click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Samples in a step."),
        click.option("--lr", type=click.FloatRange(0, min_open=True), default=1e-3, show_default=True,
                     help="Learning rate."),
        click.option("--distill", type=click.FloatRange(0, 1), default=0.0, show_default=True, metavar="SHARE",
                     help="Under the recipe, the share of the loss that is the imitation of the float model."),
        click.option("--schedule", type=click.Choice(["cosine", "constant"]), default="cosine", show_default=True,
                     help="Of the learning rate under the recipe: a cosine to zero, or none."),
        click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True,
                     help="Of weights, order and dropout."),
        click.option("--threads", type=click.IntRange(1),
                     help="CPU threads. Default: 1 below a million parameters, else all."),
    )  # fmt: skip
    return _with(given, command)


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a plan, and where the state of its training is kept."""
    given = (
        click.option("--checkpoint", metavar="FILE",
                     help="Keep the training in FILE, and go on from it if it is there."),
        click.option("--checkpoint-steps", type=click.IntRange(0), default=0, metavar="N",
                     help="Save every N steps too.  [default: by time alone]"),
        click.option("--checkpoint-minutes", type=click.FloatRange(0, min_open=True), default=5.0, show_default=True,
                     help="Save so often, and at Ctrl-C."),
        click.option("--log", metavar="DIR", help="Write scalars for TensorBoard into DIR."),
    )  # fmt: skip
    return plan_options(_with(given, command))


def _with(given: Sequence[Callable[..., Any]], command: Callable[..., Any]) -> Callable[..., Any]:
    return functools.reduce(lambda made, option: option(made), reversed(given), command)
