/* pattern.c — a small backtracking matcher for the regular expressions that pre-tokenizers are published as.
 *
 * Supported: literals, classes with \s \S \w \d \p{…} \P{…} and ranges, groups (?:…) (?i:…), `|`, greedy and possessive
 * ? * + {m,n} of one character, ? of a group, (?!x) for one character, $ (end of the stretch). Not: repeated groups, lazy
 * quantifiers, other looks ahead or behind, scripts. Anything else is an error, never a silent difference.
 * \s is White_Space of the Unicode Character Database; categories are utf8proc's. Bytes that are not UTF-8 are one
 * character each, in category Cn. (?i:…) folds ASCII, and ſ and K (the Kelvin sign), as Unicode's simple case folding does.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/pattern.h"

#include <string.h>

/* ---- categories ---- */

static const char category_names[][3] = { "Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps",
                                          "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co" };
enum { CATEGORY_COUNT = ARRAY_LEN(category_names), CATEGORY_ND = 9, CATEGORY_PC = 12, CATEGORY_ZS = 23 };

static int category_find(const char *name)
{
    /* where the names with a first letter begin and end */
    static const uint8_t first[26][2] = { ['C' - 'A'] = { 26, 30 }, ['L' - 'A'] = { 1, 6 },   ['M' - 'A'] = { 6, 9 },  ['N' - 'A'] = { 9, 12 },
                                          ['P' - 'A'] = { 12, 19 }, ['S' - 'A'] = { 19, 23 }, ['Z' - 'A'] = { 23, 26 } };
    const uint8_t *range = first[(name[0] - 'A') % 26];

    for (int k = range[0]; k < range[1]; k++)
        if (category_names[k][1] == name[1])
            return k;
    return 0;
}

struct categories *categories_new(void)
{
    struct categories *c = mem_alloc(sizeof *c);

    for (int cp = 0; c && cp < CATEGORY_TABLE; cp++)
        c->of[cp] = (uint8_t)category_find(utf8_category(cp));
    return c;
}

static int category_of(const struct categories *c, int32_t cp)
{
    return cp < 0 ? 0 : cp < CATEGORY_TABLE ? c->of[cp] : category_find(utf8_category(cp));
}

/* The categories whose name begins with `name` ("L", "Lu"); 0: none. */
static uint32_t category_mask(struct sv name)
{
    uint32_t mask = 0;

    for (int k = 0; k < CATEGORY_COUNT && name.n >= 1 && name.n <= 2; k++)
        if (!memcmp(category_names[k], name.p, name.n))
            mask |= 1u << k;
    return mask;
}

/* ---- compiling ---- */

struct parser { struct pattern *p; struct sv s; size_t at; int fold, depth; ilab_err *e; int rc; };
enum { ALL_CATEGORIES = (1 << CATEGORY_COUNT) - 1, NO_LIMIT = INT32_MAX, MAX_REPEAT = 1000 };

static int unsupported(struct parser *ps, const char *what)
{
    if (!ps->rc)
        ps->rc = err_set(ps->e, ILAB_E_INVALID, "pre-tokenizer pattern: %s at byte %zu is not supported", what, ps->at);
    return 0;
}

static int new_node(struct parser *ps, enum node_kind kind)
{
    if (ps->p->n_node == PATTERN_MAX_NODES)
        return unsupported(ps, "so long a pattern");
    ps->p->node[ps->p->n_node] = (struct node){ .kind = (uint8_t)kind, .min = 1, .max = 1 };
    return ps->p->n_node++;
}

static void add_range(struct parser *ps, struct set *set, int32_t lo, int32_t hi)
{
    struct pattern *p = ps->p;

    for (int32_t cp = lo; cp <= hi && cp < 128; cp++)
        set->has[cp] = 1;
    if (hi < 128)
        return;
    if (p->n_range == PATTERN_MAX_RANGES || set->first_range + set->n_range != p->n_range) {
        unsupported(ps, "so many ranges");
        return;
    }
    p->range[p->n_range++] = (struct range){ lo, hi };
    set->n_range++;
}

static void add_mask(struct parser *ps, struct set *set, uint32_t mask)
{
    set->mask |= mask;
    for (int cp = 0; cp < 128; cp++)
        set->has[cp] |= mask >> category_of(ps->p->categories, cp) & 1;
}

