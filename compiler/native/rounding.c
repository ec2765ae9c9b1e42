/* The extension lowbit.compiler._rounding: fake quantization of float32 and bfloat16, its gradients, that of weights behind
 * masks and factors, and what penalties say of float32 weights, each in one pass over memory. It works on the addresses of
 * tensors and without the GIL; compiler/fused.py is the only caller, and checks them. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <string.h>

#include "rows.h"

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

/* Weights on both sides of a grid: w mask k goes to it, and what comes from it is divided by k where it `divides`.
 * size: of a row, which has one k; mask, k: may be NULL. */
typedef struct {
    const float *w, *mask, *k;
    int64_t size;
    int divides;
} weights;

static float factor_at(const weights *of, int64_t at)
{
    return of->k ? of->k[at / of->size] : 1.0f;
}

static int64_t end_of_row(const weights *of, int64_t at, int64_t end)
{
    const int64_t row = of->k ? (at / of->size + 1) * of->size : end;
    return row < end ? row : end;
}

/* x mask k of the values at..end; x: the first of them. */
static void multiply(const weights *of, const float *x, int64_t at, int64_t end, float *out)
{
    for (int64_t i = at, to; i < end; i = to) {
        to = end_of_row(of, i, end);
        multiply_row(x + (i - at), of->mask ? of->mask + i : NULL, factor_at(of, i), out + (i - at), to - i);
    }
}

/* Behind the grid, on the way out and of the gradient on its way back. */
static void divide(const weights *of, const float *x, int64_t at, int64_t end, float *out)
{
    for (int64_t i = at, to; i < end; i = to) {
        to = of->divides ? end_of_row(of, i, end) : end;
        divide_row(x + (i - at), of->divides ? factor_at(of, i) : 1.0f, out + (i - at), to - i);
    }
}

/* The grid of the values at..end, a block at a time in the cache. */
static void weigh_run(const weights *of, float *y, int64_t at, int64_t end, float scale, grid g)
{
    float product[BLOCK], rounded[BLOCK];
    for (int64_t i = at, to; i < end; i = to) {
        to = end - i < BLOCK ? end : i + BLOCK;
        multiply(of, of->w + i, i, to, product);
        round_row(product, rounded, to - i, scale, g);
        divide(of, rounded, i, to, y + i);
    }
}

/* Its gradient in w, and returned that in the scale; straight: the first passes what is clipped, too. */
static float slope_run(const weights *of, const float *grad, float *out, int64_t at, int64_t end, float scale, grid g,
                       int straight, int clipped)
{
    float product[BLOCK], back[BLOCK], inside[BLOCK];
    double sum = 0;
    for (int64_t i = at, to; i < end; i = to) {
        to = end - i < BLOCK ? end : i + BLOCK;
        multiply(of, of->w + i, i, to, product);
        divide(of, grad + i, i, to, back);
        sum += slope_row(product, back, inside, to - i, scale, g, clipped);
        multiply(of, straight ? back : inside, i, to, out + i);
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
                         : (float)slope_row((const float *)(uintptr_t)x + at, (const float *)(uintptr_t)grad + at,
                                            (float *)(uintptr_t)out + at, count, scales[row], g, clipped);
    }
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* What arguments say of weights: addresses, of which mask and k may be 0. */
static weights weights_at(unsigned long long w, unsigned long long mask, unsigned long long k, long long size, int divides)
{
    const weights of = {(const float *)(uintptr_t)w, (const float *)(uintptr_t)mask, (const float *)(uintptr_t)k, size, divides};
    return of;
}

/* weigh(w, mask, k, size, divides, y, scale, at, runs, count, lo, hi, odd): runs of so many values from `at` on, a scale
 * each */
static PyObject *weigh(PyObject *module, PyObject *arguments)
{
    unsigned long long w, mask, k, y, scale;
    long long size, at, runs, count;
    int divides, lo, hi, odd;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "KKKLpKKLLLiip", &w, &mask, &k, &size, &divides, &y, &scale, &at, &runs, &count, &lo, &hi,
                          &odd))
        return NULL;
    const grid g = grid_of(lo, hi, odd, -INFINITY, INFINITY);
    const weights of = weights_at(w, mask, k, size, divides);
    Py_BEGIN_ALLOW_THREADS
    for (int64_t run = 0; run < runs; run++)
        weigh_run(&of, (float *)(uintptr_t)y, at + run * count, at + (run + 1) * count, ((const float *)(uintptr_t)scale)[run], g);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* weigh_slopes(w, mask, k, size, divides, grad, out, scale, sums, at, runs, count, straight, lo, hi, odd, clipped) */
static PyObject *weigh_slopes(PyObject *module, PyObject *arguments)
{
    unsigned long long w, mask, k, grad, out, scale, sums;
    long long size, at, runs, count;
    int divides, straight, lo, hi, odd, clipped;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "KKKLpKKKKLLLpiipp", &w, &mask, &k, &size, &divides, &grad, &out, &scale, &sums, &at, &runs,
                          &count, &straight, &lo, &hi, &odd, &clipped))
        return NULL;
    const grid g = grid_of(lo, hi, odd, -INFINITY, INFINITY);
    const weights of = weights_at(w, mask, k, size, divides);
    Py_BEGIN_ALLOW_THREADS
    for (int64_t run = 0; run < runs; run++)
        ((float *)(uintptr_t)sums)[run] =
            slope_run(&of, (const float *)(uintptr_t)grad, (float *)(uintptr_t)out, at + run * count, at + (run + 1) * count,
                      ((const float *)(uintptr_t)scale)[run], g, straight, clipped);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* product(w, mask, k, size, y, at, count) */
static PyObject *product(PyObject *module, PyObject *arguments)
{
    unsigned long long w, mask, k, y;
    long long size, at, count;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "KKKLKLL", &w, &mask, &k, &size, &y, &at, &count)) return NULL;
    const weights of = weights_at(w, mask, k, size, 0);
    Py_BEGIN_ALLOW_THREADS
    multiply(&of, of.w + at, at, at + count, (float *)(uintptr_t)y + at);
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
                                {"weigh", weigh, METH_VARARGS, NULL},
                                {"weigh_slopes", weigh_slopes, METH_VARARGS, NULL},
                                {"product", product, METH_VARARGS, NULL},
                                {"errors", errors, METH_VARARGS, NULL},
                                {"small", small, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_rounding", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rounding(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddIntConstant(module, "INTERFACE", 5)) Py_CLEAR(module); /* fused.py asks for it */
    return module;
}
