"""Seeded bugs in the pass `rate` and its estimate, each with the test that must catch it."""

from mutant import Mutant

RATES, RATE, TESTS = "compiler/rates.py", "passes/rate.py", "tests/test_rate.py"
LAWS = "tests/test_pass_laws.py::test_law"

MUTANTS: list[Mutant] = [
    Mutant(
        "signs are free",
        RATES,
        "self.bits[self.contexts, sizes] + (sizes > 0)",
        "self.bits[self.contexts, sizes]",
        f"{TESTS}::test_the_estimate_is_near_what_the_coder_takes",
    ),
    Mutant(
        "every place is alike",
        RATES,
        "return torch.bucketize(levels, ends)",
        "return torch.bucketize(levels, ends) * 0",
        f"{TESTS}::test_the_estimate_is_near_what_the_coder_takes",
    ),
    Mutant(
        "what is dear is chosen",
        RATE,
        "torch.where(allowed & (worth > 0), other, nearest)",
        "torch.where(allowed & (worth < 0), other, nearest)",
        f"{TESTS}::test_the_dearer_a_bit_the_fewer_and_none_strays",
    ),
    Mutant(
        "any integer is near enough",
        RATE,
        "((steps - other).abs() <= reach) &",
        "((steps - other).abs() <= 1) &",
        f"{TESTS}::test_the_dearer_a_bit_the_fewer_and_none_strays",
    ),
    Mutant(
        "what is clipped is moved",
        RATE,
        "torch.where(inside, codes.to(w.dtype) * scale, w)",
        "codes.to(w.dtype) * scale",
        f"{TESTS}::test_what_is_clipped_stays_where_it_is",
    ),
    Mutant(
        "every layer is felt alike",
        RATE,
        "settings.price / share, settings.reach",
        "settings.price, settings.reach",
        f"{TESTS}::test_bits_are_saved_where_they_are_felt_less",
    ),
    Mutant(
        "a step is felt as its square root",
        "compiler/sensitivity.py",
        "(squares * steps**2).mean()",
        "(squares.sqrt() * steps).mean()",
        f"{TESTS}::test_what_counts_ten_times_is_felt_a_hundred_times",
    ),
    Mutant("grids change their steps", RATE, "along(graph.evaluate", "2 * along(graph.evaluate", LAWS),
]
