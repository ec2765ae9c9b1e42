"""Seeded bugs of the engine's parts: patterns, plug-ins, settings, and the laws themselves."""

from mutant import Mutant

PATTERNS, PLUGINS, SETTINGS = "tests/test_pattern_laws.py", "tests/test_plugins.py", "tests/test_settings.py"
LAWS, NETS, ENGINE = "tests/test_laws.py::test_a_law_can_fail", "tests/test_nets.py", "tests/test_engine.py"
OWN, TERMINATION = "testing/laws.py", "compiler/termination.py"

MUTANTS: list[Mutant] = [
    Mutant(
        "a name may stand for two nodes",
        "compiler/pattern/base.py",
        "!= value or self.by_name.get(pattern.name, value) != value",
        "!= value",
        PATTERNS,
    ),
    Mutant(
        "operands are never exchanged",
        "compiler/pattern/calls.py",
        "if self.commutes and",
        "if not self.commutes and",
        PATTERNS,
    ),
    Mutant(
        "a scaled sum commutes",
        "compiler/pattern/calls.py",
        ' and given.get("alpha", 1) == 1',
        "",
        PATTERNS,
    ),
    Mutant(
        "every element is some",
        "compiler/pattern/lists.py",
        "return fitting > 0",
        "return fitting == count",
        PATTERNS,
    ),
    Mutant(
        "what is absent never fits",
        "compiler/pattern/choices.py",
        "        if node is None:\n            yield found.bind(self, None)\n            return\n",
        "",
        PATTERNS,
    ),
    Mutant(
        "two passes of one name",
        "compiler/plugins.py",
        "if point.name in shipped or point.name in found:",
        "if point.name in shipped:",
        PLUGINS,
    ),
    Mutant(
        "anything is a pass",
        "compiler/plugins.py",
        "if not isinstance(found, Pass):",
        "if found is None:",
        PLUGINS,
    ),
    Mutant(
        "what is set holds for layers that say otherwise",
        "compiler/settings.py",
        "for key, value in wanted.items() if here.get(key) == for_all.get(key)",
        "for key, value in wanted.items()",
        SETTINGS,
    ),
    Mutant(
        "the options of a base are not told",
        "compiler/settings.py",
        "kind.__mro__[: -len(Options.__mro__)]",
        "kind.__mro__[:1]",
        SETTINGS,
    ),
    Mutant(
        "the law of purity looks at no tensor",
        OWN,
        "{name: digest(tensor) for name, tensor in given.state.items()})\n",
        "seen[1])\n",
        f"{LAWS}[pure_of_unread]",
    ),
    Mutant(
        "the exact law looks at outputs alone",
        OWN,
        'if name in new or name.startswith("output"):',
        'if name.startswith("output"):',
        f"{LAWS}[slope]",
    ),
    Mutant(
        "the close law looks at no gradient",
        OWN,
        'for kind in ("output", "gradient", "buffer"):',
        'for kind in ("output", "buffer"):',
        f"{LAWS}[trained]",
    ),
    Mutant(
        "a waiver waives for all",
        OWN,
        "assert found(name).costs or weight_bytes",
        "assert not found(name).costs or weight_bytes",
        f"{LAWS}[bytes_of_weights]",
    ),
    Mutant(
        "a waiver needs no reason",
        "testing/evidence.py",
        "assert not found(name).costs or next",
        "assert True or next",
        f"{LAWS}[needless]",
    ),
    Mutant(
        "provenance takes any place",
        OWN,
        "            assert (came.layer, came.source) in places\n",
        "",
        f"{LAWS}[provenance]",
    ),
    Mutant(
        "facts left are not owed", OWN, "for fact in (*found(name).leaves, *owed):", "for fact in ():", f"{LAWS}[order]"
    ),
    Mutant(
        "networks are kept as they were drawn",
        "testing/nets.py",
        "len(left[sketch] - seen))",
        "0)",
        f"{NETS}::test_the_networks_that_say_the_most_come_first",
    ),
    Mutant(
        "a graph that comes back is not known",
        TERMINATION,
        'lines.append(f"{node.op}',
        'lines.append(f"{node.name} {node.op}',
        f"{ENGINE}::test_rules_that_chase_each_other_are_stopped_and_named",
    ),
    Mutant(
        "sweeps end after twenty",
        TERMINATION,
        "if count > self.largest + FREE:",
        "if count > FREE:",
        f"{ENGINE}::test_a_rule_may_move_a_node_one_place_a_sweep",
    ),
    Mutant(
        "a refusal goes with its node",
        "compiler/engine.py",
        "if event.fired or event.node not in there]",
        "if event.fired]",
        "tests/test_engine.py::test_a_refusal_at_a_node_that_is_gone_stays_told",
    ),
    Mutant(
        "a refusal is told in every sweep",
        "compiler/engine.py",
        "if event.fired or event.node not in there]",
        "if event]",
        "tests/test_engine.py::test_a_refusal_at_a_node_that_is_gone_stays_told",
    ),
]
