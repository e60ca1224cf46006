/* document.c — fetches the documents of a leaf and cuts them into chunks and sentences.
 *
 * `document.repo` is a folder (relative to the qna file, to the taxonomy, or absolute), read as it stands, or anything that
 * `git clone` takes; then `commit` is checked out in a temporary clone. Patterns are globs relative to that folder; Markdown
 * and plain text are read here.  SPDX-License-Identifier: Apache-2.0 */
#include "data/data.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum { DOCUMENT_MAX = 64 << 20, MAX_DOCUMENTS = 10000, MAX_DEPTH = 16, GIT_MAX_OUTPUT = 1 << 20 };

static int add_file(struct documents *d, const char *path, const char *name, ilab_err *e)
{
    size_t cap = d->n, bad = 0;
    struct document doc = { 0 };
    if (d->n >= MAX_DOCUMENTS) return err_set(e, ILAB_E_LIMIT, "more than %d documents", (int)MAX_DOCUMENTS);
    int rc = file_read(path, DOCUMENT_MAX, &doc.text, &doc.n, e);
    if (!rc && !utf8_valid((struct sv){ doc.text, doc.n }, &bad)) {
        rc = err_set(e, ILAB_E_FORMAT, "'%s' is not UTF-8 (byte %zu): convert it, for example with iconv -f latin1 -t utf-8", path, bad);
    }
    if (!rc && mem_grow((void **)&d->v, &cap, d->n + 1, sizeof *d->v)) rc = err_set(e, ILAB_E_NOMEM, "no memory for the documents");
    if (rc) {
        mem_free(doc.text);
        return rc;
    }
    doc.name = xstrdup(name);
    d->v[d->n++] = doc;
    return 0;
}

static int matches(const struct leaf *l, const char *name)
{
    for (int i = 0; i < l->n_pattern; i++)
        if (!fnmatch(l->pattern[i], name, FNM_PATHNAME | FNM_PERIOD)) return 1;
    return 0;
}

static int walk(struct documents *d, const struct leaf *l, const char *root, const char *below, int depth, ilab_err *e)
{
    static const char *const TEXT[] = { ".md", ".markdown", ".txt" };
    char *dir = *below ? path_join(root, below) : xstrdup(root), **name = NULL;
    size_t n = 0;
    int rc = dir ? dir_list(dir, &name, &n, e) : err_set(e, ILAB_E_NOMEM, "no memory for a path");
    for (size_t i = 0; !rc && i < n && depth < MAX_DEPTH; i++) {
        if (name[i][0] == '.') continue;
        char *rel = *below ? path_join(below, name[i]) : xstrdup(name[i]), *full = path_join(root, rel ? rel : "");
        const int kind = full && rel ? file_exists(full) : 0;
        if (kind == 2) rc = walk(d, l, root, rel, depth + 1, e);
        if (kind == 1 && matches(l, rel)) {
            int is_text = 0;
            for (size_t k = 0; k < ARRAY_LEN(TEXT); k++) is_text |= sv_ends(sv_of(rel), TEXT[k]);
            if (is_text) rc = add_file(d, full, rel, e);
            else log_warn("'%s' matches a pattern but is neither Markdown nor text: it is left out", full);
        }
        mem_free(rel);
        mem_free(full);
    }
    dir_list_free(name, n);
    mem_free(dir);
    return rc;
}

/* The folder that `repo` names on this machine, or NULL. Caller frees. */
static char *local_folder(const struct leaf *l, const char *taxonomy)
{
    const char *repo = l->repo;
    if (!strncmp(repo, "file://", 7)) repo += 7;
    if (repo[0] == '/') return file_exists(repo) == 2 ? xstrdup(repo) : NULL;
    char *base = xstrdup(l->file), *slash = strrchr(base, '/'), *out = NULL;
    if (slash) *slash = 0;
    const char *const from[] = { slash ? base : ".", taxonomy, "." };
    for (size_t i = 0; i < ARRAY_LEN(from) && !out; i++) {
        char *p = path_join(from[i], repo);
        if (p && file_exists(p) == 2) out = p;
        else mem_free(p);
    }
    mem_free(base);
    return out;
}

static int run_git(const char *dir, const char *const *argv, const char *what, ilab_err *e)
{
    char *err_text = NULL;
    int status = 0, rc = child_run(argv, dir, GIT_MAX_OUTPUT, NULL, NULL, &err_text, &status, e);
    if (!rc && status) {
        const struct sv s = sv_trim(sv_of(err_text ? err_text : ""));
        rc = err_set(e, ILAB_E_IO, "%s: %.*s", what, (int)(s.n < 300 ? s.n : 300), s.p);
    }
    mem_free(err_text);
    return rc;
}

