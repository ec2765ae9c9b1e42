"""Seeded bugs of equalization, absorption and correction of biases, of post-training recipes and of limits."""

from mutant import Mutant

LAW = "tests/test_pass_laws.py::test_law"
TEST = "tests/test_equalize.py"
EQUALIZE, ABSORB, CORRECT = "passes/equalize.py", "passes/absorb_bias.py", "passes/correct_bias.py"
BALANCE = "compiler/balance.py"
CHAINS, CORRECTION, GRID = "compiler/chains.py", "compiler/correction.py", "backends/lowering/rules/grid.py"

MUTANTS: list[Mutant] = [
    Mutant("a bias is not scaled", EQUALIZE, "(bias * outputs)", "(bias * 1)", f"{LAW}[meaning-equalize]"),
    Mutant(
        "a limit stays where it was",
        EQUALIZE,
        "(factor * before)",
        "(torch.ones_like(factor) * before)",
        f"{LAW}[meaning-equalize]",
    ),
    Mutant(
        "the next layer is scaled the same way",
        EQUALIZE,
        "scaled / along",
        "scaled * along",
        f"{LAW}[meaning-equalize]",
    ),
    Mutant("one sweep is taken for all", BALANCE, "for _ in range(rounds)", "for _ in range(1)", TEST),
    Mutant("a range is moved the whole way", BALANCE, "theirs / ours, 1.0).sqrt()", "theirs / ours, 1.0)", TEST),
    Mutant(
        "a channel without weights keeps what reads it",
        BALANCE,
        "torch.where(pair.theirs & ~pair.ours, down, ratio)",
        "ratio",
        TEST,
    ),
    Mutant(
        "a constant grows without end",
        BALANCE,
        "room = torch.where(constant > 0,",
        "room = torch.where(constant > 1e9,",
        TEST,
    ),
    Mutant(
        "a shared weight is scaled",
        EQUALIZE,
        'return shared(graph, node, "weight", "bias") or shared(graph, found.second, "weight") or found',
        "return found",
        "tests/test_pass_laws.py::test_refuses[equalize]",
    ),
    Mutant(
        "other readers are forgotten",
        CHAINS,
        "if len(node.users) != 1:",
        "if not node.users:",
        f"{LAW}[meaning-equalize]",
    ),
    Mutant(
        "a flatten mixes channels",
        CHAINS,
        "return Lay(axis, span // block)",
        "return Lay(axis)",
        f"{LAW}[meaning-equalize]",
    ),
    Mutant(
        "a limit goes unseen",
        CHAINS,
        "node.target in CLIPS or node.target is BOUND",
        "False",
        f"{LAW}[meaning-equalize]",
    ),
    Mutant(
        "what is absorbed is not given to the next layer",
        ABSORB,
        "moved = per_output(",
        "moved = 0 * per_output(",
        f"{LAW}[meaning-absorb_bias]",
    ),
    Mutant(
        "a limit does not move along", ABSORB, "room = limit - ", "room = limit + 0 * ", f"{LAW}[meaning-absorb_bias]"
    ),
    Mutant(
        "a padded border is forgotten",
        ABSORB,
        "or _pads(chain.second):",
        "or False:",
        "tests/test_pass_laws.py::test_refuses[absorb_bias]",
    ),
    Mutant(
        "more is absorbed than a limit lets through",
        ABSORB,
        "c = c.clamp_max(limit)",
        "pass",
        f"{LAW}[meaning-absorb_bias]",
    ),
    Mutant("a norm of the batch gives away", ABSORB, 'if arguments(norm)["training"]:', "if False:", TEST),
    Mutant("deviations are forgotten", ABSORB, "(beta - deviations * gamma.abs())", "(beta - gamma.abs())", TEST),
    Mutant("a correction is put in twice", CORRECT, "_once, _plain", "_plain", f"{LAW}[idempotent-correct_bias]"),
    Mutant("a correction begins at one", CORRECT, "torch.zeros(", "torch.ones(", f"{LAW}[meaning-correct_bias]"),
    Mutant(
        "a correction behind a norm",
        CORRECT,
        "_once, _plain",
        "_once",
        "tests/test_pass_laws.py::test_refuses[correct_bias]",
    ),
    Mutant(
        "a correction behind a simulated fold",
        CORRECT,
        "norms or _simulates_fold(match.root)",
        "norms",
        "tests/test_pass_laws.py::test_refuses[correct_bias]",
    ),
    Mutant("a correction has the wrong sign", CORRECTION, "buffer.copy_(sums", "buffer.copy_(-sums", TEST),
    Mutant(
        "layers behind see no correction", CORRECTION, "return y + difference.to", "return y + 0 * difference.to", TEST
    ),
    Mutant("scales see the old corrections", "compiler/calibrate.py", "    clear(derived)\n", "", TEST),
    Mutant("integers know no limit", GRID, "if tops.min() == tops.max():", "if True:", TEST),
    Mutant("limits of integers are cut below", GRID, "lo=min(0, node.builder[below].range.lo)", "lo=0", TEST),
    Mutant(
        "a post-training recipe begins in train mode",
        "compiler/recipe.py",
        "evaluated(captured) if self.post_training else captured",
        "captured",
        "tests/test_post_training.py",
    ),
]
