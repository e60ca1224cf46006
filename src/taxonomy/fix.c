/* fix.c — mends what can be mended mechanically in a qna.yaml, and proves that no value changed.
 *
 * Every change is an edit of some bytes. A set of edits is tried as a whole: when the tree of the text is the same before and
 * after, all stay; else the set is halved, and an edit that alone changes a value is given up. So a blank at the end of a line
 * goes where it means nothing, and stays inside of a `|` text.
 * What cannot be compared is not touched: a text that does not parse is left alone, but for tabs between tokens.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/internal.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_EDITS = 20000, MAX_TRIES = 4000, MAX_ROUNDS = 6, TREE_BYTES = 256 << 20 };

struct edit { size_t at, cut; const char *put; const char *rule; int off; };
struct fixing {
    struct sb text;              /* as it is now */
    struct arena mem;            /* texts of edits, the tree that must stay */
    const struct yaml_node *tree;
    struct edit *edit; size_t n, cap;
    struct fix_report *r;
    const struct check_opts *o;
    int tries;
};

/* ---- trees ---- */

/* The same kinds, texts and keys in the same order. Depth is capped by the parser. */
static int same_tree(const struct yaml_node *a, const struct yaml_node *b)
{
    if (a->kind != b->kind || a->n != b->n || !sv_eq(a->text, b->text)) return 0;
    for (int i = 0; i < a->n; i++)
        if ((a->kind == YAML_MAP && !same_tree(a->key[i], b->key[i])) || !same_tree(a->item[i], b->item[i])) return 0;
    return 1;
}

/* Parses; *d must be closed. 1: it is YAML. */
static int parses(struct yaml_doc *d, struct sv text, struct arena *a, unsigned flags) { return utf8_valid(text, NULL) && !yaml_doc_open(d, text, a, flags) && d->root; }

static int keeps_values(const struct fixing *f, struct sv text)
{
    struct arena a;
    struct yaml_doc d = { 0 };
    arena_init(&a, TREE_BYTES);
    const int same = parses(&d, text, &a, 0) && same_tree(f->tree, d.root);
    yaml_doc_close(&d);
    arena_release(&a);
    return same;
}

/* ---- edits ---- */

static void count(struct fix_report *r, const char *rule, int n)
{
    int i = 0;
    while (i < r->n && strcmp(r->done[i].rule, rule)) i++;
    if (i == FIX_RULES) return;
    r->done[i].rule = rule;
    r->done[i].n += n;
    if (i == r->n) r->n++;
}

static void add_edit(struct fixing *f, size_t at, size_t cut, const char *put, const char *rule)
{
    if (f->n >= MAX_EDITS || mem_grow((void **)&f->edit, &f->cap, f->n + 1, sizeof *f->edit)) return;
    f->edit[f->n++] = (struct edit){ at, cut, put, rule, 0 };
}

static int by_place(const void *a, const void *b)
{
    const struct edit *x = a, *y = b;
    return x->at != y->at ? (x->at < y->at ? -1 : 1) : x->cut < y->cut ? -1 : x->cut > y->cut;
}

/* The text with the edits [0, hi) that are not off; those from lo on must be in order and may not overlap. */
static void apply(const struct fixing *f, size_t hi, struct sb *out)
{
    size_t at = 0;
    for (size_t i = 0; i < hi; i++) {
        const struct edit *x = &f->edit[i];
        if (x->off || x->at < at) continue;
        sb_add(out, (struct sv){ f->text.p + at, x->at - at });
        sb_addc(out, x->put);
        at = x->at + x->cut;
    }
    sb_add(out, (struct sv){ f->text.p + at, f->text.n - at });
}

/* Switches off those of [lo, hi) that would change a value, given that [0, lo) are decided. */
static void settle(struct fixing *f, size_t lo, size_t hi)
{
    struct sb out;
    if (lo == hi) return;
    sb_init(&out, f->text.n + f->text.n / 2 + (1 << 20));
    apply(f, hi, &out);
    const int good = f->tries++ < MAX_TRIES && !out.failed && keeps_values(f, (struct sv){ out.p ? out.p : "", out.n });
    sb_release(&out);
    if (good) return;
    if (hi - lo == 1 || f->tries > MAX_TRIES) {
        for (size_t i = lo; i < hi; i++) f->edit[i].off = 1;
        return;
    }
    settle(f, lo, lo + (hi - lo) / 2);
    settle(f, lo + (hi - lo) / 2, hi);
}

