/* draft.c — the text of a new leaf: qna.yaml (version 3) and attribution.txt.
 *
 * What is not known becomes a mark, `<fill in: …>`: the schema accepts it, and `ilab taxonomy diff` names every mark that is left.
 * The text obeys the lint rules: lines of at most 100 characters but for single words, no trailing spaces, one final newline.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/data.h"

#include <string.h>

enum { WIDTH = 100, DRAFT_MAX = 4 << 20 };

/* Characters that YAML takes for line ends or does not allow become spaces. Folds white space; keeps line ends if `lines`. */
static void add_clean(struct sb *b, struct sv s, int lines)
{
    for (size_t i = 0; i < s.n;) {
        const size_t from = i;
        const int32_t cp = utf8_next(s, &i);
        const int space = cp < 0x20 || cp == ' ' || (cp >= 0x7F && cp < 0xA0) || cp == 0x2028 || cp == 0x2029 || cp == 0xFEFF || cp == 0xFFFE || cp == 0xFFFF;
        if (lines && cp == '\n') {
            while (b->n && b->p[b->n - 1] == ' ') b->n--;
            sb_addch(b, '\n');
        } else if (space) {
            if (b->n && b->p[b->n - 1] != ' ' && b->p[b->n - 1] != '\n') sb_addch(b, ' ');
        } else {
            sb_add(b, (struct sv){ s.p + from, i - from });
        }
    }
    while (b->n && (b->p[b->n - 1] == ' ' || b->p[b->n - 1] == '\n')) b->n--;
}

static int fits_plain_quotes(struct sv s, int indent)
{
    return utf8_width(s) + indent < WIDTH && !memchr(s.p, '\n', s.n);
}

static void add_quoted(struct sb *b, struct sv s)
{
    sb_addch(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') sb_addch(b, '\\');
        sb_addch(b, s.p[i]);
    }
    sb_addch(b, '"');
}

/* Words filled into lines; each begins with `indent` spaces. */
static void add_wrapped(struct sb *b, struct sv s, int indent)
{
    struct sv rest = s, line, word;
    while (sv_split(&rest, '\n', &line)) {
        int width = 0;
        while (sv_split(&line, ' ', &word)) {
            if (!word.n) continue;
            const int w = utf8_width(word);
            if (width && indent + width + 1 + w > WIDTH) {
                sb_addch(b, '\n');
                width = 0;
            }
            if (!width) sb_addf(b, "%*s", indent, "");
            else sb_addch(b, ' ');
            sb_add(b, word);
            width += w + (width > 0);
        }
        sb_addch(b, '\n');
    }
}

/* `key: text` behind what already stands in the line; `indent`: of the key. Block scalars for what is long. */
static void add_text(struct sb *b, int indent, const char *key, struct sv s, int block)
{
    struct sb clean;
    sb_init(&clean, DRAFT_MAX);
    add_clean(&clean, s, 0);
    const struct sv t = { clean.p ? clean.p : "", clean.n };
    sb_addf(b, "%s: ", key);
    if (!block && fits_plain_quotes(t, indent + (int)strlen(key) + 4)) {
        add_quoted(b, t);
        sb_addch(b, '\n');
    } else {
        sb_addc(b, "|\n");
        add_wrapped(b, t, indent + 2);
    }
    if (clean.failed) b->failed = 1;
    sb_release(&clean);
}

/* The text, or the mark `<fill in: what>`; a % in `what` becomes the example's number (and the pair's). */
static struct sv or_mark(struct arena *a, struct sv s, const char *what, int i, int k)
{
    struct sb b;
    if (s.n) return s;
    sb_init(&b, 512);
    sb_addc(&b, LEAF_MARK ": ");
    for (; *what; what++) {
        if (*what != '%') sb_addch(&b, *what);
        else if (k) sb_addf(&b, "%d.%d", i, k);
        else sb_addf(&b, "%d", i);
    }
    sb_addch(&b, '>');
    const char *p = arena_strndup(a, b.p ? b.p : "", b.n);
    const struct sv out = { p ? p : "", p ? b.n : 0 };
    sb_release(&b);
    return out;
}
#define MARK(s, text) or_mark(a, s, text, 0, 0)

