/* The extension lowbit.backends.mixing._native: both ways of the context mixer and the decoder of rANS, on arrays of int64,
 * without the GIL. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define CM_INT int64_t
#define CM_TABLES
#include "cm_encode.c"
#include "rans.c"

#include <stdlib.h>

typedef struct {
    uint32_t rows;
    cm_grid grid;
    int level;
    const uint8_t *settings;
    uint32_t *memory;
    cm_int *zeros;
} job;

/* Takes memory for a stripe; sets an error and returns 0 if it cannot. */
static int begin(job *j, Py_ssize_t settings_size, Py_ssize_t integers)
{
    const size_t words = settings_size == 3 ? cm_words(j->level, j->settings, j->grid.columns, j->grid.kernel) : 0;
    if (!words || !j->grid.columns || j->grid.columns >> 31 || !j->grid.line || (uint64_t)integers != (uint64_t)j->rows * j->grid.columns) {
        PyErr_SetString(PyExc_ValueError, "the settings or the sizes are not legal");
        return 0;
    }
    j->memory = malloc(words * sizeof *j->memory);
    j->zeros = calloc(j->grid.columns, sizeof *j->zeros);
    if (j->memory && j->zeros) return 1;
    free(j->memory);
    free(j->zeros);
    PyErr_NoMemory();
    return 0;
}

static void end(job *j)
{
    free(j->memory);
    free(j->zeros);
}

typedef void row_function(cm_state *s, cm_int *row, const cm_int *up, const cm_int *up2);

static void each_row(cm_state *s, const job *j, cm_int *values, row_function *code)
{
    const cm_int *up = j->zeros, *up2 = j->zeros;
    uint32_t row;
    for (row = 0; row < j->rows; row++, values += j->grid.columns) {
        code(s, values, up, up2);
        up2 = up;
        up = values;
    }
}

/* `values` is only read: a decoder would write there. */
static size_t encode_into(const job *j, cm_int *values, uint8_t *out, size_t size)
{
    cm_state s;
    cm_begin_encoding(&s, j->level, j->settings, &j->grid, j->memory, out, size);
    each_row(&s, j, values, cm_encode_row);
    return cm_end_encoding(&s);
}

static int decode_from(const job *j, cm_int *values, const uint8_t *data, size_t size)
{
    cm_state s;
    cm_begin(&s, j->level, j->settings, &j->grid, j->memory, data, size);
    each_row(&s, j, values, cm_row);
    return cm_end(&s);
}

/* encode(values, level, settings, rows, columns, kernel, line) -> bytes */
static PyObject *encode(PyObject *module, PyObject *arguments)
{
    job j;
    Py_buffer values, settings;
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*iy*IIII", &values, &j.level, &settings, &j.rows, &j.grid.columns,
                          &j.grid.kernel, &j.grid.line))
        return NULL;
    j.settings = settings.buf;
    if (begin(&j, settings.len, values.len / (Py_ssize_t)sizeof(cm_int))) {
        size_t size = (size_t)values.len / sizeof(cm_int) + 64, found;
        uint8_t *out = NULL, *more;
        for (;; size = found) { /* a second time only for integers of more than a byte each */
            more = realloc(out, size);
            if (!more) break;
            out = more;
            Py_BEGIN_ALLOW_THREADS
            found = encode_into(&j, values.buf, out, size);
            Py_END_ALLOW_THREADS
            if (found <= size) break;
        }
        result = more ? PyBytes_FromStringAndSize((char *)out, (Py_ssize_t)found) : PyErr_NoMemory();
        free(out);
        end(&j);
    }
    PyBuffer_Release(&values);
    PyBuffer_Release(&settings);
    return result;
}

/* decode(data, level, settings, rows, columns, kernel, line, out) -> bool */
static PyObject *decode(PyObject *module, PyObject *arguments)
{
    job j;
    Py_buffer data, settings, out;
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*iy*IIIIw*", &data, &j.level, &settings, &j.rows, &j.grid.columns,
                          &j.grid.kernel, &j.grid.line, &out))
        return NULL;
    j.settings = settings.buf;
    if (begin(&j, settings.len, out.len / (Py_ssize_t)sizeof(cm_int))) {
        int whole;
        Py_BEGIN_ALLOW_THREADS
        whole = decode_from(&j, out.buf, data.buf, (size_t)data.len);
        Py_END_ALLOW_THREADS
        result = PyBool_FromLong(whole);
        end(&j);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&settings);
    PyBuffer_Release(&out);
    return result;
}

/* rans(data, out) -> bool */
static PyObject *rans(PyObject *module, PyObject *arguments)
{
    Py_buffer data, out;
    int whole = 0;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*w*", &data, &out)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    const size_t words = rans_words(data.buf, (size_t)data.len);
    uint64_t *memory = words ? malloc(words * sizeof *memory) : NULL;
    rans_state s;
    if (memory && rans_begin(&s, memory, data.buf, (size_t)data.len)) {
        rans_take(&s, out.buf, (size_t)out.len / sizeof(rans_int));
        whole = rans_end(&s);
    }
    free(memory);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    return PyBool_FromLong(whole);
}

static PyMethodDef methods[] = {
    {"encode", encode, METH_VARARGS, NULL},
    {"decode", decode, METH_VARARGS, NULL},
    {"rans", rans, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module = PyModule_Create(&definition);
    cm_tables();
    if (module && PyModule_AddIntConstant(module, "INTERFACE", 2)) Py_CLEAR(module); /* form.py asks for it */
    return module;
}
