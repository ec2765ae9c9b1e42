/* libFuzzer: the decoder of rANS on any bytes, in memory that is poisoned but for what it asked for; see fuzz.c. The first
 * byte says how many integers there are. Tables of many slots take most of the time and show little: one count in sixteen. */
#include "rans.c"

#include <sanitizer/asan_interface.h>

enum { MEMORY = 1 << 17, FEW = 1 << 11, MOST = 256 };
static uint64_t memory[MEMORY];
static rans_int held[MOST];

int LLVMFuzzerInitialize(int *count, char ***given)
{
    (void)count;
    (void)given;
    ASAN_POISON_MEMORY_REGION(memory, sizeof memory);
    ASAN_POISON_MEMORY_REGION(held, sizeof held);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rans_state s;
    size_t words, count;
    if (size < 1) return 0;
    count = data[0];
    words = rans_words(data + 1, size - 1);
    if (!words || words > (count % 16 ? FEW : MEMORY)) return 0;
    ASAN_UNPOISON_MEMORY_REGION(memory, words * sizeof *memory);
    ASAN_UNPOISON_MEMORY_REGION(held, count * sizeof *held);
    if (rans_begin(&s, memory, data + 1, size - 1)) {
        rans_take(&s, held, count / 2);
        rans_take(&s, held + count / 2, count - count / 2);
        (void)rans_end(&s);
    }
    ASAN_POISON_MEMORY_REGION(memory, words * sizeof *memory);
    ASAN_POISON_MEMORY_REGION(held, sizeof held);
    return 0;
}
