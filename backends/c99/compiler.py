"""The system's C compiler, and shared libraries that it makes once: cached by content, written whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...compiler.errors import Unsupported

FAST = ("-O3", "-march=native")
ALWAYS = ("-std=c99", "-shared", "-fPIC")
SECONDS = 600


def compiler() -> tuple[str, ...]:
    """The command: LOWBIT_CC, else CC, else cc, gcc or clang; () where there is none."""
    return _found(os.environ.get("LOWBIT_CC", ""), os.environ.get("CC", ""), os.environ.get("PATH", ""))


@functools.cache
def _found(first: str, second: str, path: str) -> tuple[str, ...]:
    """The same for those values of the environment: each run asks."""
    for given in (first, second):
        command = _split(given)
        if command and shutil.which(command[0], path=path):
            return command
        if first:
            return ()
    return next(((found,) for name in ("cc", "gcc", "clang") if (found := shutil.which(name, path=path))), ())


def _split(command: str) -> tuple[str, ...]:
    """Its words; none where a quotation is not closed."""
    try:
        return tuple(shlex.split(command))
    except ValueError:
        return ()


def reason() -> str:
    """Why nothing can be compiled here, or ""."""
    command = compiler()
    if command:
        return _macros(command, ())[1]
    if own := os.environ.get("LOWBIT_CC"):
        return f"LOWBIT_CC is {own!r}, which names no program"
    return "there is no C compiler: none of CC, cc, gcc and clang is a program"


def library(text: str, flags: Sequence[str]) -> ctypes.CDLL:
    """That C text in this process, from the cache or made now. Raises Unsupported where that fails."""
    command = compiler()
    if why := reason():
        raise Unsupported("this machine cannot compile C", why=why, fix="install gcc or clang, or take another target")
    # What the compiler defines says which it is, and what `native` means on this machine.
    means, _ = _macros(command, tuple(flags))
    content = "\0".join([text, *command, *ALWAYS, *flags, means])
    name, failed = hashlib.sha256(content.encode()).hexdigest()[:40], ""
    for folder in _folders():
        try:
            return _loaded(_kept(folder, name) or _made(folder, name, text, [*command, *ALWAYS, *flags]))
        except OSError as error:
            failed = str(error)
    raise Unsupported("what was compiled cannot be kept or loaded", why=failed, fix="name a folder in XDG_CACHE_HOME")


def macros(flags: Sequence[str]) -> frozenset[str]:
    """The macros that the compiler defines with those flags."""
    listed = _macros(compiler(), tuple(flags))[0]
    return frozenset(line.split()[1] for line in listed.splitlines() if line.startswith("#define"))


@functools.cache
def _loaded(path: Path) -> ctypes.CDLL:
    return ctypes.CDLL(os.fspath(path))


def _kept(folder: Path, name: str) -> Path | None:
    """The library of that name, if it is whole: to load half of one would end the process."""
    whole = (path for path in folder.glob(f"{name}-*.so") if path.stem == f"{name}-{_digest(path)}")
    return next(whole, None)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:40]


def _made(folder: Path, name: str, text: str, command: Sequence[str]) -> Path:
    """Compile, and keep the library under its name and digest. Raises OSError where the folder does not take it."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        source, made = Path(place) / "program.c", Path(place) / "program.so"
        source.write_text(text, encoding="utf-8")
        whole = [*command, str(source), "-o", str(made)]
        try:
            done = subprocess.run(whole, capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise Unsupported(f"the C compiler took more than {SECONDS} seconds", why=shlex.join(command)) from None
        if done.returncode or not made.exists():
            message = done.stderr.decode(errors="replace").strip()[-2000:] or f"it ended with {done.returncode}"
            raise Unsupported("the C compiler refused the program", why=f"{shlex.join(command)}: {message}")
        kept = folder / f"{name}-{_digest(made)}.so"
        os.replace(made, kept)  # another process may have made the same one: either is whole
    return kept


@functools.cache
def _macros(command: tuple[str, ...], flags: tuple[str, ...]) -> tuple[str, str]:
    """What the compiler defines with those flags, and why it does not run, if so."""
    try:
        asked = [*command, *flags, "-dM", "-E", "-x", "c", os.devnull]
        done = subprocess.run(asked, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"{command[0]} does not run: {error}"
    if done.returncode:
        return "", f"{shlex.join(asked)}: {done.stderr.decode(errors='replace').strip()[-500:]}"
    return done.stdout.decode(errors="replace"), ""


def _folders() -> Iterator[Path]:
    """Of the user's cache; and, where that does not take a library or does not run it, one of this process alone."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(home) / "lowbit" / "c99"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    yield Path(_own().name)


@functools.cache
def _own() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lowbit-c99-")
