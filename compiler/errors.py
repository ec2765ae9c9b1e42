"""The exceptions of lowbit and how each is drawn: what, where, why, and what to do."""

from __future__ import annotations


class LowbitError(Exception):
    """Base of every error that lowbit raises on purpose.

    what: one sentence, the failure itself.   where: module path, file and line, or a path in a recipe or file.
    why: the cause.   fix: the usual way out.   Empty parts are not drawn.
    """

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.fix = what, where, why, fix

    def __str__(self) -> str:
        parts = (("at ", self.where), ("why", self.why), ("fix", self.fix))
        lines = [f"  {label}  {_indent(text)}" for label, text in parts if text]
        return "\n".join([self.what, *lines])


class UserError(LowbitError):
    """The model, the recipe, the data or the file cannot be used as it is; the user can mend it."""


class Unsupported(LowbitError):
    """Legal, but outside what a backend or a target can express; the message says what to use instead."""


class Broken(LowbitError):
    """An invariant of lowbit itself failed: a bug in a pass, an op or the engine, never the user's fault."""


def _indent(text: str) -> str:
    return text.replace("\n", "\n       ")
