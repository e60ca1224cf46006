/* schema.c — a tree against the schema of its kind and version.
 *
 * The rules of each version are rows (instructlab-reference §2.2). A finding has the reference's wording, and a remedy of ours.
 * A name that nobody knows is a finding of its own; the reference, and so `compat`, names all of a mapping in one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/internal.h"

#include <stdlib.h>
#include <string.h>

enum need { REQUIRED = 1, MAY_BE_EMPTY = 2 };
struct key_rule { const char *name; enum yaml_kind kind; int need; };
struct schema { int knowledge, version, min_seeds; const struct key_rule *top, *item; };

static const struct key_rule SKILL_TOP_V1[] = {
    { "version", YAML_INT, 0 }, { "created_by", YAML_STR, REQUIRED }, { "task_description", YAML_STR, REQUIRED | MAY_BE_EMPTY },
    { "seed_examples", YAML_SEQ, REQUIRED }, { 0 },
};
static const struct key_rule SKILL_TOP[] = {
    { "version", YAML_INT, 0 }, { "created_by", YAML_STR, REQUIRED }, { "task_description", YAML_STR, REQUIRED },
    { "seed_examples", YAML_SEQ, REQUIRED }, { 0 },
};
static const struct key_rule KNOWLEDGE_TOP_V1[] = {
    { "version", YAML_INT, 0 }, { "created_by", YAML_STR, REQUIRED }, { "domain", YAML_STR, REQUIRED },
    { "task_description", YAML_STR, REQUIRED | MAY_BE_EMPTY }, { "seed_examples", YAML_SEQ, REQUIRED }, { "document", YAML_MAP, REQUIRED }, { 0 },
};
static const struct key_rule KNOWLEDGE_TOP[] = {
    { "version", YAML_INT, 0 }, { "created_by", YAML_STR, REQUIRED }, { "domain", YAML_STR, REQUIRED },
    { "task_description", YAML_STR, REQUIRED }, { "seed_examples", YAML_SEQ, REQUIRED }, { "document", YAML_MAP, REQUIRED }, { 0 },
};
static const struct key_rule KNOWLEDGE_TOP_V3[] = {
    { "version", YAML_INT, 0 }, { "created_by", YAML_STR, REQUIRED }, { "domain", YAML_STR, REQUIRED },
    { "document_outline", YAML_STR, REQUIRED }, { "seed_examples", YAML_SEQ, REQUIRED }, { "document", YAML_MAP, REQUIRED }, { 0 },
};
static const struct key_rule SKILL_ITEM[] = {
    { "question", YAML_STR, REQUIRED }, { "answer", YAML_STR, REQUIRED }, { "context", YAML_STR, 0 }, { 0 },
};
static const struct key_rule KNOWLEDGE_ITEM[] = { { "question", YAML_STR, REQUIRED }, { "answer", YAML_STR, REQUIRED }, { 0 } };
static const struct key_rule KNOWLEDGE_ITEM_V3[] = {
    { "context", YAML_STR, REQUIRED }, { "questions_and_answers", YAML_SEQ, REQUIRED }, { 0 },
};
static const struct key_rule DOCUMENT[] = {
    { "repo", YAML_STR, REQUIRED }, { "commit", YAML_STR, REQUIRED }, { "patterns", YAML_SEQ, REQUIRED }, { 0 },
};
static const struct schema SCHEMAS[] = {
    { 0, 1, 1, SKILL_TOP_V1, SKILL_ITEM },      { 0, 2, 5, SKILL_TOP, SKILL_ITEM },         { 0, 3, 5, SKILL_TOP, SKILL_ITEM },
    { 1, 1, 1, KNOWLEDGE_TOP_V1, KNOWLEDGE_ITEM }, { 1, 2, 5, KNOWLEDGE_TOP, KNOWLEDGE_ITEM }, { 1, 3, 5, KNOWLEDGE_TOP_V3, KNOWLEDGE_ITEM_V3 },
};

/* MESSAGE as the reference prints it: its last 200 characters. */
enum { LAST_CHARACTERS = 200 };
static const char *tail(const char *s)
{
    size_t n = strlen(s), kept = 0;
    while (n && kept < LAST_CHARACTERS) kept += ((unsigned char)s[--n] & 0xC0) != 0x80;
    return s + n;
}

void schema_report(struct schema_check *c, const struct yaml_node *at, const char *rule, const char *where, const char *remedy, const char *fmt, ...)
{
    char text[1024];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    const int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof text && c->compat) { /* a long value: only its end is shown */
        char *all = mem_alloc((size_t)n + 1);
        if (all) vsnprintf(all, (size_t)n + 1, fmt, again), snprintf(text, sizeof text, "%s", tail(all));
        mem_free(all);
    }
    va_end(again);
    size_t bad;
    if (!utf8_valid(sv_of(text), &bad)) text[bad] = 0;
    findings_add(c->f, (struct finding){ .line = at ? at->line : 1, .col = at ? at->col : 1, .error = 1, .where = where, .rule = rule, .text = c->compat ? tail(text) : text, .remedy = remedy });
}

