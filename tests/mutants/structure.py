"""Seeded bugs of the numbers of a program in its file, and of how they are read."""

from mutant import Mutant

NUMBERS, READER = "backends/blob/numbers.py", "backends/blob/reader.py"
BLOB, DAMAGE = "tests/test_blob.py", "tests/test_blob_damage.py"
BYTES = f"{BLOB}::test_bytes_of_version_2_never_change"

MUTANTS: list[Mutant] = [
    Mutant("estimates never learn", NUMBERS, "seen + (seen < MEMORY)", "seen", BYTES),
    Mutant(
        "all places are one",
        NUMBERS,
        "self._estimates.setdefault(place, {})",
        "self._estimates.setdefault(0, {})",
        BYTES,
    ),
    Mutant(
        "the longest number is cut",
        NUMBERS,
        "MEMORY, LONGEST, TOP = 60, 64, 2",
        "MEMORY, LONGEST, TOP = 60, 63, 2",
        f"{BLOB}::test_numbers_of_any_length_come_back",
    ),
    Mutant(
        "a structure may be longer than its numbers",
        NUMBERS,
        "if not self._decoder.finished():",
        "if False:",
        f"{DAMAGE}::test_a_structure_ends_where_its_numbers_do",
    ),
    Mutant(
        "numbers without end",
        NUMBERS,
        "if self.left < 0:",
        "if False:",
        f"{DAMAGE}::test_a_structure_has_no_more_numbers_than_bytes_can_tell",
    ),
    Mutant(
        "bounds are not held",
        NUMBERS,
        "        if value > most:\n",
        "        if False:\n",
        f"{DAMAGE}::test_hostile_structures_are_named",
    ),
    Mutant(
        "version 1 is forgotten",
        READER,
        "if version == 1:",
        "if version == 0:",
        f"{BLOB}::test_version_1_is_read_for_ever",
    ),
    Mutant(
        "bytes behind the streams",
        READER,
        "        self._streams.finish()\n",
        "",
        f"{DAMAGE}::test_bytes_after_the_end_are_an_error",
    ),
]
