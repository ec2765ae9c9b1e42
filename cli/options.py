"""A command whose help ends in the options of every pass, read off the records."""

from __future__ import annotations

import click


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
