/* qna.c — reads and checks one qna.yaml: bytes, syntax, style, schema, folder; builds the leaf.
 *
 * Everything that is wrong is found in one pass. A file is turned into a leaf only when it has no error.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/internal.h"
#include "taxonomy/lint.h"

#include <stdlib.h>
#include <string.h>

static const char *keep(struct leaf *l, const struct yaml_node *n)
{
    return n && n->kind == YAML_STR ? arena_strndup(&l->mem, n->text.p, n->text.n) : NULL;
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

/* The version whose schema is to be used: 1 where there is none that can be read (the schema then complains about its type). */
static int64_t version_of(const struct yaml_node *v)
{
    int64_t n = 1;
    char text[32];
    double real;
    if (!v || (v->kind == YAML_INT && !yaml_int(v, &n))) return n;
    if (v->kind == YAML_FLOAT && !yaml_float(v, &real) && real > -1000 && real < 1000) return (int64_t)real; /* as Python's int() */
    text_printable(v->text, text, sizeof text);
    return v->kind == YAML_STR && !parse_i64(text, 1, 1000, &n) ? n : 1;
}

/* The style rules that nobody named; the reference's releases bring their own. */
static const struct lint_config *lint_of(const struct check_opts *o, struct lint_config **own)
{
    *own = NULL;
    if (o->no_style) return NULL;
    return o->lint ? o->lint : (*own = lint_config_relaxed(o->compat == COMPAT_0_26 ? 0 : LINT_MAX_LINE));
}

/* Style findings count as the judge says: errors under the reference, else warnings (be_strict comes last); a repeated key loses data. */
static void weigh_style(struct findings *f, size_t from, const struct check_opts *o)
{
    for (size_t i = from; i < f->n; i++) {
        const int error = o->compat || !strcmp(f->v[i].rule, "key-duplicates");
        f->n_errors += error - f->v[i].error;
        f->n_warnings -= error - f->v[i].error;
        f->v[i].error = error;
    }
}

static int run_lint(const struct yaml_doc *d, const struct leaf *l, const char *taxonomy, int64_t version, const struct check_opts *o, struct findings *f, ilab_err *e)
{
    struct lint_config *own = NULL;
    const struct lint_config *c = version > 1 ? lint_of(o, &own) : NULL;
    const size_t from = f->n, n = strlen(taxonomy);
    const char *rel = n && !strncmp(l->file, taxonomy, n) && l->file[n] == '/' ? l->file + n + 1 : l->file;
    if (!c && o->compat) return 0;
    if (!c && lint_config_read_text(SV("rules: {key-duplicates: enable}"), "rules", &own, e)) return ILAB_E_NOMEM;
    const int rc = lint_run(d, c ? c : own, rel, f);
    weigh_style(f, from, o);
    lint_config_free(own);
    return rc ? err_set(e, rc, "no memory to check '%s'", l->file) : 0;
}

static void finding_at(struct findings *f, int line, int col, int error, const char *rule, const char *remedy, const char *fmt, ...) __attribute__((format(printf, 7, 8)));
static void finding_at(struct findings *f, int line, int col, int error, const char *rule, const char *remedy, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t bad;
    if (!utf8_valid(sv_of(text), &bad)) text[bad] = 0;
    findings_add(f, (struct finding){ .line = line, .col = col, .error = error, .rule = rule, .text = text, .remedy = remedy });
}

/* The version in a text that does not parse: that of the first line `version: N`. */
static int64_t version_in(struct sv text)
{
    struct sv line;
    while (sv_split(&text, '\n', &line)) {
        char number[24];
        int64_t n;
        if (!sv_starts(line, "version:")) continue;
        const struct sv v = sv_trim((struct sv){ line.p + 8, line.n - 8 });
        snprintf(number, sizeof number, "%.*s", v.n < 20 ? (int)v.n : 20, v.p);
        return parse_i64(number, 1, 1000, &n) ? 1 : n;
    }
    return 1;
}