static int from_clone(const struct leaf *l, struct documents *d, ilab_err *e)
{
    char dir[] = "/tmp/ilab-document-XXXXXX", what[256];
    if (l->repo[0] == '-' || l->commit[0] == '-' || strstr(l->repo, "::"))
        return err_set(e, ILAB_E_INVALID, "%s: document.repo '%s' is not the address of a repository", l->file, l->repo);
    if (!mkdtemp(dir)) return err_set(e, ILAB_E_IO, "cannot make a temporary folder below /tmp");
    const char *const clone[] = { "git", "clone", "--quiet", "--", l->repo, dir, NULL };
    const char *const checkout[] = { "git", "checkout", "--quiet", "--detach", l->commit, NULL };
    const char *const clean[] = { "rm", "-rf", "--", dir, NULL };
    snprintf(what, sizeof what, "Failed to load document content for %s: git clone %s", l->file, l->repo);
    int rc = run_git(NULL, clone, what, e), status;
    snprintf(what, sizeof what, "Failed to load document content for %s: commit %s", l->file, l->commit);
    if (!rc) rc = run_git(dir, checkout, what, e);
    if (!rc) rc = walk(d, l, dir, "", 0, e);
    child_run(clean, NULL, GIT_MAX_OUTPUT, NULL, NULL, NULL, &status, NULL);
    return rc;
}

int documents_load(const struct leaf *l, const char *taxonomy, struct documents *out, ilab_err *e)
{
    *out = (struct documents){ 0 };
    char *dir = local_folder(l, taxonomy);
    int rc;
    if (dir) rc = walk(out, l, dir, "", 0, e);
    else if (strstr(l->repo, "://") || strchr(l->repo, '@') || sv_ends(sv_of(l->repo), ".git")) rc = from_clone(l, out, e);
    else rc = err_set(e, ILAB_E_NOTFOUND, "Failed to load document content for %s: there is no folder '%s' (looked beside the file, in the taxonomy and in the current folder), and it is not the address of a git repository",
                      l->file, l->repo);
    if (!rc && !out->n)
        rc = err_set(e, ILAB_E_NOTFOUND, "Couldn't find knowledge documents: no *.md or *.txt file in '%s' matches the patterns of %s", dir ? dir : l->repo, l->file);
    mem_free(dir);
    if (rc) documents_release(out);
    return rc;
}

void documents_release(struct documents *d)
{
    for (size_t i = 0; i < d->n; i++) {
        mem_free(d->v[i].name);
        mem_free(d->v[i].text);
    }
    mem_free(d->v);
    *d = (struct documents){ 0 };
}

/* ---- splitting ---- */

static int push(struct arena *a, struct sv **v, size_t *n, size_t *cap, struct sv s, ilab_err *e)
{
    if (*n == *cap) {
        const size_t more = *cap ? *cap * 2 : 64;
        struct sv *p = arena_alloc(a, more * sizeof *p, sizeof(void *));
        if (!p) return err_set(e, ILAB_E_NOMEM, "no memory to split a document");
        if (*n) memcpy(p, *v, *n * sizeof *p);
        *v = p;
        *cap = more;
    }
    (*v)[(*n)++] = s;
    return 0;
}

static size_t words_of(struct sv s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += (unsigned char)s.p[i] > ' ' && (i + 1 == s.n || (unsigned char)s.p[i + 1] <= ' ');
    return n;
}

/* Where a chunk that starts at `from` should end: the last blank line, else newline, else space within max_words. */
static size_t chunk_end(struct sv t, size_t from, int max_words)
{
    size_t i = from, last_blank = 0, last_line = 0, last_space = 0;
    int words = 0;
    for (; i < t.n; i++) {
        const int space = (unsigned char)t.p[i] <= ' ';
        if (space && i > from && (unsigned char)t.p[i - 1] > ' ' && ++words >= max_words) break;
        if (space) last_space = i;
        if (t.p[i] == '\n') last_line = i;
        if (t.p[i] == '\n' && i + 1 < t.n && t.p[i + 1] == '\n') last_blank = i;
    }
    if (i >= t.n) return t.n;
    return last_blank > from ? last_blank : last_line > from ? last_line : last_space > from ? last_space : i;
}

