"""`transformers:CONFIG`: a model type, a config or model class, or a local config.json; and the class to build."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...compiler.errors import UserError
from .failure import failed, unknown


def build(package: Any, name: str, head: str, fields: Mapping[str, Any]) -> Any:
    """A model with random weights. Raises UserError, and whatever the package raises.

    name: bert, BertConfig, BertForMaskedLM, or the path of a config.json or its folder, which has the first word on
    the class.   head: class to build instead, such as BertForSequenceClassification or AutoModelForCausalLM; without
    any it is AutoModel's.   fields: of the config; one that it does not have is refused, which transformers would take.
    """
    path = Path(name)
    if path.suffix == ".json" or path.is_dir():
        kind, stored = _stored(package, path / "config.json" if path.is_dir() else path)
        default = (stored.get("architectures") or [""])[0]
    else:
        kind, default = _named(package, name)
        stored = {}
    config = _config(kind, name, stored, fields)
    made = _class(package, head or default, bool(head))
    if made is None:
        return package.AutoModel.from_config(config, trust_remote_code=False)
    return getattr(made, "from_config", made)(config)


def _stored(package: Any, path: Path) -> tuple[Any, dict[str, Any]]:
    """The config class and the fields in a config.json."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError("the config cannot be read", where=str(path), why=f"{type(error).__name__}: {error}") from None
    kind = stored.get("model_type") if isinstance(stored, dict) else None
    if kind not in package.CONFIG_MAPPING:
        why = f"its model_type is {kind!r}, and code that comes with a config is not run"
        raise UserError("transformers has no model for the config", where=str(path), why=why)
    return package.CONFIG_MAPPING[kind], stored


def _named(package: Any, name: str) -> tuple[Any, str]:
    """The config class and the model class that a name stands for."""
    if name in package.CONFIG_MAPPING:
        return package.CONFIG_MAPPING[name], ""
    found = getattr(package, name, None) if name.isidentifier() else None
    if isinstance(getattr(found, "config_class", None), type):
        return found.config_class, name  # type: ignore[union-attr]
    if isinstance(getattr(found, "model_type", None), str):
        return found, ""
    classes = [own for own in dir(package) if own.endswith(("Config", "Model")) or "For" in own]
    raise unknown("transformers", name, [*package.CONFIG_MAPPING.keys(), *classes])


def _config(kind: Any, name: str, stored: Mapping[str, Any], fields: Mapping[str, Any]) -> Any:
    try:
        usual = kind.from_dict(dict(stored)) if stored else kind()
        for field in fields:
            if not hasattr(usual, field):
                near = difflib.get_close_matches(field, usual.to_dict(), 3)
                fix = f"did you mean {', '.join(near)}?" if near else f"it has {', '.join(sorted(usual.to_dict()))}"
                raise UserError(f"{kind.__name__} has no field '{field}'", fix=fix)
        config = kind.from_dict({**stored, **fields}) if stored else kind(**fields)
    except (Exception, SystemExit) as error:
        raise failed(f"the config of 'transformers:{name}' cannot be made", error) from error
    if getattr(config, "use_pretrained_backbone", False):  # it would be downloaded
        config.use_pretrained_backbone = False
    return config


def _class(package: Any, name: str, asked: bool) -> Any:
    """The model class of a name; None for none, or for one that only a config names and this version lacks."""
    found = getattr(package, name, None) if name.isidentifier() else None
    if found is None and asked:
        near = difflib.get_close_matches(name, dir(package), 5)
        raise UserError(f"transformers has no class '{name}'", fix=f"did you mean {', '.join(near)}?" if near else "")
    return found
