/* See cm.h. With CM_ENCODER defined, as cm_encode.c does, the same model serves both ways. */
#include "cm.h"

#include "cm_coding.h"
#include "cm_model.h"

enum { UNARY = 15, WIDEST = 25, SIGNS = 81 };
static const uint16_t MEMORIES[4] = {1000, 250, 60, 20};
#define BETWEEN(count) (OLDER(count) ? SIGNS : 0u) /* estimates of signs */

/* ---- integers ---- */

CM_INLINE int decided(cm_state *s, view *v, const int count, uint32_t node, int bit, const int encoding)
{
    return mixed(s, v->places, node, count, v->terms, OLDER(count) ? 1 : TERMS, s->weights + STRIDE(count) * node,
                 OLDER(count), bit, encoding);
}

/* The estimates behind those of the contexts: of signs, of third bits, of rows that are not zero. */
CM_INLINE uint32_t *side(cm_state *s, const int count)
{
    return s->slots + CONTEXTS(count)[count] * s->nodes;
}

/* The number of bits first, in unary; then the bits below the leading one: two modelled, one estimated, the rest even. */
CM_INLINE int32_t long_magnitude(cm_state *s, view *v, const int count, int32_t size, const int encoding)
{
    const uint32_t last = (uint32_t)s->bits - 1;
    uint32_t extra = 0, shift, found = 1, *thirds = side(s, count) + BETWEEN(count);
    while (extra < last && decided(s, v, count, 1 + extra, size >> (extra + 1) != 0, encoding)) extra++;
    for (shift = extra; shift-- > 0;) {
        uint32_t depth = extra - shift;
        int bit = size >> shift & 1;
        if (depth == 1) bit = decided(s, v, count, last + extra, bit, encoding);
        else if (depth == 2) bit = decided(s, v, count, 2 * last + 2 * extra - 3 + (found & 1), bit, encoding);
        else if (depth == 3) bit = estimated(s, thirds + extra, s->memory, bit, encoding);
        else bit = CODE(s, HALF, bit, encoding);
        found = 2 * found + (uint32_t)bit;
    }
    return (int32_t)found;
}

/* Of an integer that is not 0. */
CM_INLINE int32_t magnitude(cm_state *s, view *v, const int count, int32_t size, const int encoding)
{
    int32_t found = 1;
    if (s->bits) return long_magnitude(s, v, count, size, encoding);
    while (found < s->most && decided(s, v, count, (uint32_t)found, size > found, encoding)) found++;
    return found;
}

CM_INLINE int negative(cm_state *s, view *v, const int count, const spot *at, int bit, const int encoding)
{
    int32_t *weights = s->weights + STRIDE(count) * s->nodes;
    if (!s->signs) return CODE(s, HALF, bit, encoding);
    if (OLDER(count)) {
        const int32_t beside = s->kernel > 1 ? at->one : at->a;
        uint32_t *slots = side(s, count), *in[3];
        in[0] = slots + 5 * clamp(at->a, 2) + clamp(at->b, 2) + 12;
        in[1] = slots + 25 + 5 * clamp(at->up, 2) + clamp(beside, 2) + 12;
        in[2] = slots + 50 + clamp(2 * at->a - at->b, 15) + 15;
        return mixed(s, in, 0, 3, v->terms, 1, weights, 1, bit, encoding);
    }
    return mixed(s, 0, 0, 0, v->signs, SIGN_TERMS, weights, 0, bit, encoding);
}

CM_INLINE int32_t integer(cm_state *s, view *v, const int count, const spot *at, int32_t value, const int encoding)
{
    int32_t found, minus;
    if (!OLDER(count)) measure(s, v, at);
    place(s, v, count, at);
    if (!decided(s, v, count, 0, value != 0, encoding)) return 0;
    if (!OLDER(count)) tell(s, v, at);
    found = magnitude(s, v, count, magnitude_of(value), encoding);
    minus = -negative(s, v, count, at, value < 0, encoding);
    return (found ^ minus) - minus; /* no branch: no processor foretells signs */
}

/* ---- rows ---- */

CM_INLINE int filled(cm_state *s, const cm_int *row, const int count, const int encoding)
{
    uint32_t column = 0;
    uint32_t *flags = side(s, count) + BETWEEN(count) + WIDEST;
    if (encoding) while (column < s->width && !row[column]) column++;
    s->flag = (uint32_t)estimated(s, flags + s->flag, 60, column < s->width, encoding);
    return (int)s->flag;
}

CM_INLINE void code_row(cm_state *s, cm_int *row, const cm_int *up, const cm_int *up2, const int count, const int encoding)
{
    spot at = {0};
    view v = {{0}, {0}, {0}};
    const int skip = s->rows && !filled(s, row, count, encoding);
    uint32_t i;
    v.terms[OLDER(count) ? 0 : SIZES] = v.signs[BESIDE] = 256;
    at.near = at.far = (int32_t)(OLDER(count) ? s->energy : s->energy << 4);
    for (i = 0; !OLDER(count) && i < s->nodes; i++) s->slots[i] = i ? 1u << 31 | 1 : s->zero;
    while (at.column < s->width) {
        cm_int *here = row + at.column;
        int32_t found = 0;
        if (!skip) {
            look(s, &at, row, up, up2, OLDER(count));
            found = integer(s, &v, count, &at, encoding ? (int32_t)*here : 0, encoding);
        }
        if (!encoding) *here = (cm_int)found;
        heard(s, &at, found, skip, count);
    }
}

