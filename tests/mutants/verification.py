"""Seeded bugs of the comparison node by node."""

from mutant import Mutant

LAWS = "tests/test_verification.py"
FED, FIGURES, REPORT = (f"backends/verification/{name}.py" for name in ("runs", "figures", "report"))
BAD = f"{LAWS}::test_the_first_bad_node_is_the_one_that_is_lowered_wrongly"
SUMS = f"{LAWS}::test_figures_of_two_batches_are_those_of_one"

MUTANTS: list[Mutant] = [
    Mutant(
        "nodes are fed their own integers, not the program's",
        FED,
        "pair.real(self._integers[n.name].reshape(found.shape).to(found.device))",
        "pair.real(found)",
        BAD,
    ),
    Mutant(
        "every node is found good, being compared with itself",
        FED,
        "self.seen[n.name] = found.cpu()",
        "self.seen[n.name] = self._integers[n.name].reshape(found.shape)",
        BAD,
    ),
    Mutant(
        "what is fed is a zero point off",
        "backends/verification/pairs.py",
        "(integers.double() - self.zero) * self.scale",
        "(integers.double() - self.zero + 1) * self.scale",
        f"{LAWS}::test_the_contract_is_kept",
    ),
    Mutant(
        "corrections stay in the float model",
        FED,
        "torch.zeros_like(graph.tensor(node))",
        "torch.ones_like(graph.tensor(node))",
        f"{LAWS}::test_error_is_that_of_the_program_beside_the_model_without_rounding",
    ),
    Mutant(
        "the model's own corrections are lost",
        FED,
        "zeros = {str(node.target): torch.zeros_like(graph.tensor(node)) for node in corrections(graph).values()}",
        "zeros = {str(node.target): graph.tensor(node).zero_() for node in corrections(graph).values()}",
        f"{LAWS}::test_neither_model_nor_samples_are_changed",
    ),
    Mutant(
        "end to end is fed, too",
        "backends/verification/verify.py",
        "whole, negative = Codes.of(self._on_grids.seen[name], q),",
        "whole, negative = codes,",
        BAD,
    ),
    Mutant("the last batch alone counts", FIGURES, "self.different + other.different", "other.different", SUMS),
    Mutant("the largest of the last batch", FIGURES, "max(self.largest, other.largest)\n", "other.largest\n", SUMS),
    Mutant(
        "noise in bels",
        FIGURES,
        "10 * math.log10",
        "math.log10",
        f"{LAWS}::test_error_is_that_of_the_program_beside_the_model_without_rounding",
    ),
    Mutant(
        "a code may be off by anything",
        REPORT,
        "self.fed.largest <= contract.distance and",
        "True and",
        f"{LAWS}::test_a_node_may_differ_as_chance_has_it",
    ),
    Mutant(
        "votes are not counted",
        REPORT,
        "if self.prepared.count and",
        "if not self.prepared.count and",
        f"{LAWS}::test_the_contract_counts_all_codes_and_all_votes",
    ),
    Mutant(
        "the shipped program is not looked at",
        "api.py",
        "shipped = beside.program if same else whole",
        "shipped = beside.program",
        f"{LAWS}::test_a_pass_that_does_not_only_move_units_is_found",
    ),
    Mutant(
        "with powers of two codes may differ",
        "backends/verification/verify.py",
        "if paired.powers_of_two else contract",
        "if not paired.pairs else contract",
        f"{LAWS}::test_with_powers_of_two_not_one_code_differs",
    ),
    Mutant(
        "a bias is rounded to the nearest though scales are powers of two",
        "backends/lowering/rules/grid.py",
        "(0 if exact else 0.5)",
        "0.5",
        f"{LAWS}::test_with_powers_of_two_not_one_code_differs",
    ),
    Mutant(
        "the exit code is always 0",
        "cli/commands/verify.py",
        "return 0 if found.holds else 1",
        "return 0",
        "tests/cli/test_verify.py::test_the_exit_code_is_1_where_codes_differ",
    ),
]
