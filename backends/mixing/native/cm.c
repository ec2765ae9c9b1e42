/* See cm.h. With CM_ENCODER defined, as cm_encode.c does, the same model serves both ways. */
#include "cm.h"

#if defined CM_TABLES && defined __GNUC__
#define CM_INLINE static inline __attribute__((always_inline)) /* for speed; without tables, for size */
#else
#define CM_INLINE static
#endif
/* For processors with AVX2 once more, where the C library can choose when it loads. Integers: the bytes are the same. */
#if defined CM_TABLES && defined __x86_64__ && defined __gnu_linux__ && defined __GNUC__ && !defined __clang__
#define CM_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define CM_CLONES
#endif
#ifndef CM_ENCODER
#define cm_put(s, p, bit) (bit)
#endif

enum { UNARY = 15, WIDEST = 25, LIMIT = 3072, CLAMP = 1 << 18, SIGNS = 81, HALF = 1 << 15 };
enum { OLDER_LOUDEST = (1 << 15) - 1, LOUDEST = (1 << 11) - 1, SIZES = 6, BESIDE = 5, OFTEN = 1000 };

static const uint16_t LOGARITHM[33] = {0,    126,  248,  367,  482,  595,  704,  810,  914,  1015, 1114,
                                       1210, 1304, 1396, 1486, 1575, 1661, 1745, 1828, 1909, 1989, 2067,
                                       2143, 2218, 2292, 2365, 2436, 2506, 2575, 2642, 2709, 2775, 2839};
static const uint16_t LOGISTIC[49] = {1,    1,    1,    1,    1,    1,    2,    2,    3,     4,     5,     6,     8,
                                      10,   13,   17,   22,   28,   36,   47,   60,   77,    98,    126,   162,   208,
                                      267,  342,  439,  562,  720,  922,  1179, 1506, 1921,  2446,  3108,  3938,  4971,
                                      6249, 7812, 9702, 11955, 14595, 17625, 21025, 24743, 28693, 32768};
static const uint8_t RATES[2][4] = {{1, 3, 6, 12}, {2, 4, 7, 12}};
static const uint16_t MEMORIES[4] = {1000, 250, 60, 20};
/* Where the estimates of each context begin, in units of the nodes, and where the last ones end. */
static const uint16_t STARTS[4][8] = {{0, 1, 65, 129, 0, 0, 0, 0},
                                      {0, 1, 65, 129, 641, 1665, 1793, 0},
                                      {0, 64, 192, 224, 288, 0, 0, 0},
                                      {0, 64, 576, 640, 704, 1728, 1856, 1920}};

/* A level is the number of its contexts. Those of files of before have no terms besides. */
#define OLDER(count) (CM_OLDER && ((count) == CM_OLDER_LITE || (count) == CM_OLDER_MAX))
#define FULL(count) ((CM_LARGE && (count) == CM_MAX) || (CM_OLDER && (count) == CM_OLDER_MAX))
#define CONTEXTS(count) STARTS[2 * OLDER(count) + FULL(count)]
#define BETWEEN(count) (OLDER(count) ? SIGNS : 0u) /* estimates of signs */
/* Terms of a decision, the constant one included; with tables a whole vector, of which the rest are zeros. */
#ifdef CM_TABLES
enum { TERMS = 8, SIGN_TERMS = 8 };
#else
enum { TERMS = SIZES + 1, SIGN_TERMS = BESIDE + 1 };
#endif
/* The weights of a node: of its terms, of its estimates, and how often it decided. */
#define STRIDE(count) ((OLDER(count) ? 1u : TERMS) + (uint32_t)(count) + 1)

CM_INLINE int32_t lesser(int32_t a, int32_t b) { return a < b ? a : b; }
CM_INLINE int32_t clamp(int32_t x, int32_t most) { return x < -most ? -most : x > most ? most : x; }
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

static int32_t compute_pace(int32_t rate, uint32_t seen)
{
    return lesser(rate * (16 + (int32_t)(40 * (131072 / (2 * seen + 33)) >> 8)), 2047);
}

static uint32_t knot(uint32_t index) { return index <= 48 ? LOGISTIC[index] : 65536u - LOGISTIC[96 - index]; }

static uint32_t compute_logistic(uint32_t x)
{
    uint32_t index = x >> 6, part = x & 63, p = (knot(index) * (64 - part) + knot(index + 1) * part + 32) >> 6;
    return p < 1 ? 1 : p > 65535 ? 65535 : p;
}

