/* yaml.c — composes tokens into a tree with marks.
 *
 * Recursive descent over the productions of YAML 1.1, in PyYAML's reading and wording. A node lives in the arena and is never
 * changed once composed; an alias is a copy of its anchor's node (its own mark, the same children). `n_nodes` counts what the
 * tree would hold with aliases written out, so that a few lines of nested aliases cannot stand for billions of nodes.
 * PyYAML builds values only when the whole text is composed: problems with a value are kept back until then.
 * What it does not do: tags other than the core ones, several documents, comments.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/internal.h"

#include <string.h>

#define MAX_BYTES ((size_t)64 << 20)
#define MAX_DEPTH 64
#define MAX_NODES 100000
#define MAX_ANCHORS 1000
#define MAX_HANDLES 32

struct anchor { struct sv name; const struct yaml_node *node; long weight; int height; }; /* node NULL: not complete yet */
struct list { struct yaml_node **v; size_t n, cap; };
struct handle { struct sv name, prefix; int declared; };

struct composer {
    struct yaml_scanner *scanner;
    struct yaml_doc *d;
    struct yaml_problem later;  /* the first problem with a value */
    unsigned flags;
    struct arena *a;
    int depth, deepest;         /* of the node being composed; of anything below it so far */
    long n_nodes;
    struct anchor *anchors;
    size_t n_anchors, cap_anchors;
    struct handle handle[MAX_HANDLES];
    int n_handles;
};
struct props { int any; struct yaml_mark start; struct sv anchor, tag; /* p NULL: none */ };

/* ---- problems ---- */

