/* qna.c — reads and checks one qna.yaml: parse, lint, schema.
 *
 * The rules of each schema version are rows (instructlab-reference §2.2). A finding has the reference's wording, and a remedy
 * of ours. A file is turned into a leaf only when it has no error.  SPDX-License-Identifier: Apache-2.0 */
#include "data/data.h"

#include <stdlib.h>
#include <string.h>

enum { QNA_MAX_FILE = 8 << 20, QNA_MAX_LINE = 120, QNA_MAX_SEEDS = 10000, MAX_BLANK_LINES = 2 };

enum need { REQUIRED = 1, MAY_BE_EMPTY = 2 };
struct key_rule { const char *name; enum yaml_kind kind; int need; };
struct schema { int knowledge, version, min_seeds; const struct key_rule *top, *item; };

static const struct key_rule SKILL_TOP[] = {
    { "version", YAML_INT, 0 }, { "created_by", YAML_STR, REQUIRED }, { "task_description", YAML_STR, REQUIRED },
    { "seed_examples", YAML_SEQ, REQUIRED }, { 0 },
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
    { 0, 1, 1, SKILL_TOP, SKILL_ITEM },         { 0, 2, 5, SKILL_TOP, SKILL_ITEM },         { 0, 3, 5, SKILL_TOP, SKILL_ITEM },
    { 1, 1, 1, KNOWLEDGE_TOP, KNOWLEDGE_ITEM }, { 1, 2, 5, KNOWLEDGE_TOP, KNOWLEDGE_ITEM }, { 1, 3, 5, KNOWLEDGE_TOP_V3, KNOWLEDGE_ITEM_V3 },
};

struct check { struct findings *f; const struct schema *schema; };