static void add_question(struct sb *b, struct arena *a, const struct draft *d, int i, int k, int indent)
{
    const struct draft_pair *p = &d->pair[i][k];
    const int grounded = d->kind == DRAFT_GROUNDED, number = d->kind == DRAFT_KNOWLEDGE ? k + 1 : 0;
    const struct sv q = or_mark(a, p->question, d->kind == DRAFT_FREEFORM ? "request %" : grounded ? "request % about the context above" : "question % that the context above answers", i + 1, number);
    const struct sv answer = or_mark(a, p->answer, d->kind == DRAFT_FREEFORM ? "a model answer to request %" : "the answer to question %, a whole sentence", i + 1, number);
    sb_addf(b, "%*s- ", indent, "");
    add_text(b, indent + 2, "question", q, 0);
    sb_addf(b, "%*s", indent + 2, "");
    add_text(b, indent + 2, "answer", answer, 0);
}

static void add_examples(struct sb *b, struct arena *a, const struct draft *d)
{
    sb_addc(b, "seed_examples:\n");
    for (int i = 0; i < d->n_example; i++) {
        const struct sv context = or_mark(a, d->context[i], "context %, a passage of the document (100 words or so)", i + 1, 0);
        if (d->kind == DRAFT_KNOWLEDGE) {
            sb_addc(b, "  - ");
            add_text(b, 4, "context", context, 1);
            sb_addc(b, "    questions_and_answers:\n");
            for (int k = 0; k < d->n_pair; k++) add_question(b, a, d, i, k, 6);
            continue;
        }
        add_question(b, a, d, i, 0, 2);
        if (d->kind != DRAFT_GROUNDED) continue;
        sb_addc(b, "    ");
        add_text(b, 4, "context", or_mark(a, d->context[i], "context %, a text to work on", i + 1, 0), 1);
    }
}

char *draft_qna(const struct draft *d, ilab_err *e)
{
    struct arena mem, *a = &mem;
    struct sb b;
    arena_init(a, DRAFT_MAX);
    sb_init(&b, DRAFT_MAX);
    sb_addc(&b, "version: 3\n");
    add_text(&b, 0, "created_by", MARK(d->created_by, "your name or user name"), 0);
    if (d->kind == DRAFT_KNOWLEDGE) {
        add_text(&b, 0, "domain", MARK(d->domain, "the field in one or two words, such as geography"), 0);
        add_text(&b, 0, "document_outline", MARK(d->outline, "one sentence that says what the document is about"), 0);
    } else {
        add_text(&b, 0, "task_description", MARK(d->outline, "one sentence that says what the skill is"), 0);
    }
    add_examples(&b, a, d);
    if (d->kind == DRAFT_KNOWLEDGE) {
        sb_addc(&b, "document:\n  ");
        add_text(&b, 2, "repo", MARK(d->repo, "folder of the document, or the address of its git repository"), 0);
        sb_addc(&b, "  ");
        add_text(&b, 2, "commit", MARK(d->commit, "commit of the document"), 0);
        sb_addc(&b, "  patterns:\n");
        for (int i = 0; i < d->n_pattern; i++) {
            sb_addc(&b, "    - ");
            add_quoted(&b, sv_of(d->pattern[i]));
            sb_addch(&b, '\n');
        }
        if (!d->n_pattern) sb_addc(&b, "    - \"*.md\"\n");
    }
    arena_release(a);
    char *out = b.failed ? NULL : sb_take(&b, NULL);
    sb_release(&b);
    if (!out) err_set(e, ILAB_E_NOMEM, "no memory for the new leaf");
    return out;
}