/* Makes the edits that change no value; how many. */
static int commit(struct fixing *f)
{
    struct sb out;
    int n = 0;
    size_t at = 0;
    if (!f->n) return 0;
    qsort(f->edit, f->n, sizeof *f->edit, by_place);
    for (size_t i = 0; i < f->n; i++) { /* of two that overlap the first counts; the next round sees the other again */
        f->edit[i].off = f->edit[i].at < at;
        if (!f->edit[i].off) at = f->edit[i].at + f->edit[i].cut;
    }
    settle(f, 0, f->n);
    sb_init(&out, f->text.n + f->text.n / 2 + (1 << 20));
    apply(f, f->n, &out);
    for (size_t i = 0; i < f->n; i++) {
        if (f->edit[i].off) continue;
        n++;
        count(f->r, f->edit[i].rule, 1);
    }
    f->n = 0;
    if (!n || out.failed) {
        sb_release(&out);
        return 0;
    }
    sb_release(&f->text);
    f->text = out;
    return n;
}

/* ---- what style findings ask for ---- */

static size_t line_start(struct sv t, int line)
{
    size_t at = 0;
    for (int i = 1; i < line && at < t.n; i++) {
        const char *nl = memchr(t.p + at, '\n', t.n - at);
        at = nl ? (size_t)(nl - t.p) + 1 : t.n;
    }
    return at;
}
static size_t line_end(struct sv t, size_t at)
{
    const char *nl = at < t.n ? memchr(t.p + at, '\n', t.n - at) : NULL;
    return nl ? (size_t)(nl - t.p) : t.n;
}
static size_t byte_of(struct sv t, size_t start, int col) /* from 1 */
{
    size_t at = start;
    for (int i = 1; i < col && at < t.n && t.p[at] != '\n'; i++) {
        do at++; while (at < t.n && ((unsigned char)t.p[at] & 0xC0) == 0x80);
    }
    return at;
}

static void mend_trailing(struct fixing *f, struct sv t, const struct finding *x)
{
    const size_t start = line_start(t, x->line), end = line_end(t, start), at = byte_of(t, start, x->col);
    add_edit(f, at, end - at, "", x->rule);
}

/* The finding stands at the last of `n` blank lines, of which `max` may stay. */
static void mend_blank_lines(struct fixing *f, struct sv t, const struct finding *x)
{
    int n = 0, max = 0;
    if (sscanf(x->text, "too many blank lines (%d > %d)", &n, &max) != 2 || n <= max || x->line < n - max) return;
    const size_t from = line_start(t, x->line - (n - max) + 1), to = line_start(t, x->line + 1);
    add_edit(f, from, to - from, "", x->rule);
}

static void mend_end(struct fixing *f, struct sv t, const struct finding *x) { add_edit(f, t.n, 0, "\n", x->rule); }

/* The finding's column is the last of the surplus blanks. */
static void mend_blanks(struct fixing *f, struct sv t, const struct finding *x)
{
    const size_t start = line_start(t, x->line), last = byte_of(t, start, x->col);
    size_t from = last;
    if (!strncmp(x->text, "too few spaces after", 20)) {
        add_edit(f, last, 0, " ", x->rule);
        return;
    }
    if (strncmp(x->text, "too many spaces", 15) || last >= t.n || t.p[last] != ' ') return;
    while (from > start && t.p[from - 1] == ' ') from--;
    const int keep = strstr(x->text, " after ") != NULL;
    if (last + 1 > from + (size_t)keep) add_edit(f, from + (size_t)keep, last + 1 - from - (size_t)keep, "", x->rule);
}

static void mend_start(struct fixing *f, struct sv t, const struct finding *x)
{
    (void)t;
    if (strstr(x->text, "missing")) add_edit(f, 0, 0, "---\n", x->rule);
}