static void add_literal(struct parser *ps, struct set *set, int32_t cp)
{
    add_range(ps, set, cp, cp);
    if (!ps->fold)
        return;
    int32_t low = cp | 32;
    if (cp < 128 && low >= 'a' && low <= 'z') {
        add_range(ps, set, low ^ 32, low ^ 32);
        add_range(ps, set, low, low);
        if (low == 's' || low == 'k')
            add_range(ps, set, low == 's' ? 0x17f : 0x212a, low == 's' ? 0x17f : 0x212a);
    } else if (cp >= 128)
        unsupported(ps, "folding of a wide character");
}

static int at_end(const struct parser *ps) { return ps->at >= ps->s.n; }
static char peek(const struct parser *ps) { return at_end(ps) ? 0 : ps->s.p[ps->at]; }

static int take(struct parser *ps, const char *text)
{
    size_t n = strlen(text);

    if (ps->s.n - ps->at < n || memcmp(ps->s.p + ps->at, text, n))
        return 0;
    ps->at += n;
    return 1;
}

static int32_t take_char(struct parser *ps)
{
    int32_t cp = at_end(ps) ? -1 : utf8_next(ps->s, &ps->at);

    if (cp < 0)
        unsupported(ps, "a byte that is not UTF-8");
    return cp;
}

/* \p{…}, with ps->at behind the p */
static uint32_t take_property(struct parser *ps)
{
    struct sv name = { ps->s.p + ps->at, 1 };

    if (take(ps, "{")) {
        const char *close = memchr(ps->s.p + ps->at, '}', ps->s.n - ps->at);
        name.p = ps->s.p + ps->at;
        name.n = close ? (size_t)(close - name.p) : 0;
        ps->at += close ? name.n + 1 : 0;
    } else if (!at_end(ps))
        ps->at++;
    uint32_t mask = name.n ? category_mask(name) : 0;
    if (!mask)
        unsupported(ps, "a property that is no general category");
    return mask;
}

static void add_space(struct parser *ps, struct set *set)
{
    add_range(ps, set, '\t', '\r');
    add_mask(ps, set, 7u << CATEGORY_ZS);
    add_range(ps, set, 0x85, 0x85);
}

static void negate(struct set *set)
{
    set->negated = !set->negated;
    for (int cp = 0; cp < 128; cp++)
        set->has[cp] = !set->has[cp];
}

/* Behind a backslash. Returns a code point when it stands for one, else -1 and the set holds what it stands for. */
static int32_t take_escape(struct parser *ps, struct set *set, int in_class)
{
    static const struct { char name, value; } control[] = { { 'n', '\n' }, { 'r', '\r' }, { 't', '\t' }, { 'f', '\f' }, { 'v', '\v' } };
    static const uint32_t word = 31u << 1 | 7u << 6 | 1u << CATEGORY_ND | 1u << CATEGORY_PC; /* L, M, Nd, Pc */
    char c = peek(ps);

    for (size_t k = 0; k < ARRAY_LEN(control); k++)
        if (c == control[k].name) {
            ps->at++;
            return control[k].value;
        }
    if (!c || !strchr("sSwdpP", c)) {
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
            unsupported(ps, "this escape");
        return take_char(ps);
    }
    ps->at++;
    if (c == 'S' && in_class)
        unsupported(ps, "\\S in a class");
    if (c == 's' || c == 'S')
        add_space(ps, set);
    else if (c == 'w' || c == 'd')
        add_mask(ps, set, c == 'w' ? word : 1u << CATEGORY_ND);
    else {
        uint32_t mask = take_property(ps);
        add_mask(ps, set, c == 'p' ? mask : ALL_CATEGORIES & ~mask);
    }
    if (c == 'S')
        negate(set);
    return -1;
}

