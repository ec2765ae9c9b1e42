/* What is done with float32 values that lie side by side and have one scale: each function one pass over memory. */
#include <math.h>
#include <stdint.h>

/* Chosen when the extension is loaded. */
#if defined(__GNUC__) && defined(__x86_64__) && defined(__gnu_linux__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

#define LANES 16
#define BLOCK 1024 /* values whose products are added up in float32 */

/* x is first brought into bottom..top, as by a ReLU before the grid, and then
 * q = each floor(clamp(x / scale part + shift, lo, hi)) + plus; the ends are integers, so clamping first is the same.
 * least, most: of x / scale, where its gradient passes. */
typedef struct {
    float part, shift, lo, hi, each, plus, least, most, bottom, top;
} grid;

static grid grid_of(int lo, int hi, int odd, float bottom, float top)
{
    const float least = (float)lo, most = (float)hi;
    const grid odds = {0.5f, 0.0f, (float)(lo - 1) / 2, (float)(hi - 1) / 2, 2.0f, 1.0f, least, most, bottom, top};
    const grid all = {1.0f, 0.5f, least, most, 1.0f, 0.0f, least, most, bottom, top};
    return odd ? odds : all;
}

/* What is no number stays none. */
static inline float limited(float x, const grid *g)
{
    x = x < g->bottom ? g->bottom : x;
    return x > g->top ? g->top : x;
}

static inline float quantized(float steps, const grid *g)
{
    float t = steps * g->part + g->shift, down;
    t = t > g->lo ? t : g->lo; /* what is no number, too: it is no integer either */
    t = t < g->hi ? t : g->hi;
    down = (float)(int32_t)t;
    down -= down > t ? 1.0f : 0.0f;
    return steps == steps ? down * g->each + g->plus : steps;
}

WIDE static void round_row(const float *restrict x, float *restrict y, int64_t count, float scale, grid g)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = quantized(limited(x[i], &g) / scale, &g) * scale;
}

/* One value's gradient: in x, and in the scale; outer: of what is clipped too, inner: of what is rounded. */
static inline float slope(float x, float grad, float *out, float scale, const grid *g, float inner, float outer)
{
    const float steps = limited(x, g) / scale, inside = steps < g->least || steps > g->most ? 0.0f : grad;
    *out = x <= g->bottom || x >= g->top ? 0.0f : inside;
    return (grad - outer * inside) * quantized(steps, g) - inner * (inside * steps);
}

/* The gradient in x, and returned that in the scale; clipped: from what is clipped alone. */
WIDE static double slope_row(const float *restrict x, const float *restrict grad, float *restrict out, int64_t count,
                            float scale, grid g, int clipped)
{
    const float inner = clipped ? 0.0f : 1.0f, outer = clipped ? 1.0f : 0.0f;
    double sum = 0;
    for (int64_t from = 0; from < count; from += BLOCK) {
        const int64_t to = count - from < BLOCK ? count : from + BLOCK, whole = to - (to - from) % LANES;
        float sums[LANES] = {0};
        for (int64_t i = from; i < whole; i += LANES)
            for (int j = 0; j < LANES; j++)
                sums[j] += slope(x[i + j], grad[i + j], out + i + j, scale, &g, inner, outer);
        for (int64_t i = whole; i < to; i++)
            sums[0] += slope(x[i], grad[i], out + i, scale, &g, inner, outer);
        for (int j = 0; j < LANES; j++)
            sum += sums[j];
    }
    return sum;
}

/* One value's distance from the grid, of which the square and the product with the integer of the grid are added up. */
static inline float distance(float x, float scale, const grid *g, float *square, float *product)
{
    const float q = quantized(x / scale, g), error = x - q * scale;
    *square += error * error;
    *product += error * q;
    return error;
}

/* What lies off the grid of each value; in sums the square of that, and its product with the integers of the grid. */
WIDE static void error_row(const float *restrict x, float *restrict out, int64_t count, float scale, grid g, float *sums)
{
    double square = 0, product = 0;
    for (int64_t from = 0; from < count; from += BLOCK) {
        const int64_t to = count - from < BLOCK ? count : from + BLOCK, whole = to - (to - from) % LANES;
        float squares[LANES] = {0}, products[LANES] = {0};
        for (int64_t i = from; i < whole; i += LANES)
            for (int j = 0; j < LANES; j++)
                out[i + j] = distance(x[i + j], scale, &g, squares + j, products + j);
        for (int64_t i = whole; i < to; i++)
            out[i] = distance(x[i], scale, &g, squares, products);
        for (int j = 0; j < LANES; j++) {
            square += squares[j];
            product += products[j];
        }
    }
    sums[0] = (float)square;
    sums[1] = (float)product;
}

/* One value, or 0 where it is larger than the limit; its square is added up. */
static inline float kept(float x, float limit, float *square)
{
    const float y = x <= limit && -x <= limit ? x : 0.0f;
    *square += y * y;
    return y;
}

/* The values that are no larger than the limit, 0 for others, and returned the sum of their squares. */
WIDE static float small_values(const float *restrict x, float *restrict out, int64_t count, float limit)
{
    double sum = 0;
    for (int64_t from = 0; from < count; from += BLOCK) {
        const int64_t to = count - from < BLOCK ? count : from + BLOCK, whole = to - (to - from) % LANES;
        float sums[LANES] = {0};
        for (int64_t i = from; i < whole; i += LANES)
            for (int j = 0; j < LANES; j++)
                out[i + j] = kept(x[i + j], limit, sums + j);
        for (int64_t i = whole; i < to; i++)
            out[i] = kept(x[i], limit, sums);
        for (int j = 0; j < LANES; j++)
            sum += sums[j];
    }
    return (float)sum;
}

/* w mask k, as two products are rounded; mask: of as many values, or NULL. */
WIDE static void multiply_row(const float *restrict w, const float *restrict mask, float k, float *restrict out, int64_t count)
{
    if (mask)
        for (int64_t i = 0; i < count; i++)
            out[i] = w[i] * mask[i] * k;
    else
        for (int64_t i = 0; i < count; i++)
            out[i] = w[i] * k;
}

WIDE static void divide_row(const float *restrict x, float by, float *restrict out, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = x[i] / by;
}