/* Bytes that are no UTF-8 text. */
static int check_encoding(struct sv text, struct findings *f)
{
    static const struct { const char *bom; size_t n; const char *name; } WIDE[] = { { "\xFF\xFE\0\0", 4, "UTF-32LE" }, { "\0\0\xFE\xFF", 4, "UTF-32BE" }, { "\xFF\xFE", 2, "UTF-16LE" }, { "\xFE\xFF", 2, "UTF-16BE" } };
    size_t bad = 0;
    int line = 1, col = 1;
    char remedy[160];
    for (size_t i = 0; i < ARRAY_LEN(WIDE); i++) {
        if (text.n < WIDE[i].n || memcmp(text.p, WIDE[i].bom, WIDE[i].n)) continue;
        snprintf(remedy, sizeof remedy, "save the file as UTF-8, in the editor or with `iconv -f %s -t utf-8 OLD > NEW`", WIDE[i].name);
        finding_at(f, 1, 1, 1, "encoding", remedy, "the file is %s, not UTF-8", WIDE[i].name);
        return 0;
    }
    const char *nul = text.n ? memchr(text.p, 0, text.n) : NULL;
    const int valid = utf8_valid(text, &bad);
    if (valid && !nul) return 1;
    if (nul && (valid || (size_t)(nul - text.p) < bad)) bad = (size_t)(nul - text.p);
    for (size_t i = 0; i < bad; i++) {
        if (text.p[i] == '\n') line++, col = 1;
        else col += ((unsigned char)text.p[i] & 0xC0) != 0x80;
    }
    if (text.p[bad]) finding_at(f, line, col, 1, "encoding", "save the file as UTF-8, in the editor or with `iconv -f latin1 -t utf-8 OLD > NEW`", "'utf-8' codec can't decode byte 0x%02x", (unsigned char)text.p[bad]);
    else finding_at(f, line, col, 1, "encoding", "remove it; a file with such bytes is damaged, or it is no text file", "the file holds a NUL byte (a character with the number 0)");
    return 0;
}

static void report_syntax(const struct yaml_doc *d, const struct check_opts *o, struct leaf *l, struct findings *f)
{
    const struct yaml_problem *p = &d->problem;
    const char *remedy = syntax_remedy(&l->mem, d->text, p);
    char whole[700];
    if (o->compat) { /* as PyYAML prints its exception */
        size_t n = 0;
        if (p->context) n += (size_t)snprintf(whole, sizeof whole, "%s\n", p->context);
        if (p->has_from) n += (size_t)snprintf(whole + n, sizeof whole - n, "  in \"%.200s\", line %d, column %d\n", l->file, p->from.line + 1, p->from.col + 1);
        snprintf(whole + n, sizeof whole - n, "%s\n  in \"%.200s\", line %d, column %d", p->text, l->file, p->at.line + 1, p->at.col + 1);
        finding_at(f, p->at.line + 1, p->at.col + 1, 1, "syntax", remedy, "%s", whole);
        return;
    }
    if (!p->has_from) finding_at(f, p->at.line + 1, p->at.col + 1, 1, "syntax", remedy, "syntax error: %s", p->text);
    else finding_at(f, p->at.line + 1, p->at.col + 1, 1, "syntax", remedy, "syntax error: %s (%s that starts at %d:%d)", p->text, p->context, p->from.line + 1, p->from.col + 1);
}

/* The first style finding at or behind a syntax error often is the same mistake: it is left out, as yamllint does. */
static void drop_beside_syntax(struct findings *f, size_t from)
{
    const struct finding syntax = f->v[from - 1];
    size_t i = from;
    while (i < f->n && (f->v[i].line < syntax.line || f->v[i].col < syntax.col)) i++;
    if (i >= f->n) return;
    f->n_errors -= f->v[i].error;
    f->n_warnings -= !f->v[i].error;
    memmove(f->v + i, f->v + i + 1, (--f->n - i) * sizeof *f->v);
}

static int known_to(const struct check_opts *o, int knowledge, int64_t version, const struct yaml_node *at, struct findings *f)
{
    const int line = at ? at->line : 1, col = at ? at->col : 1;
    if (o->compat == COMPAT_0_26 && knowledge && version < 3) {
        finding_at(f, line, col, 1, "version", "use version 3: contexts with questions and answers below each", "Version %lld is not supported for knowledge. Minimum supported version is 3.", (long long)version);
        return 0;
    }
    if (o->compat == COMPAT_0_14 && version > 2) {
        finding_at(f, line, col, 1, "version", "use version 2", "Cannot load schema file v%lld/%s.json. No such file", (long long)version, knowledge ? "knowledge" : "compositional_skills");
        return 0;
    }
    return 1;
}

static int check_root(struct leaf *l, const struct yaml_doc *d, const char *taxonomy, const struct check_opts *o, struct findings *f, ilab_err *e)
{
    const struct yaml_node *v = yaml_get(d->root, "version");
    const int64_t version = version_of(v);
    const size_t n_before = f->n;
    const int knowledge = is_knowledge(l->file, d->root);
    const int rc = run_lint(d, l, taxonomy, version, o, f, e);
    if (rc || (o->compat == COMPAT_0_14 && f->n > n_before) || !known_to(o, knowledge, version, v, f)) return rc; /* 0.14 stops at style */
    struct schema_check c = { f, o->compat };
    if (version > 1000 || !schema_check(&c, d->root, knowledge, (int)version)) {
        char known[160];
        snprintf(known, sizeof known, "use 2 (flat questions and answers) or 3 (contexts)");
        if (o->compat) finding_at(f, v ? v->line : 1, v ? v->col : 1, 1, "version", known, "Cannot load schema file v%lld/%s.json. No such file", (long long)version, knowledge ? "knowledge" : "compositional_skills");
        else schema_report(&c, v, "version", ".version", known, "version %lld of the schema is not known", (long long)version);
        return 0;
    }
    l->is_knowledge = knowledge;
    l->version = (int)version;
    return 0;
}

