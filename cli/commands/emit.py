"""emit: an integer program as source that other tools build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...compiler.errors import UserError
from ..render import Screen

if TYPE_CHECKING:
    from ...backends.c99.unit import Unit


@click.command()
@click.argument("file")
@click.option("--to", "form", type=click.Choice(["c99"]), default="c99", show_default=True, help="The language.")
@click.option("-o", "--output", required=True, metavar="DIR", help="The folder for the files; made if it is not there.")
@click.option("--name", default=None, metavar="NAME", help="What the names in C begin with.  [default: that of FILE]")
@click.option(
    "--weights",
    type=click.Choice(["plain", "packed", "coded"]),
    default="plain",
    show_default=True,
    help="How portable C holds them: a byte each, as few bits as fit, or coded by rANS.",
)
@click.option("--report", is_flag=True, help="Tell the bytes of flash and RAM, and the work, of each layer.")
@click.pass_obj
def emit(screen: Screen, file: str, form: str, output: str, name: str | None, weights: str, report: bool) -> None:
    """Write the program in FILE as one portable C99 file, with its header, golden vectors and build files.

    NAME.c needs no heap, no floating point and no library; it runs on microcontrollers, and computes the integers of
    every other target. In DIR, `make test` compares it with the golden vectors; `make cortex-m` does so on a simulated
    Cortex-M, with arm-none-eabi-gcc and qemu. On x86 the same file has kernels for AVX2, which -mavx2 turns on.

    Packed weights are unpacked where they are met; coded ones layer by layer, into RAM that --report tells.

    \b
    Examples:
      lowbit emit digits.lowbit -o digits
      lowbit emit digits.lowbit --to c99 -o digits --name net --weights packed --report
    """
    from ... import load
    from ...backends.c99.project import named, project
    from ...backends.c99.unit import unit
    from ...compiler import disk

    chosen = named(name or Path(file).stem)
    made = unit(load(file).program, chosen, weights=weights)
    with screen.work() as work:
        work("computing golden vectors")
        texts = project(made)
    folder = _folder(output)
    for each in texts:
        disk.check_writable(folder / each)
    for each, text in texts.items():
        disk.write(folder / each, text.encode())
    screen.table(("file", "bytes"), [(str(folder / each), len(text.encode())) for each, text in texts.items()])
    if report:
        _tell(screen, made)


def _folder(path: str) -> Path:
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError("the folder cannot be made", where=path, why=why, fix="choose another") from None
    return folder


def _tell(screen: Screen, made: Unit) -> None:
    """Bytes and work of each function of the portable variant, and in all."""
    from ...backends.c99.report import report
    from ...backends.c99.variants import PORTABLE

    rows = report(made, PORTABLE)
    columns = ("function", "ops", "kernel", "weights", "tables", "RAM", "MACs", "from")
    told = [(r.name, r.ops, r.kernel, r.weights, r.tables, r.memory, r.macs, r.origin) for r in rows]
    weights, tables, macs = (sum(getattr(r, part) for r in rows) for part in ("weights", "tables", "macs"))
    arena = made.memories[PORTABLE].arena
    screen.text("")
    screen.table(columns, [*told, ("in all", "", "", weights, tables, arena.size, macs, "")])
    screen.text("")
    share = (
        "the least there can be" if arena.size == arena.bound else f"no less than {arena.bound:,} is held at one time"
    )
    screen.text(f"flash: {weights + tables:,} bytes of constants, and the code; RAM: {arena.size:,} bytes, {share}")