#ifdef CM_TABLES
static int16_t logits[4096 + 512];
static uint16_t logistics[2 * LIMIT], steps[1024], paces[4][OFTEN + 1];

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
    for (i = 0; i < 4 * (OFTEN + 1); i++) paces[i & 3][i >> 2] = (uint16_t)compute_pace(RATES[0][i & 3], i >> 2);
}

CM_INLINE int32_t logit(uint32_t p)
{
    return logits[p < 256 ? 4096 + p : p >= 65280 ? p - 65280 + 4352 : p >> 4];
}
CM_INLINE uint32_t logistic(int32_t x) { return logistics[x + LIMIT]; }
CM_INLINE int32_t step(uint32_t seen) { return steps[seen]; }
CM_INLINE int32_t pace(const cm_state *s, uint32_t seen) { return paces[s->pace][seen]; }
#else
#define logit compute_logit
CM_INLINE uint32_t logistic(int32_t x) { return compute_logistic((uint32_t)(x + LIMIT)); }
CM_INLINE int32_t step(uint32_t seen) { return (int32_t)(131072 / (2 * seen + 3)); }
CM_INLINE int32_t pace(const cm_state *s, uint32_t seen) { return compute_pace(s->rate, seen); }
#endif

/* ---- the range coder ---- */

CM_INLINE uint32_t next(cm_state *s)
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

/* How fast the weights move: less and less, the more decisions they have seen. */
CM_INLINE int32_t slowing(const cm_state *s, int32_t *seen, const int older)
{
    const int32_t now = *seen;
    if (older) return s->rate << 4;
    *seen += now < OFTEN;
    return pace(s, (uint32_t)now);
}

/* Mixes `more` terms, of which one is constant, and the logits of `count` estimates; behind the weights is a counter. */
CM_INLINE int mixed(cm_state *s, uint32_t *const *in, const int count, const int32_t *terms, const int more,
                    int32_t *weights, const int older, int bit, const int encoding)
{
    int32_t inputs[7], total = 0, error, *const others = weights + more;
    uint32_t p;
    int i;
    for (i = 0; i < count; i++) inputs[i] = logit(*in[i] >> 16);
    for (i = 0; i < more; i++) total += terms[i] * (weights[i] >> 2);
    for (i = 0; i < count; i++) total += inputs[i] * (others[i] >> 2);
    total >>= 14;
    p = logistic(total < -LIMIT ? -LIMIT : total > LIMIT - 1 ? LIMIT - 1 : total);
    bit = CODE(s, p, bit, encoding);
    error = ((bit ? 65535 : 0) - (int32_t)p) * slowing(s, others + count, older) >> 8;
    for (i = 0; i < more; i++) weights[i] = clamp(weights[i] + ((terms[i] * error + 8192) >> 14), CLAMP);
    for (i = 0; i < count; i++) others[i] = clamp(others[i] + ((inputs[i] * error + 8192) >> 14), CLAMP);
    for (i = 0; i < count; i++) learn(in[i], bit, s->memory);
    return bit;
}

/* What a decision is made from: where the estimates of each context begin, and terms that need none. */
typedef struct {
    uint32_t *places[7];
    int32_t terms[TERMS];
} view;

CM_INLINE int decided(cm_state *s, const view *v, const int count, uint32_t node, int bit, const int encoding)
{
    uint32_t *in[7];
    int i;
    for (i = 0; i < count; i++) in[i] = v->places[i] + node;
    return mixed(s, in, count, v->terms, OLDER(count) ? 1 : TERMS, s->weights + STRIDE(count) * node, OLDER(count), bit,
                 encoding);
}

/* ---- integers ---- */

/* The estimates behind those of the contexts: of signs, of third bits, of rows that are not zero. */
CM_INLINE uint32_t *side(cm_state *s, const int count)
{
    return s->slots + CONTEXTS(count)[count] * s->nodes;
}

/* The number of bits first, in unary; then the bits below the leading one: two modelled, one estimated, the rest even. */
CM_INLINE int32_t long_magnitude(cm_state *s, const view *v, const int count, int32_t size, const int encoding)
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

CM_INLINE int32_t magnitude(cm_state *s, const view *v, const int count, int32_t size, const int encoding)
{
    int32_t found = 1;
    if (!decided(s, v, count, 0, size != 0, encoding)) return 0;
    if (s->bits) return long_magnitude(s, v, count, size, encoding);
    while (found < s->most && decided(s, v, count, (uint32_t)found, size > found, encoding)) found++;
    return found;
}

/* Quarters of an octave. */
CM_INLINE int32_t quarters(uint32_t energy)
{
    int exponent = top_bit(energy += 8);
    return 4 * exponent + (int32_t)(energy >> (exponent - 2) & 3) - 12;
}

