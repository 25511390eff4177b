/* Reads on over what needs nobody: most of most pages.

   This does what `skimmer.py` does without a compiler, and decides nothing: it knows where tags, attributes, comments
   and raw text begin and end (HTML Standard, section 13.2.5, as `grammar.py` has it), and looks up what Python found out
   about the origins of addresses. What it doesn't know it asks for; what is held back by its origin or its text alone it
   disarms; and whatever is to be judged otherwise, to be followed in the tree, unfinished or oddly written is left to
   Python, with where it stands.

   Guards the first promise, so every doubt is Python's. Nothing is read beyond the bytes that were passed, nothing is
   kept from one call to the next but the table of elements, and each byte is looked at a bounded number of times. */

#include "_scanner.h"

#include <string.h>

#define INTERFACE 3    /* grows with what Python and this agree on; a stale build is then not used */
#define LIMIT 65536    /* as copier.LIMIT: what is longer is read piecemeal there */
#define MOST_HELD 1000 /* as judge.MOST_HELD */
#define MOST_ITEMS 24  /* attributes handed over; tags that have more are Python's */
#define LONGEST_ADDRESS 2048 /* of those that are asked for as they stand */
#define DEEPEST 16     /* elements open within a drawing that are read on over at once */
#define LONGEST 24     /* bytes of an element's name that anyone looks for */
#define SLOTS 512

typedef Py_ssize_t Offset;

/* What an element is; the numbers are those of scanner.Role. */
enum role { IDLE, LOOK, REFERS, SOMETIMES, TEXT, SCRIPT, LINK, META, NOSCRIPT, SVG, SHAPE, USE, FRAME };
/* How an attribute is judged; the numbers are those of scanner.Form. */
enum form { HAND_OVER, ADDRESS, CANDIDATES, LEAVE, WHOLE };
/* Flags of a call, as scanner.Where has them, and two of our own. */
enum { IN_HEAD = 1, IN_SELECT = 2, IN_DRAWING = 4, IN_NOSCRIPT = 8, ANY_VERDICT = 16 };
/* What is known of an address. ODD: Python has to look at it. */
typedef enum { FAILED = -1, ODD, OPEN, HELD } Verdict;
/* In place of an offset to read on from: an exception is set, or more bytes are needed; it is Python's; there is an
   answer for Python. */
enum { STOPPED = -1, LEFT = -2, ANSWERED = -3 };

typedef struct {
    PyObject *name; /* bytes, lower case */
    PyObject *kind; /* str, or None */
    const char *text;
    Offset size;
    enum form form;
} Attribute;

typedef struct {
    PyObject *name;
    const char *text;
    Offset size;
    enum role role;
    int of_head, closes, closes_head;
    Attribute *attributes;
    int count;
} Element;

typedef struct {
    PyObject_HEAD
    Element *elements;
    int count;
    PyObject *pragmas, *inert, *ours;
    unsigned lengths[32];       /* by the low bits of its first letter: how long a name may be, to tell most by */
    unsigned char slots[SLOTS]; /* index of an element, plus one */
} Scanner;

/* One attribute as it stands in a tag. */
typedef struct {
    Offset name, name_end, value, value_end, next;
    int slash;
    const Attribute *known; /* NULL: imitates ours */
    PyObject *held;         /* what Python knows of the origin that holds it back, or NULL; owned */
} Item;

typedef struct {
    const Scanner *tables;
    const char *text;
    PyObject *origins, *addresses, *links, *types, *hints; /* what Python found out */
    PyObject *learn, *inline_script;           /* what finds out more */
    PyObject *listed, *out;                    /* lists of what is held back, and of the rewritten page's parts */
    Offset copied;                             /* up to where it is written */
    Item items[MOST_ITEMS];                    /* of the tag that is read */
    int count, slash;
    PyObject *held;   /* with HELD, owned; at times left over from before */
    PyObject *answer; /* with ANSWERED */
    Offset within;    /* end of a noscript element of which the tags are read like any */
} Page;

/* Characters */

static inline int among(unsigned char c, unsigned long long below_64) { return c < 64 && (below_64 >> c & 1); }

#define BIT(c) (1ULL << (c))
#define SPACES (BIT('\t') | BIT('\n') | BIT('\f') | BIT('\r') | BIT(' '))

static inline int is_space(unsigned char c) { return among(c, SPACES); }
static inline int is_alpha(unsigned char c) { return (unsigned char)((c | 32) - 'a') < 26; }
static inline int is_digit(unsigned char c) { return (unsigned char)(c - '0') < 10; }
static inline unsigned char lower(unsigned char c) { return (unsigned char)(c - 'A') < 26 ? c | 32 : c; }
static inline int ends_name(unsigned char c) { return among(c, SPACES | BIT('/') | BIT('>')); }
static inline int is_word(unsigned char c) { return is_alpha(c) || is_digit(c) || c == '_' || c == '.' || c == '-'; }
static inline int of_host(unsigned char c) { return is_word(c) && c != '_' && lower(c) == c; }
static inline int ends_host(unsigned char c) { return among(c, BIT('/') | BIT('?') | BIT('#')); }