static const struct { const char *rule; void (*mend)(struct fixing *f, struct sv t, const struct finding *x); } MENDERS[] = {
    { "trailing-spaces", mend_trailing }, { "empty-lines", mend_blank_lines }, { "new-line-at-end-of-file", mend_end }, { "colons", mend_blanks }, { "hyphens", mend_blanks },
    { "commas", mend_blanks }, { "braces", mend_blanks }, { "brackets", mend_blanks }, { "document-start", mend_start },
};

/* ---- long lines ---- */

/* Where the line may be broken before column max: at a single blank, with a letter or digit behind it. 0: nowhere. */
static size_t break_before(struct sv t, size_t from, size_t start, size_t end, int max)
{
    const size_t limit = byte_of(t, start, max + 1);
    size_t best = 0;
    for (size_t i = from + 1; i < end && (i <= limit || !best); i++)
        if (t.p[i] == ' ' && t.p[i - 1] != ' ' && i + 1 < end && !strchr(" #-?:|>&*!%@`'\"[]{},\\", t.p[i + 1]) && t.p[i - 1] != '\\') best = i;
    return best;
}

/* Breaks a line of a scalar; its next lines begin at column `indent`. */
static void wrap(struct fixing *f, struct sv t, size_t from, size_t start, int indent, int max)
{
    const size_t end = line_end(t, start), at = break_before(t, from, start, end, max);
    if (!at) return;
    char *put = arena_alloc(&f->mem, (size_t)indent + 2, 1);
    if (!put) return;
    put[0] = '\n';
    memset(put + 1, ' ', (size_t)indent);
    add_edit(f, at, 1, put, "line-length");
}

static void mend_long_lines(struct fixing *f, const struct yaml_doc *d, const struct findings *found)
{
    const struct sv t = d->text;
    size_t k = 0;
    for (size_t i = 0; i < found->n; i++) {
        int width = 0, max = 0;
        if (strcmp(found->v[i].rule, "line-length") || sscanf(found->v[i].text, "line too long (%d > %d", &width, &max) != 2) continue;
        const size_t start = line_start(t, found->v[i].line), end = line_end(t, start);
        while (k < d->n_token && d->token[k].end.at <= start) k++;
        for (size_t j = k; j < d->n_token && d->token[j].start.at < end; j++) { /* the last scalar of the line is the one to break */
            const struct yaml_token *s = &d->token[j];
            if (s->kind != YAML_SCALAR || s->style == '|' || s->end.at < byte_of(t, start, max)) continue;
            size_t at = start;
            int indent = 0;
            while (at < end && (t.p[at] == ' ' || (t.p[at] == '-' && at + 1 < end && t.p[at + 1] == ' ' && s->start.at >= start))) at++, indent++;
            const int first = s->start.at >= start;
            wrap(f, t, first ? s->start.at : at, start, first ? indent + 2 : indent, max);
            break;
        }
    }
}

/* ---- rounds ---- */

static int style_round(struct fixing *f, const char *file)
{
    struct findings found;
    struct arena a;
    struct yaml_doc d = { 0 };
    ilab_err e = { 0 };
    const struct sv t = { f->text.p ? f->text.p : "", f->text.n };
    int n = 0;
    if (leaf_check_text(t, file, "", f->o, NULL, &found, &e)) return 0;
    arena_init(&a, TREE_BYTES);
    if (parses(&d, t, &a, YAML_TOKENS)) {
        for (size_t i = 0; i < found.n; i++)
            for (size_t k = 0; found.v[i].style && k < ARRAY_LEN(MENDERS); k++)
                if (!strcmp(found.v[i].rule, MENDERS[k].rule)) MENDERS[k].mend(f, t, &found.v[i]);
        mend_long_lines(f, &d, &found);
        n = commit(f);
    }
    yaml_doc_close(&d);
    arena_release(&a);
    findings_release(&found);
    return n;
}

