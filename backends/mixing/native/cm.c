/* See cm.h. With CM_ENCODER defined, as cm_encode.c does, the same model serves both ways. */
#include "cm.h"

#if defined CM_TABLES && defined __GNUC__
#define CM_INLINE static inline __attribute__((always_inline)) /* for speed; without tables, for size */
#else
#define CM_INLINE static
#endif
#ifndef CM_ENCODER
#define cm_put(s, p, bit) (bit)
#endif

enum { UNARY = 15, WIDEST = 25, LIMIT = 3072, CLAMP = 1 << 18, LOUDEST = (1 << 15) - 1, SIGNS = 81, HALF = 1 << 15 };

static const uint16_t LOGARITHM[33] = {0,    126,  248,  367,  482,  595,  704,  810,  914,  1015, 1114,
                                       1210, 1304, 1396, 1486, 1575, 1661, 1745, 1828, 1909, 1989, 2067,
                                       2143, 2218, 2292, 2365, 2436, 2506, 2575, 2642, 2709, 2775, 2839};
static const uint16_t LOGISTIC[49] = {1,    1,    1,    1,    1,    1,    2,    2,    3,     4,     5,     6,     8,
                                      10,   13,   17,   22,   28,   36,   47,   60,   77,    98,    126,   162,   208,
                                      267,  342,  439,  562,  720,  922,  1179, 1506, 1921,  2446,  3108,  3938,  4971,
                                      6249, 7812, 9702, 11955, 14595, 17625, 21025, 24743, 28693, 32768};
static const uint8_t RATES[4] = {2, 4, 7, 12};
static const uint16_t MEMORIES[4] = {1000, 250, 60, 20};
static const uint16_t CONTEXTS[2][8] = {{0, 64, 192, 224, 288, 0, 0, 0}, {0, 64, 576, 640, 704, 1728, 1856, 1920}};

CM_INLINE int32_t lesser(int32_t a, int32_t b) { return a < b ? a : b; }
CM_INLINE int32_t clamp(int32_t x, int32_t most) { return x < -most ? -most : x > most ? most : x; }
CM_INLINE int32_t size_of(cm_int x) { return (int32_t)(x < 0 ? -x : x); }
/* Shifts of negative numbers must round down, which C leaves to the compiler: one that differs stops here. */
typedef char shifts_round_down[-3 >> 1 == -2 ? 1 : -1];

CM_INLINE int top_bit(uint32_t x)
{
#ifdef __GNUC__
    return 31 - __builtin_clz(x);
#else
    int at = 0;
    while (x >>= 1) at++;
    return at;
#endif
}

/* ---- tables: computed, or with CM_TABLES looked up once cm_tables has run ---- */

static int32_t ln(uint32_t p)
{
    int exponent = top_bit(p);
    uint32_t mantissa = (p << (15 - exponent)) & 32767, index = mantissa >> 10, part = mantissa & 1023;
    return exponent * 2839 + (int32_t)((LOGARITHM[index] * (1024 - part) + LOGARITHM[index + 1] * part) >> 10);
}

static int32_t compute_logit(uint32_t p)
{
    if (p >= 256 && p < 65280) p = (p & ~15u) | 8;
    if (p < 1) p = 1;
    return (ln(p) - ln(65536 - p)) >> 4;
}

static uint32_t knot(uint32_t index) { return index <= 48 ? LOGISTIC[index] : 65536u - LOGISTIC[96 - index]; }

static uint32_t compute_logistic(uint32_t x)
{
    uint32_t index = x >> 6, part = x & 63, p = (knot(index) * (64 - part) + knot(index + 1) * part + 32) >> 6;
    return p < 1 ? 1 : p > 65535 ? 65535 : p;
}

#ifdef CM_TABLES
static int16_t logits[4096 + 512];
static uint16_t logistics[2 * LIMIT], steps[1024];

static void cm_tables(void)
{
    uint32_t i;
    for (i = 0; i < 4096; i++) logits[i] = (int16_t)compute_logit(16 * i);
    for (i = 0; i < 256; i++) {
        logits[4096 + i] = (int16_t)compute_logit(i);
        logits[4352 + i] = (int16_t)compute_logit(65280 + i);
    }
    for (i = 0; i < 2 * LIMIT; i++) logistics[i] = (uint16_t)compute_logistic(i);
    for (i = 0; i < 1024; i++) steps[i] = (uint16_t)(131072 / (2 * i + 3));
}