/* What a path may hold that no server reads as anything else. */
static inline int is_plain(unsigned char c)
{
    return is_word(c) || c == '~' || among(c, BIT('!') | BIT('$') | BIT('\'') | BIT('(') | BIT(')') | BIT('*')
                                              | BIT('+') | BIT(',') | BIT('/') | BIT(':') | BIT('='));
}

static Offset find(const char *text, Offset at, Offset end, char c)
{
    const char *found = at < end ? memchr(text + at, c, (size_t)(end - at)) : NULL;
    return found ? found - text : -1;
}

static int same(const char *text, const char *word, Offset size)
{
    for (Offset i = 0; i < size; i++)
        if (lower((unsigned char)text[i]) != (unsigned char)word[i])
            return 0;
    return 1;
}

static int is_text(PyObject *text, const char *word) { return PyUnicode_CompareWithASCIIString(text, word) == 0; }

static int begins(const char *text, Offset at, Offset end, const char *word)
{
    Offset size = (Offset)strlen(word);
    return end - at >= size && memcmp(text + at, word, (size_t)size) == 0;
}

/* Tables */

static unsigned slot(const char *name, Offset size)
{
    unsigned hash = (unsigned)size;
    for (Offset i = 0; i < size; i++)
        hash = hash * 31 + lower((unsigned char)name[i]);
    return (hash ^ hash >> 9) % SLOTS;
}

static const Element *element_named(const Scanner *tables, const char *name, Offset size)
{
    if (size > LONGEST || !(tables->lengths[*name & 31] >> size & 1))
        return NULL;
    for (unsigned i = slot(name, size); tables->slots[i]; i = (i + 1) % SLOTS) {
        const Element *element = &tables->elements[tables->slots[i] - 1];
        if (element->size == size && same(name, element->text, size))
            return element;
    }
    return NULL;
}

/* Tags */

/* Read one attribute. 1: there is one; 0: the tag ends, `next` behind it; -1: hangs on bytes to come. */
static inline int next_item(const char *text, Offset at, Offset end, Item *item)
{
    int slash = item->slash = 0;
    while (at < end && among((unsigned char)text[at], SPACES | BIT('/')))
        slash = text[at++] == '/';
    if (at == end)
        return -1;
    if (text[at] == '>') {
        item->next = at + 1;
        item->slash = slash;
        return 0;
    }
    item->name = at++;
    while (at < end && !among((unsigned char)text[at], SPACES | BIT('/') | BIT('>') | BIT('=')))
        at++;
    item->name_end = item->value = item->value_end = item->next = at;
    while (at < end && is_space((unsigned char)text[at]))
        at++;
    if (at == end)
        return -1;
    if (text[at] != '=')
        return 1;
    at++;
    while (at < end && is_space((unsigned char)text[at]))
        at++;
    if (at == end)
        return -1;
    char quote = text[at];
    if (quote == '"' || quote == '\'') {
        item->value = at + 1;
        item->value_end = find(text, at + 1, end, quote);
        item->next = item->value_end + 1;
        return item->value_end < 0 ? -1 : 1;
    }
    item->value = at;
    while (at < end && !among((unsigned char)text[at], SPACES | BIT('>')))
        at++;
    item->value_end = item->next = at;
    return at == end ? -1 : 1;
}

static Offset name_end(const char *text, Offset at, Offset end)
{
    while (at < end && !ends_name((unsigned char)text[at]))
        at++;
    return at;
}

/* Where a tag ends whose attributes are nobody's business; -1: not yet. */
static Offset tag_end(const char *text, Offset at, Offset end, int *slash)
{
    Item item;
    int more;
    item.next = at;
    while ((more = next_item(text, item.next, end, &item)) > 0)
        ;
    if (more == 0 && slash)
        *slash = item.slash;
    return more < 0 ? -1 : item.next;
}

/* Where the end tag of raw text begins; -1: not yet, `until` or beyond. */
static Offset text_end(const char *text, Offset at, Offset end, const char *name, Offset size)
{
    while ((at = find(text, at, end, '<')) >= 0) {
        if (end - at < size + 3)
            return -1;
        if (text[at + 1] == '/' && ends_name((unsigned char)text[at + 2 + size]) && same(text + at + 2, name, size))
            return at;
        at++;
    }
    return -1;
}

/* Where a comment or the like ends that begins at `at`; -1: not yet. */
static Offset comment_end(const char *text, Offset at, Offset end)
{
    if (end - at < 4)
        return -1;
    if (text[at + 1] != '!' || text[at + 2] != '-' || text[at + 3] != '-') {
        at = find(text, at + 2, end, '>');
        return at < 0 ? -1 : at + 1;
    }
    at += 4;
    if (begins(text, at, end, ">"))
        return at + 1;
    if (begins(text, at, end, "->"))
        return at + 2;
    while ((at = find(text, at, end, '-')) >= 0) {
        if (begins(text, at, end, "-->"))
            return at + 3;
        if (begins(text, at, end, "--!>"))
            return at + 4;
        at++;
    }
    return -1;
}

