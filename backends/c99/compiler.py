"""The system's C compiler, and shared libraries that it makes once: cached by content, written whole or not at all."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
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
        command = tuple(shlex.split(given))
        if command and shutil.which(command[0], path=path):
            return command
    return next(((found,) for name in ("cc", "gcc", "clang") if (found := shutil.which(name, path=path))), ())


def reason() -> str:
    """Why nothing can be compiled here, or ""."""
    command = compiler()
    if not command:
        return "there is no C compiler: none of LOWBIT_CC, CC, cc, gcc and clang is a program"
    return _macros(command, ())[1]


def built(text: str, flags: Sequence[str]) -> Path:
    """The shared library of that C text, from the cache or made now. Raises Unsupported where that fails."""
    command = compiler()
    if why := reason():
        raise Unsupported("this machine cannot compile C", why=why, fix="install gcc or clang, or take another target")
    # What the compiler defines says which it is, and what `native` means on this machine.
    means, _ = _macros(command, tuple(flags))
    content = "\0".join([text, *command, *ALWAYS, *flags, means])
    library = _folder() / f"{hashlib.sha256(content.encode()).hexdigest()[:40]}.so"
    if not library.exists():
        _make(text, [*command, *ALWAYS, *flags], library)
    return library


def macros(flags: Sequence[str]) -> frozenset[str]:
    """The macros that the compiler defines with those flags."""
    listed = _macros(compiler(), tuple(flags))[0]
    return frozenset(line.split()[1] for line in listed.splitlines() if line.startswith("#define"))


@functools.cache
def loaded(library: Path) -> ctypes.CDLL:
    """The library in this process."""
    return ctypes.CDLL(os.fspath(library))


def _make(text: str, command: Sequence[str], library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        source, made = Path(folder) / "program.c", Path(folder) / "program.so"
        source.write_text(text, encoding="utf-8")
        try:
            whole = [*command, str(source), "-o", str(made)]
            done = subprocess.run(whole, capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise Unsupported(f"the C compiler took more than {SECONDS} seconds", why=shlex.join(command)) from None
        if done.returncode:
            message = done.stderr.decode(errors="replace").strip()[-2000:]
            raise Unsupported("the C compiler refused the program", why=f"{shlex.join(command)}: {message}")
        os.replace(made, library)  # another process may have made the same one: either is whole


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


def _folder() -> Path:
    """Of the user's cache; where that cannot be written, a folder of this process alone."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(home) / "lowbit" / "c99"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except OSError:
        pass
    return Path(_own().name)


@functools.cache
def _own() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lowbit-c99-")