CM_INLINE int32_t logit(uint32_t p)
{
    return logits[p < 256 ? 4096 + p : p >= 65280 ? p - 65280 + 4352 : p >> 4];
}
CM_INLINE uint32_t logistic(int32_t x) { return logistics[x + LIMIT]; }
CM_INLINE int32_t step(uint32_t seen) { return steps[seen]; }
#else
#define logit compute_logit
CM_INLINE uint32_t logistic(int32_t x) { return compute_logistic((uint32_t)(x + LIMIT)); }
CM_INLINE int32_t step(uint32_t seen) { return (int32_t)(131072 / (2 * seen + 3)); }
#endif

/* ---- the range coder ---- */

static uint32_t next(cm_state *s)
{
    uint32_t byte = s->at < s->size ? s->data[s->at] : 0;
    s->at++;
    return byte;
}

CM_INLINE int take(cm_state *s, uint32_t p)
{
    uint32_t bound = (uint32_t)(((uint64_t)s->range * p) >> 16);
    int bit = s->code < bound;
    uint32_t zero = (uint32_t)bit - 1; /* all ones for a 0: no processor foretells these bits, so no branch */
    s->code -= bound & zero;
    s->range = (bound & ~zero) | ((s->range - bound) & zero);
    while (s->range < 1u << 24) {
        s->code = s->code << 8 | next(s);
        s->range <<= 8;
    }
    return bit;
}

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

/* ---- decisions ---- */

#define CODE(s, p, bit, encoding) ((encoding) ? cm_put(s, p, bit) : take(s, p))

CM_INLINE void learn(uint32_t *slot, int bit, uint32_t memory)
{
    uint32_t seen = *slot & 1023;
    int32_t p = (int32_t)(*slot >> 10), error = (bit ? (1 << 22) - 1 : 0) - p;
    p += (int32_t)((int64_t)error * step(seen) >> 16);
    *slot = (uint32_t)p << 10 | (seen + (seen < memory));
}

CM_INLINE int estimated(cm_state *s, uint32_t *slot, uint32_t memory, int bit, const int encoding)
{
    uint32_t p = *slot >> 16;
    bit = CODE(s, p < 1 ? 1 : p, bit, encoding);
    learn(slot, bit, memory);
    return bit;
}

CM_INLINE int mixed(cm_state *s, uint32_t *const *in, const int count, int32_t *weights, int bit, const int encoding)
{
    int32_t inputs[8], total = 0, error;
    uint32_t p;
    int i;
    for (i = 0; i < count; i++) inputs[i] = logit(*in[i] >> 16);
    inputs[count] = 256;
    for (i = 0; i <= count; i++) total += inputs[i] * (weights[i] >> 2);
    total >>= 14;
    p = logistic(total < -LIMIT ? -LIMIT : total > LIMIT - 1 ? LIMIT - 1 : total);
    bit = CODE(s, p, bit, encoding);
    error = ((bit ? 65535 : 0) - (int32_t)p) * s->rate >> 4;
    for (i = 0; i <= count; i++) weights[i] = clamp(weights[i] + ((inputs[i] * error + 8192) >> 14), CLAMP);
    for (i = 0; i < count; i++) learn(in[i], bit, s->memory);
    return bit;
}

CM_INLINE int decided(cm_state *s, uint32_t *const *places, const int count, uint32_t node, int bit, const int encoding)
{
    uint32_t *in[7];
    int i;
    for (i = 0; i < count; i++) in[i] = places[i] + node;
    return mixed(s, in, count, s->weights + 8 * node, bit, encoding);
}

/* ---- integers ---- */

/* The estimates behind those of the contexts: of signs, of third bits, of rows that are not zero. */
CM_INLINE uint32_t *side(cm_state *s, const int count)
{
    return s->slots + CONTEXTS[count == CM_MAX][count] * s->nodes;
}

/* The number of bits first, in unary; then the bits below the leading one: two modelled, one estimated, the rest even. */
CM_INLINE int32_t long_magnitude(cm_state *s, uint32_t *const *places, const int count, int32_t size, const int encoding)
{
    const uint32_t last = (uint32_t)s->bits - 1;
    uint32_t extra = 0, shift, found = 1, *thirds = side(s, count) + SIGNS;
    while (extra < last && decided(s, places, count, 1 + extra, size >> (extra + 1) != 0, encoding)) extra++;
    for (shift = extra; shift-- > 0;) {
        uint32_t depth = extra - shift;
        int bit = size >> shift & 1;
        if (depth == 1) bit = decided(s, places, count, last + extra, bit, encoding);
        else if (depth == 2) bit = decided(s, places, count, 2 * last + 2 * extra - 3 + (found & 1), bit, encoding);
        else if (depth == 3) bit = estimated(s, thirds + extra, s->memory, bit, encoding);
        else bit = CODE(s, HALF, bit, encoding);
        found = 2 * found + (uint32_t)bit;
    }
    return (int32_t)found;
}

