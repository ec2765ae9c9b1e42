/* Part of cm.c: what is known when a decision about an integer is made, from those decoded before it; see docs/format.md. */

enum { OLDER_LOUDEST = (1 << 15) - 1, LOUDEST = (1 << 11) - 1 };

/* Where the estimates of each context begin, in units of the nodes, and where the last ones end. */
static const uint16_t STARTS[CM_OLDER ? 4 : CM_LARGE ? 2 : 1][CM_OLDER || CM_LARGE ? 8 : 4] = {
    {0, 1, 65, 129},
#if CM_LARGE || CM_OLDER
    {0, 1, 65, 129, 641, 1665, 1793},
#endif
#if CM_OLDER
    {0, 64, 192, 224, 288},
    {0, 64, 576, 640, 704, 1728, 1856, 1920},
#endif
};
#define FULL(count) ((CM_LARGE && (count) == CM_MAX) || (CM_OLDER && (count) == CM_OLDER_MAX))
#define CONTEXTS(count) STARTS[2 * OLDER(count) + FULL(count)]

/* About 256 log2(energy + 8), in straight lines from power to power; of energies below 2^24 - 8. */
CM_CALLED int32_t octaves(uint32_t energy)
{
    int exponent = top_bit(energy += 8);
    return 256 * exponent + (int32_t)((energy << 8) >> exponent);
}

/* Quarters of an octave, from 0. */
CM_INLINE int32_t quarters(uint32_t energy) { return (octaves(energy) >> 6) - 16; }

CM_INLINE int32_t magnitude_of(int32_t x) { return x < 0 ? -x : x; }
CM_CALLED int32_t at_most(int32_t x, int32_t most) { return lesser(magnitude_of(x), most); }

CM_INLINE void hear(uint32_t *known, int32_t loud, uint32_t most)
{
    const uint32_t seen = *known & 255;
    *known = (uint32_t)toward((int32_t)(*known >> 8), loud, seen) << 8 | (seen + (seen < most));
}

/* Neighbours: the last two integers; above; K > 1: one channel back; or K = 1: two above; one line of the kernel back;
 * K > 1: `over` or two channels back, two above; K = 1: left and right of the one above. */
enum { A, B, UP, ONE, OVER, TWO, THREE, NEIGHBOURS };

typedef struct {
    int32_t by[NEIGHBOURS], near, far; /* how large the row has been */
    uint32_t column, phase, channel;   /* phase: column modulo K */
} spot;

CM_CALLED int32_t back(const cm_int *row, uint32_t column, uint32_t distance)
{
    return column >= distance ? (int32_t)row[column - distance] : 0;
}

CM_INLINE void look(const cm_state *s, spot *at, const cm_int *row, const cm_int *up, const cm_int *up2, const int older)
{
    const uint32_t c = at->column, kernel = s->grid.kernel;
    const int inner = at->phase >= s->grid.line;
    at->by[UP] = (int32_t)up[c];
    at->by[ONE] = at->by[THREE] = (int32_t)up2[c];
    at->by[OVER] = inner ? back(row, c, s->grid.line) : 0;
    if (kernel > 1) {
        at->by[ONE] = back(row, c, kernel);
        at->by[TWO] = !older && inner ? at->by[OVER] : back(row, c, 2 * kernel);
    } else {
        at->by[TWO] = back(up, c, 1);
        at->by[THREE] = c + 1 < s->grid.columns ? (int32_t)up[c + 1] : 0;
    }
}