/* A level at a time, so that the compiler knows how many contexts there are. */
#define EACH_LEVEL(s, row, up, up2, encoding)                                                              \
    do {                                                                                                   \
        if ((s)->level == CM_LITE) code_row(s, row, up, up2, CM_LITE, encoding);                           \
        else if (CM_LARGE && (s)->level == CM_MAX) code_row(s, row, up, up2, CM_MAX, encoding);                        \
        else if (CM_OLDER && (s)->level == CM_OLDER_LITE) code_row(s, row, up, up2, CM_OLDER_LITE, encoding); \
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

int cm_end(const cm_state *s)
{
    uint32_t window = 0;
    size_t at;
    if (s->size > s->at || (s->size && !s->data[s->size - 1])) return 0;
    for (at = s->at - 4; at < s->at; at++) window = window << 8 | (at < s->size ? s->data[at] : 0);
    return s->code == ending(window - s->code, s->range);
}

static int cm_level(int level)
{
    return level == CM_LITE || (CM_LARGE && level == CM_MAX) || OLDER(level);
}

size_t cm_words(int level, const uint8_t settings[3], uint32_t columns, uint32_t kernel)
{
    const int most = settings[1], bits = most > UNARY ? most - UNARY + 4 : top_bit((uint32_t)most | 1) + 1;
    const size_t nodes = most > UNARY ? 4 * (size_t)bits - 5 : (size_t)most;
    if (settings[0] > 127 || most < 1 || bits > WIDEST || bits >= (int)(8 * sizeof(cm_int))) return 0;
    if (!cm_level(level) || !kernel || columns % kernel) return 0;
    return CONTEXTS(level)[level] * nodes + BETWEEN(level) + WIDEST + 2 + STRIDE(level) * (nodes + 1) + columns +
           (OLDER(level) ? 0 : columns / kernel + (size_t)kernel);
}

/* What the settings say, and where in the memory everything is. */
static uint32_t set(cm_state *s, int level, const uint8_t settings[3], const cm_grid *grid, uint32_t *memory)
{
    const uint32_t chance = compute_logistic(128 * (settings[2] & 31u) - 2560 + LIMIT), tail = BETWEEN(level) + WIDEST + 2;
    s->level = level;
    s->width = grid->columns;
    s->kernel = grid->kernel;
    s->line = grid->line;
    s->signs = settings[0] & 1;
    s->rows = settings[0] >> 1 & 1;
    s->pace = settings[0] >> 2 & 3;
    s->rate = RATES[OLDER(level)][settings[0] >> 2 & 3];
    s->memory = MEMORIES[settings[0] >> 4 & 3];
    s->most = settings[1];
    s->bits = settings[1] > UNARY ? settings[1] - UNARY + 4 : 0;
    s->nodes = s->bits ? 4 * (uint32_t)s->bits - 5 : settings[1];
    s->energy = (chance << (settings[2] >> 5)) >> 8;
    s->level_octaves = octaves(s->energy);
    s->scale = 65536 / (int32_t)(s->energy + 16);
    s->zero = chance << 16 | 32u << 10 | 4;
    s->flag = 1;
    s->slots = memory;
    s->weights = (int32_t *)(memory + CONTEXTS(level)[level] * s->nodes + tail);
    s->columns = (uint32_t *)s->weights + STRIDE(level) * (s->nodes + 1);
    s->channels = s->columns + s->width;
    s->places = s->channels + s->width / s->kernel;
    return CONTEXTS(level)[level] * s->nodes;
}

static void cm_reset(cm_state *s, int level, const uint8_t settings[3], const cm_grid *grid, uint32_t *memory)
{
    const uint32_t slots = set(s, level, settings, grid, memory), stride = STRIDE(level), terms = OLDER(level) ? 1 : TERMS;
    const uint32_t known = OLDER(level) ? s->width : s->width + s->width / s->kernel + s->kernel;
    const int32_t weight = OLDER(level) ? 75000 / level : 66000 / level;
    uint32_t i, j;
    for (i = 0; i < slots + BETWEEN(level) + WIDEST + 2; i++) memory[i] = 1u << 31 | 1;
    for (i = 0; i < slots; i += s->nodes) memory[i] = s->zero;
    for (i = 0; i <= s->nodes; i++)
        for (j = 0; j < stride; j++) {
            int32_t first = j >= terms && j < terms + (uint32_t)level ? weight : j < SIZES && terms > 1 ? 13000 : 0;
            if (i == s->nodes) first = OLDER(level) && j >= 1 && j < 4 ? 22000 : 0;
            s->weights[stride * i + j] = first;
        }
    for (i = 0; i < known; i++) s->columns[i] = s->energy << (OLDER(level) ? 8 : 12) | 2;
}

int cm_begin(cm_state *s, int level, const uint8_t settings[3], const cm_grid *grid, uint32_t *memory, const uint8_t *data,
             size_t size)
{
    int i;
    if (!cm_words(level, settings, grid->columns, grid->kernel) || !grid->line) return 0;
    cm_reset(s, level, settings, grid, memory);
    s->data = data;
    s->size = size;
    s->at = 0;
    s->code = 0;
    s->range = 0xFFFFFFFFu;
    for (i = 0; i < 4; i++) s->code = s->code << 8 | next(s);
    return 1;
}
