"""The lowering zoo: the share of models without attention whose every call becomes integers, and which calls do not.

    pip install timm segmentation_models_pytorch torchvision    # each is optional
    python benchmarks/lowering_zoo.py                     # takes hours on one core
    python benchmarks/lowering_zoo.py --families torchvision --only 'net' --limit 5
    python benchmarks/lowering_zoo.py --report            # only the table, of what has been judged

Models have random weights, norms the statistics of one batch, and images 64 pixels to a side, where a model takes them.
Each is lowered under a recipe; where that is refused it is judged call by call, as by `lowbit show --coverage`: nothing
stops at the first refusal. A program is run on numpy and on torch, every intermediate value compared, and one with few
products on the interpreter too. One with a softmax or an attention in its graph does not count. Results are lines of
OUT/lowering.jsonl; a run that was stopped goes on where it was, and --again judges anew what did not lower. A model
that cannot be captured counts as not lowered.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from zoo.vision import repair

if TYPE_CHECKING:
    from lowbit.backends.fixed.program import Program
    from torch import nn
    from zoo.row import Row

_ATTENTION = re.compile("softmax|scaled_dot_product_attention|multi_head_attention")


FEW = 2e7
"""Products of a program that the interpreter takes a minute for."""


def main() -> None:
    args = _arguments()
    file = args.out / "lowering.jsonl"
    args.out.mkdir(parents=True, exist_ok=True)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    done = {result["name"]: result for result in map(json.loads, lines)}
    if not args.report:
        names = _names(args)
        from zoo.catalogue import row

        for name in names:
            if name not in done or (args.again and not (done[name]["attention"] or _whole(done[name]))):
                start = monotonic()
                done[name] = judged(row(name), args.recipe) | {"seconds": round(monotonic() - start, 1)}
                with file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(done[name]) + "\n")
                print(f"{name}: {_told(done[name])}", flush=True)
    print(report(list(done.values())))
    if args.table:
        print(table(list(done.values())))


def judged(found: Row, recipe: str, compiled: float = 0.0) -> dict[str, Any]:
    """What becomes of a model, ready for JSON: steps and exactness, or (call, why, count) of what is refused.

    compiled: programs of at most so many constants are compiled too.
    """
    from lowbit.api import read_recipe
    from lowbit.backends.lowering.lower import lower
    from lowbit.cli.stages import covered, prepared
    from lowbit.compiler.capture import capture
    from lowbit.compiler.errors import Broken, LowbitError
    from lowbit.compiler.modes import evaluated
    from lowbit.compiler.pipeline import run
    from lowbit.compiler.text import target_name

    given = found.inputs(2)
    result = {"name": found.name, "attention": False, "steps": 0, "refused": [], "doubt": "", "exact": ""}
    try:
        graph = capture(settled(found.fresh(), given), *given, verify=False)
    except LowbitError as error:
        return result | {"refused": [["capture", error.what, 1]]}
    if any(_ATTENTION.search(target_name(node.target)) for node in graph.nodes if node.op == "call_function"):
        return result | {"attention": True}
    try:
        deployed = run(evaluated(prepared(graph, recipe, given[0]).graph), read_recipe(recipe).lower).graph
        program = lower(deployed)
    except Broken as error:
        return result | {"refused": [["lowbit itself", error.what, 1]]}
    except LowbitError:
        calls, doubt = covered(graph, recipe, given[0])
        why = Counter((target_name(call.node.target), call.why) for call in calls if call.status == "unsupported")
        refused = [[op, reason, count] for (op, reason), count in why.most_common()]
        return result | {"refused": refused, "doubt": doubt}
    return result | {"steps": len(program.steps), "exact": exact(program, given[0], compiled)}


def settled(model: nn.Module, given: Any) -> nn.Module:
    """The model, its norms with the statistics of one batch: with random ones values grow from layer to layer."""
    import torch

    for module in model.modules():
        if isinstance(getattr(module, "running_mean", None), torch.Tensor):
            module.momentum = 1.0
    with torch.no_grad():
        model(*given[0], **given[1])
    return model


def exact(program: Program, given: Sequence[Any], compiled: float = 0.0) -> str:
    """The targets that agree on every value for one sample, or the first step on which one does not."""
    import numpy as np
    from lowbit.backends.compiled import Compiled
    from lowbit.backends.target import targets

    inputs = Compiled(program).quantize(*(tensor[:1] for tensor in given))
    numpy: dict[int, Any] = {}
    targets()["numpy"].run(program, inputs, numpy.__setitem__)
    constants = sum(value.data.size for value in program.values if value.data is not None)
    others = ["torch", *["interpreter"] * (products(program) < FEW), *["c99"] * (constants <= compiled)]
    for other in others:
        different: list[int] = []

        def look(value: int, found: Any, different: list[int] = different) -> None:
            different += [value] * (not np.array_equal(found, numpy[value]))

        targets()[other].run(program, inputs, look)
        if different:
            return f"{other} differs from numpy at %{min(different)}"
    return ", ".join(["numpy", *others])


def products(program: Program) -> int:
    """How many products of weights and values one sample takes."""
    weighing = [step for step in program.steps if step.op in ("conv2d", "conv3d", "linear")]
    values = program.values
    sizes = ((values[s.inputs[1]].shape, values[s.output].shape) for s in weighing)
    return sum(math.prod(weight[1:]) * math.prod(output) for weight, output in sizes)


def table(results: list[dict[str, Any]]) -> str:
    """A row for each model without attention."""
    rows = sorted((result for result in results if not result["attention"]), key=lambda result: str(result["name"]))
    lines = ["| model | lowers | steps | equal on | seconds |", "| --- | --- | --- | --- | --- |"]
    for result in rows:
        whole = "yes" if _whole(result) else _told(result)
        lines.append(f"| {result['name']} | {whole} | {result['steps']} | {result['exact']} | {result['seconds']} |")
    return "\n".join(lines)


def _whole(result: dict[str, Any]) -> bool:
    return not result["refused"] and not result["doubt"]


def report(results: list[dict[str, Any]]) -> str:
    """The share, and each call that stands in the way of a model, by how many it does."""
    counted = [result for result in results if not result["attention"]]
    whole = [result for result in counted if _whole(result)]
    blocked: Counter[str] = Counter()
    for result in counted:
        blocked.update({op for op, why, _ in result["refused"] if not why.startswith("it reads ")})
    share = f"{len(whole)} of {len(counted)} models without attention lower completely"
    return "\n".join([share, *(f"  {count:4} models: {op}" for op, count in blocked.most_common())])


def _told(result: dict[str, Any]) -> str:
    if result["attention"]:
        return "has attention"
    missing = ", ".join(
        f"{count} {op} ({why.splitlines()[0]})"
        for op, why, count in result["refused"]
        if not why.startswith("it reads")
    )
    return result["doubt"] or missing or f"lowers completely, exact on {result['exact']}"


def _names(args: argparse.Namespace) -> list[str]:
    warnings.simplefilter("ignore")
    repair()
    from zoo.catalogue import rows

    names = []
    for family in args.families.split(","):
        names += [row.name for row in rows(family) if re.search(args.only, row.name)][: args.limit]
    return names


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default="timm,torchvision,smp", help="default: %(default)s")
    parser.add_argument("--only", default="", metavar="PATTERN", help="only models whose family/name the pattern finds")
    parser.add_argument("--limit", type=int, help="the first so many of each family")
    parser.add_argument("--recipe", default="ptq8", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"), help="default: %(default)s")
    parser.add_argument("--again", action="store_true", help="judge anew what did not lower")
    parser.add_argument("--table", action="store_true", help="print a row for each model")
    parser.add_argument("--report", action="store_true", help="judge nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
