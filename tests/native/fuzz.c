/* libFuzzer: the decoder on any bytes, with memory of exactly the size that it asks for. `fuzz.sh` beside it builds it. */
#include "cm.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD = 7 };

static void rows(cm_state *s, const cm_grid *grid, uint32_t count)
{
    cm_int *held[3];
    uint32_t row, i;
    for (i = 0; i < 3; i++) held[i] = calloc(grid->columns, sizeof(cm_int));
    for (row = 0; row < count; row++) cm_row(s, held[(row + 2) % 3], held[(row + 1) % 3], held[row % 3]);
    for (i = 0; i < 3; i++) free(held[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int levels[5] = {CM_LITE, CM_MAX, CM_OLDER_LITE, CM_OLDER_MAX, 5};
    cm_state state;
    cm_grid grid;
    size_t words;
    uint32_t *memory;
    uint8_t *stripe;
    int level;
    if (size < HEAD) return 0;
    level = levels[data[3] % 5];
    grid.kernel = data[4] % 10;
    grid.line = data[5] % 10;
    grid.columns = grid.kernel ? grid.kernel * (1 + data[6] % 12) : 1 + data[6] % 12;
    words = cm_words(level, data, grid.columns, grid.kernel);
    if (!words) return 0;
    memory = malloc(words * sizeof *memory);
    stripe = malloc(size - HEAD + 1); /* its own block, so that a byte too far is seen */
    memcpy(stripe, data + HEAD, size - HEAD);
    if (cm_begin(&state, level, data, &grid, memory, stripe, size - HEAD)) {
        rows(&state, &grid, 1 + data[3] / 5 % 8);
        (void)cm_end(&state);
    }
    free(stripe);
    free(memory);
    return 0;
}
