"""Seeded bugs of what capture does to a plain graph: in-place calls made pure, constants folded."""

from mutant import Mutant

PURE = "compiler/capture/pure.py"
IN_PLACE = "compiler/capture/in_place.py"
FOLDING = "compiler/capture/folding.py"
USUAL = "tests/test_in_place.py::test_the_usual_forms_become_pure"
KEPT = "tests/test_in_place.py::test_what_others_see_or_nobody_can_tell_is_kept"

MUTANTS: list[Mutant] = [
    Mutant(
        "gradients that a copy cuts off are lost",
        PURE,
        "return None if loses_gradients else _copied",
        "return _copied",
        KEPT,
    ),
    Mutant(
        "in-place calls with another gradient become pure",
        PURE,
        "if name in _OTHER_GRADIENT or (random",
        "if (random",
        KEPT,
    ),
    Mutant(
        "random in-place calls become pure",
        PURE,
        "(random and name not in _SAME_DRAWS)",
        "False",
        KEPT,
    ),
    Mutant(
        "a pure call promotes the type",
        PURE,
        'return new if new.meta["val"].dtype == before.dtype else',
        "return new if True else",
        USUAL,
    ),
    Mutant(
        "views are not taken again",
        IN_PLACE,
        "if self.seen[tensor] != group.epoch:",
        "if False:",
        USUAL,
    ),
    Mutant(
        "a written view leaves its whole as it was",
        IN_PLACE,
        "        if group.ahead:\n            self._settle(group)",
        "        if False:\n            self._settle(group)",
        USUAL,
    ),
    Mutant(
        "inputs are not seen changed",
        IN_PLACE,
        'if node.op in ("placeholder", "get_attr")}',
        'if node.op == "get_attr"}',
        KEPT,
    ),
    Mutant(
        "dropout is never its input",
        "compiler/aliases.py",
        "if shared or _name(node.target) in _MODES:",
        "if shared:",
        KEPT,
    ),
    Mutant(
        "a reshape is always a view",
        "compiler/aliases.py",
        "return not target._can_decompose() or",
        "return True or",
        KEPT,
    ),
    Mutant(
        "the last of several views starts at zero",
        "compiler/capture/unview.py",
        "for item in items[:index])",
        "for item in items[:0])",
        USUAL,
    ),
    Mutant(
        "persistent buffers are folded",
        FOLDING,
        "if node.target in graph.transient - graph.updates.keys() and",
        "if node.target in graph.state or",
        "tests/test_folding.py",
    ),
    Mutant(
        "changed buffers are folded",
        FOLDING,
        "if known.groups[node] in known.written or not",
        "if not",
        "tests/test_folding.py",
    ),
    Mutant(
        "random draws are folded",
        FOLDING,
        "and known and not must_stay(node)",
        "and known",
        "tests/test_folding.py",
    ),
    Mutant(
        "equal constants are kept twice",
        FOLDING,
        "if twin is not None and torch",
        "if twin is None and torch",
        "tests/test_folding.py",
    ),
    Mutant(
        "large constants are kept",
        FOLDING,
        " or (value.numel() > LARGE and value.numel() > behind)",
        "",
        "tests/test_folding.py",
    ),
    Mutant(
        "stochastic depth by rand and floor draws in eval mode",
        "compiler/modes.py",
        "(kept := _dropped_path(node)) is not None",
        "(kept := None) is not None",
        "tests/test_in_place.py::test_stochastic_depth_keeps_every_path_in_eval_mode",
    ),
]
