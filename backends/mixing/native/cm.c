/* See cm.h. With CM_ENCODER defined, as cm_encode.c does, the same model serves both ways. */
#include "cm.h"

#include "cm_coding.h"
#include "cm_model.h"

enum { UNARY = 15, WIDEST = 25, SIGNS = 81 };
static const uint16_t MEMORIES[4] = {1000, 250, 60, 20};
enum { MOST = UNARY + (8 * sizeof(cm_int) > WIDEST ? WIDEST : 8 * sizeof(cm_int) - 1) - 4 };
#define UNSEEN (1u << 31 | 1) /* an estimate of a half */
#define BETWEEN(count) (OLDER(count) ? SIGNS : 0u) /* estimates of signs */

/* ---- integers ---- */

/* The estimates behind those of the contexts: of signs, of third bits, of rows that are not zero. */
CM_INLINE uint32_t *side(cm_state *s, const int count)
{
    return s->slots + CONTEXTS(count)[count] * s->nodes;
}

/* The bits below the leading one of so many: two modelled, one estimated, the rest even. */
CM_INLINE int32_t low_bits(cm_state *s, view *v, const int count, uint32_t extra, int32_t size, const int encoding)
{
    const uint32_t last = (uint32_t)s->most - UNARY + 3;
    uint32_t shift, found = 1, *thirds = side(s, count) + BETWEEN(count);
    for (shift = extra; shift-- > 0;) {
        uint32_t depth = extra - shift;
        int bit = size >> shift & 1;
        if (depth == 1) bit = mixed(s, v, last + extra, count, count, bit, encoding);
        else if (depth == 2) bit = mixed(s, v, 2 * last + 2 * extra - 3 + (found & 1), count, count, bit, encoding);
        else if (depth == 3) bit = estimated(s, thirds + extra, s->memory, bit, encoding);
        else bit = CODE(s, HALF, bit, encoding);
        found = 2 * found + (uint32_t)bit;
    }
    return (int32_t)found;
}

/* Of an integer that is not 0: the size itself in unary, or the number of its bits, and then those. */
CM_INLINE int32_t magnitude(cm_state *s, view *v, const int count, int32_t size, const int encoding)
{
    const int32_t by_bits = s->most > UNARY, most = by_bits ? s->most - UNARY + 4 : s->most;
    int32_t found = 1;
    while (found < most &&
           mixed(s, v, (uint32_t)found, count, count, by_bits ? size >> found != 0 : size > found, encoding))
        found++;
    return by_bits ? low_bits(s, v, count, (uint32_t)found - 1, size, encoding) : found;
}

CM_INLINE int negative(cm_state *s, view *signs, const int count, const spot *at, int bit, const int encoding)
{
    if (!(s->flags & 1)) return CODE(s, HALF, bit, encoding);
    if (OLDER(count)) {
        const int32_t beside = at->by[s->grid.kernel > 1 ? ONE : A];
        uint32_t *slots = side(s, count) - s->nodes; /* there they are of the node behind all others */
        signs->places[0] = slots + 5 * clamp(at->by[A], 2) + clamp(at->by[B], 2) + 12;
        signs->places[1] = slots + 25 + 5 * clamp(at->by[UP], 2) + clamp(beside, 2) + 12;
        signs->places[2] = slots + 50 + clamp(2 * at->by[A] - at->by[B], 15) + 15;
    }
    return mixed(s, signs, s->nodes, OLDER(count) ? 3 : 0, count, bit, encoding);
}

CM_INLINE int32_t integer(cm_state *s, view *v, const int count, const spot *at, int32_t value, const int encoding)
{
    int32_t found, minus;
    if (!OLDER(count)) measure(s, v, at);
    place(s, v, count, at);
    if (!mixed(s, v, 0, count, count, value != 0, encoding)) return 0;
    if (!OLDER(count)) tell(s, v + 1, at);
    found = magnitude(s, v, count, magnitude_of(value), encoding);
    minus = -negative(s, v + 1, count, at, value < 0, encoding);
    return (found ^ minus) - minus; /* no branch: no processor foretells signs */
}

/* ---- rows ---- */

CM_INLINE int filled(cm_state *s, const cm_int *row, const int count, const int encoding)
{
    uint32_t column = 0;
    uint32_t *flags = side(s, count) + BETWEEN(count) + WIDEST;
    if (encoding) while (column < s->grid.columns && !row[column]) column++;
    s->flag = (uint32_t)estimated(s, flags + s->flag, 60, column < s->grid.columns, encoding);
    return (int)s->flag;
}

CM_CALLED uint32_t *fill(uint32_t *at, size_t count, uint32_t value)
{
    while (count--) *at++ = value;
    return at;
}

CM_INLINE void code_row(cm_state *s, cm_int *row, const cm_int *up, const cm_int *up2, const int count, const int encoding)
{
    spot at = {{0}, 0, 0, 0, 0, 0};
    view v[2] = {{{0}, {0}}, {{0}, {0}}}; /* of magnitudes, and of signs */
    const int skip = s->flags & 2 && !filled(s, row, count, encoding);
    v[0].terms[OLDER(count) ? 0 : SIZES] = v[1].terms[OLDER(count) ? 0 : BESIDE] = 256;
    at.near = at.far = (int32_t)(OLDER(count) ? s->energy : s->energy << 4);
    if (!OLDER(count)) {
        fill(s->slots, s->nodes, UNSEEN);
        s->slots[0] = s->zero;
    }
    while (at.column < s->grid.columns) {
        cm_int *here = row + at.column;
        int32_t found = 0;
        if (!skip) {
            look(s, &at, row, up, up2, OLDER(count));
            found = integer(s, v, count, &at, encoding ? (int32_t)*here : 0, encoding);
        }
        if (!encoding) *here = (cm_int)found;
        heard(s, &at, found, skip, count);
    }
}