char *draft_attribution(const struct draft *d, ilab_err *e)
{
    static const struct { const char *field, *mark; size_t off; int optional; } ROWS[] = {
        { "Title of work", "title of the document", offsetof(struct draft, title), 0 },
        { "Link to work", "where the document can be read", offsetof(struct draft, link), 0 },
        { "Revision", "version, date or permanent link", offsetof(struct draft, revision), 0 },
        { "License of the work", "SPDX identifier, such as CC-BY-SA-4.0", offsetof(struct draft, license), 0 },
        { "Creator names", "who wrote it", offsetof(struct draft, creators), 0 },
    };
    struct arena mem, *a = &mem;
    struct sb b;
    arena_init(a, DRAFT_MAX);
    sb_init(&b, DRAFT_MAX);
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        const struct sv *value = (const struct sv *)(const void *)((const char *)d + ROWS[i].off);
        struct sb clean;
        sb_init(&clean, 4096);
        add_clean(&clean, MARK(*value, ROWS[i].mark), 0);
        sb_addf(&b, "%s: %s\n", ROWS[i].field, clean.p ? clean.p : "");
        sb_release(&clean);
    }
    arena_release(a);
    char *out = b.failed ? NULL : sb_take(&b, NULL);
    sb_release(&b);
    if (!out) err_set(e, ILAB_E_NOMEM, "no memory for attribution.txt");
    return out;
}

/* A leaf's path below the taxonomy, from what somebody typed: "company/lamps", "knowledge/company/lamps/", "…/qna.yaml". */
int draft_path(const char *typed, enum draft_kind kind, char out[DRAFT_PATH_MAX], ilab_err *e)
{
    static const char *const ROOT[] = { "knowledge", "compositional_skills" };
    const char *root = ROOT[kind != DRAFT_KNOWLEDGE];
    struct sv rest = sv_of(typed), part;
    struct sb b;
    int n = 0, rc = 0;
    sb_init(&b, DRAFT_PATH_MAX - 1);
    while (!rc && sv_split(&rest, '/', &part)) {
        if (!part.n || sv_eq_c(part, ".") || (!rest.n && sv_eq_c(part, "qna.yaml"))) continue;
        for (size_t i = 0; i < part.n && !rc; i++)
            if ((unsigned char)part.p[i] < 0x20 || part.p[i] == 0x7F) rc = err_set(e, ILAB_E_INVALID, "the path '%s' holds a control character", typed);
        if (!rc && (part.p[0] == '.' || part.p[0] == '-')) rc = err_set(e, ILAB_E_INVALID, "the path '%s' has a part that begins with '%c': name the folder otherwise", typed, part.p[0]);
        if (!rc && part.n > 200) rc = err_set(e, ILAB_E_INVALID, "the path has a part of more than 200 bytes");
        if (!rc && n == 0 && sv_eq_c(part, ROOT[kind == DRAFT_KNOWLEDGE]))
            rc = err_set(e, ILAB_E_INVALID, "'%s' is below %s, but %s leaf belongs below %s: give --kind, or another path", typed, ROOT[kind == DRAFT_KNOWLEDGE],
                         kind == DRAFT_KNOWLEDGE ? "a knowledge" : "a skill's", root);
        if (rc) break;
        if (n == 0) sb_addc(&b, root);
        if (n || !sv_eq_c(part, root)) sb_addch(&b, '/'), sb_add(&b, part);
        n++;
    }
    size_t utf8_bad;
    if (!rc && *typed == '/') rc = err_set(e, ILAB_E_INVALID, "'%s' begins with '/': give the leaf's path below the taxonomy, such as knowledge/company/torvik_lamps", typed);
    if (!rc && b.n <= strlen(root)) rc = err_set(e, ILAB_E_INVALID, "'%s' names no leaf: give its path below the taxonomy, such as knowledge/company/torvik_lamps", typed);
    if (!rc && b.failed) rc = err_set(e, ILAB_E_INVALID, "the path is too long");
    if (!rc && !utf8_valid((struct sv){ b.p, b.n }, &utf8_bad)) rc = err_set(e, ILAB_E_INVALID, "the path is not UTF-8");
    if (!rc) snprintf(out, DRAFT_PATH_MAX, "%s", b.p);
    sb_release(&b);
    return rc;
}
