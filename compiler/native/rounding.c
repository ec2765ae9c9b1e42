/* The extension lowbit.compiler._rounding: fake quantization of float32 and bfloat16, its gradients, and what penalties say
 * of float32 weights, each in one pass over memory. It works on the addresses of tensors and without the GIL;
 * compiler/fused.py is the only caller, and checks them. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Chosen when the extension is loaded. */
#if defined(__GNUC__) && defined(__x86_64__) && defined(__gnu_linux__)
#define WIDE __attribute__((target_clones("avx2", "default")))
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
WIDE static float slope_row(const float *restrict x, const float *restrict grad, float *restrict out, int64_t count,
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
    return (float)sum;
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

/* bfloat16 is the upper half of a float32. It is computed on as such, a block at a time in the cache, and rounded once, at
 * the end: to the nearest, and of two to the even one, as torch does. */
typedef uint16_t brain;

WIDE static void widen(const brain *restrict x, float *restrict y, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const uint32_t bits = (uint32_t)x[i] << 16;
        memcpy(y + i, &bits, sizeof bits);
    }
}

WIDE static void narrow(const float *restrict x, brain *restrict y, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        y[i] = x[i] == x[i] ? (brain)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) : 0x7FC0;
    }
}

static void round_brains(const brain *x, brain *y, int64_t count, float scale, grid g)
{
    float wide[BLOCK], rounded[BLOCK];
    for (int64_t i = 0; i < count; i += BLOCK) {
        const int64_t some = count - i < BLOCK ? count - i : BLOCK;
        widen(x + i, wide, some);
        round_row(wide, rounded, some, scale, g);
        narrow(rounded, y + i, some);
    }
}

static float slope_brains(const brain *x, const brain *grad, brain *out, int64_t count, float scale, grid g, int clipped)
{
    float wide[BLOCK], back[BLOCK], inside[BLOCK];
    double sum = 0;
    for (int64_t i = 0; i < count; i += BLOCK) {
        const int64_t some = count - i < BLOCK ? count - i : BLOCK;
        widen(x + i, wide, some);
        widen(grad + i, back, some);
        sum += slope_row(wide, back, inside, some, scale, g, clipped);
        narrow(inside, out + i, some);
    }
    return (float)sum;
}

/* fake_quantize(x, y, scale, rows, count, half, lo, hi, odd, bottom, top): addresses, and rows of so many values with a
 * scale each; half: the values are bfloat16; bottom, top: what they are limited to before */
static PyObject *fake_quantize(PyObject *module, PyObject *arguments)
{
    unsigned long long x, y, scale;
    long long rows, count;
    int half, lo, hi, odd;
    float bottom, top;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "KKKLLpiipff", &x, &y, &scale, &rows, &count, &half, &lo, &hi, &odd, &bottom, &top))
        return NULL;
    const grid g = grid_of(lo, hi, odd, bottom, top);
    const float *scales = (const float *)(uintptr_t)scale;
    Py_BEGIN_ALLOW_THREADS
    for (int64_t row = 0; row < rows; row++) {
        const int64_t at = row * count;
        if (half)
            round_brains((const brain *)(uintptr_t)x + at, (brain *)(uintptr_t)y + at, count, scales[row], g);
        else
            round_row((const float *)(uintptr_t)x + at, (float *)(uintptr_t)y + at, count, scales[row], g);
    }
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* slopes(x, grad, out, scale, by_scale, rows, count, half, lo, hi, odd, bottom, top, clipped) */
static PyObject *slopes(PyObject *module, PyObject *arguments)
{
    unsigned long long x, grad, out, scale, by_scale;
    long long rows, count;
    int half, lo, hi, odd, clipped;
    float bottom, top;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "KKKKKLLpiipffp", &x, &grad, &out, &scale, &by_scale, &rows, &count, &half, &lo, &hi,
                          &odd, &bottom, &top, &clipped))
        return NULL;
    const grid g = grid_of(lo, hi, odd, bottom, top);
    const float *scales = (const float *)(uintptr_t)scale;
    float *sums = (float *)(uintptr_t)by_scale;
    Py_BEGIN_ALLOW_THREADS
    for (int64_t row = 0; row < rows; row++) {
        const int64_t at = row * count;
        sums[row] = half ? slope_brains((const brain *)(uintptr_t)x + at, (const brain *)(uintptr_t)grad + at,
                                        (brain *)(uintptr_t)out + at, count, scales[row], g, clipped)
                         : slope_row((const float *)(uintptr_t)x + at, (const float *)(uintptr_t)grad + at,
                                     (float *)(uintptr_t)out + at, count, scales[row], g, clipped);
    }
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* errors(x, out, scale, sums, rows, count, lo, hi, odd): two sums for each row */
static PyObject *errors(PyObject *module, PyObject *arguments)
{
    unsigned long long x, out, scale, sums;
    long long rows, count;
    int lo, hi, odd;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "KKKKLLiip", &x, &out, &scale, &sums, &rows, &count, &lo, &hi, &odd)) return NULL;
    const grid g = grid_of(lo, hi, odd, -INFINITY, INFINITY);
    Py_BEGIN_ALLOW_THREADS
    for (int64_t row = 0; row < rows; row++)
        error_row((const float *)(uintptr_t)x + row * count, (float *)(uintptr_t)out + row * count, count,
                  ((const float *)(uintptr_t)scale)[row], g, (float *)(uintptr_t)sums + 2 * row);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* small(x, out, limit, sum, count): addresses of a limit and of a sum */
static PyObject *small(PyObject *module, PyObject *arguments)
{
    unsigned long long x, out, limit, sum;
    long long count;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "KKKKL", &x, &out, &limit, &sum, &count)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    *(float *)(uintptr_t)sum = small_values((const float *)(uintptr_t)x, (float *)(uintptr_t)out, count,
                                            *(const float *)(uintptr_t)limit);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"fake_quantize", fake_quantize, METH_VARARGS, NULL},
                                {"slopes", slopes, METH_VARARGS, NULL},
                                {"errors", errors, METH_VARARGS, NULL},
                                {"small", small, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_rounding", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rounding(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddIntConstant(module, "INTERFACE", 4)) Py_CLEAR(module); /* fused.py asks for it */
    return module;
}