CM_INLINE int32_t magnitude(cm_state *s, uint32_t *const *places, const int count, int32_t size, const int encoding)
{
    int32_t found = 1;
    if (!decided(s, places, count, 0, size != 0, encoding)) return 0;
    if (s->bits) return long_magnitude(s, places, count, size, encoding);
    while (found < s->most && decided(s, places, count, (uint32_t)found, size > found, encoding)) found++;
    return found;
}

CM_INLINE int negative(cm_state *s, const int count, int32_t a, int32_t b, int32_t above, int32_t beside, int bit,
                       const int encoding)
{
    uint32_t *slots = side(s, count), *in[3];
    if (!s->signs) return CODE(s, HALF, bit, encoding);
    in[0] = slots + 5 * clamp(a, 2) + clamp(b, 2) + 12;
    in[1] = slots + 25 + 5 * clamp(above, 2) + clamp(beside, 2) + 12;
    in[2] = slots + 50 + clamp(2 * a - b, 15) + 15;
    return mixed(s, in, 3, s->weights + 8 * s->nodes, bit, encoding);
}

/* Quarters of an octave. */
CM_INLINE int32_t quarters(uint32_t energy)
{
    int exponent = top_bit(energy += 8);
    return 4 * exponent + (int32_t)(energy >> (exponent - 2) & 3) - 12;
}

CM_INLINE void hear(uint32_t *column, int32_t loud)
{
    uint32_t seen = *column & 255;
    int32_t energy = (int32_t)(*column >> 8);
    energy += (int32_t)((int64_t)(loud - energy) * step(seen) >> 16);
    *column = (uint32_t)energy << 8 | (seen + (seen < 64));
}

typedef struct {
    int32_t a, b, near, far; /* the last two integers; how large the row has been */
    uint32_t phase;          /* column modulo kernel */
} spot;

CM_INLINE void place(cm_state *s, uint32_t **places, const int count, const spot *at, const cm_int *row, const cm_int *up,
                     const cm_int *up2, uint32_t column)
{
    const uint16_t *starts = CONTEXTS[count == CM_MAX];
    const int32_t above = lesser(size_of(up[column]), 3), left = lesser(size_of((cm_int)at->a), 3);
    const int32_t energy = quarters(s->columns[column] >> 8), near = quarters((uint32_t)at->near);
    int32_t found[7], around, i;
    if (s->kernel > 1) {
        const uint32_t back = column >= s->kernel ? column - s->kernel : 0;
        int32_t one = column >= s->kernel ? size_of(row[back]) : 0;
        int32_t two = back >= s->kernel ? size_of(row[back - s->kernel]) : 0;
        around = lesser(one, 3) + 4 * lesser(two, 3) + 16 * above;
    } else {
        int32_t right = column + 1 < s->width ? size_of(up[column + 1]) : 0;
        around = above + 4 * lesser(size_of(up2[column]), 3) + 16 * lesser(right, 3);
    }
    found[0] = left + 4 * lesser(size_of((cm_int)at->b), 3) + 16 * above;
    found[3] = around;
    if (count == CM_LITE) {
        found[1] = lesser(near >> 2, 15) + 16 * (int32_t)(at->phase & 7);
        found[2] = lesser(energy >> 1, 31);
    } else {
        int32_t slope = 2 * at->a - at->b;
        found[1] = lesser(near >> 1, 31) + 32 * (int32_t)(at->phase < 15 ? at->phase : 15);
        found[2] = lesser(energy, 63);
        found[4] = (int32_t)(column & 1023);
        found[5] = 4 * lesser(quarters((uint32_t)(slope < 0 ? -slope : slope) << 4), 31) + left;
        found[6] = lesser(quarters((uint32_t)at->far), 63);
    }
    for (i = 0; i < count; i++) places[i] = s->slots + (starts[i] + (uint32_t)found[i]) * s->nodes;
}

CM_INLINE int filled(cm_state *s, const cm_int *row, const int count, const int encoding)
{
    uint32_t column = 0;
    uint32_t *flags = side(s, count) + SIGNS + WIDEST;
    if (encoding) while (column < s->width && !row[column]) column++;
    s->flag = (uint32_t)estimated(s, flags + s->flag, 60, column < s->width, encoding);
    return (int)s->flag;
}