static const char *python_type(enum yaml_kind k) /* the schema's name of a type */
{
    switch (k) {
    case YAML_SEQ: return "array";
    case YAML_MAP: return "object";
    case YAML_INT: return "integer";
    default: return "string";
    }
}

/* A view of at most cap - 1 bytes that is fit to print: whole characters, no control characters. */
void text_printable(struct sv s, char *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n;) {
        const size_t from = i;
        const int32_t cp = utf8_next(s, &i);
        if (n + (i - from) >= cap) break;
        if (cp < 0x20 || (cp >= 0x7F && cp < 0xA0)) out[n++] = '?';
        else memcpy(out + n, s.p + from, i - from), n += i - from;
    }
    out[n] = 0;
}

/* A text as Python's repr shows it. */
static void add_repr(struct sb *b, struct sv s)
{
    const char quote = memchr(s.p, '\'', s.n) && !memchr(s.p, '"', s.n) ? '"' : '\'';
    sb_addch(b, quote);
    for (size_t i = 0; i < s.n;) {
        const size_t at = i;
        const int32_t cp = utf8_next(s, &i);
        const char *cat = cp > 0x7E ? utf8_category(cp) : "L";
        if (cp == '\n' || cp == '\t' || cp == '\r') sb_addf(b, "\\%c", cp == '\n' ? 'n' : cp == '\t' ? 't' : 'r');
        else if (cp == '\\' || cp == quote) sb_addf(b, "\\%c", (int)cp);
        else if (cp < 0x20 || cp == 0x7F || (cp < 0x100 && (cat[0] == 'C' || cat[0] == 'Z'))) sb_addf(b, "\\x%02x", (unsigned)cp);
        else if (cat[0] == 'C' || cat[0] == 'Z') sb_addf(b, cp > 0xFFFF ? "\\U%08x" : "\\u%04x", (unsigned)cp);
        else sb_add(b, (struct sv){ s.p + at, i - at });
    }
    sb_addch(b, quote);
}

/* A value as Python's repr shows it (dates and odd numbers: as they are written). Depth is capped by the parser. */
static void add_value(struct sb *b, const struct yaml_node *n)
{
    int truth = 0;
    int64_t number;
    switch (n->kind) {
    case YAML_NULL: sb_addc(b, "None"); return;
    case YAML_BOOL: sb_addc(b, !yaml_bool(n, &truth) && truth ? "True" : "False"); return;
    case YAML_INT:
        if (!yaml_int(n, &number)) sb_addf(b, "%lld", (long long)number);
        else sb_add(b, n->text);
        return;
    case YAML_STR: add_repr(b, n->text); return;
    case YAML_SEQ: case YAML_MAP:
        sb_addch(b, n->kind == YAML_SEQ ? '[' : '{');
        for (int i = 0; i < n->n; i++) {
            if (i) sb_addc(b, ", ");
            if (n->kind == YAML_MAP) add_value(b, n->key[i]), sb_addc(b, ": ");
            add_value(b, n->item[i]);
        }
        sb_addch(b, n->kind == YAML_SEQ ? ']' : '}');
        return;
    default: sb_add(b, n->text);
    }
}

/* How a value that has a wrong type is shown: short, or whole where the reference's words are wanted. Caller releases. */
static const char *show(const struct schema_check *c, const struct yaml_node *n, struct sb *b)
{
    char text[81];
    sb_init(b, (size_t)4 << 20);
    if (!c->compat && (n->kind == YAML_SEQ || n->kind == YAML_MAP)) sb_addc(b, n->kind == YAML_SEQ ? n->n ? "[...]" : "[]" : n->n ? "{...}" : "{}");
    else if (!c->compat && n->kind == YAML_STR) text_printable(n->text, text, sizeof text), sb_addf(b, "'%s'", text);
    else add_value(b, n);
    return b->p && !b->failed ? b->p : "...";
}

static int is_digits(struct sv s)
{
    size_t i = 0;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') i++;
    return i == s.n && i > 0;
}

static const char *remedy_for(const struct yaml_node *n)
{
    switch (n->kind) {
    case YAML_BOOL: return "YAML reads a bare yes/no/on/off as true or false: put the text in quotes";
    case YAML_INT: case YAML_FLOAT: case YAML_TIMESTAMP: return "put the number or date in quotes, or write a sentence";
    case YAML_NULL: return "write a text after the colon";
    case YAML_STR: if (is_digits(n->text)) return "write it without quotes"; break;
    case YAML_SEQ: case YAML_MAP: return "write one text here, not a list or further keys";
    default: break;
    }
    return "see docs/FORMATS.md for the form of a qna.yaml";
}

