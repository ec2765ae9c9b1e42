"""What `lowbit emit` writes: it builds without a warning, without floats, and computes the interpreter's integers."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from blobs import tiny
from c99_draws import FLAGS, fused, weighted
from lowbit.backends import blob
from lowbit.backends.c99 import compiler
from lowbit.backends.c99.project import golden, named
from lowbit.backends.c99.text import source
from lowbit.backends.c99.unit import unit
from lowbit.backends.c99.variants import AVX2
from lowbit.backends.fixed.program import Builder, Port
from lowbit.backends.fixed.types import Range
from lowbit.cli.main import main

STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]
SANITIZED = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-nm", "qemu-system-arm", "make")
MAY_CALL = {"memcpy", "memset", "memmove"}


def needs(*tools: str) -> pytest.MarkDecorator:
    absent = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small network, emitted."""
    blob.save(tiny(), tmp_path / "net.lowbit")
    assert main(["emit", str(tmp_path / "net.lowbit"), "-o", str(tmp_path / "c"), "--report"]) == 0
    return tmp_path / "c"


def ran(*command: str, at: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=300, check=False)


def undefined(nm: str, path: Path) -> set[str]:
    listed = subprocess.run([nm, "-u", str(path)], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].lstrip("_") for line in listed.splitlines() if line.strip()}


@needs("make", "cc")
def test_make_builds_and_passes_and_a_wrong_integer_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("make", "test", "CFLAGS=-O1", at=folder).returncode == 0
    path = folder / "net_test.c"
    text = path.read_text()
    last = re.findall(r"-?\d+(?=\},?\n\};\n\nstatic)", text)[-1]
    place = text.rindex(f"{last}}}")
    path.write_text(text[:place] + str(int(last) ^ 1) + text[place + len(last) :])
    wrong = ran("make", "test", "CFLAGS=-O1", at=folder)
    assert wrong.returncode != 0
    assert re.search(r"net: 1 of \d+ integers of 4 samples are wrong", wrong.stdout)


@pytest.mark.parametrize("compiler", [pytest.param(name, marks=needs(name)) for name in ("gcc", "clang")])
def test_drawn_programs_pass_under_the_sanitizers(compiler: str, tmp_path: Path) -> None:
    cases = {"plain": next(fused((5,))), "packed": next(fused((41,))), "coded": weighted()}
    for name, case in cases.items():
        blob.save(case.program, tmp_path / "net.lowbit")
        arguments = ["-o", str(tmp_path), "--name", name, "--weights", name]
        assert main(["emit", str(tmp_path / "net.lowbit"), *arguments]) == 0
        command = [compiler, *STRICT, *SANITIZED, f"{name}.c", f"{name}_test.c", "-o", "test"]
        built = ran(*command, at=tmp_path)
        assert built.returncode == 0, built.stderr
        assert ran("./test", at=tmp_path).returncode == 0, case


