/* libFuzzer: the decoder on any bytes. Its memory is taken once, and poisoned but for what it asked for: fast, and as
 * strict as a block of its own. To begin a stripe takes as long as it has estimates: those of many are one in eight.
 * `fuzz.sh` beside it builds it. */
#include "cm.c"

#include <sanitizer/asan_interface.h>
#include <string.h>

enum { HEAD = 7, MEMORY = 1 << 13, FEW = 1 << 11, COLUMNS = 9 * 3 };
static uint32_t memory[MEMORY];
static cm_int held[3][COLUMNS];

int LLVMFuzzerInitialize(int *count, char ***given)
{
    (void)count;
    (void)given;
#ifdef CM_TABLES
    cm_tables();
#endif
    ASAN_POISON_MEMORY_REGION(memory, sizeof memory);
    ASAN_POISON_MEMORY_REGION(held, sizeof held);
    return 0;
}

/* What follows the first columns of each row is poisoned while the rows are decoded. */
static void decode(const cm_grid *grid, uint32_t rows, int level, const uint8_t *settings, const uint8_t *data, size_t size)
{
    const size_t row_size = grid->columns * sizeof(cm_int);
    cm_state s;
    uint32_t row;
    for (row = 0; row < 3; row++) {
        ASAN_UNPOISON_MEMORY_REGION(held[row], row_size);
        memset(held[row], 0, row_size);
    }
    if (cm_begin(&s, level, settings, grid, memory, data, size)) {
        for (row = 0; row < rows; row++) cm_row(&s, held[(row + 2) % 3], held[(row + 1) % 3], held[row % 3]);
        (void)cm_end(&s);
    }
    ASAN_POISON_MEMORY_REGION(held, sizeof held);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int levels[5] = {CM_LITE, CM_MAX, CM_OLDER_LITE, CM_OLDER_MAX, 5};
    uint8_t settings[3];
    cm_grid grid;
    size_t words, most;
    int level;
    if (size < HEAD) return 0;
    memcpy(settings, data, sizeof settings);
    level = levels[data[3] % 5];
    grid.kernel = data[4] % 10;
    grid.line = data[5] % 10;
    grid.columns = grid.kernel ? grid.kernel * (1 + data[6] % 3) : 1 + data[6] % 12;
    most = data[6] / 3 % 8 ? FEW : MEMORY;
    while ((words = cm_words(level, settings, grid.columns, grid.kernel)) > most) settings[1] /= 2;
    if (!words) return 0;
    ASAN_UNPOISON_MEMORY_REGION(memory, words * sizeof *memory);
    decode(&grid, 1 + data[3] / 5 % 3, level, settings, data + HEAD, size - HEAD); /* libFuzzer's block ends where data does */
    ASAN_POISON_MEMORY_REGION(memory, words * sizeof *memory);
    return 0;
}