/* Where script data ends (section 13.2.5.4, with its escaped and double escaped states); -1: not yet. */
static Offset script_end(const char *text, Offset at, Offset end)
{
    int state = 0;
    for (; at < end; at++) {
        if (state == 0 && (at = find(text, at, end, '<')) < 0)
            return -1;
        if (text[at] == '-') {
            if (state && begins(text, at, end, "-->")) {
                state = 0;
                at += 2;
            }
        } else if (text[at] == '<') {
            int closing = at + 1 < end && text[at + 1] == '/';
            Offset name = at + 1 + closing;
            if (state == 0 && begins(text, at, end, "<!--")) {
                state = 1;
                at += 1; /* its own dashes may begin the "-->" that ends it */
            } else if (end - name >= 7 && ends_name((unsigned char)text[name + 6]) && same(text + name, "script", 6)) {
                if (closing && state < 2)
                    return at;
                if (closing || state == 1)
                    state = closing ? 1 : 2;
            }
        }
    }
    return -1;
}

/* Addresses */

/* Whether a path holds a segment that begins with one of some words, or might in anyone's reading.
   words: 32 bytes that tell which bytes begin one, then each behind its length. */
static int may_hold(PyObject *words, const char *path, Offset size)
{
    const unsigned char *table = (const unsigned char *)PyBytes_AsString(words);
    const unsigned char *over = table + PyBytes_Size(words);
    for (Offset i = 0; i < size && path[i] != '?' && path[i] != '#'; i++) {
        unsigned char c = (unsigned char)path[i];
        if (!is_plain(c))
            return 1;
        if ((i && path[i - 1] != '/') || !(table[c >> 3] >> (c & 7) & 1))
            continue;
        for (const unsigned char *word = table + 32; word < over; word += 1 + *word)
            if (*word <= size - i && memcmp(word + 1, path + i, *word) == 0)
                return 1;
    }
    return 0;
}

/* Look something up, which Python finds out where it isn't known yet. Owned; NULL: an exception is set, or there is no
   answer. table: a name of what is asked for. */
static PyObject *look_up(Page *page, PyObject *dictionary, PyObject *table, const char *text, Offset size)
{
    PyObject *key = PyBytes_FromStringAndSize(text, size);
    PyObject *value = key ? PyDict_GetItemWithError(dictionary, key) : NULL;
    if (!value && !PyErr_Occurred()) {
        PyObject *learned = PyObject_CallFunctionObjArgs(page->learn, key, table, NULL);
        Py_XDECREF(learned);
        value = learned ? PyDict_GetItemWithError(dictionary, key) : NULL;
    }
    Py_XINCREF(value);
    Py_XDECREF(key);
    return value;
}

/* What Python found out, as a verdict. */
static Verdict verdict_of(Page *page, PyObject *known)
{
    if (!PyTuple_Check(known))
        return known == Py_None ? OPEN : ODD;
    Py_XDECREF(page->held);
    page->held = Py_NewRef(known);
    return HELD;
}

/* What is known of an origin for a kind. path: what is behind it. */
static Verdict judge(Page *page, PyObject *kind, const char *origin, Offset size, const char *path, Offset rest)
{
    PyObject *origins = PyDict_GetItemWithError(page->origins, kind);
    if (!origins)
        return PyErr_Occurred() ? FAILED : ODD;
    PyObject *known = look_up(page, origins, kind, origin, size);
    if (!known)
        return PyErr_Occurred() ? FAILED : ODD;
    Verdict verdict = PyBytes_Check(known) && !may_hold(known, path, rest) ? OPEN : verdict_of(page, known);
    Py_DECREF(known);
    return verdict;
}

/* What is known of an address that is written plainly, as `glance.ORIGIN` and `grammar.OWN` have it. */
static Verdict judge_address(Page *page, PyObject *kind, const char *text, Offset size)
{
    Offset at = 0;
    if (begins(text, 0, size, "data:")) /* holds its own data; as a document or a script it would have to be judged */
        return is_text(kind, "image") || is_text(kind, "media") ? OPEN : ODD;
    if (begins(text, 0, size, "https://"))
        at = 8;
    else if (begins(text, 0, size, "http://"))
        at = 7;
    else if (begins(text, 0, size, "//"))
        at = 2;
    if (at) {
        Offset host = at;
        while (at < size && of_host((unsigned char)text[at]))
            at++;
        if (at == host || (at < size && !ends_host((unsigned char)text[at])))
            return ODD;
        return judge(page, kind, text, at, text + at, size - at);
    }
    if (size && text[0] == '/') {
        unsigned char second = size > 1 ? (unsigned char)text[1] : '?';
        if (!is_word(second) && second != '~' && !among(second, BIT('?') | BIT('#') | BIT('%')))
            return ODD;
    } else {
        while (at < size && is_word((unsigned char)text[at]))
            at++;
        if (at < size && !ends_host((unsigned char)text[at]))
            return ODD;
    }
    return judge(page, kind, "/", size && *text == '/', text, size);
}

/* What is known of an attribute that holds several, the like of `srcset` (`elements.references`). */
static Verdict judge_candidates(Page *page, PyObject *kind, const char *text, Offset size)
{
    for (Offset i = 0; (i = find(text, i, size, '&')) >= 0; i++)
        if (!begins(text, i, size, "&amp;")) /* a reference might stand for white space or a comma */
            return ODD;
    for (Offset at = 0; at < size;) {
        while (at < size && (is_space((unsigned char)text[at]) || text[at] == ','))
            at++;
        Offset start = at, over;
        while (at < size && !is_space((unsigned char)text[at]))
            at++;
        for (over = at; over > start && text[over - 1] == ',';)
            over--;
        if (over > start) {
            Verdict verdict = judge_address(page, kind, text + start, over - start);
            if (verdict != OPEN)
                return verdict;
        }
        if (over == at)
            for (int within = 0; at < size && (within || text[at] != ','); at++)
                within = text[at] == '(' || (within && text[at] != ')');
    }
    return OPEN;
}