/* About 256 log2(energy + 8), in straight lines from power to power. */
CM_INLINE int32_t octaves(uint32_t energy)
{
    int exponent = top_bit(energy += 8);
    return 256 * exponent + (int32_t)((energy << 8) >> exponent);
}

CM_INLINE void hear(uint32_t *known, int32_t loud, uint32_t most)
{
    uint32_t seen = *known & 255;
    int32_t energy = (int32_t)(*known >> 8);
    energy += (int32_t)((int64_t)(loud - energy) * step(seen) >> 16);
    *known = (uint32_t)energy << 8 | (seen + (seen < most));
}

typedef struct {
    int32_t a, b, near, far;         /* the last two integers; how large the row has been */
    int32_t up, up2, left, right;    /* above, two above, and beside the one above */
    int32_t back, back2, over;       /* one and two channels back; one line of the kernel back */
    uint32_t column, phase, channel; /* phase: column modulo kernel */
} spot;

CM_INLINE void look(const cm_state *s, spot *at, const cm_int *row, const cm_int *up, const cm_int *up2)
{
    const uint32_t c = at->column, kernel = s->kernel;
    at->up = (int32_t)up[c];
    at->up2 = (int32_t)up2[c];
    at->left = c ? (int32_t)up[c - 1] : 0;
    at->right = c + 1 < s->width ? (int32_t)up[c + 1] : 0;
    at->back = c >= kernel ? (int32_t)row[c - kernel] : 0;
    at->back2 = c >= kernel && c - kernel >= kernel ? (int32_t)row[c - kernel - kernel] : 0;
    at->over = at->phase >= s->line ? (int32_t)row[c - s->line] : 0;
}

CM_INLINE int32_t magnitude_of(int32_t x) { return x < 0 ? -x : x; }
CM_INLINE int32_t at_most(int32_t x, int32_t most) { return lesser(magnitude_of(x), most); }

/* The contexts of both generations; see docs/format.md. */
CM_INLINE void place(cm_state *s, view *v, const int count, const spot *at)
{
    const uint16_t *starts = CONTEXTS(count);
    const int32_t above = at_most(at->up, 3), left = at_most(at->a, 3);
    const int32_t near = quarters((uint32_t)at->near >> (OLDER(count) ? 0 : 4));
    const int32_t second = !OLDER(count) && at->phase >= s->line ? at->over : at->back2;
    const int32_t beside = left + 4 * at_most(at->b, 3) + 16 * above;
    const int32_t around = s->kernel > 1 ? at_most(at->back, 3) + 4 * at_most(second, 3) + 16 * above
                                         : above + 4 * at_most(at->up2, 3) + 16 * at_most(at->right, 3);
    const int32_t history = lesser(near >> 1, 31) + 32 * (int32_t)(at->phase < 15 ? at->phase : 15);
    const int32_t slope = 4 * lesser(quarters((uint32_t)magnitude_of(2 * at->a - at->b) << 4), 31) + left;
    const int32_t number = (int32_t)(at->column & 1023);
    int32_t found[7], i;
    if (OLDER(count)) {
        const int32_t energy = quarters(s->columns[at->column] >> 8);
        found[0] = beside;
        found[1] = FULL(count) ? history : lesser(near >> 2, 15) + 16 * (int32_t)(at->phase & 7);
        found[2] = FULL(count) ? lesser(energy, 63) : lesser(energy >> 1, 31);
        found[3] = around;
        found[4] = number;
        found[5] = slope;
        found[6] = lesser(quarters((uint32_t)at->far), 63);
    } else {
        found[0] = 0;
        found[1] = beside;
        found[2] = around;
        found[3] = history;
        found[4] = number;
        found[5] = slope;
    }
    for (i = 0; i < count; i++) v->places[i] = s->slots + (starts[i] + (uint32_t)found[i]) * s->nodes;
    if (OLDER(count)) v->terms[0] = 256;
}

