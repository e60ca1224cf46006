/* yaml.c — composes libyaml's events into a tree with marks.
 *
 * A node lives in the arena and is never changed once composed; an alias is a copy of its anchor's node
 * (its own mark, the same children).  `n_nodes` counts what the tree would hold with aliases written
 * out, so that a few lines of nested aliases cannot stand for billions of nodes.
 * What it does not do: tags other than the core ones, several documents, comments.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/internal.h"

#include <string.h>
#include <yaml.h>

#define MAX_BYTES ((size_t)64 << 20)
#define MAX_DEPTH 64
#define MAX_NODES 100000
#define MAX_ANCHORS 1000

struct anchor { struct sv name; const struct yaml_node *node; long weight; int height; }; /* node NULL: not complete yet */
struct list { struct yaml_node **v; size_t n, cap; };

struct composer {
    yaml_parser_t parser;
    const char *name;
    struct sv text;
    struct arena *a;
    ilab_err *e;
    int depth, deepest; /* of the node being composed; of anything below it so far */
    long n_nodes;
    struct anchor *anchors;
    size_t n_anchors, cap_anchors;
};

static int fail_at(struct composer *c, int line, int col, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static int fail_at(struct composer *c, int line, int col, const char *fmt, ...) {
    char msg[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return err_set(c->e, ILAB_E_FORMAT, "%s:%d:%d: %s", c->name, line, col, msg);
}
static int fail_mark(struct composer *c, yaml_mark_t m, const char *msg) {
    return fail_at(c, (int)m.line + 1, (int)m.column + 1, "%s", msg);
}
static int no_memory(struct composer *c) { return err_set(c->e, ILAB_E_NOMEM, "%s: no memory for its YAML", c->name); }

/* Line and column (in characters) of a byte. */
static void position(struct sv text, size_t at, int *line, int *col) {
    *line = *col = 1;
    for (size_t i = 0; i < at && i < text.n; i++)
        if (text.p[i] == '\n') ++*line, *col = 1;
        else if (((unsigned char)text.p[i] & 0xC0) != 0x80) ++*col;
}

static int syntax_error(struct composer *c) {
    const yaml_parser_t *p = &c->parser;
    if (p->error == YAML_MEMORY_ERROR) return no_memory(c);
    if (p->error == YAML_READER_ERROR) {
        int line, col;
        position(c->text, p->problem_offset, &line, &col);
        return fail_at(c, line, col, "%s (0x%02X)", p->problem, (unsigned)p->problem_value);
    }
    yaml_mark_t m = p->problem_mark;
    const char *problem = p->problem ? p->problem : "syntax error";
    if (!p->context) return fail_mark(c, m, problem);
    return fail_at(c, (int)m.line + 1, (int)m.column + 1, "%s (%s that starts at %d:%d)", problem, p->context,
                   (int)p->context_mark.line + 1, (int)p->context_mark.column + 1);
}

static int next_event(struct composer *c, yaml_event_t *ev) {
    return yaml_parser_parse(&c->parser, ev) ? 0 : syntax_error(c);
}

static int push(struct composer *c, struct list *l, struct yaml_node *node) {
    if (mem_grow((void **)&l->v, &l->cap, l->n + 1, sizeof *l->v)) return no_memory(c);
    l->v[l->n++] = node;
    return 0;
}

/* Moves a list's pointers into the arena. */
static int settle(struct composer *c, const struct list *l, struct yaml_node ***out) {
    *out = NULL;
    if (l->n == 0) return 0;
    if (!(*out = arena_alloc(c->a, l->n * sizeof **out, _Alignof(struct yaml_node *)))) return no_memory(c);
    memcpy(*out, l->v, l->n * sizeof **out);
    return 0;
}

static int count_nodes(struct composer *c, yaml_mark_t m, long more) {
    c->n_nodes += more;
    if (c->n_nodes <= MAX_NODES) return 0;
    fail_at(c, (int)m.line + 1, (int)m.column + 1, "more than %d values (aliases count as what they stand for)", MAX_NODES);
    if (c->e) c->e->code = ILAB_E_LIMIT;
    return ILAB_E_LIMIT;
}

static int new_node(struct composer *c, yaml_mark_t m, struct yaml_node **out) {
    int rc = count_nodes(c, m, 1);
    if (rc) return rc;
    if (!(*out = arena_alloc(c->a, sizeof **out, _Alignof(struct yaml_node)))) return no_memory(c);
    (*out)->text = SV("");
    (*out)->line = (int)m.line + 1;
    (*out)->col = (int)m.column + 1;
    return 0;
}

static int check_depth(struct composer *c, yaml_mark_t m, int depth) {
    if (c->deepest < depth) c->deepest = depth;
    return depth <= MAX_DEPTH ? 0 : fail_at(c, (int)m.line + 1, (int)m.column + 1, "nested deeper than %d levels", MAX_DEPTH);
}

/* ---- tags and scalars ---- */

#define CORE "tag:yaml.org,2002:"
static const struct { const char *tag; enum yaml_kind kind; } TAGS[] = {
    { CORE "null", YAML_NULL }, { CORE "bool", YAML_BOOL },           { CORE "int", YAML_INT }, { CORE "float", YAML_FLOAT },
    { CORE "str", YAML_STR },   { CORE "timestamp", YAML_TIMESTAMP }, { CORE "seq", YAML_SEQ }, { CORE "map", YAML_MAP },
    { "!", YAML_STR },
};

static int apply_tag(struct composer *c, struct yaml_node *node, const char *tag, yaml_mark_t m) {
    if (!tag) return 0;
    int collection = node->kind == YAML_SEQ || node->kind == YAML_MAP;
    for (size_t i = 0; i < ARRAY_LEN(TAGS); i++) {
        if (strcmp(tag, TAGS[i].tag) != 0) continue;
        enum yaml_kind want = TAGS[i].kind, is = collection ? node->kind : yaml_resolve(node->text);
        if (collection && strcmp(tag, "!") == 0) return 0;
        int fits = want == is || (!collection && (want == YAML_STR || (want == YAML_FLOAT && is == YAML_INT)));
        if (!fits) return fail_at(c, (int)m.line + 1, (int)m.column + 1, "this is not of the type that its tag '%.80s' says", tag);
        node->kind = want;
        return 0;
    }
    return fail_at(c, (int)m.line + 1, (int)m.column + 1, "could not determine a constructor for the tag '%.80s'", tag);
}

static int compose_scalar(struct composer *c, const yaml_event_t *ev, struct yaml_node *node) {
    size_t n = ev->data.scalar.length;
    char *p = arena_strndup(c->a, (const char *)ev->data.scalar.value, n);
    if (!p) return no_memory(c);
    node->text = (struct sv){ p, n };
    node->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->kind = ev->data.scalar.plain_implicit ? yaml_resolve(node->text) : YAML_STR;
    return apply_tag(c, node, (const char *)ev->data.scalar.tag, ev->start_mark);
}

/* ---- anchors ---- */

static int open_anchor(struct composer *c, const yaml_char_t *name, yaml_mark_t m, size_t *index) {
    size_t n = name ? strlen((const char *)name) : 0;
    *index = SIZE_MAX;
    if (!name) return 0;
    if (c->n_anchors >= MAX_ANCHORS) return fail_at(c, (int)m.line + 1, (int)m.column + 1, "more than %d anchors", MAX_ANCHORS);
    char *copy = arena_strndup(c->a, (const char *)name, n);
    if (!copy || mem_grow((void **)&c->anchors, &c->cap_anchors, c->n_anchors + 1, sizeof *c->anchors)) return no_memory(c);
    *index = c->n_anchors++;
    c->anchors[*index] = (struct anchor){ .name = { copy, n } };
    return 0;
}

static int compose_alias(struct composer *c, const yaml_event_t *ev, struct yaml_node **out) {
    yaml_mark_t m = ev->start_mark;
    const char *name = (const char *)ev->data.alias.anchor;
    size_t i = c->n_anchors;
    while (i > 0 && !sv_eq_c(c->anchors[i - 1].name, name)) i--; /* the latest of equal names counts */
    if (i == 0) return fail_at(c, (int)m.line + 1, (int)m.column + 1, "found undefined alias '%.80s'", name);
    const struct anchor *anchor = &c->anchors[i - 1];
    if (!anchor->node) return fail_at(c, (int)m.line + 1, (int)m.column + 1, "anchor '%.80s' contains itself", name);
    int rc = count_nodes(c, m, anchor->weight - 1);
    if (rc || (rc = check_depth(c, m, c->depth + anchor->height)) || (rc = new_node(c, m, out))) return rc;
    int line = (*out)->line, col = (*out)->col;
    **out = *anchor->node;
    (*out)->line = line;
    (*out)->col = col;
    return 0;
}

/* ---- collections ---- */

static int compose(struct composer *c, yaml_event_t *ev, struct yaml_node **out);

/* Composes nodes until the event that ends the collection. */
static int compose_children(struct composer *c, yaml_event_type_t end, struct list *l) {
    for (;;) {
        yaml_event_t ev;
        int rc = next_event(c, &ev);
        if (rc) return rc;
        if (ev.type == end) {
            yaml_event_delete(&ev);
            return 0;
        }
        struct yaml_node *node = NULL;
        rc = compose(c, &ev, &node);
        yaml_event_delete(&ev);
        if (rc || (rc = push(c, l, node))) return rc;
    }
}

/* A hash set over the keys in `keys`: slot = index + 1. */
struct key_set { uint32_t *slots; size_t mask; };

/* The index of an equal key that was there before, or -1 when keys->v[i] is new (and is added). */
static ptrdiff_t set_add(struct key_set *s, const struct list *keys, size_t i) {
    struct sv text = keys->v[i]->text;
    size_t at = hash64(text.p, text.n, 0) & s->mask;
    for (; s->slots[at]; at = (at + 1) & s->mask)
        if (sv_eq(keys->v[s->slots[at] - 1]->text, text)) return (ptrdiff_t)s->slots[at] - 1;
    s->slots[at] = (uint32_t)i + 1;
    return -1;
}

static int is_merge(const struct yaml_node *key) { return key->plain && key->kind == YAML_STR && sv_eq_c(key->text, "<<"); }

/* The maps that a merge value names: itself or its items. */
static int merge_sources(struct composer *c, struct yaml_node *v, struct yaml_node ***maps, int *n, struct yaml_node **self) {
    *self = v;
    *maps = v->kind == YAML_SEQ ? v->item : self;
    *n = v->kind == YAML_SEQ ? v->n : 1;
    for (int i = 0; i < *n; i++)
        if ((*maps)[i]->kind != YAML_MAP)
            return fail_at(c, v->line, v->col, "expected a mapping or list of mappings for merging, but found %s",
                           yaml_kind_name((*maps)[i]->kind));
    return 0;
}

/* Takes the pairs of `map` that the mapping does not have yet. */
static int merge_from(struct composer *c, const struct yaml_node *map, struct key_set *set, struct list *keys, struct list *values) {
    yaml_mark_t m = { 0, (size_t)map->line - 1, (size_t)map->col - 1 };
    int rc = count_nodes(c, m, 2 * (long)map->n);
    for (int i = 0; rc == 0 && i < map->n; i++) {
        if ((rc = push(c, keys, map->key[i]))) break;
        if (set_add(set, keys, keys->n - 1) >= 0) keys->n--;
        else rc = push(c, values, map->item[i]);
    }
    return rc;
}

static int check_keys(struct composer *c, struct key_set *set, const struct list *keys) {
    for (size_t i = 0; i < keys->n; i++) {
        const struct yaml_node *k = keys->v[i];
        ptrdiff_t first = set_add(set, keys, i);
        if (first >= 0)
            return fail_at(c, k->line, k->col, "duplication of key \"%.80s\" in mapping (first at %d:%d)", k->text.p,
                           keys->v[first]->line, keys->v[first]->col);
    }
    return 0;
}

/* Splits the flat list of keys and values, sets merge keys apart, refuses duplicates, then merges. */
static int arrange_map(struct composer *c, const struct list *flat, struct list *keys, struct list *values) {
    struct list merges = { 0 };
    struct key_set set = { 0 };
    struct yaml_node **maps, *self;
    int n, rc = 0;
    size_t most = flat->n / 2, slots = 16;
    for (size_t i = 0; rc == 0 && i + 1 < flat->n; i += 2) {
        struct yaml_node *k = flat->v[i], *v = flat->v[i + 1];
        if (k->kind == YAML_SEQ || k->kind == YAML_MAP) rc = fail_at(c, k->line, k->col, "found unhashable key");
        else if (!is_merge(k)) {
            if ((rc = push(c, keys, k)) == 0) rc = push(c, values, v);
        } else if ((rc = merge_sources(c, v, &maps, &n, &self)) == 0) {
            for (int j = 0; j < n; j++) most += (size_t)maps[j]->n;
            rc = push(c, &merges, v);
        }
    }
    while (slots < 2 * most) slots *= 2;
    if (rc == 0 && !(set.slots = mem_calloc(slots, sizeof *set.slots))) rc = no_memory(c);
    set.mask = slots - 1;
    if (rc == 0) rc = check_keys(c, &set, keys);
    for (size_t i = 0; rc == 0 && i < merges.n; i++) {
        rc = merge_sources(c, merges.v[i], &maps, &n, &self);
        for (int j = 0; rc == 0 && j < n; j++) rc = merge_from(c, maps[j], &set, keys, values);
    }
    mem_free(set.slots);
    mem_free(merges.v);
    return rc;
}

static int compose_collection(struct composer *c, int is_map, struct yaml_node *node) {
    struct list flat = { 0 }, keys = { 0 }, values = { 0 };
    node->kind = is_map ? YAML_MAP : YAML_SEQ;
    int rc = compose_children(c, is_map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT, &flat);
    if (rc == 0 && is_map) rc = arrange_map(c, &flat, &keys, &values);
    const struct list *items = is_map ? &values : &flat;
    if (rc == 0 && is_map) rc = settle(c, &keys, &node->key);
    if (rc == 0) rc = settle(c, items, &node->item);
    node->n = (int)items->n;
    mem_free(flat.v);
    mem_free(keys.v);
    mem_free(values.v);
    return rc;
}

static int compose(struct composer *c, yaml_event_t *ev, struct yaml_node **out) {
    yaml_mark_t m = ev->start_mark;
    if (ev->type == YAML_ALIAS_EVENT) return compose_alias(c, ev, out);
    int is_map = ev->type == YAML_MAPPING_START_EVENT, is_seq = ev->type == YAML_SEQUENCE_START_EVENT;
    if (!is_map && !is_seq && ev->type != YAML_SCALAR_EVENT) return fail_mark(c, m, "unexpected end of the document");
    const yaml_char_t *anchor = is_map ? ev->data.mapping_start.anchor
                                : is_seq ? ev->data.sequence_start.anchor : ev->data.scalar.anchor;
    size_t index;
    long before = c->n_nodes;
    int deepest_outside = c->deepest;
    c->deepest = ++c->depth;
    int rc = check_depth(c, m, c->depth);
    if (rc || (rc = new_node(c, m, out)) || (rc = open_anchor(c, anchor, m, &index))) return rc;
    if (!is_map && !is_seq) rc = compose_scalar(c, ev, *out);
    else {
        rc = compose_collection(c, is_map, *out);
        const yaml_char_t *tag = is_map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag;
        if (rc == 0) rc = apply_tag(c, *out, (const char *)tag, m);
    }
    c->depth--;
    if (rc == 0 && index != SIZE_MAX) {
        c->anchors[index].node = *out;
        c->anchors[index].weight = c->n_nodes - before;
        c->anchors[index].height = c->deepest - c->depth;
    }
    if (c->deepest < deepest_outside) c->deepest = deepest_outside;
    return rc;
}

/* Stream start, one document or none, stream end. */
static int compose_stream(struct composer *c, struct yaml_node **out) {
    int n_documents = 0, rc = 0, done = 0;
    while (rc == 0 && !done) {
        yaml_event_t ev;
        if ((rc = next_event(c, &ev))) return rc;
        switch (ev.type) {
        case YAML_STREAM_START_EVENT: case YAML_DOCUMENT_END_EVENT: break;
        case YAML_STREAM_END_EVENT: done = 1; break;
        case YAML_DOCUMENT_START_EVENT:
            if (n_documents++) rc = fail_mark(c, ev.start_mark, "expected a single document in the stream, but found another document");
            break;
        default: rc = compose(c, &ev, out);
        }
        yaml_event_delete(&ev);
    }
    if (rc || *out) return rc;
    return new_node(c, (yaml_mark_t){ 0, 0, 0 }, out); /* kind 0 is YAML_NULL */
}

int yaml_parse(struct sv text, const char *name, struct arena *a, struct yaml_node **out, ilab_err *e) {
    _Static_assert(YAML_NULL == 0, "a zeroed node is null");
    struct composer c = { .name = name, .a = a, .e = e };
    size_t bad;
    *out = NULL;
    if (sv_starts(text, "\xEF\xBB\xBF")) text.p += 3, text.n -= 3;
    c.text = text;
    if (text.n > MAX_BYTES) return err_set(e, ILAB_E_LIMIT, "%s: larger than %zu MiB", name, MAX_BYTES >> 20);
    if (!utf8_valid(text, &bad)) {
        int line, col;
        position(text, bad, &line, &col);
        return fail_at(&c, line, col, "not UTF-8 (byte 0x%02X); save the file as UTF-8", (unsigned)(unsigned char)text.p[bad]);
    }
    if (!yaml_parser_initialize(&c.parser)) return no_memory(&c);
    yaml_parser_set_encoding(&c.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&c.parser, (const unsigned char *)(text.n ? text.p : ""), text.n);
    struct yaml_node *root = NULL;
    int rc = compose_stream(&c, &root);
    yaml_parser_delete(&c.parser);
    mem_free(c.anchors);
    if (rc == 0) *out = root;
    else if (rc == ILAB_E_NOMEM) no_memory(&c);
    return rc;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key) {
    if (!map || map->kind != YAML_MAP) return NULL;
    for (int i = 0; i < map->n; i++)
        if (sv_eq_c(map->key[i]->text, key)) return map->item[i];
    return NULL;
}
