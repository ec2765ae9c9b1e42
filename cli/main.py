"""The `lowbit` command: finds its commands in `commands/`, and is the only place that decides how the process ends."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import warnings
from collections.abc import Sequence

import click

from ..compiler.errors import UserError
from ..compiler.registry import members
from .render import Screen

FULL, ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO), "make room where the output goes, or send it elsewhere"
DONE, FAILED, STOPPED = 0, 1, 130
"""Exit codes, beside click's 2 for wrong usage: done; the model, the recipe or a file is at fault; Ctrl-C."""


@click.group(commands=dict(members(f"{__package__}.commands", click.Command)))
@click.option("--no-color", is_flag=True, help="Plain output, as it also is where there is no terminal.")
@click.option("--traceback", is_flag=True, help="Show Python's traceback with any error.")
@click.version_option(package_name="lowbit")
@click.pass_obj
def lowbit(screen: Screen, no_color: bool, traceback: bool) -> None:
    """Compile any PyTorch module into a small, exact, integer-only program.

    \b
    Examples:
      lowbit compile lowbit.cli.demo:digits_net --recipe choi2020 --data digits -o digits.lowbit
      lowbit show digits.lowbit
      lowbit check digits.lowbit

    Exit codes: 0 done, 1 the model, the recipe or a file is at fault, 2 wrong usage.
    """
    screen.color, screen.trace = not no_color, traceback
    with contextlib.suppress(FileNotFoundError):  # the folder may be gone
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # a recipe may name a pass that lies here; what is installed goes first


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. arguments: what follows `lowbit`, by default the process's own."""
    if sys.stdout is None or sys.stderr is None:  # closed by `>&-`
        nowhere = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    screen = Screen()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: screen.notice(f"warning: {message}")
            code = lowbit.main(arguments, prog_name="lowbit", obj=screen, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        screen.notice("stopped")
        return STOPPED
    except BrokenPipeError:
        _silence()
        return FAILED
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in FULL
        screen.failure(UserError("nothing more can be written", why=str(error), fix=ROOM) if full else error)
        if full:
            _silence()
        return FAILED
    return code if isinstance(code, int) else DONE


def _silence() -> None:
    """Whoever read our output has gone; what Python still flushes at its end must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