/* How large the integers are that tell of this one, against what is large in the stripe. */
CM_INLINE void measure(const cm_state *s, view *v, const spot *at)
{
    const int32_t second = at->phase >= s->line ? at->over : at->back2;
    uint32_t around = (uint32_t)(2 * at_most(at->a, LOUDEST) + at_most(at->b, LOUDEST) + 2 * at_most(at->up, LOUDEST));
    int i, known = 6;
    around += (uint32_t)(s->kernel > 1 ? 2 * at_most(at->back, LOUDEST) + at_most(second, LOUDEST) + at_most(at->up2, LOUDEST)
                                       : 2 * at_most(at->up2, LOUDEST) + at_most(at->left, LOUDEST) + at_most(at->right, LOUDEST));
    v->terms[0] = octaves((uint32_t)at->near >> 4);
    v->terms[1] = octaves((uint32_t)at->far >> 4);
    v->terms[2] = octaves(s->columns[at->column] >> 12);
    v->terms[3] = octaves(28 * around);
    for (i = 4; i < TERMS; i++) v->terms[i] = 0;
    v->terms[SIZES] = 256;
    if (s->kernel > 1) {
        v->terms[4] = octaves(s->channels[at->channel] >> 12);
        v->terms[5] = octaves(s->places[at->phase] >> 12);
    } else {
        known = 4;
    }
    for (i = 0; i < known; i++) v->terms[i] = clamp((v->terms[i] - s->level_octaves) * 3 >> 2, 2047);
}

CM_INLINE int negative(cm_state *s, const int count, const spot *at, int bit, const int encoding)
{
    int32_t *weights = s->weights + STRIDE(count) * s->nodes;
    const int32_t beside = s->kernel > 1 ? at->back : OLDER(count) ? at->a : at->up2;
    if (!s->signs) return CODE(s, HALF, bit, encoding);
    if (OLDER(count)) {
        const int32_t one = 256;
        uint32_t *slots = side(s, count), *in[3];
        in[0] = slots + 5 * clamp(at->a, 2) + clamp(at->b, 2) + 12;
        in[1] = slots + 25 + 5 * clamp(at->up, 2) + clamp(beside, 2) + 12;
        in[2] = slots + 50 + clamp(2 * at->a - at->b, 15) + 15;
        return mixed(s, in, 3, &one, 1, weights, 1, bit, encoding);
    } else {
        int32_t terms[SIGN_TERMS] = {0};
        int i;
        terms[0] = at->a;
        terms[1] = at->b;
        terms[2] = at->up;
        terms[3] = beside;
        terms[4] = at->over;
        for (i = 0; i < BESIDE; i++) terms[i] = clamp(clamp(terms[i], 1023) * s->scale, 1023);
        terms[BESIDE] = 256;
        return mixed(s, 0, 0, terms, SIGN_TERMS, weights, 0, bit, encoding);
    }
}

CM_INLINE int filled(cm_state *s, const cm_int *row, const int count, const int encoding)
{
    uint32_t column = 0;
    uint32_t *flags = side(s, count) + BETWEEN(count) + WIDEST;
    if (encoding) while (column < s->width && !row[column]) column++;
    s->flag = (uint32_t)estimated(s, flags + s->flag, 60, column < s->width, encoding);
    return (int)s->flag;
}

/* Takes note of an integer that was coded, or skipped. */
CM_INLINE void heard(cm_state *s, spot *at, int32_t found, const int skip, const int count)
{
    const int32_t loud = OLDER(count) ? at_most(found, OLDER_LOUDEST) * 256 : at_most(found, LOUDEST) * 4096;
    at->near += (loud - at->near) >> 3;
    at->far += (int32_t)((int64_t)(loud - at->far) * step(at->column < 246 ? 4 + at->column : 250) >> 16);
    hear(s->columns + at->column, loud, OLDER(count) ? 64 : 250);
    if (!OLDER(count) && s->kernel > 1 && !skip) {
        hear(s->channels + at->channel, loud, 250);
        hear(s->places + at->phase, loud, 250);
    }
    at->b = at->a;
    at->a = found;
    if (++at->phase == s->kernel) at->phase = 0, at->channel++;
}

CM_INLINE void code_row(cm_state *s, cm_int *row, const cm_int *up, const cm_int *up2, const int count, const int encoding)
{
    spot at = {0};
    const int skip = s->rows && !filled(s, row, count, encoding);
    uint32_t i;
    at.near = at.far = (int32_t)(OLDER(count) ? s->energy : s->energy << 4);
    for (i = 0; !OLDER(count) && i < s->nodes; i++) s->slots[i] = i ? 1u << 31 | 1 : s->zero;
    for (; at.column < s->width; at.column++) {
        view v;
        int32_t value = encoding ? (int32_t)row[at.column] : 0, found = 0;
        if (!skip) {
            look(s, &at, row, up, up2);
            place(s, &v, count, &at);
            if (!OLDER(count)) measure(s, &v, &at);
            found = magnitude(s, &v, count, magnitude_of(value), encoding);
            if (found && negative(s, count, &at, value < 0, encoding)) found = -found;
        }
        if (!encoding) row[at.column] = (cm_int)found;
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