@needs("make", "cc")
@pytest.mark.parametrize("macro", FLAGS)
def test_each_instruction_set_passes_by_kernels_of_its_own(macro: str, tmp_path: Path) -> None:
    if macro not in compiler.macros(("-march=native",)):
        pytest.skip(f"this machine, or its compiler, does not have {macro}")
    builder = Builder()  # a table before anything else, and a layer of weights that could saturate
    x = builder.input((4, 16), Range(-128, 127))
    entries = builder.constant(np.arange(128, -128, -1).reshape(1, 256) // 2 + 63)
    looked = builder.step("table", x, entries, first=-128, axis=0)
    layer = builder.step("linear", looked, builder.constant(np.full((16, 16), 127)), builder.constant(np.arange(16)))
    blob.save(builder.build([Port(x, 2**23, 23)], [Port(layer, 2**23, 23)]), tmp_path / "net.lowbit")
    assert main(["emit", str(tmp_path / "net.lowbit"), "-o", str(tmp_path)]) == 0
    strict = " ".join(["-O1", *FLAGS[macro]])
    assert ran("make", "test", f"CFLAGS={strict}", at=tmp_path).returncode == 0
    assembly = ran("cc", "-S", "-o", "-", *strict.split(), "net.c", at=tmp_path).stdout
    assert ("vpdpbusd" in assembly) == (macro != AVX2)


@needs("cc", "nm")
def test_there_is_no_float_and_no_library(folder: Path) -> None:
    text = (folder / "net.c").read_text()
    assert not re.search(
        r"\b(float|double|malloc|long double)\b|\d\.\d", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    )
    portable = re.sub(r"#if defined\(__AVX2__\)\n.*?\n#endif", "", text, flags=re.DOTALL)
    assert re.findall(r"#include (\S+)", portable) == ['"net.h"', "<stdint.h>"]
    assert ran("cc", *STRICT, "-O2", "-c", "net.c", at=folder).returncode == 0
    assert undefined("nm", folder / "net.o") <= MAY_CALL


@needs(*TOOLS)
def test_it_passes_on_a_simulated_cortex_m(folder: Path) -> None:
    # On a Cortex-M3 floating point is a call into a library: there is none.
    assert ran("arm-none-eabi-gcc", *STRICT, "-O2", "-mcpu=cortex-m3", "-c", "net.c", at=folder).returncode == 0
    assert undefined("arm-none-eabi-nm", folder / "net.o") <= MAY_CALL
    done = ran("make", "cortex-m", at=folder)
    assert done.returncode == 0, done.stderr
    assert " 0 of " in done.stdout


@needs("cmake", "cc")
def test_cmake_builds_and_passes(folder: Path) -> None:
    assert ran("cmake", "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Debug", at=folder).returncode == 0
    assert ran("cmake", "--build", "build", at=folder).returncode == 0
    assert ran("ctest", "--test-dir", "build", at=folder).returncode == 0


def test_the_report_adds_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blob.save(tiny(), tmp_path / "net.lowbit")
    assert main(["emit", str(tmp_path / "net.lowbit"), "-o", str(tmp_path), "--report"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    macs = [int(row[-1].replace(",", "")) for row in rows if row and row[0].startswith("net_")]
    total = next(row for row in rows if row[:2] == ["in", "all"])
    assert int(total[-1].replace(",", "")) == sum(macs)


@pytest.mark.parametrize("text", ["3d", "__", "日本"])
def test_what_gives_no_name_in_c_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blob.save(tiny(), tmp_path / "net.lowbit")
    assert main(["emit", str(tmp_path / "net.lowbit"), "-o", str(tmp_path / "c"), "--name", text]) == 1
    assert "gives no name for C" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("text", ["cortex-m", "rans", "test", "string"])
def test_names_that_belong_to_others_are_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blob.save(tiny(), tmp_path / f"{text}.lowbit")
    assert main(["emit", str(tmp_path / f"{text}.lowbit"), "-o", str(tmp_path / "c")]) == 1
    assert "means something else" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_names_are_made_of_what_files_are_called() -> None:
    assert named("My-Net v2") == "my_net_v2"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blob.save(tiny(), tmp_path / "net.lowbit")
    assert main(["emit", str(tmp_path / "net.lowbit"), "-o", str(tmp_path / "net.lowbit" / "c")]) == 1
    assert "the folder cannot be made" in capsys.readouterr().err


def test_the_header_tells_what_integers_stand_for(folder: Path) -> None:
    text = (folder / "net.h").read_text()
    defined = {name: int(number) for name, number in re.findall(r"#define (\w+) \((-?\d+)\)", text)}
    for side, ports in (("IN", tiny().inputs), ("OUT", tiny().outputs)):
        for i, port in enumerate(ports):
            value = tiny().values[port.value]
            told = [defined[f"NET_{side}{i}_{name}"] for name in ("MULTIPLIER", "SHIFT", "ZERO", "LOW", "HIGH", "SIZE")]
            size = math.prod(value.shape)
            assert told == [port.multiplier, port.shift, port.zero, value.range.lo, value.range.hi, size]


def test_golden_vectors_hold_both_ends() -> None:
    for port, samples in zip(tiny().inputs, golden(tiny()), strict=True):
        value = tiny().values[port.value]
        assert (samples[0] == value.range.lo).all()
        assert (samples[1] == value.range.hi).all()
        assert len(np.unique(samples[3])) > 2


def test_the_compiler_does_not_know_addresses_in_the_arena() -> None:
    """gcc 12 left out the stores of functions that it specialized for them, in programs too large for a test."""
    text = source(unit(tiny(), "p"))
    assert "p_HIDE(arena);" in text
    assert "p_arena.bytes +" not in text