/* A value against its rule; where is its dotted path. */
static void check_value(struct schema_check *c, const struct yaml_node *v, const struct key_rule *k, const char *where)
{
    double number;
    const int whole = k->kind == YAML_INT && v->kind == YAML_FLOAT && !yaml_float(v, &number) && number > -1e15 && number < 1e15 && number == (double)(int64_t)number;
    if (v->kind != k->kind && !whole) {
        struct sb b;
        const char *value = show(c, v, &b);
        schema_report(c, v, "type", where, remedy_for(v), "%s is not of type '%s'", value, python_type(k->kind));
        sb_release(&b);
    } else if (k->kind == YAML_STR && !(k->need & MAY_BE_EMPTY) && !v->text.n) {
        schema_report(c, v, "empty", where, "write a text, or remove the key if it may be left out", "'' should be non-empty");
    } else if (k->kind == YAML_STR && memchr(v->text.p, 0, v->text.n) && !c->compat) {
        schema_report(c, v, "nul", where, "remove the \\0", "the text holds a NUL character");
    }
}

static int is_known(const struct key_rule *rules, struct sv key)
{
    for (const struct key_rule *k = rules; k->name; k++)
        if (sv_eq_c(key, k->name)) return 1;
    return 0;
}

/* Keys that no rule knows: one finding each, or one for all as the reference words it. */
static void check_unknown(struct schema_check *c, const struct yaml_node *m, const struct key_rule *rules, const char *where)
{
    const char *names[16];
    struct sb b;
    int n = 0, unknown = 0;
    for (const struct key_rule *k = rules; k->name && n < 16; k++) names[n++] = k->name;
    sb_init(&b, (size_t)4 << 20);
    for (int i = 0; i < m->n; i++) {
        char key[81], remedy[160];
        if (is_known(rules, m->key[i]->text)) continue;
        if (c->compat) {
            if (unknown++) sb_addc(&b, ", ");
            add_value(&b, m->key[i]);
            continue;
        }
        text_printable(m->key[i]->text, key, sizeof key);
        const int near = unknown++ < 20 ? nearest_name(key, names, n) : -1;
        snprintf(remedy, sizeof remedy, near >= 0 ? "did you mean '%s'?" : "remove the key", near >= 0 ? names[near] : "");
        schema_report(c, m->key[i], "unknown-key", where, remedy, "Unevaluated properties are not allowed ('%s' was unexpected)", key);
    }
    if (c->compat && unknown)
        schema_report(c, m, "unknown-key", where, "remove the keys", "Unevaluated properties are not allowed (%s %s unexpected)", b.p ? b.p : "", unknown > 1 ? "were" : "was");
    sb_release(&b);
}

static void check_map(struct schema_check *c, const struct yaml_node *m, const struct key_rule *rules, const char *where, int open)
{
    char path[256], remedy[120];
    for (const struct key_rule *k = rules; k->name; k++) {
        const struct yaml_node *v = yaml_get(m, k->name);
        snprintf(path, sizeof path, "%s%s%s", where, sv_ends(sv_of(where), ".") ? "" : ".", k->name);
        snprintf(remedy, sizeof remedy, "add a line `%s: …`%s", k->name, strcmp(where, ".") ? " to this entry" : "");
        if (v) check_value(c, v, k, path);
        else if (k->need & REQUIRED) schema_report(c, m, "required", where, remedy, "'%s' is a required property", k->name);
    }
    if (!open) check_unknown(c, m, rules, where);
}

/* Equal as Python's == has it: the order of a mapping's keys does not count. Depth is capped by the parser. */
static int nodes_equal(const struct yaml_node *a, const struct yaml_node *b)
{
    if (a->kind != b->kind || a->n != b->n || !sv_eq(a->text, b->text)) return 0;
    for (int i = 0; i < a->n; i++) {
        const struct yaml_node *other = b->item[i];
        if (a->kind == YAML_MAP && !sv_eq(a->key[i]->text, b->key[i]->text)) {
            other = NULL;
            for (int j = 0; j < b->n && !other; j++)
                if (sv_eq(a->key[i]->text, b->key[j]->text)) other = b->item[j];
        }
        if (!other || !nodes_equal(a->item[i], other)) return 0;
    }
    return 1;
}

/* Equal nodes have equal hashes; keeps the search for repeated items quick. */
static uint64_t node_hash(const struct yaml_node *v)
{
    uint64_t h = hash64(v->text.p, v->text.n, (uint64_t)v->kind);
    for (int i = 0; i < v->n; i++) {
        const uint64_t item = node_hash(v->item[i]);
        if (v->kind == YAML_MAP) h += hash64(v->key[i]->text.p, v->key[i]->text.n, item); /* any order */
        else h = hash64(&item, sizeof item, h);
    }
    return h;
}