static int check_doc(struct leaf *l, struct yaml_doc *d, const char *taxonomy, const struct check_opts *o, struct findings *f, ilab_err *e)
{
    if (d->problem.code) {
        report_syntax(d, o, l, f);
        if (o->compat || d->problem.by == YAML_BY_READER) return 0;
        const size_t from = f->n;
        const int rc = run_lint(d, l, taxonomy, version_in(d->text), o, f, e);
        if (!rc && d->problem.by <= YAML_BY_PARSER) drop_beside_syntax(f, from);
        return rc;
    }
    const struct yaml_node *root = d->root;
    if (root->kind == YAML_NULL) {
        if (o->compat == COMPAT_0_26) finding_at(f, 1, 1, 0, "empty-file", "write the keys of a qna.yaml, or remove the file", "The file is empty");
        else finding_at(f, 1, 1, 0, "empty-file", "write the keys of docs/FORMATS.md, or remove the file", "Skipping %s because it is empty!", l->file);
        return 0;
    }
    if (root->kind != YAML_MAP) {
        finding_at(f, root->line, root->col, 1, "no-keys", root->kind == YAML_SEQ ? "the file is a list: it must begin with keys such as `version: 2`, and the list belongs below `seed_examples:`" : "the file must begin with keys such as `version: 2`",
                   "The file is not valid. The top-level element is not an object with key-value pairs.");
        return 0;
    }
    char *path = leaf_path(l->file, taxonomy);
    l->path = arena_strndup(&l->mem, path ? path : "", path ? strlen(path) : 0);
    mem_free(path);
    return check_root(l, d, taxonomy, o, f, e);
}

static void be_strict(struct findings *f)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->v[i].error || !strcmp(f->v[i].rule, "empty-file")) continue; /* it is left out, and does no harm */
        f->v[i].error = 1;
        f->n_errors++;
        f->n_warnings--;
    }
}

int leaf_check_text(struct sv text, const char *file, const char *taxonomy, const struct check_opts *o, struct leaf **out, struct findings *f, ilab_err *e)
{
    struct yaml_doc d = { 0 };
    int rc = 0;
    if (out) *out = NULL;
    *f = (struct findings){ 0 };
    arena_init(&f->mem, (size_t)16 << 20);
    struct leaf *l = xcalloc(1, sizeof *l);
    arena_init(&l->mem, (size_t)256 << 20);
    l->file = arena_strndup(&l->mem, file, strlen(file));
    if (!l->file) {
        rc = err_set(e, ILAB_E_NOMEM, "no memory to read '%s'", file);
    } else if (check_encoding(text, f)) {
        rc = yaml_doc_open(&d, text, &l->mem, YAML_TOKENS) ? err_set(e, ILAB_E_NOMEM, "no memory to read '%s'", file) : check_doc(l, &d, taxonomy, o, f, e);
        const int whole = !rc && l->version && !f->n_errors;
        if (whole) rc = l->path ? build(l, d.root, e) : err_set(e, ILAB_E_NOMEM, "no memory to read '%s'", file);
        if (!rc && whole && !o->compat) marks_check(d.root, f);
        const int n_marks = f->n_errors;
        if (!rc && o->folder) folder_check(f, file, taxonomy, l->version, o->folder);
        if (!rc && o->folder & FOLDER_FILES) marks_check_attribution(file, f);
        if (!rc && o->strict) be_strict(f); /* last, or it would keep marks from being looked for */
        if (!rc && whole && out && f->n_errors == n_marks) *out = l;
    }
    findings_finish(f, text);
    yaml_doc_close(&d);
    if (!out || !*out) leaf_free(l);
    return rc;
}

int leaf_check(const char *file, const char *taxonomy, const struct check_opts *o, struct leaf **out, struct findings *f, ilab_err *e)
{
    char *text = NULL;
    size_t n = 0;
    if (out) *out = NULL;
    *f = (struct findings){ 0 };
    int rc = leaf_file_check(file, e);
    if (!rc) rc = file_read(file, QNA_MAX_FILE, &text, &n, e);
    if (!rc) rc = leaf_check_text((struct sv){ text, n }, file, taxonomy, o, out, f, e);
    mem_free(text);
    return rc;
}

void leaf_free(struct leaf *l)
{
    if (!l) return;
    arena_release(&l->mem);
    mem_free(l);
}
