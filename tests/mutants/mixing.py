"""Seeded bugs in the context mixer, in Python and in C, each with the test that must catch it."""

from mutant import Mutant

MODEL, CODER = "backends/mixing/model.py", "backends/mixing/arithmetic.py"
DECISIONS, NATIVE_C = "backends/mixing/decisions.py", "backends/mixing/native/cm.c"
CODING_H, MODEL_H = "backends/mixing/native/cm_coding.h", "backends/mixing/native/cm_model.h"
RANS_C = "backends/mixing/native/rans.c"
LAWS, MIXING, NATIVE = "tests/test_codec_laws.py", "tests/test_mixing.py", "tests/test_native.py"
BOTH_WRITE = f"{NATIVE}::test_both_forms_write_the_same_bytes"
BOTH_READ = f"{NATIVE}::test_both_forms_read_any_bytes_alike"
ALONE = f"{NATIVE}::test_the_decoder_alone_is_strict_c99_and_reads_what_python_wrote"

RANS = f"{NATIVE}::test_rans_alone_is_strict_c99_and_reads_what_python_wrote"

MUTANTS: list[Mutant] = [
    Mutant("carry lost", CODER, "            self._out[at] += 1", "            pass", BOTH_WRITE),
    Mutant(
        "flush drops a byte that counts",
        CODER,
        "return whole if whole < width else -low & _BYTE - 1",
        "return whole",
        BOTH_WRITE,
    ),
    Mutant(
        "leftover bytes pass",
        CODER,
        'if len(self._data) > self._at or self._data.endswith(b"\\0"):',
        'if self._data.endswith(b"\\0"):',
        f"{MIXING}::test_bytes_behind_the_last_are_not_an_encoders",
    ),
    Mutant(
        "trailing zeros pass",
        CODER,
        ' or self._data.endswith(b"\\0"):',
        ":",
        BOTH_READ,
    ),
    Mutant("row above ignored", MODEL, "min(abs(spot.a), 3), min(abs(spot.up), 3)", "min(abs(spot.a), 3), 0", ALONE),
    Mutant(
        "weights unbounded",
        DECISIONS,
        "CLAMP = 2**18",
        "CLAMP = 2**30",
        f"{MIXING}::test_a_weight_never_leaves_its_bounds",
    ),
    Mutant(
        "columns forgotten",
        MODEL,
        "        self.seen[index] = seen + (seen < MEMORY)",
        "        self.seen[index] = seen",
        ALONE,
    ),
    Mutant(
        "weights learn backwards",
        DECISIONS,
        "error = ((bit << 16) - bit - p) * self._pace(weights) >> 8",
        "error = -((bit << 16) - bit - p) * self._pace(weights) >> 8",
        BOTH_WRITE,
    ),
    Mutant(
        "third bits share an estimate",
        DECISIONS,
        "self._estimated(self._thirds + extra, bit, self._memory)",
        "self._estimated(self._thirds, bit, self._memory)",
        ALONE,
    ),
    Mutant(
        "kernel is the whole channel",
        "backends/mixing/settings.py",
        "1, math.prod(shape[2:])",
        "1, math.prod(shape[1:])",
        f"{MIXING}::test_a_shape_is_rows_of_channels",
    ),
    Mutant(
        "one stripe too few",
        "backends/mixing/settings.py",
        "count = min(-(-self.rows * self.columns // STRIPE), self.rows)",
        "count = max(self.rows * self.columns // STRIPE, 1)",
        f"{MIXING}::test_a_large_tensor_is_cut_into_even_runs_of_rows",
    ),
    Mutant(
        "a settings byte unchecked",
        "backends/mixing/settings.py",
        "if flags > 127 or not 1 <= most",
        "if not 1 <= most",
        f"{MIXING}::test_settings_that_are_not_legal_are_an_error",
    ),
    Mutant(
        "search keeps what is worse",
        "backends/mixing/search.py",
        "if (size := cost(tried)) >= least:",
        "if (size := cost(tried)) < least:",
        f"{MIXING}::test_the_settings_found_are_better_than_those_to_begin_with",
    ),
    Mutant(
        "values too wide are written",
        "backends/mixing/stream.py",
        ".bit_length() > BITS or",
        ".bit_length() > BITS + 9 or",
        f"{LAWS}::test_edges_come_back",
    ),
    Mutant(
        "cm_max reuses a number",
        "backends/codecs/cm_max.py",
        "codec(6,",
        "codec(7,",
        f"{LAWS}::test_numbers_never_change",
    ),
    Mutant(
        "C: rows two above",
        MODEL_H,
        "at->by[ONE] = at->by[THREE] = (int32_t)up2[c];",
        "at->by[ONE] = at->by[THREE] = 0;",
        ALONE,
    ),
    Mutant("C: energy of a column", MODEL_H, "(seen < most)", "(seen < most - 1)", ALONE),
    Mutant(
        "C: a sign knows no line of the kernel",
        MODEL_H,
        "clamp(at->by[i], 1023)",
        "clamp(at->by[i + (i == OVER)], 1023)",
        ALONE,
    ),
    Mutant("C: rounding of a weight", CODING_H, "inputs[i] * error + 8192", "inputs[i] * error + 8191", ALONE),
    Mutant("a row remembers the one before", MODEL, "        self._anew()\n", "", ALONE),
    Mutant("weights never slow down", MODEL, "weights[-1] = min(seen + 1, _SEEN)", "weights[-1] = 0", ALONE),
    Mutant("a line of the kernel as long as the kernel", MODEL, ">= grid.line", ">= grid.kernel", ALONE),
    Mutant("C: channels are not heard", MODEL_H, "hear(s->channels + at->channel, loud, 250);", ";", ALONE),
    Mutant(
        "what is no longer written is",
        "backends/codec.py",
        "names_by_code().values() if codecs()[name].written]",
        "names_by_code().values()]",
        "tests/test_codec_laws.py::test_what_is_only_read_is_not_written",
    ),
    Mutant("C: rans takes a word too late", RANS_C, "(uint64_t)(x < LOW);", "(uint64_t)(x <= LOW);", RANS),
    Mutant("C: rans ends anywhere", RANS_C, "return s->whole && s->words == s->end;", "return s->whole;", RANS),
    Mutant(
        "C: rans goes on without words", RANS_C, "if (x < LOW) s->whole = 0, x = LOW;", "if (x < LOW) x = LOW;", RANS
    ),
    Mutant("C: rans takes integers that do not fit", RANS_C, "return held == x;", "return 1 + 0 * held;", RANS),
    Mutant(
        "C: rans searches one symbol too far",
        RANS_C,
        "if ((s->table[middle] & 0xFFFF) <= slot) low",
        "if ((s->table[middle] & 0xFFFF) < slot) low",
        RANS,
    ),
    Mutant(
        "other sources are told of each time",
        "backends/mixing/form.py",
        "@functools.cache\ndef _warn_of_other_sources",
        "def _warn_of_other_sources",
        f"{MIXING}::test_an_extension_of_other_sources_is_told_once",
    ),
    Mutant(
        "threads begin for a few integers",
        "backends/mixing/form.py",
        "FEW = 2**13",
        "FEW = 0",
        f"{MIXING}::test_threads_begin_where_there_is_work_for_them",
    ),
    Mutant(
        "all results are waited for",
        "backends/mixing/form.py",
        "yield from pool.map(task, range(len(sizes)))",
        "yield from list(pool.map(task, range(len(sizes))))",
        f"{MIXING}::test_results_come_in_order_and_before_those_behind_them_are_there",
    ),
    Mutant("C: trailing zeros pass", NATIVE_C, "if (s->size > s->at || ", "if (0 && ", ALONE),
    Mutant("C: two channels back is one", MODEL_H, "back(row, c, 2 * kernel)", "back(row, c, kernel)", ALONE),
    Mutant("C: the neighbours weigh alike", MODEL_H, "2 << 2 * UP", "1 << 2 * UP", ALONE),
    Mutant("C: a stripe ends a byte late", NATIVE_C, "s->at -= 4;", "s->at -= 3;", ALONE),
    Mutant(
        "C: settings too wide for int8",
        "backends/mixing/native/cm.c",
        "(8 * sizeof(cm_int) > WIDEST ? WIDEST : 8 * sizeof(cm_int) - 1)",
        "WIDEST",
        f"{NATIVE}::test_the_decoder_refuses_integers_that_do_not_fit",
    ),
]
