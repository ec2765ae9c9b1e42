/* Decoder of rANS in `.lowbit` files, codec 2: C99, integers only, no heap, as many integers at a time as wanted.
 *
 *     rans_state state;
 *     uint64_t memory[...];                                  at least rans_words(data, size) of them
 *     if (!rans_begin(&state, memory, data, size)) refuse the file
 *     rans_take(&state, row, columns)                        until all integers of the tensor are there
 *     if (!rans_end(&state)) refuse the file
 *
 * Any bytes decode to something, in bounds; rans_end knows whether they were those that an encoder writes.
 */
#ifndef LOWBIT_RANS_H
#define LOWBIT_RANS_H

#include <stddef.h>
#include <stdint.h>

#ifndef CM_INT
#define CM_INT int32_t /* what a row is made of; int8_t holds weights of up to 8 bits */
#endif
typedef CM_INT rans_int;

#ifndef RANS_SLOTS
#define RANS_SLOTS 1 /* 0: a search among the symbols in place of a table of 2^precision slots, in less memory */
#endif

typedef struct {
    const uint8_t *words, *end;
    uint64_t *states, *table; /* of a slot or a symbol: 16 bits each of place, frequency less 1, distance to the least */
    uint32_t precision, symbols, lanes, lane;
    int64_t least;
    int whole; /* no word was missing so far */
} rans_state;

/* Words of memory that a stream needs; 0 if its first bytes are not legal. */
size_t rans_words(const uint8_t *data, size_t size);

/* Begin a stream. `memory` must live until rans_end. Returns 0 if the table or the states are not legal. */
int rans_begin(rans_state *s, uint64_t *memory, const uint8_t *data, size_t size);

/* Decode the next `count` integers. */
void rans_take(rans_state *s, rans_int *out, size_t count);

/* Whether the lanes end as they should, with every word read. */
int rans_end(const rans_state *s);

#endif