/* The level, where there is a choice. */
#define CHOSEN(level) (CM_LARGE || CM_OLDER ? (level) : CM_LITE)
/* A level at a time, so that the compiler knows how many contexts there are. */
#define EACH_LEVEL(s, row, up, up2, encoding)                                                              \
    do {                                                                                                   \
        const int level = CHOSEN((s)->level);                                                              \
        if (level == CM_LITE) code_row(s, row, up, up2, CM_LITE, encoding);                                \
        else if (CM_LARGE && level == CM_MAX) code_row(s, row, up, up2, CM_MAX, encoding);                 \
        else if (CM_OLDER && level == CM_OLDER_LITE) code_row(s, row, up, up2, CM_OLDER_LITE, encoding);   \
        else if (CM_OLDER) code_row(s, row, up, up2, CM_OLDER_MAX, encoding);                              \
    } while (0)

CM_CLONES void cm_row(cm_state *s, cm_int *row, const cm_int *up, const cm_int *up2)
{
    EACH_LEVEL(s, row, up, up2, 0);
}

/* ---- a stripe ---- */

/* How far above `low` the number lies that ends a stripe: a multiple of 2^32 if one is near enough, or of 2^24. */
static uint32_t ending(uint32_t low, uint32_t range)
{
    uint32_t whole = 0u - low;
    return whole < range ? whole : whole & 0xFFFFFFu;
}

CM_CALLED void shift_word(cm_state *s)
{
    int i;
    for (i = 0; i < 4; i++) shift(s);
}

int cm_end(cm_state *s)
{
    const uint32_t code = s->code, range = s->range;
    if (s->size > s->at || (s->size && !s->data[s->size - 1])) return 0;
    s->at -= 4;
    shift_word(s);
    return code == ending(s->code - code, range);
}

CM_INLINE uint32_t nodes_of(uint32_t most) { return most > UNARY ? 4 * (most - UNARY + 4) - 5 : most; }

size_t cm_words(int level, const uint8_t settings[3], uint32_t columns, uint32_t kernel)
{
    const uint32_t most = settings[1];
    const size_t nodes = nodes_of(most);
    if (level != CM_LITE && !(CM_LARGE && level == CM_MAX) && !OLDER(level)) return 0;
    if (settings[0] > 127 || most - 1 >= MOST || !kernel || columns % kernel) return 0;
    level = CHOSEN(level);
    return CONTEXTS(level)[level] * nodes + BETWEEN(level) + WIDEST + 2 + STRIDE(level) * (nodes + 1) + columns +
           (OLDER(level) ? 0 : columns / kernel + (size_t)kernel);
}

/* The weights to begin with, of each node and of the sign. Returns what follows them. */
CM_INLINE uint32_t *first_weights(uint32_t *at, uint32_t nodes, const int level)
{
    const uint32_t more = OLDER(level) ? 1 : TERMS, size = OLDER(level) ? 0 : SIZES;
    while (nodes--) {
        fill(at, size, 13000);
        fill(at + more, (uint32_t)level, (uint32_t)((OLDER(level) ? 75000 : 66000) / level));
        at += STRIDE(level);
    }
    if (OLDER(level)) fill(at + 1, 3, 22000);
    return at + STRIDE(level);
}

static void cm_reset(cm_state *s, int level, const uint8_t settings[3], const cm_grid *grid, uint32_t *memory)
{
    const uint32_t flags = settings[0], most = settings[1], mean = settings[2], nodes = nodes_of(most);
    const uint32_t chance = compute_logistic(128 * (mean & 31) - 2560 + LIMIT), zero = chance << 16 | 32u << 10 | 4;
    uint32_t i, slots;
    level = CHOSEN(level);
    s->level = level;
    s->grid = *grid;
    s->flags = flags;
    s->rate = rate_of(flags >> 2 & 3, OLDER(level));
    s->memory = MEMORIES[flags >> 4 & 3];
    s->most = (int32_t)most;
    s->nodes = nodes;
    s->energy = (chance << (mean >> 5)) >> 8;
    s->level_octaves = octaves(s->energy);
    s->scale = 65536 / (int32_t)(s->energy + 16);
    s->zero = zero;
    s->flag = 1;
    s->slots = memory;
    slots = CONTEXTS(level)[level] * nodes;
    s->weights = (int32_t *)fill(memory, slots + BETWEEN(level) + WIDEST + 2, UNSEEN);
    for (i = 0; i < slots; i += nodes) memory[i] = zero;
    fill((uint32_t *)s->weights, STRIDE(level) * (nodes + 1), 0);
    s->columns = first_weights((uint32_t *)s->weights, nodes, level);
    s->channels = s->columns + grid->columns;
    s->places = s->channels + (OLDER(level) ? 0 : grid->columns / grid->kernel);
    fill(s->columns, (size_t)(s->places - s->columns) + (OLDER(level) ? 0 : grid->kernel),
         s->energy << (OLDER(level) ? 8 : 12) | 2);
}

int cm_begin(cm_state *s, int level, const uint8_t settings[3], const cm_grid *grid, uint32_t *memory, const uint8_t *data,
             size_t size)
{
    if (!cm_words(level, settings, grid->columns, grid->kernel) || !grid->line) return 0;
    cm_reset(s, level, settings, grid, memory);
    s->data = data;
    s->size = size;
    s->at = 0;
    s->code = 0;
    shift_word(s);
    s->range = 0xFFFFFFFFu;
    return 1;
}