static const Attribute *attribute_named(const Element *element, const char *name, Offset size)
{
    for (int i = 0; i < element->count; i++)
        if (element->attributes[i].size == size && same(name, element->attributes[i].text, size))
            return &element->attributes[i];
    return NULL;
}

static int imitates(const char *name, Offset size)
{
    return size >= 14 && same(name, "data-vestibule", 14) && !(size == 26 && same(name + 14, "-declaration", 12));
}

/* Elements */

static void forget(Page *page)
{
    while (page->count)
        Py_XDECREF(page->items[--page->count].held);
}

/* Collect the attributes of an element that matter. The tag's end, or LEFT. */
static Offset collect(Page *page, Offset start, Offset at, Offset end, const Element *element)
{
    Item item;
    int more;
    forget(page);
    while ((more = next_item(page->text, at, end, &item)) > 0) {
        const char *name = page->text + item.name;
        Offset size = item.name_end - item.name;
        item.known = attribute_named(element, name, size);
        item.held = NULL;
        if (item.known || imitates(name, size)) {
            if (page->count == MOST_ITEMS)
                return LEFT;
            page->items[page->count++] = item;
        }
        at = item.next;
    }
    page->slash = item.slash;
    return more < 0 || item.next - start > LIMIT ? LEFT : item.next;
}

static const Item *first(const Page *page, const char *name)
{
    for (int i = 0; i < page->count; i++)
        if (page->items[i].known && strcmp(page->items[i].known->text, name) == 0)
            return &page->items[i];
    return NULL;
}

/* What is known of an address as it stands, where its origin alone doesn't tell, or is not written plainly. */
static Verdict judge_whole(Page *page, PyObject *kind, const char *text, Offset size)
{
    PyObject *addresses = size > LONGEST_ADDRESS ? NULL : PyDict_GetItemWithError(page->addresses, kind);
    PyObject *table = addresses ? PyTuple_Pack(1, kind) : NULL;
    PyObject *known = table ? look_up(page, addresses, table, text, size) : NULL;
    Py_XDECREF(table);
    if (!known)
        return PyErr_Occurred() ? FAILED : ODD;
    Verdict verdict = verdict_of(page, known);
    Py_DECREF(known);
    return verdict;
}

/* What is known of an attribute. kind: of what it refers to. */
static Verdict judge_item(Page *page, Item *item, PyObject *kind)
{
    const char *value = page->text + item->value;
    Offset size = item->value_end - item->value;
    enum form form = item->known->form;
    Verdict verdict = form == ADDRESS || form == WHOLE ? judge_address(page, kind, value, size)
                      : form == CANDIDATES             ? judge_candidates(page, kind, value, size)
                                                       : ODD;
    if (verdict == ODD && form == WHOLE)
        verdict = judge_whole(page, kind, value, size);
    if (verdict == HELD)
        item->held = Py_NewRef(page->held);
    return verdict;
}

/* What is known of the attributes that were collected, taken together. relation: a link's kind; else NULL. */
static Verdict judge_element(Page *page, const Element *element, PyObject *relation)
{
    int triggered = element->role != SOMETIMES, imitated = 0, held = 0, odd = 0;
    for (int i = 0; i < page->count; i++) {
        Item *item = &page->items[i];
        const Attribute *known = item->known;
        triggered |= known != NULL;
        imitated |= imitates(page->text + item->name, item->name_end - item->name);
        if (!known || known->form == HAND_OVER || relation == Py_None)
            continue;
        Verdict verdict = judge_item(page, item, relation ? relation : known->kind);
        if (verdict == FAILED)
            return FAILED;
        odd |= verdict == ODD;
        held |= verdict == HELD;
        for (int j = 0; j < i; j++) /* of two with one name only the first counts */
            odd |= page->items[j].known == known;
    }
    return odd || (triggered && imitated) ? ODD : held ? HELD : OPEN;
}

/* Write down what the page is up to some place, then something instead of what follows up to another. 0, or -1 with an
   exception. instead: borrowed, or NULL. */
static int emit(Page *page, Offset until, PyObject *instead, Offset skip_to)
{
    int failed = 0;
    if (page->copied < until) {
        PyObject *part = PyBytes_FromStringAndSize(page->text + page->copied, until - page->copied);
        failed = !part || PyList_Append(page->out, part) < 0;
        Py_XDECREF(part);
    }
    page->copied = skip_to;
    return failed || (instead && PyList_Append(page->out, instead) < 0) ? -1 : 0;
}

/* List what holds something back: the first of a pair that Python knows of it. */
static int list(Page *page, PyObject *known)
{
    PyObject *entry = PyTuple_GetItem(known, 0);
    return !entry ? -1 : PyList_Size(page->listed) >= MOST_HELD ? 0 : PyList_Append(page->listed, entry);
}

