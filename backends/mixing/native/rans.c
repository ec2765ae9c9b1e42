/* See rans.h. docs/format.md has the bytes. */
#include "rans.h"

enum { MOST_SYMBOLS = 4096, SPREAD = 1 << 16, LOW = 1 << 24 };

/* ---- the table ---- */

typedef struct {
    const uint8_t *data;
    size_t size, at; /* in bytes, or in bits behind the first few */
} reader;

static int byte(reader *r, uint32_t *found)
{
    if (r->at >= r->size) return 0;
    *found = r->data[r->at++];
    return 1;
}

/* LEB128, the shortest spelling alone. */
static int varint(reader *r, uint64_t *found)
{
    uint32_t more, shift = 0;
    for (*found = 0;; shift += 7) {
        if (shift > 63 || !byte(r, &more) || (shift == 63 && more > 1) || (shift && !more)) return 0;
        *found |= (uint64_t)(more & 127) << shift;
        if (more < 128) return 1;
    }
}

static int bit(reader *r, uint32_t *found)
{
    if (r->at >> 3 >= r->size) return 0;
    *found = r->data[r->at >> 3] >> (r->at & 7) & 1;
    r->at++;
    return 1;
}

/* A number's class, in unary. */
static int class_of(reader *r, uint32_t order, uint32_t *found)
{
    uint32_t one = 0;
    for (*found = 0; bit(r, &one) && !one; ++*found) {}
    return one && *found <= 64 - order;
}

/* A number of a gamma code: its class from one place, its low bits from another. */
static int told(reader *classes, reader *lows, uint32_t order, uint64_t *found)
{
    uint32_t size, at, low, width;
    if (!class_of(classes, order, &size)) return 0;
    width = order + (size ? size - 1 : 0);
    *found = size ? (uint64_t)1 << width : 0;
    for (at = 0; at < width; at++) {
        if (!bit(lows, &low)) return 0;
        *found |= (uint64_t)low << at;
    }
    return 1;
}

/* The place behind the classes of so many numbers. */
static int past(reader *r, uint32_t count, uint32_t order)
{
    uint32_t size;
    while (count--)
        if (!class_of(r, order, &size)) return 0;
    return 1;
}

static int fits(int64_t x)
{
    const rans_int held = (rans_int)x;
    return held == x;
}

/* The symbols' distances to the least. */
static int symbols(rans_state *s, reader *r)
{
    reader lows = *r;
    uint64_t gap, distance = 0;
    uint32_t i;
    if (!past(&lows, s->symbols - 1, 0)) return 0;
    for (i = 1, s->table[0] = 0; i < s->symbols; i++) {
        if (!told(r, &lows, 0, &gap) || gap >= SPREAD) return 0;
        distance += gap + 1;
        if (distance >= SPREAD) return 0;
        s->table[i] = distance << 32;
    }
    *r = lows;
    return s->least <= INT64_MAX - (int64_t)distance && fits(s->least) && fits(s->least + (int64_t)distance);
}

/* Their frequencies, of which one is what the others leave. */
static int frequencies(rans_state *s, reader *r, uint32_t order)
{
    reader lows = *r;
    uint64_t frequency, sum = 0;
    uint32_t i, hidden = s->symbols;
    if (!past(&lows, s->symbols, order)) return 0;
    for (i = 0; i < s->symbols; i++) {
        if (!told(r, &lows, order, &frequency) || frequency > SPREAD) return 0;
        if (frequency) s->table[i] |= (frequency - 1) << 16;
        else if (hidden < s->symbols) return 0;
        else hidden = i;
        sum += frequency;
    }
    *r = lows;
    if (hidden == s->symbols || sum >= (uint64_t)1 << s->precision) return 0;
    s->table[hidden] |= (((uint64_t)1 << s->precision) - sum - 1) << 16;
    return 1;
}

static uint32_t frequency_of(uint64_t entry) { return (uint32_t)(entry >> 16 & 0xFFFF) + 1; }

/* Each symbol's start; or all slots, from the last one down, so that no symbol is overwritten before it is spread. */
static void spread(rans_state *s)
{
#if RANS_SLOTS
    uint32_t i, slot = 1u << s->precision;
    for (i = s->symbols; i-- > 0;) {
        const uint64_t entry = s->table[i];
        uint32_t place = frequency_of(entry);
        while (place-- > 0) s->table[--slot] = entry | place;
    }
#else
    uint32_t i, start = 0;
    for (i = 0; i < s->symbols; i++) {
        s->table[i] |= start;
        start += frequency_of(s->table[i]);
    }
#endif
}

