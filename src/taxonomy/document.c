/* document.c — the documents of a leaf.
 *
 * document.repo and document.commit name a folder (document/fetch.c), document.patterns the files in it (document/pattern.c).
 * Each becomes passages with their places; its text beside them is for what a document says about itself.
 * Nothing is read that lies outside of the folder: a foreign repository must not pull this machine's files into the training data.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/taxonomy.h"

#include <string.h>

enum { DOCUMENTS_MAX_BYTES = 64 << 20 /* of text, together */ };

/* One document: its passages, and its text beside them. */
static int read_one(struct document *doc, const char *path, ilab_err *e)
{
    struct sb b;
    doc->extract = mem_calloc(1, sizeof *doc->extract);
    if (!doc->extract) return err_set(e, ILAB_E_NOMEM, "no memory for the documents");
    const int rc = document_read(path, &doc->text, &doc->n, doc->extract, e);
    sb_init(&b, 4096);
    if (!rc) lost_add_text(doc->extract->lost, &b);
    if (b.n) log_info("%s: not in its text: %s", path, b.p);
    sb_release(&b);
    return rc;
}

static void release_one(struct document *d)
{
    if (d->extract) extract_release(d->extract);
    mem_free(d->extract);
    mem_free(d->name);
    mem_free(d->text);
}

static int add_file(struct documents *d, const char *root, const char *name, ilab_err *e)
{
    const char *format = document_format_of_name(name);
    struct document doc = { 0 };
    size_t cap = d->n, total = 0;
    char *path = path_join(root, name);
    if (!format) {
        log_warn("'%s' matches a pattern but is no document that can be read (%s): it is left out", path, document_endings());
        mem_free(path);
        return 0;
    }
    int rc = read_one(&doc, path, e);
    for (size_t i = 0; i < d->n; i++) total += d->v[i].n;
    if (!rc && total + doc.n > DOCUMENTS_MAX_BYTES)
        rc = err_set(e, ILAB_E_LIMIT, "the documents are larger than %d MB together: name fewer with document.patterns", (int)(DOCUMENTS_MAX_BYTES >> 20));
    if (!rc && mem_grow((void **)&d->v, &cap, d->n + 1, sizeof *d->v)) rc = err_set(e, ILAB_E_NOMEM, "no memory for the documents");
    mem_free(path);
    if (rc) {
        release_one(&doc);
        return rc;
    }
    doc.name = xstrdup(name);
    d->v[d->n++] = doc;
    return 0;
}

int document_is_remote(const struct leaf *l)
{
    const char *const scheme = strstr(l->repo, "://"), *const at = strchr(l->repo, '@'), *const colon = strchr(l->repo, ':');
    return (scheme && strncmp(l->repo, "file://", 7)) || (!scheme && at && colon && colon > at);
}

static int find(const struct leaf *l, const char *taxonomy, int offline, struct source *src, struct file_list *files, ilab_err *e)
{
    char *base = xstrdup(l->file), *slash = strrchr(base, '/');
    if (slash) slash[slash == base] = 0;
    const char *const from[] = { slash ? base : ".", taxonomy, "." };
    const struct source_request r = { .repo = l->repo, .commit = l->commit, .from = from, .n_from = ARRAY_LEN(from), .offline = offline };
    *files = (struct file_list){ 0 };
    int rc = source_open(&r, src, e);
    if ((rc == ILAB_E_NOTFOUND && !offline) || rc == ILAB_E_IO) err_prefix(e, "Failed to load document content: ");
    if (!rc && src->only) {
        files->path = mem_calloc(1, sizeof *files->path);
        if (!files->path) rc = err_set(e, ILAB_E_NOMEM, "no memory for the documents");
        else files->path[files->n++] = xstrdup(src->only);
    } else if (!rc) rc = pattern_files(src->root, (const char *const *)l->pattern, l->n_pattern, src->is_clone, l->repo, files, e);
    if (rc) source_release(src);
    mem_free(base);
    return rc;
}

int documents_find(const struct leaf *l, const char *taxonomy, struct source *src, struct file_list *files, ilab_err *e)
{
    return find(l, taxonomy, 0, src, files, e);
}

static int load(const struct leaf *l, const char *taxonomy, int *away /* NULL: fetch */, struct documents *out, ilab_err *e)
{
    struct source src = { 0 };
    struct file_list files = { 0 };
    *out = (struct documents){ 0 };
    int rc = find(l, taxonomy, away != NULL, &src, &files, e);
    if (away && (*away = rc == ILAB_E_NOTFOUND)) return 0;
    for (size_t i = 0; i < files.n && !rc; i++) rc = add_file(out, src.root, files.path[i], e);
    if (!rc && !out->n)
        rc = err_set(e, ILAB_E_NOTFOUND, "Couldn't find knowledge documents: no file that can be read (%s) in '%s' matches '%s'%s: correct document.patterns (relative to that folder)",
                     document_endings(), src.is_clone ? l->repo : src.root, l->pattern[0], l->n_pattern > 1 ? " or the other patterns" : "");
    file_list_release(&files);
    source_release(&src);
    if (rc) documents_release(out);
    if (rc && rc != ILAB_E_CANCEL && rc != ILAB_E_NOMEM) err_prefix(e, "%s:%d:1: ", l->file, l->document_line);
    return rc;
}

int documents_load(const struct leaf *l, const char *taxonomy, struct documents *out, ilab_err *e) { return load(l, taxonomy, NULL, out, e); }

int documents_load_here(const struct leaf *l, const char *taxonomy, struct documents *out, int *away, ilab_err *e)
{
    *away = 0;
    return load(l, taxonomy, document_is_remote(l) ? away : NULL, out, e);
}

void documents_release(struct documents *d)
{
    for (size_t i = 0; i < d->n; i++) release_one(&d->v[i]);
    mem_free(d->v);
    *d = (struct documents){ 0 };
}

int documents_check(const struct leaf *l, const char *taxonomy, struct documents_summary *out, ilab_err *e)
{
    struct documents d;
    *out = (struct documents_summary){ 0 };
    const int rc = documents_load(l, taxonomy, &d, e);
    if (rc) return rc;
    out->n_documents = d.n;
    for (size_t i = 0; i < d.n; i++) {
        out->n_bytes += d.v[i].n;
        for (int k = 0; k < LOST_KINDS; k++) out->lost[k] += d.v[i].extract->lost[k];
    }
    documents_release(&d);
    return 0;
}