/* Whether a link does nothing but hint. A link without a relation, or where that is not known, does more. */
static int only_hints(Page *page)
{
    const Item *rel = first(page, "rel");
    if (!rel)
        return 0;
    PyObject *found = look_up(page, page->hints, rel->known->name, page->text + rel->value, rel->value_end - rel->value);
    int hints = found ? found == Py_True : PyErr_Occurred() ? -1 : 0;
    Py_XDECREF(found);
    return hints;
}

/* Hold a tag back, as `Rewriter._disarm` and `Rewriter._hold_script` do. why: a pair that Python knows: an entry to be
   listed, and the attribute that says so. */
static int hold(Page *page, PyObject *why, Offset start, Offset name_end, Offset end, const Element *element)
{
    int script = element->role == SCRIPT, hints = element->role == LINK ? only_hints(page) : 0;
    PyObject *attribute = PyTuple_GetItem(why, 1);
    if (hints < 0 || !attribute || list(page, why) < 0)
        return -1;
    for (int i = 0, again = 0; !script && i < page->count; i++)
        if (page->items[i].held && again++ && list(page, page->items[i].held) < 0)
            return -1;
    if (hints)
        return emit(page, start, NULL, end);
    if (emit(page, name_end, script ? page->tables->inert : NULL, name_end) < 0
        || PyList_Append(page->out, attribute) < 0)
        return -1;
    for (int i = 0; i < page->count; i++) {
        const Item *item = &page->items[i];
        if ((item->held || (script && item->known && strcmp(item->known->text, "language") != 0))
            && emit(page, item->name, page->tables->ours, item->name) < 0)
            return -1;
    }
    return 0;
}

/* Answer with a tag, as `_scanner.pyi` says. */
static Offset answer(Page *page, Verdict verdict, Offset start, Offset name_end, Offset end, Offset on,
                     const Element *element)
{
    PyObject *items = PyTuple_New(page->count);
    for (int i = 0; items && i < page->count; i++) {
        const Item *item = &page->items[i];
        PyObject *one = Py_BuildValue(
            "(ny#y#nO)", item->name, page->text + item->name, item->name_end - item->name, page->text + item->value,
            item->value_end - item->value, item->value, item->held ? item->held : Py_None);
        if (!one || PyTuple_SetItem(items, i, one) < 0)
            Py_CLEAR(items);
    }
    page->answer = items ? Py_BuildValue("(innnnON)", (int)verdict, start, name_end, end, on, element->name, items)
                         : NULL;
    return page->answer ? ANSWERED : STOPPED;
}

/* Judge a tag by the attributes that were collected, and hold it back: read on at `on` (-1: Python's), or answer. */
static Offset decide(Page *page, Offset start, Offset name_end, Offset end, Offset on, const Element *element)
{
    PyObject *relation = NULL;
    if (element->role == LINK) {
        const Item *rel = first(page, "rel");
        relation = look_up(page, page->links, Py_None, rel ? page->text + rel->value : "",
                           rel ? rel->value_end - rel->value : 0);
        if (!relation)
            return PyErr_Occurred() ? STOPPED : LEFT;
    }
    Verdict verdict = judge_element(page, element, relation);
    Py_XDECREF(relation);
    if (verdict == ODD || (verdict == HELD && (on < 0 || element->role == FRAME)))
        return answer(page, verdict, start, name_end, end, on, element);
    if (verdict == HELD) {
        int i = 0;
        while (!page->items[i].held)
            i++;
        return hold(page, page->items[i].held, start, name_end, end, element) < 0 ? STOPPED : on;
    }
    return verdict == FAILED ? STOPPED : on < 0 ? LEFT : on;
}

/* Read a tag that is decided by its attributes. */
static Offset read_references(Page *page, Offset start, Offset at, Offset end, const Element *element, int flags)
{
    Offset over = collect(page, start, at, end, element);
    if (over < 0 || flags & ANY_VERDICT)
        return over;
    return decide(page, start, at, over, over, element);
}

/* `<meta>`: most of what it can say does nothing here. */
static Offset read_meta(Page *page, Offset start, Offset at, Offset end, const Element *element)
{
    Offset over = collect(page, start, at, end, element);
    int triggered = 0, doubtful = 0;
    for (int i = 0; over > 0 && i < page->count; i++) {
        const Item *item = &page->items[i];
        const char *name = item->known ? item->known->text : "";
        triggered |= item->known && strcmp(name, "content") != 0;
        doubtful |= imitates(page->text + item->name, item->name_end - item->name);
        if (strcmp(name, "http-equiv") == 0) {
            char word[LONGEST];
            Offset size = item->value_end - item->value;
            if (size > LONGEST)
                return LEFT;
            for (Offset c = 0; c < size; c++)
                word[c] = (char)lower((unsigned char)page->text[item->value + c]);
            PyObject *key = PyBytes_FromStringAndSize(word, size);
            int idle = key ? PySet_Contains(page->tables->pragmas, key) : -1;
            Py_XDECREF(key);
            if (idle < 0)
                return STOPPED;
            doubtful |= !idle;
        } else { /* a declaration of ISO-2022-JP, which may be written with references */
            for (Offset c = item->value; c < item->value_end; c++)
                doubtful |= page->text[c] == '&' || begins(page->text, c, item->value_end, "2022");
        }
    }
    return triggered && doubtful ? LEFT : over;
}

