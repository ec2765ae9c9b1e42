/* Part of cm.c: the tables of the context mixer, its range decoder, and decisions, by one estimate or mixed from many. */

#if defined CM_TABLES && defined __GNUC__
#define CM_INLINE static inline __attribute__((always_inline)) /* for speed; without tables, for size */
#define CM_CALLED CM_INLINE
#elif defined __GNUC__
#define CM_INLINE static
#define CM_CALLED static __attribute__((noinline)) /* from many places */
#else
#define CM_INLINE static
#define CM_CALLED static
#endif
/* For processors with AVX2 once more, where the C library can choose when it loads. Integers: the bytes are the same. */
#if defined CM_TABLES && defined __x86_64__ && defined __gnu_linux__ && defined __GNUC__ && !defined __clang__
#define CM_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#define CM_VECTOR _Pragma("GCC unroll 1") /* it works on a whole vector only where it has not unrolled before */
#else
#define CM_CLONES
#define CM_VECTOR
#endif

enum { LIMIT = 3072, CLAMP = 1 << 18, HALF = 1 << 15, SIZES = 6, BESIDE = 5, OFTEN = 1000, CONTEXTS_MOST = 7 };

static const uint16_t LOGARITHM[33] = {0,    126,  248,  367,  482,  595,  704,  810,  914,  1015, 1114,
                                       1210, 1304, 1396, 1486, 1575, 1661, 1745, 1828, 1909, 1989, 2067,
                                       2143, 2218, 2292, 2365, 2436, 2506, 2575, 2642, 2709, 2775, 2839};
static const uint16_t LOGISTIC[49] = {1,    1,    1,    1,    1,    1,    2,    2,    3,     4,     5,     6,     8,
                                      10,   13,   17,   22,   28,   36,   47,   60,   77,    98,    126,   162,   208,
                                      267,  342,  439,  562,  720,  922,  1179, 1506, 1921,  2446,  3108,  3938,  4971,
                                      6249, 7812, 9702, 11955, 14595, 17625, 21025, 24743, 28693, 32768};
/* A level is the number of its contexts. Those of files of before have no terms besides. */
#define OLDER(count) (CM_OLDER && ((count) == CM_OLDER_LITE || (count) == CM_OLDER_MAX))
/* Terms of a decision, the constant one included, and estimates; with tables whole vectors, whose rest are zeros, and which
 * are worked on apart. */
#ifdef CM_TABLES
enum { TERMS = 8, APART = 1 };
#define LANES(count) ((count) ? 8 : 0)
#else
enum { TERMS = SIZES + 1, APART = 0 };
#define LANES(count) (count)
#endif
/* The weights of a node: of its terms, of its estimates, and how often it decided. */
#define STRIDE(count) ((OLDER(count) ? 1u : TERMS) + LANES(count) + 1)

/* What a decision is made from: where the estimates of each context begin, and terms that need none, room behind them. */
typedef struct {
    uint32_t *places[CONTEXTS_MOST];
    int32_t terms[TERMS + LANES(CONTEXTS_MOST)];
} view;

CM_INLINE int32_t lesser(int32_t a, int32_t b) { return a < b ? a : b; }
CM_CALLED int32_t clamp(int32_t x, int32_t most) { return x < -most ? -most : x > most ? most : x; }
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

CM_CALLED int32_t compute_step(uint32_t seen) { return (int32_t)(131072 / (2 * seen + 3)); }

/* 1, 3, 6, 12, and in files of before 2, 4, 7, 12. */
CM_INLINE int32_t rate_of(uint32_t chosen, int older) { return (3 << chosen >> 1) + (older && chosen < 3); }

static int32_t compute_pace(int32_t rate, uint32_t seen)
{
    return lesser(rate * (16 + (40 * compute_step(seen + 15) >> 8)), 2047);
}

CM_CALLED uint32_t knot(uint32_t index) { return index <= 48 ? LOGISTIC[index] : 65536u - LOGISTIC[96 - index]; }

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
    for (i = 0; i < 1024; i++) steps[i] = (uint16_t)compute_step(i);
    for (i = 0; i < 4 * (OFTEN + 1); i++) paces[i & 3][i >> 2] = (uint16_t)compute_pace(rate_of(i & 3, 0), i >> 2);
}