static int set(struct yaml_problem *p, int code, enum yaml_judge by, struct yaml_mark at, const char *fmt, va_list ap)
{
    if (p->code) return p->code;
    vsnprintf(p->text, sizeof p->text, fmt, ap);
    p->code = code;
    p->by = by;
    p->at = at;
    return code;
}
static int fail(struct composer *c, int code, enum yaml_judge by, struct yaml_mark at, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static int fail(struct composer *c, int code, enum yaml_judge by, struct yaml_mark at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set(&c->d->problem, code, by, at, fmt, ap);
    va_end(ap);
    return c->d->problem.code;
}
static int within(struct composer *c, const char *context, struct yaml_mark from)
{
    c->d->problem.context = context;
    c->d->problem.from = from;
    c->d->problem.has_from = 1;
    return c->d->problem.code;
}
static void fail_later(struct composer *c, const struct yaml_node *n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void fail_later(struct composer *c, const struct yaml_node *n, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set(&c->later, ILAB_E_FORMAT, YAML_BY_CONSTRUCTOR, (struct yaml_mark){ .line = n->line - 1, .col = n->col - 1 }, fmt, ap);
    va_end(ap);
}
static int no_memory(struct composer *c) { return fail(c, ILAB_E_NOMEM, YAML_BY_COMPOSER, (struct yaml_mark){ 0 }, "no memory for the YAML"); }

static const char *const TOKEN_NAME[] = { "<stream start>", "<stream end>", "<directive>", "<document start>", "<document end>", "<block sequence start>",
                                          "<block mapping start>", "<block end>", "[", "{", "]", "}", "?", ":", "-", ",", "<alias>", "<anchor>", "<tag>", "<scalar>" };

/* ---- tokens ---- */

/* The next token; NULL: the scanner failed, and the problem is set. */
static const struct yaml_token *peek(struct composer *c)
{
    const struct yaml_token *t = yaml_scanner_peek(c->scanner);
    if (!t && !c->d->problem.code) c->d->problem = c->d->scan;
    if (!t && !c->d->problem.code) no_memory(c); /* behind the end: cannot be */
    return t;
}
static int is_next(struct composer *c, uint32_t kinds)
{
    const struct yaml_token *t = peek(c);
    return t && (kinds >> t->kind & 1);
}
#define K(name) (1u << YAML_##name)
static void take(struct composer *c) { yaml_scanner_next(c->scanner); }

static int unexpected(struct composer *c, const char *wanted, const char *verb, const char *context, struct yaml_mark from)
{
    const struct yaml_token *t = peek(c);
    if (!t) return c->d->problem.code;
    fail(c, ILAB_E_FORMAT, YAML_BY_PARSER, t->start, "expected %s, but %s '%s'", wanted, verb, TOKEN_NAME[t->kind]);
    return within(c, context, from);
}

/* ---- nodes ---- */

static int push(struct composer *c, struct list *l, struct yaml_node *node)
{
    if (mem_grow((void **)&l->v, &l->cap, l->n + 1, sizeof *l->v)) return no_memory(c);
    l->v[l->n++] = node;
    return 0;
}

/* Moves a list's pointers into the arena. */
static int settle(struct composer *c, const struct list *l, struct yaml_node ***out)
{
    *out = NULL;
    if (l->n == 0) return 0;
    if (!(*out = arena_alloc(c->a, l->n * sizeof **out, _Alignof(struct yaml_node *)))) return no_memory(c);
    memcpy(*out, l->v, l->n * sizeof **out);
    return 0;
}

static int count_nodes(struct composer *c, struct yaml_mark m, long more)
{
    c->n_nodes += more;
    return c->n_nodes <= MAX_NODES ? 0 : fail(c, ILAB_E_LIMIT, YAML_BY_COMPOSER, m, "more than %d values (aliases count as what they stand for)", MAX_NODES);
}

static int new_node(struct composer *c, struct yaml_mark m, struct yaml_node **out)
{
    const int rc = count_nodes(c, m, 1);
    if (rc) return rc;
    if (!(*out = arena_alloc(c->a, sizeof **out, _Alignof(struct yaml_node)))) return no_memory(c);
    (*out)->text = SV("");
    (*out)->line = m.line + 1;
    (*out)->col = m.col + 1;
    return 0;
}

static int check_depth(struct composer *c, struct yaml_mark m, int depth)
{
    if (c->deepest < depth) c->deepest = depth;
    return depth <= MAX_DEPTH ? 0 : fail(c, ILAB_E_FORMAT, YAML_BY_COMPOSER, m, "nested deeper than %d levels", MAX_DEPTH);
}

/* ---- tags and scalars ---- */

#define CORE "tag:yaml.org,2002:"
static const struct { const char *tag; enum yaml_kind kind; } TAGS[] = {
    { CORE "null", YAML_NULL }, { CORE "bool", YAML_BOOL },           { CORE "int", YAML_INT }, { CORE "float", YAML_FLOAT },
    { CORE "str", YAML_STR },   { CORE "timestamp", YAML_TIMESTAMP }, { CORE "seq", YAML_SEQ }, { CORE "map", YAML_MAP },
};

static int is_plain(const struct yaml_node *n, const char *text) { return n->plain && n->kind == YAML_STR && sv_eq_c(n->text, text); }

static void apply_tag(struct composer *c, struct yaml_node *node, struct sv tag)
{
    const int collection = node->kind == YAML_SEQ || node->kind == YAML_MAP;
    if (!tag.p || sv_eq_c(tag, "!")) return;
    for (size_t i = 0; i < ARRAY_LEN(TAGS); i++) {
        if (!sv_eq_c(tag, TAGS[i].tag)) continue;
        const enum yaml_kind want = TAGS[i].kind, is = collection ? node->kind : yaml_resolve(node->text);
        const int fits = want == is || (!collection && (want == YAML_STR || want == YAML_NULL || (want == YAML_FLOAT && is == YAML_INT)));
        if (!fits) fail_later(c, node, "this is not of the type that its tag '%.*s' says", tag.n > 80 ? 80 : (int)tag.n, tag.p);
        node->kind = want;
        node->plain = 0;
        return;
    }
    fail_later(c, node, "could not determine a constructor for the tag '%.*s'", tag.n > 80 ? 80 : (int)tag.n, tag.p);
}

static int compose_scalar(struct composer *c, const struct yaml_token *t, struct sv tag, struct yaml_node *node)
{
    char *p = arena_strndup(c->a, t->value.p, t->value.n);
    if (!p) return no_memory(c);
    node->text = (struct sv){ p, t->value.n };
    node->plain = !t->style;
    node->kind = (node->plain && !tag.p) || sv_eq_c(tag, "!") ? yaml_resolve(node->text) : YAML_STR;
    apply_tag(c, node, tag);
    if (!yaml_value_exists(node)) fail_later(c, node, "'%.80s' has the form of a %s but is none", p, yaml_kind_name(node->kind));
    return 0;
}

/* `=` and `<<` mean something as keys only. */
static void check_value(struct composer *c, const struct yaml_node *n)
{
    if (is_plain(n, "=")) fail_later(c, n, "could not determine a constructor for the tag '" CORE "value'");
    if (is_plain(n, "<<")) fail_later(c, n, "could not determine a constructor for the tag '" CORE "merge'");
}

/* ---- anchors ---- */

static int open_anchor(struct composer *c, struct sv name, struct yaml_mark m, size_t *index)
{
    *index = SIZE_MAX;
    if (!name.p) return 0;
    for (size_t i = 0; i < c->n_anchors; i++)
        if (sv_eq(c->anchors[i].name, name)) return fail(c, ILAB_E_FORMAT, YAML_BY_COMPOSER, m, "found duplicate anchor '%.*s'", name.n > 80 ? 80 : (int)name.n, name.p);
    if (c->n_anchors >= MAX_ANCHORS) return fail(c, ILAB_E_LIMIT, YAML_BY_COMPOSER, m, "more than %d anchors", MAX_ANCHORS);
    if (mem_grow((void **)&c->anchors, &c->cap_anchors, c->n_anchors + 1, sizeof *c->anchors)) return no_memory(c);
    *index = c->n_anchors++;
    c->anchors[*index] = (struct anchor){ .name = name };
    return 0;
}

static int compose_alias(struct composer *c, const struct yaml_token *t, struct yaml_node **out)
{
    const struct yaml_mark m = t->start;
    const struct sv name = t->value;
    size_t i = 0;
    take(c);
    while (i < c->n_anchors && !sv_eq(c->anchors[i].name, name)) i++;
    const int width = name.n > 80 ? 80 : (int)name.n;
    if (i == c->n_anchors) return fail(c, ILAB_E_FORMAT, YAML_BY_COMPOSER, m, "found undefined alias '%.*s'", width, name.p);
    const struct anchor *anchor = &c->anchors[i];
    if (!anchor->node) return fail(c, ILAB_E_FORMAT, YAML_BY_COMPOSER, m, "anchor '%.*s' contains itself", width, name.p);
    int rc = count_nodes(c, m, anchor->weight - 1);
    if (rc || (rc = check_depth(c, m, c->depth + anchor->height)) || (rc = new_node(c, m, out))) return rc;
    const int line = (*out)->line, col = (*out)->col;
    **out = *anchor->node;
    (*out)->line = line;
    (*out)->col = col;
    return 0;
}

/* ---- mappings ---- */

/* A hash set over the keys in `keys`: slot = index + 1. */
struct key_set { uint32_t *slots; size_t mask; };

/* The index of an equal key that was there before, or -1 when keys->v[i] is new (and is added). */
static ptrdiff_t set_add(struct key_set *s, const struct list *keys, size_t i)
{
    struct sv text = keys->v[i]->text;
    size_t at = hash64(text.p, text.n, 0) & s->mask;
    for (; s->slots[at]; at = (at + 1) & s->mask)
        if (sv_eq(keys->v[s->slots[at] - 1]->text, text)) return (ptrdiff_t)s->slots[at] - 1;
    s->slots[at] = (uint32_t)i + 1;
    return -1;
}

/* The maps that a merge value names: itself or its items. */
static int merge_sources(struct composer *c, struct yaml_node *v, struct yaml_node ***maps, int *n, struct yaml_node **self)
{
    *self = v;
    *maps = v->kind == YAML_SEQ ? v->item : self;
    *n = v->kind == YAML_SEQ ? v->n : 1;
    for (int i = 0; i < *n; i++)
        if ((*maps)[i]->kind != YAML_MAP) {
            fail_later(c, v, "expected a mapping or list of mappings for merging, but found %s", yaml_kind_name((*maps)[i]->kind));
            return 0;
        }
    return 1;
}

/* Takes the pairs of `map` that the mapping does not have yet. */
static int merge_from(struct composer *c, const struct yaml_node *map, struct key_set *set_of_keys, struct list *keys, struct list *values)
{
    int rc = count_nodes(c, (struct yaml_mark){ .line = map->line - 1, .col = map->col - 1 }, 2 * (long)map->n);
    for (int i = 0; rc == 0 && i < map->n; i++) {
        if ((rc = push(c, keys, map->key[i]))) break;
        if (set_add(set_of_keys, keys, keys->n - 1) >= 0) keys->n--;
        else rc = push(c, values, map->item[i]);
    }
    return rc;
}

/* Of equal keys one stays: at the place of the first, with the value of the last. */
static void unite_keys(struct composer *c, struct key_set *set_of_keys, struct list *keys, struct list *values)
{
    size_t n = 0;
    for (size_t i = 0; i < keys->n; i++) {
        struct yaml_node *k = keys->v[i];
        keys->v[n] = k;
        const ptrdiff_t first = set_add(set_of_keys, keys, n);
        if (first < 0) {
            values->v[n++] = values->v[i];
            continue;
        }
        if (c->flags & YAML_UNIQUE_KEYS)
            fail_later(c, k, "duplication of key \"%.80s\" in mapping (first at %d:%d)", k->text.p, keys->v[first]->line, keys->v[first]->col);
        values->v[first] = values->v[i];
    }
    keys->n = values->n = n;
}

/* Splits the flat list of keys and values, sets merge keys apart, unites equal keys, then merges. */
static int arrange_map(struct composer *c, const struct list *flat, struct list *keys, struct list *values)
{
    struct list merges = { 0 };
    struct key_set set_of_keys = { 0 };
    struct yaml_node **maps, *self;
    int n, rc = 0;
    size_t most = flat->n / 2, slots = 16;
    for (size_t i = 0; rc == 0 && i + 1 < flat->n; i += 2) {
        struct yaml_node *k = flat->v[i], *v = flat->v[i + 1];
        if (k->kind == YAML_SEQ || k->kind == YAML_MAP) fail_later(c, k, "found unhashable key");
        else if (!is_plain(k, "<<")) {
            if ((rc = push(c, keys, k)) == 0) rc = push(c, values, v);
        } else if (merge_sources(c, v, &maps, &n, &self)) {
            for (int j = 0; j < n; j++) most += (size_t)maps[j]->n;
            rc = push(c, &merges, v);
        }
    }
    while (slots < 2 * most) slots *= 2;
    if (rc == 0 && !(set_of_keys.slots = mem_calloc(slots, sizeof *set_of_keys.slots))) rc = no_memory(c);
    set_of_keys.mask = slots - 1;
    if (rc == 0) unite_keys(c, &set_of_keys, keys, values);
    for (size_t i = 0; rc == 0 && i < merges.n; i++) {
        merge_sources(c, merges.v[i], &maps, &n, &self);
        for (int j = 0; rc == 0 && j < n; j++) rc = merge_from(c, maps[j], &set_of_keys, keys, values);
    }
    mem_free(set_of_keys.slots);
    mem_free(merges.v);
    return rc;
}

static int finish_collection(struct composer *c, int rc, struct list *flat, struct yaml_node *node)
{
    struct list keys = { 0 }, values = { 0 };
    const int is_map = node->kind == YAML_MAP;
    for (size_t i = 0; rc == 0 && i < flat->n; i++)
        if (!is_map || i % 2) check_value(c, flat->v[i]);
    if (rc == 0 && is_map) rc = arrange_map(c, flat, &keys, &values);
    const struct list *items = is_map ? &values : flat;
    if (rc == 0 && is_map) rc = settle(c, &keys, &node->key);
    if (rc == 0) rc = settle(c, items, &node->item);
    node->n = rc ? 0 : (int)items->n;
    mem_free(flat->v);
    mem_free(keys.v);
    mem_free(values.v);
    return rc;
}

/* ---- collections ---- */

enum place { IN_FLOW, IN_BLOCK, IN_BLOCK_MAPPING /* a sequence may stand without indentation */ };
static int compose(struct composer *c, enum place place, struct yaml_node **out);

static int compose_child(struct composer *c, enum place place, struct list *l)
{
    struct yaml_node *node = NULL;
    const int rc = compose(c, place, &node);
    return rc ? rc : push(c, l, node);
}
static int empty_child(struct composer *c, struct yaml_mark m, struct list *l)
{
    struct yaml_node *node = NULL;
    const int rc = new_node(c, m, &node); /* kind 0 is YAML_NULL */
    if (!rc) node->plain = 1;
    return rc ? rc : push(c, l, node);
}

/* A node, or an empty one where one of `ends` comes next. */
static int child_or_empty(struct composer *c, uint32_t ends, struct yaml_mark m, enum place place, struct list *l)
{
    const int is_end = is_next(c, ends);
    if (c->d->problem.code) return c->d->problem.code;
    return is_end ? empty_child(c, m, l) : compose_child(c, place, l);
}

/* The value behind a key: `: value`, `:`, or nothing. */
static int compose_value(struct composer *c, uint32_t ends, enum place place, struct list *l)
{
    const struct yaml_token *t = peek(c);
    if (!t) return c->d->problem.code;
    if (t->kind != YAML_VALUE) return empty_child(c, t->start, l);
    const struct yaml_mark end = t->end;
    take(c);
    return child_or_empty(c, ends, end, place, l);
}

static int block_sequence(struct composer *c, int indentless, struct list *l)
{
    const struct yaml_token *t = peek(c);
    const struct yaml_mark from = t->start;
    const uint32_t ends = indentless ? K(BLOCK_ENTRY) | K(KEY) | K(VALUE) | K(BLOCK_END) : K(BLOCK_ENTRY) | K(BLOCK_END);
    int rc = 0;
    if (!indentless) take(c);
    while (!rc && is_next(c, K(BLOCK_ENTRY))) {
        const struct yaml_mark end = peek(c)->end;
        take(c);
        rc = child_or_empty(c, ends, end, IN_BLOCK, l);
    }
    if (rc || c->d->problem.code || indentless) return c->d->problem.code;
    if (!is_next(c, K(BLOCK_END))) return unexpected(c, "<block end>", "found", "while parsing a block collection", from);
    take(c);
    return 0;
}

static int block_mapping(struct composer *c, struct list *l)
{
    const struct yaml_mark from = peek(c)->start;
    const uint32_t ends = K(KEY) | K(VALUE) | K(BLOCK_END);
    int rc = 0;
    take(c);
    while (!rc && is_next(c, K(KEY))) {
        const struct yaml_mark end = peek(c)->end;
        take(c);
        rc = child_or_empty(c, ends, end, IN_BLOCK_MAPPING, l);
        if (!rc) rc = compose_value(c, ends, IN_BLOCK_MAPPING, l);
    }
    if (rc || c->d->problem.code) return c->d->problem.code;
    if (!is_next(c, K(BLOCK_END))) return unexpected(c, "<block end>", "found", "while parsing a block mapping", from);
    take(c);
    return 0;
}

/* `key: value` as an item of [ … ]. */
static int single_pair(struct composer *c, struct list *l)
{
    const uint32_t ends = K(FLOW_ENTRY) | K(FLOW_SEQUENCE_END);
    const struct yaml_token *t = peek(c);
    const struct yaml_mark start = t->start, end = t->end;
    struct yaml_node *node = NULL;
    struct list flat = { 0 };
    int rc = new_node(c, start, &node);
    if (rc) return rc;
    node->kind = YAML_MAP;
    take(c);
    c->depth++;
    rc = check_depth(c, start, c->depth);
    if (!rc) rc = child_or_empty(c, ends | K(VALUE), end, IN_FLOW, &flat);
    if (!rc) rc = compose_value(c, ends, IN_FLOW, &flat);
    c->depth--;
    rc = finish_collection(c, rc, &flat, node);
    return rc ? rc : push(c, l, node);
}

static int flow_sequence(struct composer *c, struct list *l)
{
    const struct yaml_mark from = peek(c)->start;
    int rc = 0;
    take(c);
    for (int first = 1; !rc && !is_next(c, K(FLOW_SEQUENCE_END)) && !c->d->problem.code; first = 0) {
        if (!first) {
            if (!is_next(c, K(FLOW_ENTRY))) return unexpected(c, "',' or ']'", "got", "while parsing a flow sequence", from);
            take(c);
        }
        if (is_next(c, K(KEY))) rc = single_pair(c, l);
        else if (!is_next(c, K(FLOW_SEQUENCE_END))) rc = c->d->problem.code ? c->d->problem.code : compose_child(c, IN_FLOW, l);
        else break;
    }
    if (rc || c->d->problem.code) return c->d->problem.code;
    take(c);
    return 0;
}

static int flow_mapping(struct composer *c, struct list *l)
{
    const struct yaml_mark from = peek(c)->start;
    const uint32_t ends = K(FLOW_ENTRY) | K(FLOW_MAPPING_END);
    int rc = 0;
    take(c);
    for (int first = 1; !rc && !is_next(c, K(FLOW_MAPPING_END)) && !c->d->problem.code; first = 0) {
        if (!first) {
            if (!is_next(c, K(FLOW_ENTRY))) return unexpected(c, "',' or '}'", "got", "while parsing a flow mapping", from);
            take(c);
        }
        if (is_next(c, K(KEY))) {
            const struct yaml_mark end = peek(c)->end;
            take(c);
            rc = child_or_empty(c, ends | K(VALUE), end, IN_FLOW, l);
            if (!rc) rc = compose_value(c, ends, IN_FLOW, l);
        } else if (!is_next(c, K(FLOW_MAPPING_END))) {
            rc = c->d->problem.code ? c->d->problem.code : compose_child(c, IN_FLOW, l);
            const struct yaml_token *t = rc ? NULL : peek(c);
            if (!rc) rc = t ? empty_child(c, t->start, l) : c->d->problem.code;
        } else {
            break;
        }
    }
    if (rc || c->d->problem.code) return c->d->problem.code;
    take(c);
    return 0;
}

/* Anchor and tag in any order. */
static int properties(struct composer *c, struct props *p)
{
    struct sv handle = { 0 };
    struct yaml_mark tag_at = { 0 };
    for (int i = 0; i < 2; i++) {
        const struct yaml_token *t = peek(c);
        if (!t) return c->d->problem.code;
        const int is_tag = t->kind == YAML_TAG;
        if ((!is_tag && t->kind != YAML_ANCHOR) || (is_tag ? p->tag.p : p->anchor.p)) break;
        if (!p->any) p->start = t->start;
        p->any = 1;
        if (is_tag) p->tag = t->value, handle = t->handle, tag_at = t->start;
        else p->anchor = t->value;
        take(c);
    }
    if (!p->tag.p || !handle.p) return 0;
    for (int i = 0; i < c->n_handles; i++) {
        if (!sv_eq(c->handle[i].name, handle)) continue;
        const struct sv prefix = c->handle[i].prefix;
        char *tag = arena_alloc(c->a, prefix.n + p->tag.n + 1, 1);
        if (!tag) return no_memory(c);
        memcpy(tag, prefix.p, prefix.n);
        memcpy(tag + prefix.n, p->tag.p, p->tag.n);
        p->tag = (struct sv){ tag, prefix.n + p->tag.n };
        return 0;
    }
    fail(c, ILAB_E_FORMAT, YAML_BY_PARSER, tag_at, "found undefined tag handle '%.*s'", handle.n > 80 ? 80 : (int)handle.n, handle.p);
    return within(c, "while parsing a node", p->start);
}

static int compose_content(struct composer *c, enum place place, const struct props *p, struct yaml_node *node)
{
    struct list flat = { 0 };
    const struct yaml_token *t = peek(c);
    if (!t) return c->d->problem.code;
    if (t->kind == YAML_SCALAR) {
        const int rc = compose_scalar(c, t, p->tag, node);
        take(c);
        return rc;
    }
    const enum yaml_token_kind kind = t->kind;
    const int indentless = place == IN_BLOCK_MAPPING && kind == YAML_BLOCK_ENTRY;
    node->kind = kind == YAML_FLOW_MAPPING_START || kind == YAML_BLOCK_MAPPING_START ? YAML_MAP : YAML_SEQ;
    int rc = kind == YAML_FLOW_SEQUENCE_START ? flow_sequence(c, &flat) : kind == YAML_FLOW_MAPPING_START ? flow_mapping(c, &flat)
             : kind == YAML_BLOCK_MAPPING_START ? block_mapping(c, &flat) : block_sequence(c, indentless, &flat);
    rc = finish_collection(c, rc, &flat, node);
    if (!rc) apply_tag(c, node, p->tag);
    return rc;
}

static int compose(struct composer *c, enum place place, struct yaml_node **out)
{
    struct props p = { 0 };
    const struct yaml_token *t = peek(c);
    if (!t) return c->d->problem.code;
    if (t->kind == YAML_ALIAS) return compose_alias(c, t, out);
    int rc = properties(c, &p);
    if (rc || !(t = peek(c))) return c->d->problem.code;
    if (!p.any) p.start = t->start;
    const uint32_t content = K(SCALAR) | K(FLOW_SEQUENCE_START) | K(FLOW_MAPPING_START) | (place != IN_FLOW ? K(BLOCK_SEQUENCE_START) | K(BLOCK_MAPPING_START) : 0) |
                             (place == IN_BLOCK_MAPPING ? K(BLOCK_ENTRY) : 0);
    const int has_content = content >> t->kind & 1;
    if (!has_content && !p.any) {
        fail(c, ILAB_E_FORMAT, YAML_BY_PARSER, t->start, "expected the node content, but found '%s'", TOKEN_NAME[t->kind]);
        return within(c, place == IN_FLOW ? "while parsing a flow node" : "while parsing a block node", p.start);
    }
    size_t index;
    const long before = c->n_nodes;
    const int deepest_outside = c->deepest;
    c->deepest = ++c->depth;
    rc = check_depth(c, p.start, c->depth);
    if (rc || (rc = new_node(c, p.start, out)) || (rc = open_anchor(c, p.anchor, p.start, &index))) return rc;
    if (has_content) {
        rc = compose_content(c, place, &p, *out);
    } else { /* properties of nothing: a tag makes it a text */
        (*out)->kind = p.tag.p && !sv_eq_c(p.tag, "!") ? YAML_STR : YAML_NULL;
        apply_tag(c, *out, p.tag);
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

/* ---- document and stream ---- */

static int directives(struct composer *c)
{
    int has_version = 0;
    c->handle[0] = (struct handle){ SV("!"), SV("!"), 0 };
    c->handle[1] = (struct handle){ SV("!!"), SV(CORE), 0 };
    c->n_handles = 2;
    while (is_next(c, K(DIRECTIVE))) {
        const struct yaml_token t = *peek(c);
        take(c);
        if (t.handle.p) {
            int i = 0;
            while (i < c->n_handles && !sv_eq(c->handle[i].name, t.handle)) i++;
            if (i < c->n_handles && c->handle[i].declared) return fail(c, ILAB_E_FORMAT, YAML_BY_PARSER, t.start, "duplicate tag handle '%.*s'", t.handle.n > 80 ? 80 : (int)t.handle.n, t.handle.p);
            if (i >= MAX_HANDLES) return fail(c, ILAB_E_LIMIT, YAML_BY_PARSER, t.start, "more than %d tag handles", MAX_HANDLES);
            c->handle[i] = (struct handle){ t.handle, t.value, 1 };
            if (i == c->n_handles) c->n_handles++;
        } else if (t.value.p) {
            if (has_version++) return fail(c, ILAB_E_FORMAT, YAML_BY_PARSER, t.start, "found duplicate YAML directive");
            struct sv major = t.value;
            while (major.n > 1 && *major.p == '0') major.p++, major.n--;
            if (!sv_eq_c(major, "1")) return fail(c, ILAB_E_FORMAT, YAML_BY_PARSER, t.start, "found incompatible YAML document (version 1.* is required)");
        }
    }
    return c->d->problem.code;
}

static int compose_document(struct composer *c, struct yaml_node **out)
{
    const int is_explicit = is_next(c, K(DIRECTIVE) | K(DOCUMENT_START));
    int rc = c->d->problem.code;
    if (!rc) rc = directives(c);
    if (rc || !is_explicit) return rc ? rc : compose(c, IN_BLOCK, out);
    if (!is_next(c, K(DOCUMENT_START))) {
        const struct yaml_token *t = peek(c);
        return t ? fail(c, ILAB_E_FORMAT, YAML_BY_PARSER, t->start, "expected '<document start>', but found '%s'", TOKEN_NAME[t->kind]) : c->d->problem.code;
    }
    const struct yaml_mark end = peek(c)->end;
    take(c);
    const int empty = is_next(c, K(DIRECTIVE) | K(DOCUMENT_START) | K(DOCUMENT_END) | K(STREAM_END));
    if (c->d->problem.code) return c->d->problem.code;
    return empty ? new_node(c, end, out) : compose(c, IN_BLOCK, out);
}

/* One document or none. */
static int compose_stream(struct composer *c, struct yaml_node **out)
{
    if (!peek(c)) return c->d->problem.code;
    take(c);
    int rc = is_next(c, K(STREAM_END)) ? new_node(c, (struct yaml_mark){ 0 }, out) : c->d->problem.code ? c->d->problem.code : compose_document(c, out);
    while (!rc && is_next(c, K(DOCUMENT_END))) take(c);
    if (rc || c->d->problem.code) return c->d->problem.code;
    if (!is_next(c, K(STREAM_END))) {
        const struct yaml_mark at = peek(c)->start;
        if ((rc = directives(c))) return rc;
        const struct yaml_token *t = peek(c);
        if (!t) return c->d->problem.code;
        if (t->kind != YAML_DOCUMENT_START) return fail(c, ILAB_E_FORMAT, YAML_BY_PARSER, t->start, "expected '<document start>', but found '%s'", TOKEN_NAME[t->kind]);
        fail(c, ILAB_E_FORMAT, YAML_BY_COMPOSER, at, "but found another document");
        return within(c, "expected a single document in the stream", (struct yaml_mark){ .line = (*out)->line - 1, .col = (*out)->col - 1 });
    }
    take(c);
    check_value(c, *out);
    return 0;
}

int yaml_doc_open(struct yaml_doc *d, struct sv text, struct arena *a, unsigned flags)
{
    _Static_assert(YAML_NULL == 0, "a zeroed node is null");
    struct composer c = { .d = d, .a = a, .flags = flags };
    struct yaml_node *root = NULL;
    *d = (struct yaml_doc){ 0 };
    d->scanner = yaml_scanner_open(text, a, &d->scan);
    if (!d->scanner) {
        d->problem = d->scan;
        return d->problem.code;
    }
    c.scanner = d->scanner;
    d->text = yaml_scanner_text(d->scanner, text);
    const int rc = compose_stream(&c, &root);
    mem_free(c.anchors);
    if (!rc && c.later.code) d->problem = c.later;
    if (!d->problem.code) d->root = root;
    if (flags & YAML_TOKENS) {
        struct yaml_token *v;
        while (yaml_scanner_peek(d->scanner)) yaml_scanner_next(d->scanner);
        d->n_token = yaml_scanner_tokens(d->scanner, &v);
        d->token = v;
    }
    return d->problem.code == ILAB_E_NOMEM || d->scan.code == ILAB_E_NOMEM ? ILAB_E_NOMEM : 0;
}

void yaml_doc_close(struct yaml_doc *d)
{
    yaml_scanner_close(d->scanner);
    *d = (struct yaml_doc){ 0 };
}

int yaml_parse(struct sv text, const char *name, struct arena *a, struct yaml_node **out, ilab_err *e)
{
    struct yaml_doc d;
    size_t bad;
    *out = NULL;
    if (text.n > MAX_BYTES) return err_set(e, ILAB_E_LIMIT, "%s: larger than %zu MiB", name, MAX_BYTES >> 20);
    if (!utf8_valid(text, &bad)) {
        int line = 1, col = 1;
        for (size_t i = 0; i < bad; i++)
            if (text.p[i] == '\n') line++, col = 1;
            else if (((unsigned char)text.p[i] & 0xC0) != 0x80) col++;
        return err_set(e, ILAB_E_FORMAT, "%s:%d:%d: not UTF-8 (byte 0x%02X); save the file as UTF-8", name, line, col, (unsigned)(unsigned char)text.p[bad]);
    }
    const int rc = yaml_doc_open(&d, text, a, YAML_UNIQUE_KEYS);
    const struct yaml_problem *p = &d.problem;
    *out = d.root;
    yaml_doc_close(&(struct yaml_doc){ .scanner = d.scanner });
    if (rc) return err_set(e, ILAB_E_NOMEM, "%s: no memory for its YAML", name);
    if (!p->code) return 0;
    if (!p->has_from) return err_set(e, p->code, "%s:%d:%d: %s", name, p->at.line + 1, p->at.col + 1, p->text);
    return err_set(e, p->code, "%s:%d:%d: %s (%s that starts at %d:%d)", name, p->at.line + 1, p->at.col + 1, p->text, p->context, p->from.line + 1, p->from.col + 1);
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    if (!map || map->kind != YAML_MAP) return NULL;
    for (int i = 0; i < map->n; i++)
        if (sv_eq_c(map->key[i]->text, key)) return map->item[i];
    return NULL;
}
