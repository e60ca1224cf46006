/* qna.c — reads and checks one qna.yaml: parse, lint, schema.
 *
 * The rules of each schema version are rows (instructlab-reference §2.2). A finding has the reference's wording, and a remedy
 * of ours. A file is turned into a leaf only when it has no error.  SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/taxonomy.h"

#include <stdlib.h>
#include <string.h>

enum { QNA_MAX_FILE = 8 << 20, QNA_MAX_LINE = 120, QNA_MAX_SEEDS = 10000, QNA_MAX_FINDINGS = 200, MAX_BLANK_LINES = 2 };

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

static void report(struct findings *f, const struct yaml_node *at, int error, const char *where, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* Beyond QNA_MAX_FINDINGS errors are only counted. `remedy` must outlive f. */
static void report(struct findings *f, const struct yaml_node *at, int error, const char *where, const char *remedy, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    f->n_errors += error;
    if (f->n >= QNA_MAX_FINDINGS) return;
    va_start(ap, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (mem_grow((void **)&f->v, &f->cap, f->n + 1, sizeof *f->v)) return;
    f->v[f->n++] = (struct finding){ .line = at ? at->line : 1, .col = at ? at->col : 1, .error = error,
                                     .where = arena_strndup(&f->mem, where, strlen(where)),
                                     .text = arena_strndup(&f->mem, text, n > 0 ? strlen(text) : 0), .remedy = remedy };
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
static void printable(struct sv s, char *out, size_t cap)
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

/* How the reference's validator shows a value that has a wrong type. */
static void show(const struct yaml_node *n, char *out, size_t cap)
{
    char text[81];
    int truth = 0;
    printable(n->text, text, sizeof text);
    switch (n->kind) {
    case YAML_NULL: snprintf(out, cap, "None"); break;
    case YAML_BOOL: snprintf(out, cap, "%s", !yaml_bool(n, &truth) && truth ? "True" : "False"); break;
    case YAML_SEQ: snprintf(out, cap, "%s", n->n ? "[...]" : "[]"); break;
    case YAML_MAP: snprintf(out, cap, "%s", n->n ? "{...}" : "{}"); break;
    case YAML_STR: snprintf(out, cap, "'%s'", text); break;
    default: snprintf(out, cap, "%s", text); break;
    }
}

static const char *remedy_for(const struct yaml_node *n)
{
    switch (n->kind) {
    case YAML_BOOL: return "YAML reads a bare yes/no/on/off as true or false: put the text in quotes";
    case YAML_INT: case YAML_FLOAT: case YAML_TIMESTAMP: return "put the number or date in quotes, or write a sentence";
    case YAML_NULL: return "write a text after the colon";
    case YAML_SEQ: case YAML_MAP: return "write one text here, not a list or further keys";
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
    } else if (k->kind == YAML_STR && memchr(v->text.p, 0, v->text.n)) {
        report(f, v, 1, where, "remove the \\0", "the text holds a NUL character");
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
        for (const struct key_rule *k = rules; k->name && n < 16; k++) names[n++] = k->name, known |= sv_eq_c(m->key[i]->text, k->name);
        if (known) continue;
        char key[81], remedy[128];
        printable(m->key[i]->text, key, sizeof key);
        const int near = f->n < QNA_MAX_FINDINGS ? nearest_name(key, names, n) : -1;
        snprintf(remedy, sizeof remedy, near >= 0 ? "did you mean '%s'?" : "remove the key", near >= 0 ? names[near] : "");
        report(f, m->key[i], 1, where, arena_strndup(&f->mem, remedy, strlen(remedy)), "Unevaluated properties are not allowed ('%s' was unexpected)", key);
    }
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

static void check_list(struct findings *f, const struct yaml_node *list, int min, int unique, const char *where)
{
    if (list->n < min) {
        report(f, list, 1, where, min > 1 ? "add more examples: variety in wording is what makes facts stick" : "add one",
               "Value must have at least %d items", min);
        return;
    }
    if (list->n > QNA_MAX_SEEDS) {
        report(f, list, 1, where, "split the file", "more than %d items", (int)QNA_MAX_SEEDS);
        return;
    }
    uint64_t *hash = unique ? mem_calloc((size_t)list->n + 1, sizeof *hash) : NULL;
    int repeated = -1;
    for (int i = 0; hash && i < list->n && repeated < 0; i++) {
        hash[i] = node_hash(list->item[i]);
        for (int j = 0; j < i && repeated < 0; j++)
            if (hash[j] == hash[i] && nodes_equal(list->item[i], list->item[j])) repeated = i;
    }
    if (repeated >= 0) report(f, list->item[repeated], 1, where, "remove or change the repeated one", "[...] has non-unique elements");
    mem_free(hash);
}

static void check_tree(struct findings *f, const struct yaml_node *root, const struct schema *s)
{
    static const struct key_rule PATTERN = { "pattern", YAML_STR, REQUIRED };
    static const struct key_rule QA[] = { { "question", YAML_STR, REQUIRED }, { "answer", YAML_STR, REQUIRED }, { 0 } };
    char where[96], value[128];
    check_map(f, root, s->top, ".", 0);
    const struct yaml_node *seeds = yaml_get(root, "seed_examples"), *doc = yaml_get(root, "document");
    if (seeds && seeds->kind == YAML_SEQ) {
        check_list(f, seeds, s->min_seeds, s->version > 1, ".seed_examples");
        for (int i = 0; i < seeds->n; i++) {
            snprintf(where, sizeof where, ".seed_examples[%d]", i);
            const struct yaml_node *it = seeds->item[i];
            if (it->kind != YAML_MAP) {
                show(it, value, sizeof value);
                report(f, it, 1, where, "an example has the keys question and answer", "%s is not of type 'object'", value);
                continue;
            }
            check_map(f, it, s->item, where, 0);
            const struct yaml_node *qa = yaml_get(it, "questions_and_answers");
            if (s->item != KNOWLEDGE_ITEM_V3 || !qa || qa->kind != YAML_SEQ) continue;
            snprintf(where, sizeof where, ".seed_examples[%d].questions_and_answers", i);
            check_list(f, qa, 3, 1, where);
            for (int k = 0; k < qa->n; k++) {
                snprintf(where, sizeof where, ".seed_examples[%d].questions_and_answers[%d]", i, k);
                if (qa->item[k]->kind == YAML_MAP) check_map(f, qa->item[k], QA, where, 1);
                else {
                    show(qa->item[k], value, sizeof value);
                    report(f, qa->item[k], 1, where, "write the keys question and answer", "%s is not of type 'object'", value);
                }
            }
        }
    }
    if (s->knowledge && doc && doc->kind == YAML_MAP) {
        check_map(f, doc, DOCUMENT, ".document", 0);
        const struct yaml_node *p = yaml_get(doc, "patterns");
        if (p && p->kind == YAML_SEQ) {
            check_list(f, p, 1, 1, ".document.patterns");
            for (int i = 0; i < p->n; i++) {
                snprintf(where, sizeof where, ".document.patterns[%d]", i);
                check_value(f, p->item[i], &PATTERN, where);
            }
        }
    }
}

static int columns(struct sv s)
{
    int n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

/* Has a long line no place to break it? One word (after `#`, `- `), or `key: word`. */
static int cannot_break(struct sv line)
{
    size_t i = 0;
    while (i < line.n && line.p[i] == ' ') i++;
    if (i == line.n) return 0;
    if (line.p[i] == '#') {
        while (i < line.n && line.p[i] == '#') i++;
        i++;
    } else if (line.p[i] == '-') {
        i += 2;
    }
    if (i >= line.n || !memchr(line.p + i, ' ', line.n - i)) return 1;
    const ptrdiff_t colon = sv_find(line, SV(": "), i);
    if (colon < 0 || memchr(line.p + i, ' ', (size_t)colon - i)) return 0;
    struct sv value = { line.p + colon + 2, line.n - (size_t)colon - 2 };
    while (value.n && value.p[0] == ' ') value.p++, value.n--;
    return value.n && !memchr(value.p, ' ', value.n);
}

/* The lint rules that catch what people really write, as yamllint has them (trailing-spaces, line-length, empty-lines,
 * new-lines, new-line-at-end-of-file); each finding is an error, as in the reference. */
static void lint(struct findings *f, struct sv text)
{
    struct sv rest = text, line = { text.p, 0 };
    int blank = 0;
    struct yaml_node at = { 0 };
    while (sv_split(&rest, '\n', &line)) {
        const int ended = line.p + line.n < text.p + text.n;
        at.line++, at.col = 1;
        if (ended && line.n && line.p[line.n - 1] == '\r') {
            line.n--;
            at.col = columns(line) + 1;
            if (at.line == 1) report(f, &at, 1, ".", "save the file with Unix line ends", "wrong new line character: expected \\n (new-lines)");
        }
        at.col = 1;
        blank = line.n ? 0 : blank + 1;
        const int run_ends = blank && (!rest.n || !(rest.p[0] == '\n' || (rest.n > 1 && rest.p[0] == '\r' && rest.p[1] == '\n')));
        const int allowed = !rest.n || blank == at.line ? 0 : MAX_BLANK_LINES; /* none at the end, none at the start */
        if (run_ends && blank > allowed) report(f, &at, 1, ".", "remove blank lines", "too many blank lines (%d > %d) (empty-lines)", blank, allowed);
        size_t n = line.n;
        while (n && strchr(" \t\r\v\f", line.p[n - 1])) n--;
        if (n < line.n && strchr(" \t", line.p[n])) {
            at.col = columns((struct sv){ line.p, n }) + 1;
            report(f, &at, 1, ".", "remove the white space at the end of the line", "trailing spaces (trailing-spaces)");
        }
        const int width = columns(line);
        if (width > QNA_MAX_LINE && !cannot_break(line)) {
            at.col = QNA_MAX_LINE + 1;
            report(f, &at, 1, ".", "break the line: a block scalar (key: | or key: >) may have many", "line too long (%d > %d characters) (line-length)", width, (int)QNA_MAX_LINE);
        }
        if (!ended && line.n) {
            at.col = width + 1;
            report(f, &at, 1, ".", "end the last line with a newline", "no new line character at the end of file (new-line-at-end-of-file)");
        }
    }
}

static int by_place(const void *a, const void *b)
{
    const struct finding *x = a, *y = b;
    if (x->line != y->line) return x->line < y->line ? -1 : 1;
    if (x->col != y->col) return x->col < y->col ? -1 : 1;
    return strcmp(x->text ? x->text : "", y->text ? y->text : "");
}

static const char *keep(struct leaf *l, const struct yaml_node *n)
{
    return n && n->kind == YAML_STR ? arena_strndup(&l->mem, n->text.p, n->text.n) : NULL;
}

/* Where the part of a path begins that names its root folder ("knowledge", "compositional_skills"), the last one; NULL: none. */
static const char *root_of(const char *file, int *knowledge)
{
    struct sv rest = sv_of(file), part;
    const char *found = NULL;
    while (sv_split(&rest, '/', &part)) {
        if (!rest.n) break; /* the file's own name */
        const int k = sv_eq_c(part, "knowledge");
        if (!k && !sv_eq_c(part, "compositional_skills")) continue;
        found = part.p;
        *knowledge = k;
    }
    return found;
}

/* Path of a leaf's folder from its root folder on, else below the taxonomy, with "->" between the parts. */
static char *leaf_path(const char *file, const char *taxonomy)
{
    int knowledge;
    const char *from = root_of(file, &knowledge), *slash = strrchr(file, '/');
    const size_t n = strlen(taxonomy);
    if (!from) from = n < strlen(file) && !strncmp(file, taxonomy, n) ? file + n : file;
    struct sv rest = { from, slash && slash > from ? (size_t)(slash - from) : 0 }, part;
    struct sb b;
    sb_init(&b, 1 << 16);
    while (sv_split(&rest, '/', &part)) {
        if (!part.n || sv_eq_c(part, ".")) continue;
        if (b.n) sb_addc(&b, "->");
        sb_add(&b, part);
    }
    return sb_take(&b, NULL);
}

static int add_seed(struct leaf *l, const struct yaml_node *q, const struct yaml_node *a, const struct yaml_node *context)
{
    const struct seed s = { .question = keep(l, q), .answer = keep(l, a), .context = keep(l, context), .line = q ? q->line : 0 };
    l->seed[l->n_seed++] = s;
    return s.question && s.answer && (s.context || !context);
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
        int ok = 1;
        for (int k = 0; qa && k < qa->n; k++) ok &= add_seed(l, yaml_get(qa->item[k], "question"), yaml_get(qa->item[k], "answer"), context);
        if (!qa) ok &= add_seed(l, yaml_get(it, "question"), yaml_get(it, "answer"), context);
        if (!ok) return err_set(e, ILAB_E_NOMEM, "no memory for the seed examples");
    }
    if (!doc) return 0;
    const struct yaml_node *p = yaml_get(doc, "patterns");
    l->document_line = doc->line;
    l->repo = keep(l, yaml_get(doc, "repo"));
    l->commit = keep(l, yaml_get(doc, "commit"));
    l->pattern = arena_alloc(&l->mem, (size_t)p->n * sizeof *l->pattern, sizeof(void *));
    int ok = l->pattern && l->repo && l->commit;
    for (int i = 0; ok && i < p->n; i++) ok = (l->pattern[l->n_pattern++] = keep(l, p->item[i])) != NULL;
    return ok ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for the document patterns");
}

static const struct schema *schema_of(const char *file, const struct yaml_node *root, int64_t version)
{
    int knowledge = 0;
    if (!root_of(file, &knowledge)) knowledge = yaml_get(root, "document") != NULL;
    for (size_t i = 0; i < ARRAY_LEN(SCHEMAS); i++)
        if (SCHEMAS[i].knowledge == knowledge && SCHEMAS[i].version == version) return &SCHEMAS[i];
    return NULL;
}

/* What to do about a syntax error, by a part of its text; the first row that matches counts. */
static const struct { const char *part, *remedy; } SYNTAX[] = {
    { "tab character", "indent with spaces, not tabs" },
    { "duplication of key", "remove one of the two, or merge them" },
    { "alias", "a text that begins with * or & belongs in quotes" },
    { "anchor", "a text that begins with * or & belongs in quotes" },
    { "cannot start any token", "indent with spaces, not tabs; a text that begins with @, ` or % belongs in quotes" },
    { "mapping values are not allowed", "a text that holds ': ' belongs in quotes, or below `key: |`" },
    { "block end", "check that keys of one level are indented alike; a text that begins with a quote must end with it" },
    { "could not find expected ':'", "write a colon and a space after the key, or indent the text of a key deeper than the key" },
    { "quoted scalar", "close the quotes" },
    { "single document", "remove the second `---`: a file holds one document" },
    { "tag", "a text that begins with ! belongs in quotes" },
    { "more than", "split the file" },
};

static void report_syntax(struct findings *f, const char *msg)
{
    struct yaml_node at = { .line = 1, .col = 1 };
    const char *m = strstr(msg, ": "), *remedy = "check quotes, colons and indentation around this line";
    if (sscanf(msg, "yaml:%d:%d:", &at.line, &at.col) == 2 && m) msg = m + 2;
    for (size_t i = 0; i < ARRAY_LEN(SYNTAX); i++) {
        if (!strstr(msg, SYNTAX[i].part)) continue;
        remedy = SYNTAX[i].remedy;
        break;
    }
    report(f, &at, 1, ".", remedy, "syntax error: %s", msg);
}

/* The version whose schema is to be used: 1 where there is none that can be read (the schema then complains about its type). */
static int64_t version_of(const struct yaml_node *v)
{
    int64_t n = 1;
    char text[32];
    if (!v || (v->kind == YAML_INT && !yaml_int(v, &n))) return n;
    printable(v->text, text, sizeof text);
    return v->kind == YAML_STR && !parse_i64(text, 1, 1000, &n) ? n : 1;
}

static void check_root(struct leaf *l, const struct yaml_node *root, struct sv text, struct findings *f)
{
    const struct yaml_node *v = yaml_get(root, "version");
    const int64_t version = version_of(v);
    const struct schema *s = schema_of(l->file, root, version);
    if (!s) {
        report(f, v, 1, ".version", "use 2 (flat questions and answers) or 3 (contexts)", "version %lld of the schema is not known", (long long)version);
        return;
    }
    if (version > 1) lint(f, text);
    check_tree(f, root, s);
    l->is_knowledge = s->knowledge;
    l->version = s->version;
}

int leaf_read_text(struct sv text, const char *file, const char *taxonomy, struct leaf **out, struct findings *f, ilab_err *e)
{
    *out = NULL;
    *f = (struct findings){ 0 };
    arena_init(&f->mem, (size_t)16 << 20);
    struct leaf *l = xcalloc(1, sizeof *l);
    struct yaml_node *root = NULL;
    ilab_err problem = { 0 };
    size_t bad = 0;
    int rc = 0;
    arena_init(&l->mem, (size_t)256 << 20);
    l->file = arena_strndup(&l->mem, file, strlen(file));
    if (!l->file) {
        rc = err_set(e, ILAB_E_NOMEM, "no memory to read '%s'", file);
    } else if (!utf8_valid(text, &bad)) {
        struct yaml_node at = { .line = 1, .col = 1 };
        for (size_t i = 0; i < bad; i++) at.col = text.p[i] == '\n' ? (at.line++, 1) : at.col + (((unsigned char)text.p[i] & 0xC0) != 0x80);
        report(f, &at, 1, ".", "save the file as UTF-8, for example with iconv -f latin1 -t utf-8", "'utf-8' codec can't decode byte 0x%02x", (unsigned char)text.p[bad]);
    } else if ((rc = yaml_parse(text, "yaml", &l->mem, &root, &problem))) {
        if (rc == ILAB_E_NOMEM) err_set(e, rc, "no memory to read '%s'", file);
        else report_syntax(f, problem.msg), rc = 0;
    } else if (root->kind == YAML_NULL) {
        report(f, root, 0, ".", "write the keys of docs/FORMATS.md, or remove the file", "Skipping %s because it is empty!", file);
    } else if (root->kind != YAML_MAP) {
        report(f, root, 1, ".", "the file must begin with keys such as `version: 2`", "The file is not valid. The top-level element is not an object with key-value pairs.");
    } else {
        char *path = leaf_path(file, taxonomy);
        l->path = arena_strndup(&l->mem, path ? path : "", path ? strlen(path) : 0);
        mem_free(path);
        check_root(l, root, text, f);
        if (!f->n_errors) rc = l->path ? build(l, root, e) : err_set(e, ILAB_E_NOMEM, "no memory to read '%s'", file);
        if (!f->n_errors && !rc) *out = l;
    }
    if (f->n > 1) qsort(f->v, f->n, sizeof *f->v, by_place);
    if (!*out) leaf_free(l);
    return rc;
}

int leaf_read(const char *file, const char *taxonomy, struct leaf **out, struct findings *f, ilab_err *e)
{
    char *text = NULL;
    size_t n = 0;
    *out = NULL;
    *f = (struct findings){ 0 };
    int rc = leaf_file_check(file, e);
    if (!rc) rc = file_read(file, QNA_MAX_FILE, &text, &n, e);
    if (!rc) rc = leaf_read_text((struct sv){ text, n }, file, taxonomy, out, f, e);
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