CM_INLINE void code_row(cm_state *s, cm_int *row, const cm_int *up, const cm_int *up2, const int count, const int encoding)
{
    spot at = {0, 0, (int32_t)s->energy, (int32_t)s->energy, 0};
    const int skip = s->rows && !filled(s, row, count, encoding);
    uint32_t column;
    for (column = 0; column < s->width; column++) {
        uint32_t *places[7];
        int32_t value = encoding ? (int32_t)row[column] : 0, found = 0, loud;
        if (!skip) {
            place(s, places, count, &at, row, up, up2, column);
            found = magnitude(s, places, count, value < 0 ? -value : value, encoding);
        }
        loud = lesser(found, LOUDEST) * 256;
        if (found) {
            int32_t beside = s->kernel == 1 ? at.a : column >= s->kernel ? (int32_t)row[column - s->kernel] : 0;
            if (negative(s, count, at.a, at.b, (int32_t)up[column], beside, value < 0, encoding)) found = -found;
        }
        if (!encoding) row[column] = (cm_int)found;
        at.near += (loud - at.near) >> 3;
        at.far += (int32_t)((int64_t)(loud - at.far) * step(column < 246 ? 4 + column : 250) >> 16);
        hear(s->columns + column, loud);
        at.b = at.a;
        at.a = found;
        if (++at.phase == s->kernel) at.phase = 0;
    }
}

void cm_row(cm_state *s, cm_int *row, const cm_int *up, const cm_int *up2)
{
    if (s->level == CM_LITE) code_row(s, row, up, up2, CM_LITE, 0);
    else code_row(s, row, up, up2, CM_MAX, 0);
}

/* ---- a stripe ---- */

size_t cm_words(int level, const uint8_t settings[3], uint32_t columns)
{
    const int most = settings[1], bits = most > UNARY ? most - UNARY + 4 : top_bit((uint32_t)most | 1) + 1;
    const size_t nodes = most > UNARY ? 4 * (size_t)bits - 5 : (size_t)most;
    if (settings[0] > 127 || most < 1 || bits > WIDEST || bits >= (int)(8 * sizeof(cm_int))) return 0;
    if (level != CM_LITE && level != CM_MAX) return 0;
    return CONTEXTS[level == CM_MAX][level] * nodes + SIGNS + WIDEST + 2 + 8 * (nodes + 1) + columns;
}

static void cm_reset(cm_state *s, int level, const uint8_t settings[3], uint32_t columns, uint32_t kernel,
                     uint32_t *memory)
{
    const uint32_t chance = compute_logistic(128 * (settings[2] & 31u) - 2560 + LIMIT), tail = SIGNS + WIDEST + 2;
    uint32_t i, j, slots;
    s->level = level;
    s->width = columns;
    s->kernel = kernel;
    s->signs = settings[0] & 1;
    s->rows = settings[0] >> 1 & 1;
    s->rate = RATES[settings[0] >> 2 & 3];
    s->memory = MEMORIES[settings[0] >> 4 & 3];
    s->most = settings[1];
    s->bits = settings[1] > UNARY ? settings[1] - UNARY + 4 : 0;
    s->nodes = s->bits ? 4 * (uint32_t)s->bits - 5 : settings[1];
    s->energy = (chance << (settings[2] >> 5)) >> 8;
    s->flag = 1;
    slots = CONTEXTS[level == CM_MAX][level] * s->nodes;
    s->slots = memory;
    s->weights = (int32_t *)(memory + slots + tail);
    s->columns = memory + slots + tail + 8 * (s->nodes + 1);
    for (i = 0; i < slots + tail; i++) memory[i] = 1u << 31 | 1;
    for (i = 0; i < slots; i += s->nodes) memory[i] = chance << 16 | 32u << 10 | 4;
    for (i = 0; i < s->nodes; i++)
        for (j = 0; j < 8; j++) s->weights[8 * i + j] = (int)j < level ? 75000 / level : 0;
    for (j = 0; j < 8; j++) s->weights[8 * s->nodes + j] = j < 3 ? 22000 : 0;
    for (i = 0; i < columns; i++) s->columns[i] = s->energy << 8 | 2;
}

int cm_begin(cm_state *s, int level, const uint8_t settings[3], uint32_t columns, uint32_t kernel, uint32_t *memory,
             const uint8_t *data, size_t size)
{
    int i;
    if (!kernel || !cm_words(level, settings, columns)) return 0;
    cm_reset(s, level, settings, columns, kernel, memory);
    s->data = data;
    s->size = size;
    s->at = 0;
    s->code = 0;
    s->range = 0xFFFFFFFFu;
    for (i = 0; i < 4; i++) s->code = s->code << 8 | next(s);
    return 1;
}