static void report(struct findings *f, const struct yaml_node *at, int error, const char *where, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
static void report(struct findings *f, const struct yaml_node *at, int error, const char *where, const char *remedy, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (mem_grow((void **)&f->v, &f->cap, f->n + 1, sizeof *f->v)) return;
    f->v[f->n++] = (struct finding){ .line = at ? at->line : 1, .col = at ? at->col : 1, .error = error,
                                     .where = arena_strndup(&f->mem, where, strlen(where)),
                                     .text = arena_strndup(&f->mem, text, n > 0 ? strlen(text) : 0), .remedy = remedy };
    f->n_errors += error;
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

/* How the reference's validator shows a value that has a wrong type. */
static void show(const struct yaml_node *n, char *out, size_t cap)
{
    switch (n->kind) {
    case YAML_NULL: snprintf(out, cap, "None"); break;
    case YAML_BOOL: snprintf(out, cap, "%s", n->text.n && strchr("yYtT", n->text.p[0]) ? "True" : (n->text.n > 1 && (n->text.p[1] | 0x20) == 'n') ? "True" : "False"); break;
    case YAML_SEQ: snprintf(out, cap, "[...]"); break;
    case YAML_MAP: snprintf(out, cap, "{...}"); break;
    case YAML_STR: snprintf(out, cap, "'%.*s'", (int)(n->text.n < 80 ? n->text.n : 80), n->text.p); break;
    default: snprintf(out, cap, "%.*s", (int)(n->text.n < 80 ? n->text.n : 80), n->text.p); break;
    }
}

static const char *remedy_for(const struct yaml_node *n)
{
    switch (n->kind) {
    case YAML_BOOL: return "YAML reads a bare yes/no/on/off as true or false: put the text in quotes";
    case YAML_INT: case YAML_FLOAT: case YAML_TIMESTAMP: return "put the number or date in quotes, or write a sentence";
    case YAML_NULL: return "write a text after the colon";
    default: return "see docs/FORMATS.md for the form of a qna.yaml";
    }
}

/* A value against its rule; where is its dotted path. */
static void check_value(struct findings *f, const struct yaml_node *v, const struct key_rule *k, const char *where)
{
    char value[128];
    if (v->kind != k->kind) {
        show(v, value, sizeof value);
        report(f, v, 1, where, remedy_for(v), "%s is not of type '%s'", value, python_type(k->kind));
    } else if (k->kind == YAML_STR && !(k->need & MAY_BE_EMPTY) && !v->text.n) {
        report(f, v, 1, where, "write a text, or remove the key if it may be left out", "'' should be non-empty");
    }
}

static void check_map(struct findings *f, const struct yaml_node *m, const struct key_rule *rules, const char *where, int open)
{
    char path[256];
    for (const struct key_rule *k = rules; k->name; k++) {
        const struct yaml_node *v = yaml_get(m, k->name);
        snprintf(path, sizeof path, "%s%s%s", where, sv_ends(sv_of(where), ".") ? "" : ".", k->name);
        if (v) check_value(f, v, k, path);
        else if (k->need & REQUIRED) report(f, m, 1, where, "add the key", "'%s' is a required property", k->name);
    }
    for (int i = 0; i < m->n && !open; i++) {
        const char *names[16];
        int n = 0, known = 0;
        char key[80];
        snprintf(key, sizeof key, "%.*s", (int)(m->key[i]->text.n < 79 ? m->key[i]->text.n : 79), m->key[i]->text.p);
        for (const struct key_rule *k = rules; k->name && n < 16; k++) names[n++] = k->name, known |= !strcmp(k->name, key);
        if (known) continue;
        const int near = nearest_name(key, names, n);
        char remedy[128];
        snprintf(remedy, sizeof remedy, near >= 0 ? "did you mean '%s'?" : "remove the key", near >= 0 ? names[near] : "");
        report(f, m->key[i], 1, where, arena_strndup(&f->mem, remedy, strlen(remedy)), "Unevaluated properties are not allowed ('%s' was unexpected)", key);
    }
}

static int nodes_equal(const struct yaml_node *a, const struct yaml_node *b)
{
    if (a->kind != b->kind || a->n != b->n || !sv_eq(a->text, b->text)) return 0;
    for (int i = 0; i < a->n; i++) {
        if (!nodes_equal(a->item[i], b->item[i])) return 0;
        if (a->kind == YAML_MAP && !nodes_equal(a->key[i], b->key[i])) return 0;
    }
    return 1;
}

static void check_list(struct findings *f, const struct yaml_node *list, int min, int unique, const char *where)
{
    if (list->n < min) report(f, list, 1, where, "add more examples: variety in wording is what makes facts stick", "Value must have at least %d items", min);
    for (int i = 0; unique && i < list->n; i++)
        for (int j = 0; j < i; j++)
            if (nodes_equal(list->item[i], list->item[j])) {
                report(f, list->item[i], 1, where, "remove or change the repeated one", "[...] has non-unique elements");
                return;
            }
}

static void check_tree(struct findings *f, const struct yaml_node *root, const struct schema *s)
{
    static const struct key_rule PATTERN = { "pattern", YAML_STR, REQUIRED };
    static const struct key_rule QA[] = { { "question", YAML_STR, REQUIRED }, { "answer", YAML_STR, REQUIRED }, { 0 } };
    char where[96];
    check_map(f, root, s->top, ".", 0);
    const struct yaml_node *seeds = yaml_get(root, "seed_examples"), *doc = yaml_get(root, "document");
    if (seeds && seeds->kind == YAML_SEQ) {
        check_list(f, seeds, s->min_seeds, s->version > 1, ".seed_examples");
        for (int i = 0; i < seeds->n; i++) {
            snprintf(where, sizeof where, ".seed_examples[%d]", i);
            const struct yaml_node *it = seeds->item[i];
            if (it->kind != YAML_MAP) {
                report(f, it, 1, where, "an example has the keys question and answer", "%s is not of type 'object'", yaml_kind_name(it->kind));
                continue;
            }
            check_map(f, it, s->item, where, 0);
            const struct yaml_node *qa = yaml_get(it, "questions_and_answers");
            if (s->item != KNOWLEDGE_ITEM_V3 || !qa || qa->kind != YAML_SEQ) continue;
            check_list(f, qa, 3, 1, where);
            for (int k = 0; k < qa->n; k++) {
                snprintf(where, sizeof where, ".seed_examples[%d].questions_and_answers[%d]", i, k);
                if (qa->item[k]->kind == YAML_MAP) check_map(f, qa->item[k], QA, where, 1);
                else report(f, qa->item[k], 1, where, "question and answer", "%s is not of type 'object'", yaml_kind_name(qa->item[k]->kind));
            }
        }
    }
    if (s->knowledge && doc && doc->kind == YAML_MAP) {
        check_map(f, doc, DOCUMENT, ".document", 0);
        const struct yaml_node *p = yaml_get(doc, "patterns");
        if (p && p->kind == YAML_SEQ) {
            check_list(f, p, 1, 1, ".document.patterns");
            for (int i = 0; i < p->n; i++) check_value(f, p->item[i], &PATTERN, ".document.patterns");
        }
    }
}

/* The lint rules that catch what people really write; each finding is an error, as in the reference. */
static void lint(struct findings *f, struct sv text)
{
    struct sv rest = text, line;
    int no = 0, blank = 0;
    while (sv_split(&rest, '\n', &line)) {
        struct yaml_node at = { .line = ++no, .col = 1 };
        if (no == 1 && line.n && line.p[line.n - 1] == '\r') {
            report(f, &at, 1, ".", "save the file with Unix line ends", "wrong new line character: expected \\n (new-lines)");
            return;
        }
        blank = line.n ? 0 : blank + 1;
        if (blank == MAX_BLANK_LINES + 1) report(f, &at, 1, ".", "remove blank lines", "too many blank lines (%d > %d) (empty-lines)", blank, (int)MAX_BLANK_LINES);
        if (no == 1 && blank) report(f, &at, 1, ".", "start the file with its first key", "too many blank lines (1 > 0) (empty-lines)");
        if (line.n && strchr(" \t\r", line.p[line.n - 1])) {
            size_t n = line.n;
            while (n && strchr(" \t\r", line.p[n - 1])) n--;
            at.col = (int)n + 1;
            report(f, &at, 1, ".", "remove the white space at the end of the line", "trailing spaces (trailing-spaces)");
        }
        size_t width = 0;
        for (size_t i = 0; i < line.n; i++) width += ((unsigned char)line.p[i] & 0xC0) != 0x80;
        const struct sv bare = sv_trim(line);
        if (width > QNA_MAX_LINE && memchr(bare.p, ' ', bare.n)) {
            at.col = QNA_MAX_LINE + 1;
            report(f, &at, 1, ".", "break the line: a block scalar (key: | or key: >) may have many", "line too long (%zu > %d characters) (line-length)", width, (int)QNA_MAX_LINE);
        }
    }
    struct yaml_node end = { .line = no, .col = (int)line.n + 1 };
    if (text.n && text.p[text.n - 1] != '\n')
        report(f, &end, 1, ".", "end the last line with a newline", "no new line character at the end of file (new-line-at-end-of-file)");
    else if (text.n > 1 && text.p[text.n - 2] == '\n')
        report(f, &end, 1, ".", "remove the blank line at the end of the file", "too many blank lines (%d > 0) (empty-lines)", blank ? blank : 1);
}

static const char *keep(struct leaf *l, const struct yaml_node *n)
{
    return n && n->kind == YAML_STR ? arena_strndup(&l->mem, n->text.p, n->text.n) : NULL;
}

/* Path of a leaf's folder below the taxonomy, with "->" between the parts. */
static char *leaf_path(const char *file, const char *taxonomy)
{
    struct sv p = sv_of(file), part;
    const size_t n = strlen(taxonomy);
    if (n < p.n && !strncmp(file, taxonomy, n)) p = (struct sv){ p.p + n, p.n - n };
    struct sb b;
    sb_init(&b, 1 << 16);
    for (const char *slash = memchr(p.p, '/', p.n) ? strrchr(p.p, '/') : p.p; p.n && p.p < slash;) {
        struct sv rest = { p.p, (size_t)(slash - p.p) };
        while (sv_split(&rest, '/', &part)) {
            if (!part.n || sv_eq_c(part, ".")) continue;
            if (b.n) sb_addc(&b, "->");
            sb_add(&b, part);
        }
        break;
    }
    return sb_take(&b, NULL);
}

static void add_seed(struct leaf *l, const struct yaml_node *q, const struct yaml_node *a, const struct yaml_node *context)
{
    l->seed[l->n_seed++] = (struct seed){ .question = keep(l, q), .answer = keep(l, a), .context = keep(l, context), .line = q ? q->line : 0 };
}

static int build(struct leaf *l, const struct yaml_node *root, ilab_err *e)
{
    const struct yaml_node *seeds = yaml_get(root, "seed_examples"), *doc = yaml_get(root, "document");
    int n = 0;
    for (int i = 0; i < seeds->n; i++) {
        const struct yaml_node *qa = yaml_get(seeds->item[i], "questions_and_answers");
        n += qa ? qa->n : 1;
    }
    if (n > QNA_MAX_SEEDS) return err_set(e, ILAB_E_LIMIT, "%s: more than %d seed examples", l->file, (int)QNA_MAX_SEEDS);
    l->created_by = keep(l, yaml_get(root, "created_by"));
    l->domain = keep(l, yaml_get(root, "domain"));
    l->task_description = keep(l, yaml_get(root, "task_description"));
    if (!l->task_description) l->task_description = keep(l, yaml_get(root, "document_outline"));
    l->seed = arena_alloc(&l->mem, (size_t)n * sizeof *l->seed, sizeof(void *));
    if (!l->seed) return err_set(e, ILAB_E_NOMEM, "no memory for the seed examples");
    for (int i = 0; i < seeds->n; i++) {
        const struct yaml_node *it = seeds->item[i], *qa = yaml_get(it, "questions_and_answers"), *context = yaml_get(it, "context");
        for (int k = 0; qa && k < qa->n; k++) add_seed(l, yaml_get(qa->item[k], "question"), yaml_get(qa->item[k], "answer"), context);
        if (!qa) add_seed(l, yaml_get(it, "question"), yaml_get(it, "answer"), context);
    }
    if (!doc) return 0;
    const struct yaml_node *p = yaml_get(doc, "patterns");
    l->repo = keep(l, yaml_get(doc, "repo"));
    l->commit = keep(l, yaml_get(doc, "commit"));
    l->pattern = arena_alloc(&l->mem, (size_t)p->n * sizeof *l->pattern, sizeof(void *));
    if (!l->pattern) return err_set(e, ILAB_E_NOMEM, "no memory for the document patterns");
    for (int i = 0; i < p->n; i++) l->pattern[l->n_pattern++] = keep(l, p->item[i]);
    return 0;
}

static const struct schema *schema_of(const char *file, const struct yaml_node *root, int version)
{
    const char *k = strstr(file, "knowledge/"), *s = strstr(file, "compositional_skills/");
    const int knowledge = k && (!s || k > s) ? 1 : s ? 0 : yaml_get(root, "document") != NULL;
    for (size_t i = 0; i < ARRAY_LEN(SCHEMAS); i++)
        if (SCHEMAS[i].knowledge == knowledge && SCHEMAS[i].version == version) return &SCHEMAS[i];
    return NULL;
}

int leaf_read(const char *file, const char *taxonomy, struct leaf **out, struct findings *f, ilab_err *e)
{
    *out = NULL;
    *f = (struct findings){ 0 };
    arena_init(&f->mem, (size_t)16 << 20);
    char *text = NULL;
    size_t n = 0, bad = 0;
    int rc = file_read(file, QNA_MAX_FILE, &text, &n, e);
    if (rc) return rc;
    struct leaf *l = xcalloc(1, sizeof *l);
    struct yaml_node *root = NULL;
    ilab_err problem = { 0 };
    arena_init(&l->mem, (size_t)256 << 20);
    l->file = arena_strndup(&l->mem, file, strlen(file));
    if (!utf8_valid((struct sv){ text, n }, &bad)) {
        struct yaml_node at = { .line = 1, .col = 1 };
        for (size_t i = 0; i < bad; i++) at.col = text[i] == '\n' ? (at.line++, 1) : at.col + 1;
        report(f, &at, 1, ".", "save the file as UTF-8", "'utf-8' codec can't decode byte 0x%02x", (unsigned char)text[bad]);
    } else if (yaml_parse((struct sv){ text, n }, file, &l->mem, &root, &problem)) {
        struct yaml_node at = { .line = 1, .col = 1 };
        const char *m = problem.msg;
        const size_t skip = strlen(file);
        if (!strncmp(m, file, skip) && sscanf(m + skip, ":%d:%d:", &at.line, &at.col) == 2) {
            m = strstr(m + skip, ": ");
            m = m ? m + 2 : problem.msg;
        }
        report(f, &at, 1, ".", "check quotes, colons and indentation around this line", "syntax error: %s", m);
    } else if (root->kind == YAML_NULL) {
        report(f, root, 0, ".", "write the keys of docs/FORMATS.md, or remove the file", "Skipping %s because it is empty!", file);
    } else if (root->kind != YAML_MAP) {
        report(f, root, 1, ".", "the file must begin with keys such as `version: 2`", "The file is not valid. The top-level element is not an object with key-value pairs.");
    } else {
        const struct yaml_node *v = yaml_get(root, "version");
        int64_t version = 1;
        char number[32];
        if (v && v->kind == YAML_INT) {
            snprintf(number, sizeof number, "%.*s", (int)(v->text.n < 31 ? v->text.n : 31), v->text.p);
            if (parse_i64(number, -1000000, 1000000, &version)) version = 1;
        }
        const struct schema *s = schema_of(file, root, (int)version);
        if (!s) {
            report(f, v, 1, ".version", "use 2 (flat questions and answers) or 3 (contexts)", "version %d of the schema is not known", (int)version);
        } else {
            if (version > 1) lint(f, (struct sv){ text, n });
            check_tree(f, root, s);
            l->is_knowledge = s->knowledge;
            l->version = s->version;
        }
        char *path = leaf_path(file, taxonomy);
        l->path = arena_strndup(&l->mem, path ? path : "", path ? strlen(path) : 0);
        mem_free(path);
        if (!f->n_errors) rc = build(l, root, e);
        if (!f->n_errors && !rc) *out = l;
    }
    if (!*out) leaf_free(l);
    mem_free(text);
    return rc;
}

void leaf_free(struct leaf *l)
{
    if (!l) return;
    arena_release(&l->mem);
    mem_free(l);
}

void findings_release(struct findings *f)
{
    mem_free(f->v);
    arena_release(&f->mem);
    *f = (struct findings){ 0 };
}