/* Judge an inline script by its text. */
static Offset judge_inline(Page *page, Offset start, Offset name_end, Offset end, Offset close, const Element *element)
{
    PyObject *text = PyBytes_FromStringAndSize(page->text + end, close - end);
    PyObject *why = text ? PyObject_CallFunctionObjArgs(page->inline_script, text, NULL) : NULL;
    int failed = !why || (why != Py_None && hold(page, why, start, name_end, end, element) < 0);
    Py_XDECREF(text);
    Py_XDECREF(why);
    return failed ? STOPPED : close;
}

static Offset read_script(Page *page, Offset start, Offset at, Offset end, const Element *element)
{
    Offset over = collect(page, start, at, end, element);
    if (over < 0)
        return over;
    Offset close = script_end(page->text, over, end);
    Offset on = decide(page, start, at, over, close, element);
    if (on < 0 || first(page, "src"))
        return on;
    const Item *type = first(page, "type");
    if (type) {
        PyObject *kind = look_up(page, page->types, type->known->name, page->text + type->value,
                                 type->value_end - type->value);
        if (!kind)
            return PyErr_Occurred() ? STOPPED : LEFT;
        int data = is_text(kind, "data"), script = is_text(kind, "script");
        Py_DECREF(kind);
        if (data || !script)
            return data ? close : LEFT;
    } else if (first(page, "language"))
        return LEFT;
    return close - over > LIMIT ? LEFT : judge_inline(page, start, at, over, close, element);
}

static Offset read_frame(Page *page, Offset start, Offset at, Offset end, const Element *element, int flags)
{
    Offset over = flags & IN_SELECT ? LEFT : collect(page, start, at, end, element);
    if (over < 0)
        return over;
    Offset close = text_end(page->text, over, end, element->text, element->size);
    if (flags & ANY_VERDICT) {
        for (int i = 0; i < page->count; i++)
            if (!page->items[i].known || page->items[i].known->form == LEAVE)
                return LEFT;
        return close < 0 ? LEFT : close;
    }
    return decide(page, start, at, over, close, element);
}

/* Whether a shape refers to nothing but what is open to it. */
static Verdict judge_shape(Page *page, const Element *element)
{
    for (int i = 0; i < page->count; i++) {
        const Item *item = &page->items[i];
        const char *value = page->text + item->value;
        Offset size = item->value_end - item->value;
        if (!item->known || element->role != USE)
            return ODD;
        Verdict verdict = size && *value == '#' ? OPEN : judge_address(page, item->known->kind, value, size);
        if (verdict != OPEN)
            return verdict;
    }
    return OPEN;
}

/* A drawing from behind its start tag on: shapes, and what they use of the page's own, to its end tag if it is read
   `whole`; else as far as all is closed again that was opened. Elements that HTML reads alike, so that nothing hangs on
   where they stand. */
static Offset read_drawing(Page *page, Offset at, Offset end, int whole)
{
    const Element *open[DEEPEST];
    const char *text = page->text;
    int depth = 0;
    Offset safe = at;
    for (;;) {
        Offset start = find(text, at, end, '<');
        if (!depth)
            safe = start < 0 ? end : start;
        if (start < 0 || end - start < 3)
            break;
        if (begins(text, start, end, "<!--")) {
            if ((at = comment_end(text, start, end)) < 0)
                break;
            continue;
        }
        int closing = text[start + 1] == '/', slash = 0;
        Offset name = start + 1 + closing;
        Offset behind = name_end(text, name, end);
        const Element *element = element_named(page->tables, text + name, behind - name);
        if (!element)
            break;
        if (closing) {
            if ((at = tag_end(text, behind, end, NULL)) < 0)
                break;
            if (whole && element->role == SVG)
                return at;
            if (!whole && (!depth || open[--depth] != element))
                break;
            if (element->role != SHAPE && element->role != USE)
                break;
            continue;
        }
        if (element->role == USE || element->role == SHAPE) {
            if ((at = collect(page, start, behind, end, element)) < 0)
                break;
            Verdict verdict = judge_shape(page, element);
            if (verdict == FAILED)
                return STOPPED;
            if (verdict != OPEN)
                break;
            slash = page->slash;
        } else if (element->role == TEXT && element->of_head) {
            /* `<title>` and `<style>`: without tags in them they end where they seem to, by whose rules ever. */
            if ((at = tag_end(text, behind, end, &slash)) < 0 || slash)
                break;
            Offset over = find(text, at, end, '<');
            if (over < 0 || over != text_end(text, over, end, element->text, element->size))
                break;
            if ((at = tag_end(text, over + 2 + element->size, end, NULL)) < 0)
                break;
            continue;
        } else
            break;
        if (!whole && !slash) {
            if (depth == DEEPEST)
                break;
            open[depth++] = element;
        }
    }
    return whole ? LEFT : safe;
}

static Offset walk(Page *page, Offset at, Offset end, int flags);

/* `<noscript>` is markup without scripts, and text up to the first end tag with them: where both readings end alike, its
   tags are read like any, since holding some back changes nothing about that. */
