"""`.lowbit` files on disk: whole or not there at all, with errors that name the path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from blobs import GOLDEN, assert_same, body_of, tiny
from lowbit.backends import blob
from lowbit.backends.blob import FileError
from lowbit.backends.blob.layout import MAGIC
from lowbit.compiler.disk import check_writable
from lowbit.compiler.errors import UserError


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "net.lowbit"
    assert blob.save(tiny(), path) == len(GOLDEN.read_bytes())
    assert path.read_bytes() == GOLDEN.read_bytes()
    assert_same(blob.load(path), tiny())
    assert os.listdir(tmp_path) == ["net.lowbit"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    blob.save(tiny(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == GOLDEN.read_bytes()


@pytest.mark.parametrize(("step", "error"), [("fsync", OSError), ("replace", OSError), ("fsync", KeyboardInterrupt)])
def test_what_was_there_stays_when_saving_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: type[BaseException]
) -> None:
    def fail(*_: object) -> NoReturn:
        raise error(28, "No space left on device")

    path = tmp_path / "net.lowbit"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(UserError if error is OSError else error, match=r"cannot be written|No space"):
        blob.save(tiny(), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["net.lowbit"]


def test_a_draft_never_stands_under_the_final_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append((tmp_path / "net.lowbit").exists()))
    blob.save(tiny(), tmp_path / "net.lowbit")
    assert seen == [False]


@pytest.mark.parametrize("where", ["missing/net.lowbit", "file/net.lowbit", ".", "zz/", "zz/.", "a\0b", "n" * 256])
def test_a_path_that_cannot_be_written_is_the_users_error(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = os.path.join(tmp_path, where)  # a Path would drop the last separator
    with pytest.raises(UserError, match="cannot be written"):
        check_writable(path)
    with pytest.raises(UserError, match="cannot be written") as caught:
        blob.save(tiny(), path)
    assert str(tmp_path) in str(caught.value)
    assert os.listdir(tmp_path) == ["file"]


def test_the_longest_name_of_a_file_will_do(tmp_path: Path) -> None:
    path = tmp_path / ("n" * os.pathconf(tmp_path, "PC_NAME_MAX"))
    check_writable(path)
    blob.save(tiny(), path)
    assert os.listdir(tmp_path) == [path.name]


def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="cannot be written"):
        blob.save(tiny(), tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_a_constant_beyond_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(np, "full", full)
    with pytest.raises(FileError, match="does not fit in memory"):
        blob.loads(body_of(b"\x01\x02\x05\x00\x02\x00\x00", b"\x00"))


def test_errors_name_the_path_and_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "net.lowbit"
    for unreadable in (path, tmp_path, "a\0b"):
        with pytest.raises(FileError, match="cannot be read"):
            blob.load(unreadable)
    path.write_bytes(body_of(b"\x01\x7f"))
    with pytest.raises(FileError) as caught:
        blob.load(path)
    assert caught.value.where == f"{path}, byte 7"


def test_an_error_inside_a_stream_is_told_from_the_start_of_the_file() -> None:
    with pytest.raises(FileError, match="more than 64") as caught:
        blob.loads(body_of(b"\x01\x02\x01\x00\x02\x41\x00", b"\x00"))
    assert caught.value.offset == 11


def test_a_file_longer_than_any_legal_one_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob.files, "_PROGRAM", 100)
    (tmp_path / "long").write_bytes(MAGIC + bytes(107))
    with pytest.raises(FileError, match="too long"):
        blob.load(tmp_path / "long", max_values=1)


@pytest.mark.parametrize("content", [b"", b"\x89", bytes(1000)])
def test_of_a_file_that_is_not_ours_only_the_first_bytes_are_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    assert blob.read(tmp_path / "other") == content[: len(MAGIC)]
    with pytest.raises(FileError, match="not a lowbit file"):
        blob.load(tmp_path / "other")


def test_a_pipe_or_a_device_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(FileError, match="cannot be read") as caught:
            blob.load(path)
        assert "not a regular file" in caught.value.why


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_what_replaces_a_file_may_be_read_by_the_same(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "net.lowbit"
    path.write_bytes(b"old")
    path.chmod(mode)
    blob.save(tiny(), path)
    assert path.stat().st_mode & 0o777 == mode


def test_a_high_limit_takes_no_memory_by_itself(tmp_path: Path) -> None:
    blob.save(tiny(), tmp_path / "net.lowbit")
    assert_same(blob.load(tmp_path / "net.lowbit", 2**62), tiny())
    assert_same(blob.load(os.fsencode(tmp_path / "net.lowbit")), tiny())  # type: ignore[arg-type]
