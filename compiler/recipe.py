"""Recipes: TOML <-> configured passes, in round trip; an error names its place, such as `prepare[1].weight_bits`.

name = "mine"
summary = "4-bit weights"
leaves = ["head.sampler"]        # modules that stay opaque, by pattern
post_training = false            # true: the model comes trained, and the passes begin at its graph of eval mode
calibration = "mse"              # how activation scales come from data: or minmax, percentile, moving_average

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import tomli_w

from .contract import Options, Pass
from .errors import UserError
from .graph import Graph
from .modes import evaluated
from .observers import chosen as method
from .pipeline import Use
from .plugins import chosen
from .stage import POST_TRAINING, TRAINING, Stage

KEYS = ("name", "summary", "leaves", "post_training", "calibration")
DEFAULT_LOWER = tuple({"use": name} for name in ("freeze", "fold_batch_norm", "remove_dead_units", "reorder_units"))


@dataclass(frozen=True)
class Recipe:
    """A named pipeline: the passes before training, and those between training and the integer program.

    leaves: patterns of module paths that capture keeps opaque; a model with such a part trains, but cannot be lowered.
    post_training: the model comes trained. The passes begin at its graph of eval mode, and what they make computes the
        same in both modes.
    calibration: how activation scales are set from data, see `observers`.
    Raises UserError for a pass that stands twice where once is enough, and for `post_training` with `leaves`.
    """

    name: str
    summary: str
    prepare: tuple[Use, ...]
    lower: tuple[Use, ...]
    leaves: tuple[str, ...] = ()
    post_training: bool = False
    calibration: str = "mse"

    def __post_init__(self) -> None:
        _check_twice(self.prepare, "prepare")
        _check_twice(self.lower, "lower")
        method(self.calibration, "calibration")
        if self.post_training and self.leaves:
            why = "an opaque part has a train mode of its own, and cannot be lowered"
            what = "post_training does not go with leaves"
            raise UserError(what, where="post_training", why=why, fix="take one of the two out")

    @property
    def stage(self) -> Stage:
        """What may stand under [[prepare]]."""
        return POST_TRAINING if self.post_training else TRAINING

    def first(self, captured: Graph) -> Graph:
        """The graph that the first pass takes."""
        return evaluated(captured) if self.post_training else captured


def parse(text: str, passes: Mapping[str, Pass]) -> Recipe:
    """Read a recipe. passes: the passes that it may use, by name. Raises UserError with the place of the fault."""
    table = _table_of(text)
    unknown = table.keys() - {*KEYS, "prepare", "lower"}
    if unknown:
        key, fix = min(unknown), f"use {', '.join(KEYS)}, [[prepare]], [[lower]]; options stand below [[prepare]]"
        raise UserError(f"unknown recipe key '{key}'", where=key, fix=fix)
    return Recipe(
        _string(table, "name"),
        _string(table, "summary"),
        _uses(table.get("prepare", []), "prepare", passes),
        _uses(table.get("lower", list(DEFAULT_LOWER)), "lower", passes),
        _patterns(table.get("leaves", [])),
        _post_training(table.get("post_training", False)),
        table.get("calibration", "mse"),
    )


def _table_of(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        why, _, place = str(error).partition(" (at ")
        line = re.search(r"line (\d+)", place)
        number = int(line[1]) if line else max(1, len(text.splitlines()))
        shown = "".join(text.splitlines()[number - 1 : number]).strip()
        raise UserError(
            "the recipe is not valid TOML",
            where=f"line {number}: {shown}",
            why=why,
            fix='write [[prepare]], then use = "normalize" and each option as key = value; `lowbit recipes` shows some',
        ) from None


def _check_twice(uses: Sequence[Use], section: str) -> None:
    for i, later in enumerate(uses):
        first = next(j for j, earlier in enumerate(uses) if earlier.pass_ is later.pass_)
        if first != i and not later.pass_.repeatable:
            raise UserError(
                f"'{later.name}' stands twice under [[{section}]]",
                where=f"{section}[{i}].use",
                why=f"{section}[{first}] uses it: a second time it finds nothing left to do, or contradicts the first",
                fix='keep one; options of single layers stand in it as layers."PATTERN" = { ... }',
            )


def dump(recipe: Recipe) -> str:
    """The recipe as TOML; `parse` gives an equal recipe back."""
    sections = {"prepare": recipe.prepare, "lower": recipe.lower}
    tables = {key: [_table(use) for use in uses] for key, uses in sections.items()}
    given: dict[str, Any] = {"leaves": list(recipe.leaves)} if recipe.leaves else {}
    given |= {"post_training": True} if recipe.post_training else {}
    given |= {"calibration": recipe.calibration} if recipe.calibration != "mse" else {}
    return tomli_w.dumps({"name": recipe.name, "summary": recipe.summary, **given, **tables})


def _string(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise UserError(f"{key} must be text, not {value!r}", where=key, fix=f'write {key} = "..."')
    return value


def _patterns(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(pattern, str) for pattern in value):
        fix = 'write leaves = ["head.*"]'
        raise UserError(f"leaves must be a list of patterns of module paths, not {value!r}", where="leaves", fix=fix)
    return tuple(value)


def _post_training(value: Any) -> bool:
    if not isinstance(value, bool):
        fix = "write post_training = true of a model that comes trained, or leave it out"
        raise UserError(f"post_training must be true or false, not {value!r}", where="post_training", fix=fix)
    return value


def _uses(entries: Any, section: str, passes: Mapping[str, Pass]) -> tuple[Use, ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        fix = f"write [[{section}]] before each pass"
        raise UserError(f"{section} must be a list of tables, not {entries!r}", where=section, fix=fix)
    return tuple(use(entry, f"{section}[{i}]", passes) for i, entry in enumerate(entries))


def use(entry: Mapping[str, Any], place: str, passes: Mapping[str, Pass]) -> Use:
    """One pass with its options, from a table of the recipe. place: how an error names that table."""
    layers = entry.get("layers", {})
    if "use" not in entry:
        fix = f'write use = "..." below it: one of {", ".join(passes)}; or module:attribute'
        raise UserError(f"'{place}' names no pass", where=place, fix=fix)
    name, pass_ = str(entry["use"]), chosen(entry["use"], passes, f"{place}.use")
    if not isinstance(layers, dict) or not all(isinstance(own, dict) for own in layers.values()):
        fix = 'write layers."PATTERN" = { OPTION = VALUE }'
        raise UserError("layers must map patterns to tables of options", where=f"{place}.layers", fix=fix)
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
            allowed = f", or set by layer: {', '.join(sorted(kind.by_layer))}" if kind.by_layer else ""
            fix = f"write it below `use`{allowed}"
            raise UserError(f"'{key}' holds for all layers", where=f"{place}.{key}", fix=fix)


def configured(kind: type[Options], given: Mapping[str, Any], place: str) -> Options:
    """The options of a pass from plain values. Raises UserError that names the option below `place`, and its bounds."""
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        unknown = re.search(r"unknown field `(\w+)`", message)
        where = f"{place}.{unknown[1]}" if unknown else place + path.rstrip("`")
        raise UserError(_sentence(message), where=where, fix=_words(kind, path) or _known(kind)) from None


def _sentence(message: str) -> str:
    message = re.sub(r"^Object contains unknown field", "unknown option", message)
    return re.sub(r"^Object missing required field", "missing option", message)


def _words(kind: type[Options], path: str) -> str:
    """The words that an option takes, where it takes nothing else."""
    found = [field.type for field in _fields(kind) if f".{field.name}" == path.rstrip("`")]
    words = [word for type_ in found if isinstance(type_, msgspec.inspect.LiteralType) for word in type_.values]
    return f"one of: {', '.join(map(str, words))}" if words else ""


def _fields(kind: type[Options]) -> Sequence[msgspec.inspect.Field]:
    found: Sequence[msgspec.inspect.Field] = msgspec.inspect.type_info(kind).fields  # type: ignore[attr-defined]
    return found


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