static Offset read_noscript(Page *page, Offset start, Offset at, Offset end, int flags)
{
    Offset over = tag_end(page->text, at, end, NULL);
    Offset close = over < 0 ? -1 : text_end(page->text, over, end, "noscript", 8);
    if (close < 0 || over - start > LIMIT || close - over > LIMIT)
        return LEFT;
    if (walk(page, over, close, IN_NOSCRIPT | ANY_VERDICT | (flags & IN_SELECT)) != close)
        return PyErr_Occurred() ? STOPPED : LEFT;
    page->within = close;
    return over;
}

/* Read a start tag whose name is `element`'s and ends at `at`, with the text of what holds no markup. */
static Offset read_element(Page *page, Offset start, Offset at, Offset end, const Element *element, int flags)
{
    Offset over;
    if (flags & IN_NOSCRIPT && (element->role == TEXT || element->role == SCRIPT || element->role == NOSCRIPT
                                || element->role == SVG))
        return LEFT;
    switch (element->role) {
    case LOOK:
        return LEFT;
    case REFERS:
    case SOMETIMES:
    case LINK:
        return read_references(page, start, at, end, element, flags);
    case FRAME:
        return read_frame(page, start, at, end, element, flags);
    case META:
        return read_meta(page, start, at, end, element);
    case SCRIPT:
        return read_script(page, start, at, end, element);
    case NOSCRIPT:
        return read_noscript(page, start, at, end, flags);
    case TEXT:
        over = flags & IN_SELECT ? -1 : tag_end(page->text, at, end, NULL);
        if (over < 0 || over - start > LIMIT)
            return LEFT;
        over = text_end(page->text, over, end, element->text, element->size);
        return over < 0 ? LEFT : over;
    case SVG: {
        int slash;
        over = flags & IN_SELECT ? -1 : tag_end(page->text, at, end, &slash);
        return over < 0 ? LEFT : slash ? over : read_drawing(page, over, end, 1);
    }
    default: /* what means nothing in HTML */
        over = tag_end(page->text, at, end, NULL);
        return over < 0 ? LEFT : over;
    }
}

/* Read on from `at`, where no tag is open. Where it stops: at `end`, or where something stands that is Python's. */
static Offset walk(Page *page, Offset at, Offset end, int where)
{
    const char *text = page->text;
    while (at < end) {
        int flags = at < page->within ? IN_NOSCRIPT | (where & IN_SELECT) : where;
        if (flags & IN_HEAD) {
            while (at < end && is_space((unsigned char)text[at]))
                at++;
            if (at == end || text[at] != '<')
                return at;
        } else if ((at = find(text, at, end, '<')) < 0)
            return end;
        Offset start = at;
        if (end - start < 2)
            return start;
        unsigned char second = (unsigned char)text[start + 1];
        if (is_alpha(second)) {
            Offset behind = name_end(text, start + 1, end);
            const Element *element = element_named(page->tables, text + start + 1, behind - start - 1);
            if (flags & IN_HEAD && !(element && element->of_head))
                return start;
            at = element ? read_element(page, start, behind, end, element, flags) : tag_end(text, behind, end, NULL);
        } else if (second == '/' && end - start > 2 && is_alpha((unsigned char)text[start + 2])) {
            Offset behind = name_end(text, start + 2, end);
            const Element *element = element_named(page->tables, text + start + 2, behind - start - 2);
            if (element && (flags & IN_HEAD ? element->closes_head : element->closes))
                return start;
            at = tag_end(text, behind, end, NULL);
        } else if (second == '!' || second == '?' || (second == '/' && end - start > 2)) {
            at = comment_end(text, start, end);
        } else if (second == '/' || flags & IN_HEAD) {
            return start;
        } else {
            at = start + 1;
        }
        if (at < 0)
            return at == ANSWERED || (at == STOPPED && PyErr_Occurred()) ? at : start;
    }
    return at;
}

/* Python's side */

/* Fill in what Python handed over for a page. */
static int take(Page *page, PyObject *handed)
{
    PyObject **dictionaries[] = {&page->origins, &page->addresses, &page->links, &page->types, &page->hints};
    PyObject **lists[] = {&page->listed, &page->out};
    if (!PyTuple_Check(handed)
        || !PyArg_ParseTuple(handed, "OOOOOOOOO", &page->origins, &page->addresses, &page->links, &page->types,
                             &page->hints, &page->learn, &page->inline_script, &page->listed, &page->out))
        return -1;
    for (int i = 0; i < 5; i++)
        if (!PyDict_Check(*dictionaries[i]))
            return -1;
    for (int i = 0; i < 2; i++)
        if (!PyList_Check(*lists[i]))
            return -1;
    return 0;
}