static void check_list(struct schema_check *c, const struct yaml_node *list, int min, int unique, const char *where)
{
    if (list->n < min)
        schema_report(c, list, "too-few", where, min > 1 ? "add more examples: variety in wording is what makes facts stick" : "add one", "Value must have at least %d items", min);
    if (list->n > QNA_MAX_SEEDS) {
        schema_report(c, list, "too-many", where, "split the file", "more than %d items", (int)QNA_MAX_SEEDS);
        return;
    }
    uint64_t *hash = unique ? mem_calloc((size_t)list->n + 1, sizeof *hash) : NULL;
    int repeated = -1, first = -1;
    for (int i = 0; hash && i < list->n && repeated < 0; i++) {
        hash[i] = node_hash(list->item[i]);
        for (int j = 0; j < i && repeated < 0; j++)
            if (hash[j] == hash[i] && nodes_equal(list->item[i], list->item[j])) repeated = i, first = j;
    }
    if (repeated >= 0) {
        char remedy[120];
        struct sb b;
        const char *value = c->compat ? show(c, list, &b) : NULL;
        snprintf(remedy, sizeof remedy, "remove or change the repeated one: it is the same as entry %d (line %d)", first + 1, list->item[first]->line);
        schema_report(c, list->item[repeated], "duplicate", where, remedy, "%s has non-unique elements", value ? value : "[...]");
        if (c->compat) sb_release(&b);
    }
    mem_free(hash);
}

/* Items of a list that have to be mappings. */
static int check_object(struct schema_check *c, const struct yaml_node *v, const char *where, const char *remedy)
{
    struct sb b;
    if (v->kind == YAML_MAP) return 1;
    const char *value = show(c, v, &b);
    schema_report(c, v, "type", where, remedy, "%s is not of type 'object'", value);
    sb_release(&b);
    return 0;
}

static void check_examples(struct schema_check *c, const struct yaml_node *seeds, const struct schema *s)
{
    static const struct key_rule QA[] = { { "question", YAML_STR, REQUIRED }, { "answer", YAML_STR, REQUIRED }, { 0 } };
    char where[96];
    check_list(c, seeds, s->min_seeds, s->version > 1, ".seed_examples");
    for (int i = 0; i < seeds->n; i++) {
        const struct yaml_node *it = seeds->item[i];
        snprintf(where, sizeof where, ".seed_examples[%d]", i);
        if (!check_object(c, it, where, s->item == KNOWLEDGE_ITEM_V3 ? "an example has the keys context and questions_and_answers" : "an example has the keys question and answer")) continue;
        check_map(c, it, s->item, where, 0);
        const struct yaml_node *qa = yaml_get(it, "questions_and_answers");
        if (s->item != KNOWLEDGE_ITEM_V3 || !qa || qa->kind != YAML_SEQ) continue;
        snprintf(where, sizeof where, ".seed_examples[%d].questions_and_answers", i);
        check_list(c, qa, 3, 1, where);
        for (int k = 0; k < qa->n; k++) {
            snprintf(where, sizeof where, ".seed_examples[%d].questions_and_answers[%d]", i, k);
            if (check_object(c, qa->item[k], where, "write the keys question and answer")) check_map(c, qa->item[k], QA, where, 1);
        }
    }
}

int schema_check(struct schema_check *c, const struct yaml_node *root, int knowledge, int version)
{
    static const struct key_rule PATTERN = { "pattern", YAML_STR, REQUIRED };
    const struct schema *s = NULL;
    for (size_t i = 0; i < ARRAY_LEN(SCHEMAS); i++)
        if (SCHEMAS[i].knowledge == knowledge && SCHEMAS[i].version == version) s = &SCHEMAS[i];
    if (!s) return 0;
    check_map(c, root, s->top, ".", 0);
    const struct yaml_node *seeds = yaml_get(root, "seed_examples"), *doc = yaml_get(root, "document");
    if (seeds && seeds->kind == YAML_SEQ) check_examples(c, seeds, s);
    if (!s->knowledge || !doc || doc->kind != YAML_MAP) return 1;
    check_map(c, doc, DOCUMENT, ".document", 0);
    const struct yaml_node *p = yaml_get(doc, "patterns");
    if (!p || p->kind != YAML_SEQ) return 1;
    check_list(c, p, 1, 1, ".document.patterns");
    for (int i = 0; i < p->n; i++) {
        char where[64];
        snprintf(where, sizeof where, ".document.patterns[%d]", i);
        check_value(c, p->item[i], &PATTERN, where);
    }
    return 1;
}