/* The newest version whose schema the file fulfils, for a file that names none; 0: none but the first. */
static int version_for(const struct yaml_node *root, const char *file)
{
    const int knowledge = is_knowledge(file, root);
    int found = 0;
    for (int version = 3; version > 1 && !found; version--) {
        struct findings none = { 0 };
        arena_init(&none.mem, (size_t)16 << 20);
        struct schema_check c = { &none, COMPAT_NONE };
        if (schema_check(&c, root, knowledge, version) && !none.n_errors) found = version;
        findings_release(&none);
    }
    return found;
}

/* `version: N` in front of the first key. The tree is the same but for that key: what is below the line is not touched. */
static void add_version(struct fixing *f, const char *file)
{
    const struct yaml_node *root = f->tree;
    char line[32];
    struct sb out;
    if (root->kind != YAML_MAP || !root->n || root->col != 1 || yaml_get(root, "version")) return;
    const int version = version_for(root, file);
    if (!version) return;
    const struct sv t = { f->text.p, f->text.n };
    struct arena a;
    struct yaml_doc d = { 0 };
    arena_init(&a, TREE_BYTES);
    sb_init(&out, t.n + 64);
    if (parses(&d, t, &a, 0)) {
        const size_t at = line_start(t, d.root->key[0]->line);
        snprintf(line, sizeof line, "version: %d\n", version);
        sb_add(&out, (struct sv){ t.p, at });
        sb_addc(&out, line);
        sb_add(&out, (struct sv){ t.p + at, t.n - at });
    }
    yaml_doc_close(&d);
    arena_reset(&a);
    /* proof: without its first key the new tree is the old one */
    if (!out.failed && out.n && parses(&d, (struct sv){ out.p, out.n }, &a, 0) && d.root->kind == YAML_MAP && d.root->n == root->n + 1 && sv_eq_c(d.root->key[0]->text, "version")) {
        struct yaml_node rest = *d.root;
        rest.key++, rest.item++, rest.n--;
        struct yaml_doc again = { 0 };
        if (same_tree(&rest, root) && parses(&again, (struct sv){ out.p, out.n }, &f->mem, 0)) {
            sb_release(&f->text);
            f->text = out;
            f->tree = again.root; /* lives in f->mem; from here on the version must stay, too */
            out = (struct sb){ 0 };
            count(f->r, "version", 1);
        }
        yaml_doc_close(&again);
    }
    yaml_doc_close(&d);
    arena_release(&a);
    sb_release(&out);
}

/* ---- bytes ---- */

/* UTF-16 with a mark becomes UTF-8; the mark and carriage returns go. 0: it is not valid. */
static int plain_text(struct sv text, struct sb *out, struct fix_report *r)
{
    const int little = sv_starts(text, "\xFF\xFE"), big = sv_starts(text, "\xFE\xFF");
    const unsigned char *p = (const unsigned char *)text.p;
    if (sv_starts(text, "\xEF\xBB\xBF")) text.p += 3, text.n -= 3, count(r, "byte-order-mark", 1);
    if (!little && !big) {
        sb_add(out, text);
    } else {
        if (text.n % 2) return 0;
        for (size_t i = 2; i < text.n; i += 2) {
            char c[4];
            int32_t cp = p[i + (size_t)big] | p[i + (size_t)little] << 8;
            if (cp >= 0xDC00 && cp < 0xE000) return 0;
            if (cp >= 0xD800 && cp < 0xDC00) {
                if ((i += 2) >= text.n) return 0;
                const int32_t low = p[i + (size_t)big] | p[i + (size_t)little] << 8;
                if (low < 0xDC00 || low >= 0xE000) return 0;
                cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
            }
            sb_add(out, (struct sv){ c, (size_t)utf8_put(c, cp) });
        }
        count(r, "utf-16", 1);
    }
    return !out->failed && utf8_valid((struct sv){ out->p ? out->p : "", out->n }, NULL);
}