static PyObject *scan(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 6)
        return PyErr_Format(PyExc_TypeError, "scan takes 6 arguments, not %zd", count);
    Page page;
    char *text;
    Offset size, at = PyLong_AsSsize_t(arguments[1]);
    page.copied = PyLong_AsSsize_t(arguments[2]);
    int flags = (int)PyLong_AsLong(arguments[3]);
    page.within = PyLong_AsSsize_t(arguments[4]);
    if (PyErr_Occurred() || PyBytes_AsStringAndSize(arguments[0], &text, &size) < 0)
        return NULL;
    if (take(&page, arguments[5]) < 0)
        return PyErr_Format(PyExc_TypeError, "scan: not what is known of a page");
    if (at < 0 || at > size || page.copied < 0 || page.copied > at)
        return PyErr_Format(PyExc_ValueError, "scan: no position in the buffer: %zd, %zd", at, page.copied);
    page.tables = (Scanner *)self;
    page.text = text;
    page.answer = page.held = NULL;
    page.count = 0;
    Offset on = flags & IN_DRAWING ? read_drawing(&page, at, size, 0)
                                   : walk(&page, at, size, flags & (IN_HEAD | IN_SELECT));
    forget(&page);
    Py_XDECREF(page.held);
    if (on == STOPPED)
        return NULL;
    if (on == ANSWERED)
        return Py_BuildValue("(nnnN)", at, page.copied, page.within, page.answer);
    return Py_BuildValue("(nnnO)", on, page.copied, page.within, Py_None);
}

static void release(Element *elements, int count)
{
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < elements[i].count; j++) {
            Py_XDECREF(elements[i].attributes[j].name);
            Py_XDECREF(elements[i].attributes[j].kind);
        }
        PyMem_Free(elements[i].attributes);
        Py_XDECREF(elements[i].name);
    }
    PyMem_Free(elements);
}

/* attributes: a tuple of (name, form, kind). */
static int enter_attributes(Element *element, PyObject *attributes)
{
    Py_ssize_t count = PyTuple_Size(attributes);
    element->attributes = PyMem_Calloc((size_t)count + 1, sizeof(Attribute));
    if (!element->attributes)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        Attribute *attribute = &element->attributes[i];
        int form;
        char *text;
        if (!PyArg_ParseTuple(PyTuple_GetItem(attributes, i), "SiO", &attribute->name, &form, &attribute->kind))
            return -1;
        Py_INCREF(attribute->name);
        Py_INCREF(attribute->kind);
        element->count++;
        PyBytes_AsStringAndSize(attribute->name, &text, &attribute->size);
        attribute->text = text;
        attribute->form = (enum form)form;
    }
    return 0;
}

/* fields: (role, belongs into the head, end tag matters, likewise in the head, attributes). */
static int enter_element(Scanner *tables, PyObject *name, PyObject *fields)
{
    Element *element = &tables->elements[tables->count];
    PyObject *attributes;
    int role;
    char *text;
    if (PyBytes_AsStringAndSize(name, &text, &element->size) < 0)
        return -1;
    element->text = text;
    element->name = Py_NewRef(name);
    tables->count++;
    if (!PyArg_ParseTuple(fields, "ipppO!", &role, &element->of_head, &element->closes, &element->closes_head,
                          &PyTuple_Type, &attributes))
        return -1;
    element->role = (enum role)role;
    if (element->size > LONGEST || tables->count > 200) {
        PyErr_SetString(PyExc_ValueError, "too many elements, or the name of one is too long");
        return -1;
    }
    tables->lengths[*text & 31] |= 1u << element->size;
    unsigned i = slot(text, element->size);
    while (tables->slots[i])
        i = (i + 1) % SLOTS;
    tables->slots[i] = (unsigned char)tables->count;
    return enter_attributes(element, attributes);
}

static PyObject *create(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *elements, *pragmas, *inert, *ours, *name, *fields;
    Py_ssize_t at = 0;
    if (keywords && PyDict_Size(keywords))
        return PyErr_Format(PyExc_TypeError, "Scanner takes no keywords");
    if (!PyArg_ParseTuple(arguments, "O!O!SS", &PyDict_Type, &elements, &PyFrozenSet_Type, &pragmas, &inert, &ours))
        return NULL;
    Scanner *self = (Scanner *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self)
        return NULL;
    self->pragmas = Py_NewRef(pragmas);
    self->inert = Py_NewRef(inert);
    self->ours = Py_NewRef(ours);
    self->elements = PyMem_Calloc((size_t)PyDict_Size(elements) + 1, sizeof(Element));
    if (!self->elements) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    while (PyDict_Next(elements, &at, &name, &fields))
        if (enter_element(self, name, fields) < 0) {
            Py_DECREF(self);
            return NULL;
        }
    return (PyObject *)self;
}

static void destroy(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Scanner *tables = (Scanner *)self;
    if (tables->elements)
        release(tables->elements, tables->count);
    Py_XDECREF(tables->pragmas);
    Py_XDECREF(tables->inert);
    Py_XDECREF(tables->ours);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"scan", (PyCFunction)(void (*)(void))scan, METH_FASTCALL,
     "scan(buffer, position, copied, where, within, page): see _scanner.pyi."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, create},
    {Py_tp_dealloc, destroy},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "vestibule.core.html._scanner.Scanner",
    .basicsize = sizeof(Scanner),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

static int add_type(PyObject *module, PyType_Spec *of)
{
    PyObject *type = PyType_FromModuleAndSpec(module, of, NULL);
    int failed = !type || PyModule_AddType(module, (PyTypeObject *)type) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static int fill(PyObject *module)
{
    if (add_type(module, &spec) < 0 || add_type(module, &words_spec) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_scanner", .m_doc = "The compiled scanner of pages.", .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__scanner(void) { return PyModuleDef_Init(&module); }