static void take_class(struct parser *ps, struct set *set)
{
    int not = take(ps, "^");

    for (int first = 1; first || peek(ps) != ']'; first = 0) {
        int32_t lo, hi;
        if (at_end(ps) || ps->rc || peek(ps) == '[' || take(ps, "&&")) {
            unsupported(ps, "this class");
            return;
        }
        lo = take(ps, "\\") ? take_escape(ps, set, 1) : take_char(ps);
        if (lo < 0)
            continue;
        if (peek(ps) != '-' || ps->at + 1 >= ps->s.n || ps->s.p[ps->at + 1] == ']') {
            add_literal(ps, set, lo);
            continue;
        }
        ps->at++;
        hi = take(ps, "\\") ? take_escape(ps, set, 1) : take_char(ps);
        if (hi < lo || ps->fold)
            unsupported(ps, "this range");
        else
            add_range(ps, set, lo, hi);
    }
    ps->at++;
    if (not)
        negate(set);
}

/* One character's set; -1 on error. */
static int take_set(struct parser *ps)
{
    struct pattern *p = ps->p;

    if (p->n_set == PATTERN_MAX_SETS) {
        unsupported(ps, "so long a pattern");
        return -1;
    }
    struct set set = { .first_range = (int16_t)p->n_range };
    if (take(ps, "["))
        take_class(ps, &set);
    else if (take(ps, "\\")) {
        int32_t cp = take_escape(ps, &set, 0);
        if (cp >= 0)
            add_literal(ps, &set, cp);
    } else if (take(ps, ".")) {
        add_range(ps, &set, '\n', '\n');
        negate(&set);
    } else {
        if (strchr("*+?{}^", peek(ps)))
            unsupported(ps, "this character");
        int32_t cp = take_char(ps);
        if (cp >= 0)
            add_literal(ps, &set, cp);
    }
    p->set[p->n_set] = set;
    return ps->rc ? -1 : p->n_set++;
}

static int32_t take_number(struct parser *ps)
{
    int32_t n = 0;

    if (peek(ps) < '0' || peek(ps) > '9')
        return -1;
    while (peek(ps) >= '0' && peek(ps) <= '9' && n <= MAX_REPEAT)
        n = 10 * n + (ps->s.p[ps->at++] - '0');
    return n;
}

static void take_quantifier(struct parser *ps, struct node *node)
{
    if (take(ps, "?"))
        node->min = 0;
    else if (take(ps, "*"))
        node->min = 0, node->max = NO_LIMIT;
    else if (take(ps, "+"))
        node->max = NO_LIMIT;
    else if (take(ps, "{")) {
        node->min = node->max = take_number(ps);
        if (take(ps, ",")) {
            node->max = take_number(ps);
            node->max = node->max < 0 ? NO_LIMIT : node->max;
        }
        if (!take(ps, "}") || node->min < 0 || node->max < 1 || node->max < node->min || node->min > MAX_REPEAT)
            unsupported(ps, "this repetition");
    } else
        return;
    node->possessive = (uint8_t)take(ps, "+");
    if (peek(ps) == '?' || peek(ps) == '*' || peek(ps) == '{')
        unsupported(ps, "this repetition");
}

static int take_alternatives(struct parser *ps, int join);

/* A group, as ALT nodes that meet in a JOIN. Returns the ALT; *last is the JOIN. */
static int take_group(struct parser *ps, int *last)
{
    int fold = ps->fold;

    ps->fold = take(ps, "?i:") || (ps->fold && (take(ps, "?:") || peek(ps) != '?'));
    if (!ps->fold && !take(ps, "?:") && peek(ps) == '?')
        return unsupported(ps, "this group");
    int join = new_node(ps, NODE_JOIN), first = take_alternatives(ps, join);
    ps->fold = fold;
    if (!take(ps, ")"))
        return unsupported(ps, "a group without end");
    if (take(ps, "?")) {
        int none = new_node(ps, NODE_ALT), k = first;
        if (ps->rc)
            return 0;
        ps->p->node[none].body = (int16_t)join;
        ps->p->node[none].empty = 1;
        while (ps->p->node[k].other)
            k = ps->p->node[k].other;
        ps->p->node[k].other = (int16_t)none;
    }
    if (strchr("*+{?", peek(ps)) && !at_end(ps))
        return unsupported(ps, "repetition of a group");
    *last = join;
    return first;
}

