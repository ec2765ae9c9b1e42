"""recode: the same program in a file of other codecs."""

from __future__ import annotations

import click

from ..options import coder_option
from ..render import Screen


@click.command()
@click.argument("file")
@coder_option
@click.option("-o", "--output", required=True, metavar="OUT", help="The .lowbit file to write; may be FILE itself.")
@click.pass_obj
def recode(screen: Screen, file: str, coder: str, output: str) -> None:
    """Write the program in FILE to OUT with other codecs, losslessly: every integer stays what it is.

    Without --coder the file is the smallest there is. The coders, each of which may also use those before it, so that
    every tensor takes the fewest bytes: packed (bits that can be read where they lie), gamma, rans (loads fast with
    numpy alone), cm (within a percent of the smallest; decoded in kilobytes of memory), cm_max (the smallest).

    \b
    Examples:
      lowbit recode digits.lowbit --coder rans -o fast.lowbit
      lowbit recode digits.lowbit --coder packed -o flash.lowbit
      lowbit recode fast.lowbit -o small.lowbit
    """
    from ...backends import blob
    from ...compiler import disk

    disk.check_writable(output)
    before = blob.read(file)
    with screen.work() as work:
        work("coding")
        after = blob.save(blob.load(file), output, coder)
    screen.table(("", "bytes"), [(file, len(before)), (output, after)])
