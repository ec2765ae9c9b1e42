"""Recipes: TOML <-> configured passes, in round trip; an error names its place, such as `prepare[1].weight_bits`.

name = "mine"
summary = "4-bit weights"
leaves = ["head.sampler"]        # modules that stay opaque, by pattern
post_training = false            # true: the model comes trained, and the passes begin at its graph of eval mode

[[prepare]]                      # passes before training
use = "insert_fake_quant"
weight_bits = 4
layers."conv1" = { weight_bits = 8 }

[[lower]]                        # passes after it
use = "freeze"

[[lower]]
use = "mypkg.passes:my_pass"     # a pass of another package: to read the recipe imports it
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import tomli_w

from .contract import Options, Pass
from .errors import UserError
from .graph import Graph
from .modes import evaluated
from .pipeline import Use
from .plugins import chosen

KEYS = ("name", "summary", "leaves", "post_training")
DEFAULT_LOWER = tuple({"use": name} for name in ("freeze", "fold_batch_norm", "remove_dead_units", "reorder_units"))


@dataclass(frozen=True)
class Recipe:
    """A named pipeline: the passes before training, and those between training and the integer program.

    leaves: patterns of module paths that capture keeps opaque; a model with such a part trains, but cannot be lowered.
    post_training: the model comes trained. The passes begin at its graph of eval mode, and what they make computes the
        same in both modes.
    """

    name: str
    summary: str
    prepare: tuple[Use, ...]
    lower: tuple[Use, ...]
    leaves: tuple[str, ...] = ()
    post_training: bool = False

    def first(self, captured: Graph) -> Graph:
        """The graph that the first pass takes."""
        return evaluated(captured) if self.post_training else captured


def parse(text: str, passes: Mapping[str, Pass]) -> Recipe:
    """Read a recipe. passes: the passes that it may use, by name. Raises UserError with the place of the fault."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError("the recipe is not valid TOML", why=str(error)) from None
    unknown = table.keys() - {*KEYS, "prepare", "lower"}
    if unknown:
        fix = f"use {', '.join(KEYS)}, [[prepare]], [[lower]]"
        raise UserError(f"unknown recipe key '{min(unknown)}'", fix=fix)
    return Recipe(
        _string(table, "name"),
        _string(table, "summary"),
        _uses(table.get("prepare", []), "prepare", passes),
        _uses(table.get("lower", list(DEFAULT_LOWER)), "lower", passes),
        leaves := _patterns(table.get("leaves", [])),
        _post_training(table.get("post_training", False), leaves),
    )


def dump(recipe: Recipe) -> str:
    """The recipe as TOML; `parse` gives an equal recipe back."""
    sections = {"prepare": recipe.prepare, "lower": recipe.lower}
    tables = {key: [_table(use) for use in uses] for key, uses in sections.items()}
    given: dict[str, Any] = {"leaves": list(recipe.leaves)} if recipe.leaves else {}
    given |= {"post_training": True} if recipe.post_training else {}
    return tomli_w.dumps({"name": recipe.name, "summary": recipe.summary, **given, **tables})


def _string(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise UserError(f"{key} must be text, not {value!r}", where=key)
    return value


def _patterns(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(pattern, str) for pattern in value):
        raise UserError(f"leaves must be a list of patterns of module paths, not {value!r}", where="leaves")
    return tuple(value)


def _post_training(value: Any, leaves: tuple[str, ...]) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"post_training must be true or false, not {value!r}", where="post_training")
    if value and leaves:
        why = "an opaque part has a train mode of its own, and cannot be lowered"
        what = "post_training does not go with leaves"
        raise UserError(what, where="post_training", why=why, fix="take one of the two out")
    return value


def _uses(entries: Any, section: str, passes: Mapping[str, Pass]) -> tuple[Use, ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{section} must be a list of tables", fix=f"write [[{section}]] before each pass")
    return tuple(use(entry, f"{section}[{i}]", passes) for i, entry in enumerate(entries))


def use(entry: Mapping[str, Any], place: str, passes: Mapping[str, Pass]) -> Use:
    """One pass with its options, from a table of the recipe. place: how an error names that table."""
    name, layers = entry.get("use"), entry.get("layers", {})
    name, pass_ = str(name), chosen(name, passes, f"{place}.use")
    if not isinstance(layers, dict) or not all(isinstance(own, dict) for own in layers.values()):
        raise UserError("layers must map patterns to tables of options", where=f"{place}.layers")
    given = {key: value for key, value in entry.items() if key not in ("use", "layers")}
    kind = pass_.options
    per_layer = []
    for pattern, own in layers.items():
        where = f'{place}.layers."{pattern}"'
        _check_by_layer(kind, own, where)
        per_layer.append((pattern, configured(kind, {**given, **own}, where)))
    return Use(name, pass_, configured(kind, given, place), tuple(per_layer))


def _check_by_layer(kind: type[Options], own: Mapping[str, Any], place: str) -> None:
    if kind.by_layer is None:
        return
    known = {field.name for field in msgspec.structs.fields(kind)}
    for key in own:
        if key in known - kind.by_layer:
            allowed = ", ".join(sorted(kind.by_layer))
            raise UserError(f"'{key}' holds for all layers", where=f"{place}.{key}", fix=f"by layer: {allowed}")


def configured(kind: type[Options], given: Mapping[str, Any], place: str) -> Options:
    """The options of a pass from plain values. Raises UserError that names the option below `place`, and its bounds."""
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        unknown = re.search(r"unknown field `(\w+)`", message)
        where = f"{place}.{unknown[1]}" if unknown else place + path.rstrip("`")
        raise UserError(_sentence(message), where=where, fix=_known(kind)) from None


def _sentence(message: str) -> str:
    return re.sub(r"^Object contains unknown field", "unknown option", message)


def _known(kind: type[Options]) -> str:
    fields = ", ".join(field.name for field in msgspec.structs.fields(kind))
    return f"the options are: {fields}" if fields else "this pass has no options"


def _table(use: Use) -> dict[str, Any]:
    table: dict[str, Any] = {"use": use.name, **plain(use.options)}
    if use.layers:
        table["layers"] = {pattern: _by_layer(options) for pattern, options in use.layers}
    return table


def _by_layer(options: Options) -> dict[str, Any]:
    own = options.by_layer
    return {key: value for key, value in plain(options).items() if own is None or key in own}


def plain(options: Options) -> dict[str, Any]:
    """The options as TOML values; TOML has no null, so an absent value is left out."""
    values: dict[str, Any] = msgspec.to_builtins(options)
    return {key: value for key, value in values.items() if value is not None}
