"""Options of passes as text: what a pass has to set, and `PASS.OPTION=VALUE` in the place of what a recipe says."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from .contract import Options
from .errors import UserError
from .pipeline import Use
from .recipe import Recipe, configured, plain

FORM = "write PASS.OPTION=VALUE, such as insert_fake_quant.weight_bits=4"


@dataclass(frozen=True)
class Setting:
    """One option of a pass.   bounds: such as `>= 2, <= 16`, or nothing."""

    name: str
    type: str
    default: str
    bounds: str


def settings(kind: type[Options]) -> list[Setting]:
    """The options of a pass, in the order of its file."""
    fields = msgspec.structs.fields(kind)
    types = msgspec.inspect.type_info(kind).fields  # type: ignore[attr-defined]
    return [
        Setting(field.name, _type(known.type), _default(field), _bounds(known.type))
        for field, known in zip(fields, types, strict=True)
    ]


def explained(kind: type[Options]) -> str:
    """What the options mean: the docstrings of their class and of those that it extends, but for the common base."""
    own = kind.__mro__[: -len(Options.__mro__)]
    return "\n".join(inspect.getdoc(base) or "" for base in own)


def _type(found: msgspec.inspect.Type) -> str:
    if isinstance(found, msgspec.inspect.LiteralType):
        return " or ".join(map(repr, found.values))
    if isinstance(found, msgspec.inspect.UnionType):
        return " or ".join(_type(one) for one in found.types if not isinstance(one, msgspec.inspect.NoneType))
    return type(found).__name__.removesuffix("Type").lower()


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "must be given"
    return _shown(field.default_factory() if field.default is msgspec.NODEFAULT else field.default)


def _shown(value: Any) -> str:
    """A value as TOML has it; TOML has no null."""
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if value in (True, False) else str(value)


def _bounds(found: msgspec.inspect.Type) -> str:
    kinds = found.types if isinstance(found, msgspec.inspect.UnionType) else (found,)
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = [(sign, getattr(kind, name, None)) for kind in kinds for name, sign in signs.items()]
    return ", ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)


def override(recipe: Recipe, given: Sequence[str]) -> Recipe:
    """The recipe with some options set anew; each of `given` is `PASS.OPTION=VALUE`, with the value as in TOML.

    What a recipe says for single layers stays where it differs from what it says for all. Raises UserError for a pass
    that the recipe does not use, an option that the pass does not have, and a value out of bounds.
    """
    wanted: dict[str, dict[str, Any]] = {}
    for text in given:
        name, option, value = _split(text)
        wanted.setdefault(name, {})[option] = value
    used = [use.name for use in (*recipe.prepare, *recipe.lower)]
    for name in wanted:
        if name not in used:
            fix = f"it uses: {', '.join(used) or 'no pass at all'}"
            raise UserError(f"the recipe '{recipe.name}' does not use '{name}'", where=f"--set {name}", fix=fix)
    prepare, lower = ([_set(use, wanted.get(use.name, {})) for use in uses] for uses in (recipe.prepare, recipe.lower))
    return replace(recipe, prepare=tuple(prepare), lower=tuple(lower))


def _split(text: str) -> tuple[str, str, Any]:
    place, equals, value = text.partition("=")
    name, dot, option = place.strip().rpartition(".")
    if not (equals and dot and name and option.isidentifier()):
        raise UserError(f"'{text}' sets no option", where="--set", fix=FORM)
    try:
        return name, option, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, option, value.strip()  # a word without the quotes that a shell takes away


def _set(use: Use, wanted: Mapping[str, Any]) -> Use:
    if not wanted:
        return use
    options = _changed(use, use.options, wanted)
    layers = tuple((pattern, _changed(use, own, _inherited(use, own, wanted))) for pattern, own in use.layers)
    return replace(use, options=options, layers=layers)


def _inherited(use: Use, own: Options, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a layer has from the pass as a whole."""
    for_all, here = plain(use.options), plain(own)
    return {key: value for key, value in wanted.items() if here.get(key) == for_all.get(key)}


def _changed(use: Use, options: Options, wanted: Mapping[str, Any]) -> Options:
    return configured(type(options), {**plain(options), **wanted}, f"--set {use.name}")
