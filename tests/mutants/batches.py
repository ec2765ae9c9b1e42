"""Seeded bugs of what runs batches in compiled C."""

from mutant import Mutant

BATCHES = "tests/test_c99_batches.py"

MUTANTS: list[Mutant] = [
    Mutant(
        "real numbers are cut towards zero",
        "backends/c99/batches.py",
        "(whole - (t < (float)whole) + zero)",
        "(whole + zero)",
        f"{BATCHES}::test_real_ends_are_those_of_a_compiled_program",
    ),
    Mutant(
        "steps are multiplied by what float32 makes of one over the scale",
        "backends/c99/batches.py",
        "float t = x[i] / step;",
        "float t = x[i] * (1.0f / step);",
        f"{BATCHES}::test_real_ends_are_those_of_a_compiled_program",
    ),
    Mutant(
        "infinity is kept to the end of the grid",
        "backends/c99/batches.py",
        "odd |= !(x[i] - x[i] == 0.0f);",
        "odd |= x[i] != x[i];",
        f"{BATCHES}::test_what_is_refused_is_left_to_where_it_is_named",
    ),
    Mutant(
        "threads share one arena",
        "backends/c99/text.py",
        "static __thread union {",
        "static union {",
        f"{BATCHES}::test_many_may_call_at_once",
    ),
    Mutant(
        "threads share the pointers to constants",
        "backends/c99/text.py",
        'f"static __thread {_pointer(tables[each])}',
        'f"static {_pointer(tables[each])}',
        f"{BATCHES}::test_programs_of_the_same_c_keep_their_own_constants",
    ),
    Mutant(
        "each thread computes the first samples",
        "backends/c99/host.py",
        "at + first * array.strides[0]",
        "at + 0 * array.strides[0]",
        f"{BATCHES}::test_threads_compute_what_one_does",
    ),
    Mutant(
        "a forked process waits for threads that it does not have",
        "compiler/threads.py",
        "_pool(os.getpid())",
        "_pool(0)",
        f"{BATCHES}::test_a_forked_process_makes_threads_of_its_own",
    ),
]
