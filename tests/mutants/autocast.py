"""Seeded bugs of blocks of autocast: what stood in one runs as it did there, under any autocast of the caller's."""

from mutant import Mutant

AUTOCAST = "compiler/autocast.py"
PROTECT = "compiler/protect.py"
TESTS = "tests/test_autocast.py"
EACH = f"{TESTS}::test_each_call_in_each_block"
LEAF = f"{TESTS}::test_a_leaf_runs_within_its_block"
ELSEWHERE = f"{TESTS}::test_elsewhere_too_the_block_is_that_of_the_model"
CAPTURE = f"{TESTS}::test_a_capture_within_an_autocast_is_that_without"
RULES = f"{TESTS}::test_what_a_rule_makes_stands_in_the_block_if_all_that_it_matched_did"

MUTANTS: list[Mutant] = [
    Mutant(
        "the caller's autocast acts while a model is captured",
        AUTOCAST,
        "with torch._C._DisableAutocast():",
        "with contextlib.nullcontext():",
        CAPTURE,
    ),
    Mutant(
        "the caller's autocast is nested deeper afterwards",
        AUTOCAST,
        "for _ in range(depth - 1):",
        "for _ in range(depth):",
        CAPTURE,
    ),
    Mutant(
        "a block keeps its casts of weights within the caller's autocast",
        AUTOCAST,
        "for _ in range(depth):\n        torch.autocast_decrement_nesting()",
        "torch.autocast_decrement_nesting()",
        CAPTURE,
    ),
    Mutant(
        "calls keep to no block",
        AUTOCAST,
        "run = _entered(block, run, always=False)",
        "run = run",
        f"{EACH}[full-linear]",
    ),
    Mutant(
        "a leaf's block acts within an autocast alone",
        AUTOCAST,
        "run = _entered(block, run, always=block.enabled)",
        "run = _entered(block, run, always=False)",
        f"{LEAF}[bfloat16]",
    ),
    Mutant(
        "a block casts to the type of the caller's autocast",
        AUTOCAST,
        "dtype = block.dtype if block.enabled else None",
        "dtype = None",
        LEAF,
    ),
    Mutant(
        "a block is on, whatever it said",
        AUTOCAST,
        "with torch.autocast(kind, dtype, block.enabled):",
        "with torch.autocast(kind, dtype):",
        f"{EACH}[full-linear]",
    ),
    Mutant(
        "a device without autocast is asked for it",
        AUTOCAST,
        'if kind == "meta" or not (always',
        "if not (always",
        ELSEWHERE,
    ),
    Mutant(
        "of nested blocks the outermost counts",
        AUTOCAST,
        "{block.device: block for block in blocks}",
        "{block.device: block for block in reversed(blocks)}",
        f"{TESTS}::test_any_nesting_within_an_autocast_is_the_module",
    ),
    Mutant(
        "a block for another device counts for the model's",
        AUTOCAST,
        "kind = block.device or device.type",
        "kind = device.type",
        f"{EACH}[elsewhere-linear]",
    ),
    Mutant(
        "calls of a moved model keep to blocks of the device of the capture",
        PROTECT,
        "(device or home(run.fx), *node.args)",
        "(home(run.fx), *node.args)",
        ELSEWHERE,
    ),
    Mutant(
        "a leaf runs in no block",
        PROTECT,
        "        if blocks := origin(node).autocasts:\n            _call_within",
        "        if False and (blocks := origin(node).autocasts):\n            _call_within",
        LEAF,
    ),
    Mutant(
        "a block for the device of the model stays with the device of the capture",
        "compiler/capture/plain.py",
        'replace(one, device="") if here and one.device == here.type else one',
        "one",
        ELSEWHERE,
    ),
]