/* The contexts of both generations. */
CM_INLINE void place(cm_state *s, view *v, const int count, const spot *at)
{
    const uint16_t *starts = CONTEXTS(count);
    const int32_t above = at_most(at->by[UP], 3), left = at_most(at->by[A], 3), one = at_most(at->by[ONE], 3);
    const int32_t around = s->grid.kernel > 1 ? one + 4 * at_most(at->by[TWO], 3) + 16 * above
                                              : above + 4 * one + 16 * at_most(at->by[THREE], 3);
    int32_t found[CONTEXTS_MOST], i;
    found[0] = 0;
    found[OLDER(count) ? 0 : 1] = left + 4 * at_most(at->by[B], 3) + 16 * above;
    found[OLDER(count) ? 3 : 2] = around;
    if (OLDER(count) || FULL(count)) {
        const int32_t near = quarters((uint32_t)at->near >> (OLDER(count) ? 0 : 4));
        const int32_t energy = OLDER(count) ? quarters(s->columns[at->column] >> 8) : 0;
        const int32_t history = lesser(near >> 1, 31) + 32 * (int32_t)(at->phase < 15 ? at->phase : 15);
        const int32_t bend = at_most(2 * at->by[A] - at->by[B], 255);
        if (!OLDER(count)) {
            found[3] = history;
        } else {
            found[1] = FULL(count) ? history : lesser(near >> 2, 15) + 16 * (int32_t)(at->phase & 7);
            found[2] = FULL(count) ? lesser(energy, 63) : lesser(energy >> 1, 31);
            found[6] = lesser(quarters((uint32_t)at->far), 63);
        }
        found[4] = (int32_t)(at->column & 1023);
        found[5] = 4 * lesser(quarters((uint32_t)bend << 4), 31) + left;
    }
    for (i = 0; i < count; i++) v->places[i] = s->slots + (starts[i] + (uint32_t)found[i]) * s->nodes;
}

/* How large the integers are that tell of this one, against what is large in the stripe. */
CM_INLINE void measure(const cm_state *s, view *v, const spot *at)
{
    const int shares = 2 << 2 * A | 1 << 2 * B | 2 << 2 * UP | 2 << 2 * ONE | 1 << 2 * TWO | 1 << 2 * THREE;
    int32_t around = 0;
    int i, known = 4;
    for (i = 0; i < NEIGHBOURS; i++) around += (shares >> 2 * i & 3) * at_most(at->by[i], LOUDEST);
    v->terms[0] = at->near >> 4;
    v->terms[1] = at->far >> 4;
    v->terms[2] = (int32_t)(s->columns[at->column] >> 12);
    v->terms[3] = 28 * around;
    if (s->grid.kernel > 1) {
        known = 6;
        v->terms[4] = (int32_t)(s->channels[at->channel] >> 12);
        v->terms[5] = (int32_t)(s->places[at->phase] >> 12);
    }
    for (i = 0; i < known; i++) v->terms[i] = clamp((octaves((uint32_t)v->terms[i]) - s->level_octaves) * 3 >> 2, 2047);
}

/* The terms of a sign. They are told before they are needed: a processor that reads vectors waits for what was just written. */
CM_INLINE void tell(const cm_state *s, view *signs, const spot *at)
{
    int i;
    for (i = 0; i < BESIDE; i++) signs->terms[i] = clamp(clamp(at->by[i], 1023) * s->scale, 1023);
}

/* Takes note of an integer that was coded, or skipped. */
CM_INLINE void heard(cm_state *s, spot *at, int32_t found, const int skip, const int count)
{
    const int32_t loud = OLDER(count) ? at_most(found, OLDER_LOUDEST) * 256 : at_most(found, LOUDEST) * 4096;
    at->near += (loud - at->near) >> 3;
    at->far = toward(at->far, loud, at->column < 246 ? 4 + at->column : 250);
    hear(s->columns + at->column, loud, OLDER(count) ? 64 : 250);
    if (!OLDER(count) && s->grid.kernel > 1 && !skip) {
        hear(s->channels + at->channel, loud, 250);
        hear(s->places + at->phase, loud, 250);
    }
    at->by[B] = at->by[A];
    at->by[A] = found;
    at->column++;
    if (++at->phase == s->grid.kernel) at->phase = 0, at->channel++;
}
