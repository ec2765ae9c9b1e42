"""show on big models: rows by module, opened where asked, as DOT that parses; coverage of what cannot be lowered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from lowbit.cli.main import main

Refused = Callable[..., str]
BIG = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x):
        return x + self.norm(self.conv(x)).relu()

def chain():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(*(Block(4) for _ in range(12))), nn.Flatten())

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 16), nn.Linear(16, 50, bias=False)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.encoder(self.embed(ids)))
"""
SCREENFUL = 50


@pytest.fixture
def shown(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs show, which must succeed, and returns what it wrote."""
    (here / "big.py").write_text(BIG)

    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert main(["show", *arguments]) == 0
        return capsys.readouterr().out

    return run


def chain(shown: Callable[..., str], *arguments: str) -> str:
    return shown("big.py:chain", "--input", "3,4,4", *arguments)


def cells(out: str, name: str) -> list[str]:
    """The cells of the row of that name."""
    (line,) = (line for line in out.splitlines() if re.match(rf"\s*{re.escape(name)}(\s|$)", line))
    return re.split(r"\s{2,}", line.strip())


def test_a_chain_of_equal_blocks_is_a_screen(shown: Callable[..., str]) -> None:
    out = chain(shown)
    macs = 16 * (12 + 12 * 4 * 4 * 9)
    assert len(out.splitlines()) < SCREENFUL
    assert cells(out, "input input") == ["input input", "float32[N,3,4,4]"]
    assert cells(out, "0..11")[1:] == [
        "\N{MULTIPLICATION SIGN}12",
        "Block",
        "60",
        "float32[N,4,4,4]",
        "1,824",
        "27,648",
    ]
    assert cells(out, "total") == ["total", "62", "float32[N,64]", "1,840", f"{macs:,}"]


def test_a_transformer_is_a_screen_and_tells_of_tied_weights(shown: Callable[..., str]) -> None:
    out = shown("big.py:Words", "--input", "6:int64")
    assert len(out.splitlines()) < SCREENFUL
    assert "TransformerEncoderLayer" in out
    assert cells(out, "head")[3:5] == ["float32[N,6,50]", "tied"]
    assert "tied, counted once: head.weight is embed.weight" in out


def test_a_pattern_opens_a_module_call_by_call(shown: Callable[..., str]) -> None:
    out = chain(shown, "--depth", "1", "--expand", "1.7")
    assert [cells(out, name)[0] for name in ("0..6", "7", "8..11")] == ["0..6", "7", "8..11"]
    (conv,) = (line for line in out.splitlines() if "conv.weight" in line)
    assert conv.split()[1:] == ["conv2d", conv.split()[2], "conv.weight", "float32[N,4,4,4]", "2,304", "big.py:11"]


def test_the_flat_list_has_every_call(shown: Callable[..., str]) -> None:
    out = chain(shown, "--nodes")
    assert out.count("conv2d") == 13
    assert "big.py:11  return x + self.norm(self.conv(x)).relu()" in out


@pytest.mark.parametrize("depth", ["1", "2", "all"])
def test_depths_give_the_same_totals(depth: str, shown: Callable[..., str]) -> None:
    out = chain(shown, "--depth", depth)
    assert cells(out, "total")[1] == "62"
    assert ("0..11" in out) == (depth != "1")


@pytest.mark.parametrize("stage", ["captured", "prepared", "lowered"])
def test_the_tree_in_json_adds_up(stage: str, shown: Callable[..., str]) -> None:
    arguments = ("net.py:net", "--input", "1,4,4", "--recipe", "r.toml", "--stage", stage, "--format", "json")
    facts = json.loads(shown(*arguments))
    tree = facts["modules"]
    assert (facts["version"], facts["stage"]) == (1, stage)
    assert tree["macs"] == sum(module["macs"] for module in tree["modules"]) == 4 * 4 * 9 + 3 * 16
    assert [module["path"] for module in tree["modules"] if module["macs"]] == ["0", "4"]
    assert tree["output"].endswith("[N,3]")


def test_a_lowered_program_is_shown_by_the_modules_its_steps_come_from(shown: Callable[..., str]) -> None:
    arguments = ("--input", "1,4,4", "--recipe", "r.toml", "--stage", "lowered")
    out = shown("net.py:net", *arguments)
    assert cells(out, "4")[:3] == ["4", "linear, requantize", "2"]
    assert cells(out, "total")[-1] == f"{4 * 4 * 9 + 3 * 16}"
    assert "requantize" in shown("net.py:net", *arguments, "--nodes")


TOKEN = re.compile(r'\s+|"(?:[^"\\]|\\.)*"|[A-Za-z_]\w*|->|[{}\[\]=,;]')


def parsed(text: str) -> tuple[set[str], list[tuple[str, str]], int]:
    """(boxes, edges, clusters) of a digraph in the part of DOT that is written. Fails on anything else."""
    tokens, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        assert match, f"not DOT: {text[at : at + 40]!r}"
        at = match.end()
        tokens += [match[0]] if match[0].strip() else []
    boxes, edges, clusters, depth = set(), [], 0, 0
    for i, token in enumerate(tokens):
        depth += (token == "{") - (token == "}")
        assert depth > 0 or i < 2 or i == len(tokens) - 1
        if token == "subgraph":
            clusters += 1
            assert tokens[i + 1].startswith('"cluster')
        elif token == "->":
            edges.append((tokens[i - 1], tokens[i + 1]))
        elif token == "[" and tokens[i - 1] not in ("graph", "node"):
            boxes.add(tokens[i - 1])
    assert (depth, tokens[0]) == (0, "digraph")
    return boxes, edges, clusters


@pytest.mark.parametrize("arguments", [(), ("--depth", "1"), ("--expand", "1.3"), ("--depth", "all")])
def test_dot_is_legal_and_connected(arguments: tuple[str, ...], shown: Callable[..., str]) -> None:
    boxes, edges, clusters = parsed(chain(shown, "--format", "dot", *arguments))
    assert all(end in boxes for edge in edges for end in edge)
    assert all(tail != head for tail, head in edges)
    reached = {tail for tail, _ in edges} | {head for _, head in edges}
    counters = {box for box in boxes if box not in reached}
    assert len(boxes) - len(counters) >= 4
    assert clusters == (1 if arguments == ("--depth", "1") else clusters)


def test_coverage_of_what_cannot_be_lowered(shown: Callable[..., str]) -> None:
    out = shown("net.py:running", "--input", "1,4,4", "--coverage")
    assert out.splitlines()[0] == "coverage: 2 integer, 0 folded, 1 unsupported"
    assert out.splitlines()[1] == "unsupported: no lowering rule takes it"
    assert out.splitlines()[2].split() == ["cumsum", "Running", "1", "2,", "net.py:18"]
    assert "fix  replace it" in out
    facts = json.loads(shown("net.py:running", "--input", "1,4,4", "--coverage", "--format", "json"))
    assert facts["coverage"] == {"unsupported": 1, "integer": 2, "folded": 0}
    assert [node["op"] for node in facts["nodes"]] == ["flatten.using_ints", "linear", "cumsum"]


def test_coverage_is_folded_by_kind_and_opened_by_pattern(shown: Callable[..., str]) -> None:
    arguments = ("big.py:Words", "--input", "6:int64", "--coverage")
    out = shown(*arguments)
    assert len(out.splitlines()) < SCREENFUL
    assert re.search(r"layer_norm +LayerNorm +6 +from encoder\.layers\.0\.norm1, big\.py:\d+", out)
    opened = shown(*arguments, "--expand", "encoder.layers.1.norm*")
    assert opened.count("layer_norm ") == 3
    assert shown(*arguments, "--nodes").count("layer_norm ") == 6


def test_wrong_usage_is_told(here: Path, refused: Refused) -> None:
    net = ("show", "net.py:net", "--input", "1,4,4")
    assert "no module has a path like 'block'" in refused(*net, "--expand", "block")
    assert "no call stands in a module like 'block'" in refused(*net, "--coverage", "--expand", "block")
    for depth in ("no", "0", "\N{SUPERSCRIPT TWO}", "9" * 5000):
        assert "is not a number of levels" in refused(*net, "--depth", depth, code=2)
    assert "'8' is no type of an input" in refused("show", "net.py:net", "--input", "1,4:8", code=2)
    assert "as a table or json" in refused(*net, "--coverage", "--format", "dot", code=2)
    assert "for a SOURCE" in refused("show", "n.lowbit", "--coverage", code=2)
    assert "no format dot" in refused("show", "n.lowbit", "--bytes", "--format", "dot", code=2)