/* Items up to `|`, `)` or the end; the last one goes on at `join`. Returns the first. */
static int take_sequence(struct parser *ps, int join)
{
    int first = join, previous = 0, item, last = 0;

    while (!ps->rc && !at_end(ps) && peek(ps) != '|' && peek(ps) != ')') {
        if (take(ps, "(?!")) {
            item = last = new_node(ps, NODE_NOT_AHEAD);
            ps->p->node[item].set = (int16_t)take_set(ps);
            if (!take(ps, ")"))
                unsupported(ps, "this look ahead");
        } else if (take(ps, "("))
            item = take_group(ps, &last);
        else if (take(ps, "$"))
            item = last = new_node(ps, NODE_END);
        else {
            item = last = new_node(ps, NODE_SET);
            ps->p->node[item].set = (int16_t)take_set(ps);
            take_quantifier(ps, &ps->p->node[item]);
        }
        if (ps->rc)
            return 0;
        if (previous)
            ps->p->node[previous].next = (int16_t)item;
        else
            first = item;
        previous = last;
    }
    if (previous)
        ps->p->node[previous].next = (int16_t)join;
    return first;
}

/* Marks in `alt` what may come first from node k on. */
static void find_first(const struct pattern *p, struct node *alt, int k)
{
    for (;;) {
        const struct node *n = &p->node[k];
        if (n->kind == NODE_SET) {
            const struct set *set = &p->set[n->set];
            for (int b = 0; b < 128; b++)
                alt->first[b] |= set->has[b];
            alt->wide |= set->mask || set->n_range || set->negated;
            if (n->min > 0)
                return;
        } else if (n->kind == NODE_ALT) {
            for (; k; k = p->node[k].other) {
                for (int b = 0; b < 128; b++)
                    alt->first[b] |= p->node[k].first[b];
                alt->wide |= p->node[k].wide;
                alt->empty |= p->node[k].empty;
            }
            /* a group that may be empty: what follows it is not looked for */
            return;
        } else if (n->kind == NODE_JOIN || n->kind == NODE_ACCEPT || n->kind == NODE_END || n->kind == NODE_NOT_AHEAD) {
            alt->empty = 1; /* could be anything: this filter has no opinion */
            return;
        }
        k = n->next;
    }
}

static int take_alternatives(struct parser *ps, int join)
{
    int first = 0, previous = 0;

    if (++ps->depth > PATTERN_MAX_DEPTH)
        return unsupported(ps, "so deep a group");
    do {
        int alt = new_node(ps, NODE_ALT), body = take_sequence(ps, join);
        if (ps->rc)
            return 0;
        ps->p->node[alt].body = (int16_t)body;
        find_first(ps->p, &ps->p->node[alt], body);
        if (previous)
            ps->p->node[previous].other = (int16_t)alt;
        else
            first = alt;
        previous = alt;
    } while (take(ps, "|"));
    ps->depth--;
    return first;
}

static int may_begin(const struct node *alt, int b) { return alt->empty || (b < 128 ? alt->first[b] : alt->wide); }

static int find_alt(const struct pattern *p, int k, int b)
{
    while (k && !may_begin(&p->node[k], b))
        k = p->node[k].other;
    return k;
}

/* The first alternative that the byte may begin, or what it holds when it is the only one. */
static void find_begins(struct pattern *p)
{
    for (int b = 0; b <= 128; b++) {
        int k = find_alt(p, p->start, b);
        p->begin[b] = (uint8_t)(k && !find_alt(p, p->node[k].other, b) ? p->node[k].body : k);
    }
}

int pattern_new(struct pattern **out, struct sv text, const struct categories *c, ilab_err *e)
{
    struct pattern *p = mem_calloc(1, sizeof *p);
    struct parser ps = { .p = p, .s = text, .e = e };

    *out = NULL;
    if (!p)
        return err_set(e, ILAB_E_NOMEM, "no memory for a pre-tokenizer");
    p->categories = c;
    if (text.n > PATTERN_MAX_BYTES)
        ps.rc = err_set(e, ILAB_E_LIMIT, "pre-tokenizer pattern of %zu bytes: at most %d", text.n, PATTERN_MAX_BYTES);
    else {
        new_node(&ps, NODE_ACCEPT);
        p->start = take_alternatives(&ps, 0);
        if (!at_end(&ps))
            unsupported(&ps, "what follows");
    }
    if (ps.rc)
        mem_free(p);
    else {
        find_begins(p);
        *out = p;
    }
    return ps.rc;
}

/* ---- matching ---- */

