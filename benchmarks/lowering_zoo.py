"""The lowering zoo: the share of models without attention whose every call becomes integers, and which calls do not.

    pip install timm segmentation_models_pytorch torchvision    # each is optional
    python benchmarks/lowering_zoo.py                     # takes hours on one core
    python benchmarks/lowering_zoo.py --families torchvision --only 'net' --limit 5
    python benchmarks/lowering_zoo.py --report            # only the table, of what has been judged

Models have random weights. Each is judged by coverage under a recipe, call by call, as by `lowbit show --coverage`:
nothing stops at the first refusal. One with a softmax or an attention in its graph does not count. Results are lines of
OUT/lowering.jsonl; a run that was stopped goes on where it was. A model that cannot be captured counts as not lowered.
"""

from __future__ import annotations

import argparse
import json
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from zoo.vision import repair

_ATTENTION = re.compile("softmax|scaled_dot_product_attention|multi_head_attention")


def main() -> None:
    args = _arguments()
    file = args.out / "lowering.jsonl"
    args.out.mkdir(parents=True, exist_ok=True)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    done = {result["name"]: result for result in map(json.loads, lines)}
    if not args.report:
        for name in _names(args):
            if name not in done:
                done[name] = judged(name, args.recipe)
                with file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(done[name]) + "\n")
                print(f"{name}: {_told(done[name])}", flush=True)
    print(report(list(done.values())))


def judged(name: str, recipe: str) -> dict[str, Any]:
    """What becomes of the calls of a model, ready for JSON: how many, and (call, why, count) of the refused."""
    from lowbit.cli.stages import covered
    from lowbit.compiler.capture import capture
    from lowbit.compiler.errors import LowbitError
    from lowbit.compiler.text import target_name
    from zoo.catalogue import row

    found = row(name)
    given = found.inputs(2)
    try:
        graph = capture(found.fresh(), *given, verify=False)
        calls, doubt = covered(graph, recipe, given[0])
    except LowbitError as error:
        return {"name": name, "attention": False, "calls": 0, "refused": [["capture", error.what, 1]], "doubt": ""}
    attention = any(_ATTENTION.search(target_name(node.target)) for node in graph.nodes if node.op == "call_function")
    why = Counter((target_name(call.node.target), call.why) for call in calls if call.status == "unsupported")
    refused = [[op, reason, count] for (op, reason), count in why.most_common()]
    return {"name": name, "attention": attention, "calls": len(calls), "refused": refused, "doubt": doubt}


def report(results: list[dict[str, Any]]) -> str:
    """The share, and each call that stands in the way of a model, by how many it does."""
    counted = [result for result in results if not result["attention"]]
    whole = [result for result in counted if not result["refused"] and not result["doubt"]]
    blocked: Counter[str] = Counter()
    for result in counted:
        blocked.update({op for op, why, _ in result["refused"] if not why.startswith("it reads ")})
    share = f"{len(whole)} of {len(counted)} models without attention lower completely"
    return "\n".join([share, *(f"  {count:4} models: {op}" for op, count in blocked.most_common())])


def _told(result: dict[str, Any]) -> str:
    if result["attention"]:
        return "has attention"
    missing = ", ".join(
        f"{count} {op} ({why})" for op, why, count in result["refused"] if not why.startswith("it reads")
    )
    return result["doubt"] or missing or "lowers completely"


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
    parser.add_argument("--report", action="store_true", help="judge nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
