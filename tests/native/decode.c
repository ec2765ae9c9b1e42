/* What a microcontroller would do: the decoder alone, memory that is static, row by row. Writes the integers as text.
 *
 * decode LEVEL SETTINGS0 SETTINGS1 SETTINGS2 ROWS COLUMNS KERNEL LINE < stripe; exits with 2 for a stripe that it refuses.
 */
#include "cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t memory[1 << 18];
static uint8_t data[1 << 16];
static cm_int rows[3][1 << 10];

int main(int count, char **given)
{
    uint8_t settings[3];
    uint32_t columns, kernel, row, column;
    cm_grid grid;
    size_t size = fread(data, 1, sizeof data, stdin);
    cm_state state;
    int i, level;
    if (count != 9) return 1;
    level = atoi(given[1]);
    for (i = 0; i < 3; i++) settings[i] = (uint8_t)atoi(given[2 + i]);
    columns = (uint32_t)atoi(given[6]);
    if (columns > sizeof rows[0] / sizeof rows[0][0]) return 1;
    kernel = (uint32_t)atoi(given[7]);
    if (!cm_words(level, settings, columns, kernel)) return 2;
    if (cm_words(level, settings, columns, kernel) > sizeof memory / sizeof *memory) return 2;
    grid.columns = columns;
    grid.kernel = kernel;
    grid.line = (uint32_t)atoi(given[8]);
    if (!cm_begin(&state, level, settings, &grid, memory, data, size)) return 2;
    for (row = 0; row < (uint32_t)atoi(given[5]); row++) {
        cm_int *here = rows[(row + 2) % 3];
        cm_row(&state, here, rows[(row + 1) % 3], rows[row % 3]);
        for (column = 0; column < columns; column++) printf("%ld ", (long)here[column]);
    }
    return cm_end(&state) ? 0 : 2;
}
