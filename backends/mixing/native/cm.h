/* Decoder of context mixing in `.lowbit` files, codecs 3 to 6: C99, integers only, no heap, one row at a time.
 *
 * A stream begins with three bytes of settings; docs/format.md tells what else stands before its stripes. For each stripe:
 *
 *     cm_state state;
 *     uint32_t memory[...];                                  at least cm_words(level, settings, columns, kernel) of them
 *     if (!cm_begin(&state, level, settings, &grid, memory, data, size)) refuse the file
 *     for each row: cm_row(&state, row, up, up2)             the two rows before it, or zeros
 *     if (!cm_end(&state)) refuse the file
 *
 * Any bytes decode to something, in bounds: that it is what was written, the checksums of the file tell.
 */
#ifndef LOWBIT_CM_H
#define LOWBIT_CM_H

#include <stddef.h>
#include <stdint.h>

#ifndef CM_INT
#define CM_INT int32_t /* what a row is made of; int8_t holds weights of up to 8 bits */
#endif
typedef CM_INT cm_int;

#ifndef CM_OLDER
#define CM_OLDER 1 /* 0 leaves out the codecs 3 and 4, which nothing writes any more */
#endif
#ifndef CM_LARGE
#define CM_LARGE 1 /* 0 leaves out the codec 6, which takes more memory than small processors have */
#endif

enum { CM_LITE = 3, CM_MAX = 6, CM_OLDER_LITE = 4, CM_OLDER_MAX = 7 }; /* of the codecs 5, 6, 3 and 4 */

/* A row's columns, fewer than 2^31; how many neighbours are one channel; and how many of those one line of a kernel of two
 * axes, or all. */
typedef struct {
    uint32_t columns, kernel, line;
} cm_grid;

typedef struct {
    const uint8_t *data; /* of the decoder: the stripe */
    uint8_t *out;        /* of the encoder: where it writes */
    size_t size, at;     /* bytes in either, and how far it is */
    uint32_t low, range, code;
    uint32_t *slots;     /* estimates: 22 bits of probability, 10 of how many bits they have seen */
    int32_t *weights;    /* of each node, then of the sign */
    uint32_t *columns, *channels, *places; /* of each 24 bits of mean magnitude, 8 of how often it was heard */
    cm_grid grid;
    uint32_t nodes, memory, energy, flag, zero, flags;
    int32_t rate, scale, level_octaves, most;
    int level;
} cm_state;

/* Words of memory that a stripe needs; 0 if the settings are not legal, or too wide for cm_int, or columns no multiple of kernel. */
size_t cm_words(int level, const uint8_t settings[3], uint32_t columns, uint32_t kernel);

/* Begin a stripe. `memory` must live until cm_end. Returns 0 if the settings are not legal. */
int cm_begin(cm_state *s, int level, const uint8_t settings[3], const cm_grid *grid, uint32_t *memory, const uint8_t *data,
             size_t size);

/* Decode one row. */
void cm_row(cm_state *s, cm_int *row, const cm_int *up, const cm_int *up2);

/* Whether the stripe's bytes are exactly those that an encoder writes for its rows. */
int cm_end(cm_state *s);

#endif
