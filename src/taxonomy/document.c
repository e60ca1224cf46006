/* document.c — fetches the documents of a leaf.
 *
 * `document.repo` is a folder (relative to the qna file, to the taxonomy, or absolute), read as it stands, or anything that
 * `git clone` takes (a file:// address of a repository, a bare repository); then `commit` is checked out in a temporary clone.
 * Patterns are globs relative to that folder; Markdown and plain text are read. Links to folders are not followed, and
 * nothing is that a clone links to: a foreign repository must not pull this machine's files into the training data.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/taxonomy.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DOCUMENTS_MAX_BYTES = 64 << 20 /* together */, MAX_DOCUMENTS = 10000, MAX_DEPTH = 16, GIT_MAX_OUTPUT = 1 << 20 };

static int add_file(struct documents *d, const char *path, const char *name, ilab_err *e)
{
    size_t cap = d->n, bad = 0, total = 0;
    struct document doc = { 0 };
    if (d->n >= MAX_DOCUMENTS) return err_set(e, ILAB_E_LIMIT, "more than %d documents", (int)MAX_DOCUMENTS);
    int rc = file_read(path, DOCUMENTS_MAX_BYTES, &doc.text, &doc.n, e);
    for (size_t i = 0; i < d->n; i++) total += d->v[i].n;
    if (!rc && total + doc.n > DOCUMENTS_MAX_BYTES)
        rc = err_set(e, ILAB_E_LIMIT, "the documents are larger than %d MB together: name fewer with document.patterns", (int)(DOCUMENTS_MAX_BYTES >> 20));
    if (!rc && !utf8_valid((struct sv){ doc.text, doc.n }, &bad)) {
        int line = 1, col = 1;
        for (size_t i = 0; i < bad; i++) col = doc.text[i] == '\n' ? (line++, 1) : col + (((unsigned char)doc.text[i] & 0xC0) != 0x80);
        rc = err_set(e, ILAB_E_FORMAT, "%s:%d:%d: not UTF-8 (byte 0x%02x): convert the document, for example with iconv -f latin1 -t utf-8", path, line, col,
                     (unsigned char)doc.text[bad]);
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

static int is_link(const char *path)
{
    struct stat st;
    return !lstat(path, &st) && S_ISLNK(st.st_mode);
}

static int walk(struct documents *d, const struct leaf *l, const char *root, const char *below, int depth, int foreign, ilab_err *e)
{
    static const char *const TEXT[] = { ".md", ".markdown", ".txt" };
    char *dir = *below ? path_join(root, below) : xstrdup(root), **name = NULL;
    size_t n = 0;
    int rc = dir_list(dir, &name, &n, e);
    for (size_t i = 0; !rc && i < n && depth < MAX_DEPTH; i++) {
        if (name[i][0] == '.') continue;
        char *rel = *below ? path_join(below, name[i]) : xstrdup(name[i]), *full = path_join(root, rel);
        const int kind = file_exists(full), link = is_link(full);
        if (kind == 2 && !link) rc = walk(d, l, root, rel, depth + 1, foreign, e);
        if (kind == 1 && matches(l, rel)) {
            int is_text = 0;
            for (size_t k = 0; k < ARRAY_LEN(TEXT); k++) is_text |= sv_ends(sv_of(rel), TEXT[k]);
            if (link && foreign) log_warn("'%s' of %s is a link: it is left out", rel, l->repo);
            else if (is_text) rc = add_file(d, full, rel, e);
            else log_warn("'%s' matches a pattern but is neither Markdown nor text: it is left out", full);
        }
        mem_free(rel);
        mem_free(full);
    }
    dir_list_free(name, n);
    mem_free(dir);
    return rc;
}

static int holds(const char *dir, const char *name)
{
    char *p = path_join(dir, name);
    const int kind = file_exists(p);
    mem_free(p);
    return kind;
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

static int run_git(const char *dir, const char *const *argv, const char *what, const char *remedy, ilab_err *e)
{
    char *err_text = NULL;
    int status = 0, rc = child_run(argv, dir, GIT_MAX_OUTPUT, NULL, NULL, &err_text, &status, e);
    if (!rc && status) {
        const struct sv s = sv_trim(sv_of(err_text ? err_text : ""));
        rc = err_set(e, ILAB_E_IO, "Failed to load document content: %s: %.*s; %s", what, (int)(s.n < 300 ? s.n : 300), s.p, remedy);
    }
    mem_free(err_text);
    return rc;
}

static int from_clone(const struct leaf *l, struct documents *d, ilab_err *e)
{
    char what[256];
    if (l->repo[0] == '-' || l->commit[0] == '-' || strstr(l->repo, "::"))
        return err_set(e, ILAB_E_INVALID, "document.repo '%s' is not the address of a repository, or document.commit '%s' no commit", l->repo, l->commit);
    const char *tmp = getenv("TMPDIR");
    char *dir = path_join(tmp && *tmp ? tmp : "/tmp", "ilab-document-XXXXXX");
    if (!mkdtemp(dir)) {
        const int rc = err_set(e, ILAB_E_IO, "cannot make the temporary folder '%s' for a clone: check TMPDIR", dir);
        mem_free(dir);
        return rc;
    }
    /* a private repository must fail, not ask on the terminal */
    const char *const clone[] = { "env", "GIT_TERMINAL_PROMPT=0", "git", "clone", "--quiet", "--", l->repo, dir, NULL };
    const char *const checkout[] = { "git", "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", l->commit, "--", NULL };
    const char *const clean[] = { "rm", "-rf", "--", dir, NULL };
    int status;
    snprintf(what, sizeof what, "git clone %s", l->repo);
    int rc = run_git(NULL, clone, what, "check document.repo and the network", e);
    snprintf(what, sizeof what, "commit %s", l->commit);
    if (!rc) rc = run_git(dir, checkout, what, "check document.commit", e);
    if (!rc) rc = walk(d, l, dir, "", 0, 1, e);
    child_run(clean, NULL, GIT_MAX_OUTPUT, NULL, NULL, NULL, &status, NULL);
    mem_free(dir);
    return rc;
}

/* Is what `dir` holds to be cloned? A bare repository always, one with a work tree when it is given as file://… */
static int wants_clone(const struct leaf *l, const char *dir)
{
    const int bare = holds(dir, "HEAD") == 1 && holds(dir, "objects") == 2 && holds(dir, "refs") == 2;
    return bare || (!strncmp(l->repo, "file://", 7) && holds(dir, ".git"));
}

int document_is_remote(const struct leaf *l)
{
    const char *const scheme = strstr(l->repo, "://"), *const at = strchr(l->repo, '@'), *const colon = strchr(l->repo, ':');
    return (scheme && strncmp(l->repo, "file://", 7)) || (!scheme && at && colon && colon > at);
}

int documents_load(const struct leaf *l, const char *taxonomy, struct documents *out, ilab_err *e)
{
    *out = (struct documents){ 0 };
    char *dir = local_folder(l, taxonomy);
    const int is_address = strstr(l->repo, "://") || strchr(l->repo, '@') || sv_ends(sv_of(l->repo), ".git");
    int rc;
    if (dir ? wants_clone(l, dir) : is_address) rc = from_clone(l, out, e);
    else if (dir) rc = walk(out, l, dir, "", 0, 0, e);
    else
        rc = err_set(e, ILAB_E_NOTFOUND, "Failed to load document content: there is no folder '%s' (looked beside the file, in the taxonomy and in the current folder), "
                     "and it is not the address of a git repository: correct document.repo", l->repo);
    if (!rc && !out->n)
        rc = err_set(e, ILAB_E_NOTFOUND, "Couldn't find knowledge documents: no *.md or *.txt file in '%s' matches '%s'%s: correct document.patterns (relative to that folder)",
                     dir ? dir : l->repo, l->pattern[0], l->n_pattern > 1 ? " or the other patterns" : "");
    mem_free(dir);
    if (rc) documents_release(out);
    if (rc && rc != ILAB_E_CANCEL && rc != ILAB_E_NOMEM) err_prefix(e, "%s:%d:1: ", l->file, l->document_line);
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