CM_INLINE int32_t logit(uint32_t p)
{
    return p - 256 < 65024 ? logits[p >> 4] : logits[p < 256 ? 4096 + p : p - 65280 + 4352];
}
CM_INLINE uint32_t logistic(int32_t x) { return logistics[x + LIMIT]; }
CM_INLINE int32_t step(uint32_t seen) { return steps[seen]; }
CM_INLINE int32_t pace(const cm_state *s, uint32_t seen) { return paces[s->flags >> 2 & 3][seen]; }
#else
#define logit compute_logit
#define step compute_step
CM_INLINE uint32_t logistic(int32_t x) { return compute_logistic((uint32_t)(x + LIMIT)); }
CM_INLINE int32_t pace(const cm_state *s, uint32_t seen) { return compute_pace(s->rate, seen); }
#endif

/* ---- the range coder ---- */

/* The next byte, behind those that code holds. */
CM_CALLED void shift(cm_state *s)
{
    s->code = s->code << 8 | (s->at < s->size ? s->data[s->at] : 0);
    s->at++;
    s->range <<= 8;
}

CM_INLINE int take(cm_state *s, uint32_t p)
{
    uint32_t bound = (uint32_t)(((uint64_t)s->range * p) >> 16);
    int bit = s->code < bound;
    uint32_t zero = (uint32_t)bit - 1; /* all ones for a 0: no processor foretells these bits, so no branch */
    s->code -= bound & zero;
    s->range = (bound & ~zero) | ((s->range - bound) & zero);
    while (s->range < 1u << 24) shift(s);
    return bit;
}

/* ---- decisions ---- */

#ifdef CM_ENCODER
#define CODE(s, p, bit, encoding) ((encoding) ? cm_put(s, p, bit) : take(s, p))
#else
#define CODE(s, p, bit, encoding) ((void)(bit), (void)(encoding), take(s, p))
#endif

/* A part of the way, that of what has been seen so often. */
CM_CALLED int32_t toward(int32_t from, int32_t to, uint32_t seen)
{
    return from + (int32_t)((int64_t)(to - from) * step(seen) >> 16);
}

CM_INLINE void learn(uint32_t *slot, int bit, uint32_t memory)
{
    const uint32_t seen = *slot & 1023;
    const int32_t p = toward((int32_t)(*slot >> 10), -bit & ((1 << 22) - 1), seen);
    *slot = (uint32_t)p << 10 | (seen + (seen < memory));
}

CM_CALLED int estimated(cm_state *s, uint32_t *slot, uint32_t memory, int bit, const int encoding)
{
    uint32_t p = *slot >> 16;
    bit = CODE(s, p < 1 ? 1 : p, bit, encoding);
    learn(slot, bit, memory);
    return bit;
}

CM_INLINE void nudge(int32_t *restrict weights, const int32_t *restrict inputs, const int count, const int32_t error)
{
    int i;
    CM_VECTOR
    for (i = 0; i < count; i++) weights[i] = clamp(weights[i] + ((inputs[i] * error + 8192) >> 14), CLAMP);
}

/* Mixes the terms, of which one is constant, and the logits of the estimates of a node of `count` contexts, which it puts
 * behind the terms. Behind the weights stands how often they were used: they move less and less. */
CM_INLINE int mixed(cm_state *s, view *v, uint32_t node, const int count, const int level, int bit, const int encoding)
{
    const int older = OLDER(level), more = older ? 1 : TERMS, used = more + LANES(count), first = APART ? more : used;
    int32_t *restrict inputs = v->terms, *restrict weights = s->weights + STRIDE(level) * node;
    const int32_t seen = weights[used];
    int32_t total = 0, error;
    uint32_t p;
    int i;
    for (i = 0; i < count; i++) inputs[more + i] = logit(v->places[i][node] >> 16);
    CM_VECTOR
    for (i = 0; i < first; i++) total += inputs[i] * (weights[i] >> 2);
    for (i = first; i < more + count; i++) total += inputs[i] * (weights[i] >> 2);
    total >>= 14;
    p = logistic(total < -LIMIT ? -LIMIT : total > LIMIT - 1 ? LIMIT - 1 : total);
    bit = CODE(s, p, bit, encoding);
    error = ((-bit & 65535) - (int32_t)p) * (older ? s->rate << 4 : pace(s, (uint32_t)seen)) >> 8;
    nudge(weights, inputs, first, error);
    if (APART) nudge(weights + more, inputs + more, LANES(count), error);
    weights[used] = seen + (!older && seen < OFTEN);
    for (i = 0; i < count; i++) learn(v->places[i] + node, bit, s->memory);
    return bit;
}