/* Tabs where PyYAML takes none, but only blanks could be meant: at the end of a line, or behind `:`, `-` and `,`. */
static void separate_by_blanks(struct fixing *f)
{
    for (int i = 0; i < 1000; i++) {
        struct arena a;
        struct yaml_doc d = { 0 };
        arena_init(&a, TREE_BYTES);
        const int good = parses(&d, (struct sv){ f->text.p ? f->text.p : "", f->text.n }, &a, 0);
        const size_t at = d.problem.at.at;
        const int tab = !good && d.problem.by == YAML_BY_SCANNER && at < f->text.n && f->text.p[at] == '\t';
        yaml_doc_close(&d);
        arena_release(&a);
        if (!tab) return;
        size_t from = at, to = at;
        while (from && (f->text.p[from - 1] == ' ' || f->text.p[from - 1] == '\t')) from--;
        while (f->text.p[to] == ' ' || f->text.p[to] == '\t') to++;
        const int ends = !f->text.p[to] || f->text.p[to] == '\n' || f->text.p[to] == '\r';
        if (!from || f->text.p[from - 1] == '\n' || (!ends && !strchr(":-,", f->text.p[from - 1]))) return; /* indentation, or inside of a text */
        for (size_t k = at; k < to; k++) f->text.p[k] = f->text.p[k] == '\t' ? ' ' : f->text.p[k];
        count(f->r, "tabs", 1);
    }
}

static int unix_lines(struct fixing *f)
{
    for (size_t i = 0; i + 1 < f->text.n; i++)
        if (f->text.p[i] == '\r' && f->text.p[i + 1] == '\n') add_edit(f, i, 1, "", "new-lines");
    if (f->n >= MAX_EDITS) { /* a long file: all or nothing */
        struct sb out;
        f->n = 0;
        sb_init(&out, f->text.n + 16);
        for (size_t i = 0; i < f->text.n; i++)
            if (f->text.p[i] != '\r' || i + 1 >= f->text.n || f->text.p[i + 1] != '\n') sb_addch(&out, f->text.p[i]);
        if (out.failed || !keeps_values(f, (struct sv){ out.p ? out.p : "", out.n })) {
            sb_release(&out);
            return 0;
        }
        sb_release(&f->text);
        f->text = out;
        count(f->r, "new-lines", 1);
        return 1;
    }
    return commit(f);
}

int leaf_fix(struct sv text, const char *file, const struct lint_config *lint, char **out, size_t *n_out, struct fix_report *r, ilab_err *e)
{
    const struct check_opts o = { .lint = lint };
    struct fixing f = { .r = r, .o = &o };
    struct yaml_doc d = { 0 };
    int rc = 0;
    *r = (struct fix_report){ 0 };
    *out = NULL;
    if (text.n > QNA_MAX_FILE) return err_set(e, ILAB_E_LIMIT, "'%s' is larger than %d MB", file, (int)(QNA_MAX_FILE >> 20));
    arena_init(&f.mem, TREE_BYTES);
    sb_init(&f.text, text.n * 2 + (1 << 20));
    if (!plain_text(text, &f.text, r)) {
        rc = err_set(e, ILAB_E_FORMAT, "'%s' is not UTF-8: its bytes do not tell which letters were meant; save it as UTF-8 in the editor", file);
    } else {
        separate_by_blanks(&f);
        if (!parses(&d, (struct sv){ f.text.p ? f.text.p : "", f.text.n }, &f.mem, 0)) {
            r->unreadable = 1; /* what was done so far touches no text */
        } else {
            f.tree = d.root;
            for (int i = 0; i < MAX_ROUNDS && unix_lines(&f); i++) {}
            add_version(&f, file);
            for (int i = 0; i < MAX_ROUNDS && style_round(&f, file); i++) {}
            r->proven = keeps_values(&f, (struct sv){ f.text.p ? f.text.p : "", f.text.n });
            if (!r->proven) rc = err_set(e, ILAB_E_FORMAT, "'%s': mending would change a value: nothing is done", file); /* cannot happen: each edit was tried */
        }
    }
    if (!rc && f.text.failed) rc = err_set(e, ILAB_E_NOMEM, "no memory to mend '%s'", file);
    if (!rc && !(*out = sb_take(&f.text, n_out))) rc = err_set(e, ILAB_E_NOMEM, "no memory to mend '%s'", file);
    if (!rc) r->changed = *n_out != text.n || memcmp(*out, text.p, text.n) != 0;
    yaml_doc_close(&d);
    sb_release(&f.text);
    mem_free(f.edit);
    arena_release(&f.mem);
    return rc;
}
