/* What a microcontroller would do: the decoder of rANS alone, memory that is static. Writes the integers as text.
 *
 * decode_rans COUNT < stream; exits with 2 for a stream that it refuses.
 */
#include "rans.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t memory[1 << 17];
static uint8_t data[1 << 20];

int main(int count, char **given)
{
    rans_int row[7];
    rans_state state;
    size_t size = fread(data, 1, sizeof data, stdin), left = count == 2 ? (size_t)atol(given[1]) : 0, i;
    if (!rans_words(data, size) || rans_words(data, size) > sizeof memory / sizeof *memory) return 2;
    if (!rans_begin(&state, memory, data, size)) return 2;
    while (left) {
        const size_t some = left < 7 ? left : 7;
        rans_take(&state, row, some);
        for (i = 0; i < some; i++) printf("%ld ", (long)row[i]);
        left -= some;
    }
    return rans_end(&state) ? 0 : 2;
}
