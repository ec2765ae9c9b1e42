"""`timm:NAME`, `torchvision:NAME`, `transformers:CONFIG`: models of installed packages, with nothing downloaded."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from ...compiler.errors import UserError
from . import transformers
from .failure import failed, takes, unknown
from .query import arguments

EXTRA = "pip install 'lowbit[zoo]'"
WEIGHTS = ("pretrained", "pretrained_cfg", "checkpoint_path", "weights", "weights_backbone", "pretrained_backbone")
"""Arguments of the packages' own that fetch weights or read a file of them."""
_CALLED = re.compile(r"(\w+)(?:\.__init__)?\(\)")


def model(zoo: str, rest: str) -> Any:
    """A model of a package with random weights. Raises UserError.   rest: what stands behind the first colon."""
    name, _, query = rest.partition("?")
    name, head, query = _heads(name, query)
    given = arguments(query)
    if not name:
        raise UserError(f"'{zoo}:' names no model", fix=f"write {zoo}:NAME")
    if head and zoo != "transformers":
        raise UserError(f"'{zoo}:{rest}' has a # part", fix="only transformers:CONFIG#ModelClass has one")
    taken = [argument for argument in given if argument in WEIGHTS]
    if taken and zoo != "transformers":
        raise UserError(f"'{taken[0]}' is not to be given", why="nothing is downloaded", fix="give --weights FILE")
    with _offline():
        package = _package(zoo)
        try:
            return _built(zoo, package, name, head, given)
        except ImportError as error:  # transformers imports most of itself only when it is asked for
            raise _unusable(f"a part of {zoo}", error) from error
        except (Exception, SystemExit) as error:
            raise failed(f"'{zoo}:{rest}' cannot be built", error, _blamed(error)) from error


def _built(zoo: str, package: Any, name: str, head: str, given: Mapping[str, Any]) -> Any:
    match zoo:
        case "timm":
            return _timm(package, name, given)
        case "torchvision":
            return _torchvision(package, name, given)
        case _:
            return transformers.build(package, name, head, given)


def _heads(name: str, query: str) -> tuple[str, str, str]:
    """Name, model class and query; the class stands behind a # at the end of either."""
    name, _, head = name.partition("#")
    query, _, last = query.partition("#")
    return name, head or last, query


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if error.name == name:
            raise UserError(f"{name} is not installed", fix=f"{EXTRA}, or pip install {name}") from None
        raise _unusable(name, error) from error
    except Exception as error:
        raise _unusable(name, error) from error


def _unusable(name: str, error: BaseException) -> UserError:
    """Mostly a torchvision whose compiled part was built for another torch than the one that is installed."""
    while error.__cause__ is not None:
        error = error.__cause__
    why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    fix = "install the torchvision that was built for this torch and device, from the index that torch came from"
    return UserError(f"{name} cannot be imported", why=why, fix=fix if "torchvision" in why else "")


def _timm(package: Any, name: str, given: Mapping[str, Any]) -> Any:
    if "/" in name or ":" in name or not package.is_model(name):  # these would ask a hub
        raise unknown("timm", name, package.list_models())
    return package.create_model(name, pretrained=False, **given)


def _torchvision(package: Any, name: str, given: Mapping[str, Any]) -> Any:
    models = importlib.import_module(f"{package.__name__}.models")
    if name not in models.list_models():
        raise unknown("torchvision", name, models.list_models())
    builder = models.get_model_builder(name)
    # Detectors and segmenters would fetch a backbone even where their own weights are none.
    sources = [key for key in ("weights", "weights_backbone") if key in inspect.signature(builder).parameters]
    return builder(**dict.fromkeys(sources), **given)


def _blamed(error: BaseException) -> str:
    """What the class or function takes that Python says was called with wrong arguments, if its caller knows it."""
    named = _CALLED.match(str(error)) if isinstance(error, TypeError) else None
    if named is None:
        return ""
    caller = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][-1]
    known = [*caller.f_locals.values(), *caller.f_globals.values()]
    return next((takes(one, named[1]) for one in known if getattr(one, "__name__", "") == named[1]), "")


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Keep the packages from asking their hub; they read this when they are imported."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before