int chunk_split(struct sv text, int max_words, struct arena *a, struct sv **out, size_t *n, ilab_err *e)
{
    size_t cap = 0, i = 0;
    int rc = 0;
    *out = NULL;
    *n = 0;
    while (!rc && i < text.n) {
        const size_t end = chunk_end(text, i, max_words);
        const struct sv s = sv_trim((struct sv){ text.p + i, end - i });
        if (s.n) rc = push(a, out, n, &cap, s, e);
        i = end > i ? end : i + 1;
    }
    return rc;
}

/* Markdown decoration away: heading marks, list marks, emphasis, link targets; white space folded. */
static struct sv plain_text(struct arena *a, struct sv s)
{
    char *o = arena_alloc(a, s.n + 1, 1);
    size_t n = 0;
    if (!o) return (struct sv){ "", 0 };
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        if (c == '*' || c == '`' || (c == '_' && (i == 0 || s.p[i - 1] == ' ' || i + 1 == s.n || s.p[i + 1] == ' '))) continue;
        if (c == '[') continue;
        if (c == ']') {
            if (i + 1 < s.n && s.p[i + 1] == '(')
                while (i < s.n && s.p[i] != ')') i++;
            continue;
        }
        const char out = (unsigned char)c <= ' ' ? ' ' : c;
        if (out == ' ' && (!n || o[n - 1] == ' ')) continue;
        o[n++] = out;
    }
    while (n && o[n - 1] == ' ') n--;
    return (struct sv){ o, n };
}

/* Does the sentence end at the full stop s.p[i]? Not after a short capitalised word ("Dr.", "St.") or an initial. */
static int ends_sentence(struct sv s, size_t i)
{
    if (i + 1 < s.n && s.p[i + 1] != ' ' && !strchr("\"')", s.p[i + 1])) return 0;
    if (s.p[i] != '.') return 1;
    size_t start = i;
    while (start && s.p[start - 1] != ' ') start--;
    const struct sv w = { s.p + start, i - start };
    size_t next = i + 1;
    while (next < s.n && s.p[next] == ' ') next++;
    const int short_capital = w.n <= 3 && w.n && w.p[0] >= 'A' && w.p[0] <= 'Z' && next < s.n;
    const int next_lower = next < s.n && s.p[next] >= 'a' && s.p[next] <= 'z';
    return !short_capital && !next_lower;
}

static int paragraph_sentences(struct sv p, struct arena *a, struct sv **out, size_t *n, size_t *cap, ilab_err *e)
{
    const struct sv s = plain_text(a, p);
    size_t from = 0;
    int rc = 0;
    for (size_t i = 0; !rc && i < s.n; i++) {
        if (!strchr(".!?", s.p[i]) || !ends_sentence(s, i)) continue;
        size_t end = i + 1;
        while (end < s.n && strchr("\"')", s.p[end])) end++;
        const struct sv one = sv_trim((struct sv){ s.p + from, end - from });
        if (words_of(one) >= 2) rc = push(a, out, n, cap, one, e);
        from = end;
        i = end - 1;
    }
    const struct sv rest = sv_trim((struct sv){ s.p + from, s.n - from });
    if (!rc && words_of(rest) >= 4) rc = push(a, out, n, cap, rest, e);
    return rc;
}

int sentence_split(struct sv text, struct arena *a, struct sv **out, size_t *n, ilab_err *e)
{
    size_t cap = 0;
    struct sv rest = text, line;
    int rc = 0;
    *out = NULL;
    *n = 0;
    const char *para = NULL, *para_end = NULL;
    while (!rc && sv_split(&rest, '\n', &line)) {
        struct sv l = sv_trim(line);
        const int heading = l.n && (l.p[0] == '#' || l.p[0] == '|' || !memcmp(l.p, "---", l.n < 3 ? l.n : 3)), item = l.n > 1 && strchr("-*+>", l.p[0]) && l.p[1] == ' ';
        if ((!l.n || heading || item) && para) {
            rc = paragraph_sentences((struct sv){ para, (size_t)(para_end - para) }, a, out, n, &cap, e);
            para = NULL;
        }
        if (!l.n || heading) continue;
        if (item) l = (struct sv){ l.p + 2, l.n - 2 };
        if (!para) para = l.p;
        para_end = l.p + l.n;
    }
    if (!rc && para) rc = paragraph_sentences((struct sv){ para, (size_t)(para_end - para) }, a, out, n, &cap, e);
    return rc;
}