struct match { const struct pattern *p; struct sv s; size_t *budget; };

static int wide_in(const struct pattern *p, const struct set *set, int32_t cp)
{
    int in = set->mask >> category_of(p->categories, cp) & 1;

    for (int k = set->first_range; !in && k < set->first_range + set->n_range; k++)
        in = cp >= p->range[k].lo && cp <= p->range[k].hi;
    return in != set->negated;
}

/* The character at *i belongs to the set: steps over it. */
static inline int step(const struct match *m, const struct set *set, size_t *i)
{
    uint8_t b = (uint8_t)m->s.p[*i];

    if (b < 128) {
        *i += set->has[b];
        return set->has[b];
    }
    size_t next = *i;
    int32_t cp = utf8_next(m->s, &next);
    if (!wide_in(m->p, set, cp))
        return 0;
    *i = next;
    return 1;
}

static size_t run_end(const struct match *m, const struct set *set, size_t i)
{
    const char *p = m->s.p;
    size_t n = m->s.n;

    do
        while (i < n && (uint8_t)p[i] < 128 && set->has[(uint8_t)p[i]])
            i++;
    while (i < n && (uint8_t)p[i] >= 128 && step(m, set, &i));
    return i;
}

/* Start of the character that ends at `end`, not before `from`. */
static size_t step_back(struct sv s, size_t from, size_t end)
{
    for (size_t n = 2; n <= 4 && n <= end - from; n++) {
        size_t i = end - n;
        if (((uint8_t)s.p[i] & 0xc0) == 0x80)
            continue;
        return (uint8_t)s.p[i] >= 0xc0 && utf8_next(s, &i) >= 0 && i == end ? end - n : end - 1;
    }
    return end - 1;
}

#define NO_MATCH SIZE_MAX

/* Steps that led nowhere. */
static size_t charge(const struct match *m, size_t n)
{
    *m->budget -= n < *m->budget ? n : *m->budget;
    return NO_MATCH;
}

static size_t run(const struct match *m, int k, size_t i)
{
    for (;;) {
        const struct node *n = &m->p->node[k];
        switch (n->kind) {
        case NODE_ACCEPT:
            return i;
        case NODE_END:
            if (i != m->s.n)
                return NO_MATCH;
            break;
        case NODE_NOT_AHEAD: {
            size_t next = i;
            if (i < m->s.n && step(m, &m->p->set[n->set], &next))
                return NO_MATCH;
            break;
        }
        case NODE_ALT:
            for (; k; k = m->p->node[k].other) {
                const struct node *alt = &m->p->node[k];
                if (!alt->empty && (i == m->s.n || !may_begin(alt, (uint8_t)m->s.p[i])))
                    continue;
                size_t end = run(m, alt->body, i);
                if (end != NO_MATCH)
                    return end;
            }
            return NO_MATCH;
        case NODE_SET: {
            const struct set *set = &m->p->set[n->set];
            size_t least = i, start = i;
            int32_t count = 0;
            for (; count < n->min; count++, least = i)
                if (i == m->s.n || !step(m, set, &i))
                    return charge(m, i - start);
            if (n->max == NO_LIMIT)
                i = run_end(m, set, i);
            else
                while (count < n->max && i < m->s.n && step(m, set, &i))
                    count++;
            if (n->possessive || n->next == 0)
                break;
            for (; i > least; i = step_back(m->s, start, i)) {
                size_t end = run(m, n->next, i);
                if (end != NO_MATCH)
                    return end;
                if (charge(m, 2) && *m->budget == 0)
                    return NO_MATCH;
            }
            break;
        }
        default:
            break;
        }
        k = n->next;
    }
}

size_t pattern_piece_end(const struct pattern *p, struct sv s, size_t i, size_t *budget, int *matched)
{
    struct match m = { p, s, budget };

    for (size_t at = i; at < s.n;) {
        uint8_t b = (uint8_t)s.p[at];
        int k = p->begin[b < 128 ? b : 128];
        size_t end = k && *budget ? run(&m, k, at) : NO_MATCH;
        if (end != NO_MATCH && end > at) {
            *matched = at == i;
            return at == i ? end : at;
        }
        if (b < 128)
            at++;
        else
            utf8_next(s, &at);
    }
    *matched = 0;
    return s.n;
}
