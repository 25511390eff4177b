/* Finds literal texts in scripts, each by a word of its own.

   This does what `signatures.py` does without a compiler: one pass over the words of a script looks each up among the
   keys of all literals, so that only literals whose key is there are compared with the script. */

#include "_scanner.h"

#include <string.h>

#define SIZES 63 /* of keys that are told apart at a glance; longer ones count as such */

typedef struct {
    const unsigned char *literal, *key;
    Py_ssize_t size, key_size;
    Py_ssize_t before; /* bytes of the literal before its key */
    int bounded;       /* the key is a whole word wherever the literal stands, so that it is there or nowhere */
    int next;          /* of the same key, or -1 */
} Literal;

typedef struct {
    PyObject_HEAD
    PyObject *kept; /* the bytes that the literals point into */
    Literal *literals;
    int count;
    int *slots; /* the first literal of a key, plus one */
    unsigned mask;
    unsigned long long sizes[256]; /* by a key's first byte: of which sizes there are any */
    unsigned char word[256];       /* whether a byte belongs to words */
} Words;

static unsigned hash_of(const unsigned char *key, Py_ssize_t size)
{
    unsigned hash = (unsigned)size;
    for (Py_ssize_t i = 0; i < size; i++)
        hash = (hash ^ key[i]) * 16777619u;
    return hash ^ hash >> 15;
}

static int *slot_of(const Words *words, const unsigned char *key, Py_ssize_t size)
{
    unsigned i = hash_of(key, size) & words->mask;
    while (words->slots[i]) {
        const Literal *first = &words->literals[words->slots[i] - 1];
        if (first->key_size == size && memcmp(first->key, key, (size_t)size) == 0)
            break;
        i = (i + 1) & words->mask;
    }
    return &words->slots[i];
}

static int occurs(const Literal *literal, const unsigned char *text, Py_ssize_t size)
{
    const unsigned char *at = text, *last = text + size - literal->size;
    while (at <= last && (at = memchr(at, literal->literal[0], (size_t)(last - at) + 1)) != NULL) {
        if (memcmp(at, literal->literal, (size_t)literal->size) == 0)
            return 1;
        at++;
    }
    return 0;
}

/* The word of a text from `at` to `over` is the key of some literals: take down which of them the text holds. */
static int compare(const Words *words, int index, const unsigned char *text, Py_ssize_t size, Py_ssize_t at,
                   unsigned char *settled, PyObject *found)
{
    for (; index >= 0; index = words->literals[index].next) {
        const Literal *literal = &words->literals[index];
        if (settled[index])
            continue;
        Py_ssize_t start = at - literal->before;
        int there = start >= 0 && literal->size <= size - start
                    && memcmp(text + start, literal->literal, (size_t)literal->size) == 0;
        if (!there && !literal->bounded) {
            there = occurs(literal, text, size);
            settled[index] = 1;
        }
        if (!there)
            continue;
        settled[index] = 1;
        PyObject *number = PyLong_FromLong(index);
        int failed = !number || PyList_Append(found, number) < 0;
        Py_XDECREF(number);
        if (failed)
            return -1;
    }
    return 0;
}

static PyObject *find(PyObject *self, PyObject *argument)
{
    const Words *words = (const Words *)self;
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(argument, &bytes, &size) < 0)
        return NULL;
    const unsigned char *text = (const unsigned char *)bytes;
    unsigned char *settled = PyMem_Calloc((size_t)words->count + 1, 1);
    PyObject *found = settled ? PyList_New(0) : PyErr_NoMemory();
    for (Py_ssize_t at = 0; found && at < size;) {
        Py_ssize_t over = at;
        while (over < size && words->word[text[over]])
            over++;
        Py_ssize_t length = over - at;
        if (length && words->sizes[text[at]] >> (length < SIZES ? length : SIZES) & 1) {
            int first = *slot_of(words, text + at, length);
            if (first && compare(words, first - 1, text, size, at, settled, found) < 0)
                Py_CLEAR(found);
        }
        at = over + 1;
    }
    PyMem_Free(settled);
    return found;
}

static int enter(Words *words, PyObject *pair)
{
    Literal *literal = &words->literals[words->count];
    PyObject *text, *key;
    char *bytes, *word;
    if (!PyTuple_Check(pair)) {
        PyErr_SetString(PyExc_TypeError, "Words: not a pair of bytes");
        return -1;
    }
    if (!PyArg_ParseTuple(pair, "SS", &text, &key))
        return -1;
    PyBytes_AsStringAndSize(text, &bytes, &literal->size);
    PyBytes_AsStringAndSize(key, &word, &literal->key_size);
    literal->literal = (unsigned char *)bytes;
    literal->key = (unsigned char *)word;
    literal->before = -1;
    for (Py_ssize_t at = 0, over; at < literal->size; at = over + 1) {
        for (over = at; over < literal->size && words->word[literal->literal[over]];)
            over++;
        if (over - at == literal->key_size && memcmp(literal->literal + at, word, (size_t)literal->key_size) == 0) {
            literal->before = at;
            literal->bounded = at > 0 && over < literal->size;
            break;
        }
    }
    if (literal->before < 0 || !literal->key_size) {
        PyErr_SetString(PyExc_ValueError, "Words: a key is a word of its literal");
        return -1;
    }
    words->sizes[literal->key[0]] |= 1ULL << (literal->key_size < SIZES ? literal->key_size : SIZES);
    int *slot = slot_of(words, literal->key, literal->key_size);
    literal->next = *slot - 1;
    *slot = ++words->count;
    return 0;
}

static PyObject *create(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *pairs;
    if (keywords && PyDict_Size(keywords))
        return PyErr_Format(PyExc_TypeError, "Words takes no keywords");
    if (!PyArg_ParseTuple(arguments, "O!", &PyTuple_Type, &pairs))
        return NULL;
    Words *self = (Words *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self)
        return NULL;
    Py_ssize_t count = PyTuple_Size(pairs);
    size_t slots = 16;
    while (slots < 4 * (size_t)count)
        slots *= 2;
    for (int c = 0; c < 256; c++)
        self->word[c] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
    self->mask = (unsigned)slots - 1;
    self->kept = Py_NewRef(pairs);
    self->literals = PyMem_Calloc((size_t)count + 1, sizeof(Literal));
    self->slots = PyMem_Calloc(slots, sizeof(int));
    if (!self->literals || !self->slots) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < count; i++)
        if (enter(self, PyTuple_GetItem(pairs, i)) < 0) {
            Py_DECREF(self);
            return NULL;
        }
    return (PyObject *)self;
}

static void destroy(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Words *words = (Words *)self;
    PyMem_Free(words->literals);
    PyMem_Free(words->slots);
    Py_XDECREF(words->kept);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"find", find, METH_O, "find(text): see _scanner.pyi."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, create},
    {Py_tp_dealloc, destroy},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec words_spec = {
    .name = "vestibule.core.html._scanner.Words",
    .basicsize = sizeof(Words),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
