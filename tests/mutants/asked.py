"""Seeded bugs of what a model asks torch for, of seeds that it sets, and of draws that become numbers."""

from mutant import Mutant

BRANCHES = "compiler/capture/branches.py"
DIFFERENCES = "compiler/capture/differences.py"
FIDELITY = "compiler/capture/fidelity.py"
QUESTIONS = "compiler/capture/questions.py"
SEEDING = "compiler/capture/seeding.py"
ANEW = "tests/test_branches.py::test_each_forward_decides_anew"
ASKED = "tests/test_asked.py"
SEEDS = "tests/test_witness.py::test_seeds_are_seen_with_their_line"

MUTANTS: list[Mutant] = [
    Mutant(
        "a number that is drawn has the precision of its tensor",
        BRANCHES,
        "return scalar.double() if one.is_floating_point() else scalar",
        "return scalar.half() if one.is_floating_point() else scalar",
        f"{ANEW}[scaled_by_a_number]",
    ),
    Mutant(
        "a number that is drawn counts as any value",
        BRANCHES,
        'function, name = _as_number, "squeeze"',
        "function = _as_number",
        f"{ANEW}[clamped_by_a_number]",
    ),
    Mutant(
        "a number that leaves torch counts as any value",
        BRANCHES,
        "if name in _NUMBERS and",
        "if not name and",
        "tests/test_branch_refusals.py::test_a_draw_that_becomes_a_number_is_told_from_other_values",
    ),
    Mutant(
        "a seed of the user's is one of torch's",
        QUESTIONS,
        "return is_user(frame.f_code.co_filename)",
        "return False",
        f"{SEEDS}[seeded-torch.manual_seed]",
    ),
    Mutant(
        "a fork of the random numbers is torch's",
        QUESTIONS,
        "_BETWEEN = (torch.random.__file__, contextlib.__file__)",
        "_BETWEEN = (contextlib.__file__,)",
        f"{SEEDS}[forked-torch.set_rng_state]",
    ),
    Mutant(
        "a generator that moves unheard goes unseen",
        SEEDING,
        "if not found and not torch.equal(before, torch.get_rng_state()):",
        "if False:",
        f"{SEEDS}[by_the_generator-]",
    ),
    Mutant(
        "training is compared with gradients alone",
        FIDELITY,
        'return f"{name}{UNRECORDED}" if name else',
        'return f"{name}{UNRECORDED}" if False else',
        f"{ASKED}::test_a_branch_on_what_torch_is_asked",
    ),
    Mutant(
        "questions are asked in the mode of the moment",
        DIFFERENCES,
        'with in_mode(model, not name.startswith("eval")):',
        "with in_mode(model, True):",
        f"{ASKED}::test_a_branch_on_what_torch_is_asked",
    ),
    Mutant(
        "gradients of the inputs are not asked for",
        "compiler/capture/example.py",
        "(self._tracked() if tracked else self)",
        "self",
        f"{ASKED}::test_a_branch_on_gradients_of_an_input",
    ),
    Mutant(
        "a question for autocast is not told",
        QUESTIONS,
        "if is_asked_by_user() and not _within_autocast():",
        "if False:",
        f"{ASKED}::test_a_question_for_autocast_is_told_where_the_answer_is_another",
    ),
    Mutant(
        "a block of the model's own does not answer",
        QUESTIONS,
        "return depth > 0",
        "return False",
        f"{ASKED}::test_a_block_of_autocast_answers_for_good",
    ),
    Mutant(
        "a derivative within the model is tried",
        "compiler/capture/export.py",
        "raise InnerDerivative",
        "yield 1",
        "tests/test_refusals.py::test_a_derivative_within_the_model[gradient]",
    ),
]