static uint64_t entry_of(const rans_state *s, uint32_t slot)
{
#if RANS_SLOTS
    return s->table[slot];
#else
    uint32_t low = 0, high = s->symbols;
    while (high - low > 1) {
        const uint32_t middle = (low + high) / 2;
        if ((s->table[middle] & 0xFFFF) <= slot) low = middle;
        else high = middle;
    }
    return (s->table[low] & ~(uint64_t)0xFFFF) | (slot - (uint32_t)(s->table[low] & 0xFFFF));
#endif
}

/* ---- a stream ---- */

/* What its first bytes say; 0 if that is not legal. */
static int head(reader *r, rans_state *s)
{
    uint32_t first;
    uint64_t more;
    if (!byte(r, &first) || !varint(r, &more) || more >= MOST_SYMBOLS) return 0;
    s->precision = (first & 15) + 1;
    s->lanes = 1u << (first >> 4);
    s->symbols = (uint32_t)more + 1;
    return s->symbols <= 1u << s->precision;
}

size_t rans_words(const uint8_t *data, size_t size)
{
    rans_state s;
    reader r = {data, size, 0};
    return head(&r, &s) ? s.lanes + (RANS_SLOTS ? (size_t)1 << s.precision : s.symbols) : 0;
}

/* Symbols and frequencies, and zeros to the end of the last byte. */
static int table(rans_state *s, reader *r)
{
    uint32_t order, padding;
    uint64_t folded;
    if (!varint(r, &folded) || !byte(r, &order) || order > 15) return 0;
    s->least = (int64_t)(folded >> 1 ^ (0 - (folded & 1)));
    r->at *= 8;
    if (!symbols(s, r) || !frequencies(s, r, order)) return 0;
    while (r->at & 7)
        if (!bit(r, &padding) || padding) return 0;
    r->at /= 8;
    return 1;
}

static int states(rans_state *s, reader *r)
{
    uint32_t lane, at, part;
    for (lane = 0; lane < s->lanes; lane++) {
        uint64_t x = 0;
        for (at = 0; at < 40; at += 8) {
            if (!byte(r, &part)) return 0;
            x |= (uint64_t)part << at;
        }
        if (x < LOW) return 0;
        s->states[lane] = x;
    }
    return (r->size - r->at) % 2 == 0;
}

int rans_begin(rans_state *s, uint64_t *memory, const uint8_t *data, size_t size)
{
    reader r = {data, size, 0};
    if (!head(&r, s)) return 0;
    s->states = memory;
    s->table = memory + s->lanes;
    if (!table(s, &r) || !states(s, &r)) return 0;
    spread(s);
    s->words = data + r.at;
    s->end = data + size;
    s->lane = 0;
    s->whole = 1;
    return 1;
}

/* Decodes up to as many integers as there are words. No processor foretells which lane takes one, so no branch. */
static size_t quick(rans_state *s, rans_int *out, size_t count)
{
    const size_t left = (size_t)(s->end - s->words) / 2, last = s->lanes - 1;
    const uint32_t precision = s->precision, mask = (1u << precision) - 1;
    const uint8_t *words = s->words;
    size_t i;
    if (count > left) count = left;
    for (i = 0; i < count; i++) {
        uint64_t *state = s->states + ((s->lane + i) & last), x = *state, low;
        const uint64_t entry = entry_of(s, (uint32_t)x & mask);
        x = frequency_of(entry) * (x >> precision) + (entry & 0xFFFF);
        low = 0 - (uint64_t)(x < LOW);
        x = x << (low & 16) | (low & (words[0] | (uint64_t)words[1] << 8));
        words += low & 2;
        *state = x;
        out[i] = (rans_int)(s->least + (int64_t)(entry >> 32));
    }
    s->words = words;
    s->lane = (uint32_t)((s->lane + count) & last);
    return count;
}

static void slow(rans_state *s, rans_int *out)
{
    uint64_t *state = s->states + s->lane, x = *state;
    const uint64_t entry = entry_of(s, (uint32_t)x & ((1u << s->precision) - 1));
    x = frequency_of(entry) * (x >> s->precision) + (entry & 0xFFFF);
    if (x < LOW) s->whole = 0, x = LOW; /* a word is missing */
    *state = x;
    *out = (rans_int)(s->least + (int64_t)(entry >> 32));
    s->lane = (s->lane + 1) & (s->lanes - 1);
}

void rans_take(rans_state *s, rans_int *out, size_t count)
{
    while (count && s->end > s->words) {
        const size_t done = quick(s, out, count);
        out += done;
        count -= done;
    }
    for (; count; count--) slow(s, out++);
}

int rans_end(const rans_state *s)
{
    uint32_t lane;
    for (lane = 0; lane < s->lanes; lane++)
        if (s->states[lane] != LOW) return 0;
    return s->whole && s->words == s->end;
}
