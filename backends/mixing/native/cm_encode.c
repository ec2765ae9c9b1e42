/* Encoder of context mixing: the decoder's model, with a writer of bits in place of its reader. */
#include "cm.h"

#define CM_ENCODER
static int cm_put(cm_state *s, uint32_t p, int bit);
#include "cm.c"

static void put_byte(cm_state *s)
{
    if (s->at < s->size) s->out[s->at] = (uint8_t)(s->low >> 24);
    s->at++;
    s->low <<= 8;
}

static void add(cm_state *s, uint32_t more)
{
    size_t at = s->at;
    s->low += more;
    if (s->low >= more) return;
    while (at-- > 0 && (at >= s->size || !++s->out[at])) {} /* the carry */
}

static int cm_put(cm_state *s, uint32_t p, int bit)
{
    uint32_t bound = (uint32_t)(((uint64_t)s->range * p) >> 16);
    if (bit) {
        s->range = bound;
    } else {
        add(s, bound);
        s->range -= bound;
    }
    while (s->range < 1u << 24) {
        put_byte(s);
        s->range <<= 8;
    }
    return bit;
}

/* Begin a stripe that is written to `out`; memory as for cm_begin. */
static int cm_begin_encoding(cm_state *s, int level, const uint8_t settings[3], const cm_grid *grid, uint32_t *memory,
                             uint8_t *out, size_t size)
{
    if (!cm_words(level, settings, grid->columns, grid->kernel) || !grid->line) return 0;
    cm_reset(s, level, settings, grid, memory);
    s->out = out;
    s->size = size;
    s->at = 0;
    s->low = 0;
    s->range = 0xFFFFFFFFu;
    return 1;
}

CM_CLONES static void cm_encode_row(cm_state *s, cm_int *row, const cm_int *up, const cm_int *up2)
{
    EACH_LEVEL(s, row, up, up2, 1);
}

/* The number of bytes; more than fit, if it is above `size`. */
static size_t cm_end_encoding(cm_state *s)
{
    int i;
    add(s, ending(s->low, s->range));
    for (i = 0; i < 4; i++) put_byte(s);
    if (s->at > s->size) return s->at;
    while (s->at && !s->out[s->at - 1]) s->at--;
    return s->at;
}
