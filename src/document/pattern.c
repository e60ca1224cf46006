/* pattern.c — which files of a folder do patterns name? Python's fnmatch and glob (without recursion), as the reference has them.
 *
 * Folders are read component by component, so a circle of links cannot lead further than a pattern has components. What lies
 * outside of the folder is never named: neither by `..` nor through links.  SPDX-License-Identifier: Apache-2.0 */
#include "document/document.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILES = 10000, MAX_FOLDERS = 100000, MAX_COMPONENTS = 64, MAX_PATTERN = 4096 };

/* ---- one name ---- */

/* A code point, or a value of its own for a byte that is none. */
static int32_t next(struct sv s, size_t *i)
{
    const unsigned char byte = (unsigned char)s.p[*i];
    const int32_t cp = utf8_next(s, i);
    return cp < 0 ? 0x200000 + byte : cp;
}

/* Index behind the set that begins at pattern[i] = '['; 0: none closes, so the bracket is a letter. */
static size_t set_end(struct sv p, size_t i)
{
    size_t j = i + 1;
    if (j < p.n && p.p[j] == '!') j++;
    if (j < p.n && p.p[j] == ']') j++;
    while (j < p.n && p.p[j] != ']') j++;
    return j < p.n ? j + 1 : 0;
}

/* Is cp in the set between the brackets? A '-' makes a range where it has a character on both sides that is no end of another. */
static int in_set(struct sv set, int32_t cp)
{
    const int negated = set.n && set.p[0] == '!';
    int found = 0;
    for (size_t i = (size_t)negated; i < set.n;) {
        const int32_t lo = next(set, &i);
        if (i < set.n && set.p[i] == '-' && i + 1 < set.n) {
            i++;
            const int32_t hi = next(set, &i);
            found |= lo <= cp && cp <= hi;
            /* what follows a range is a letter, even when it is '-' */
            if (i < set.n && set.p[i] == '-') found |= cp == '-', i++;
        } else found |= lo == cp;
    }
    return found != negated;
}

int document_pattern_matches(struct sv p, struct sv name)
{
    size_t i = 0, j = 0, star = SIZE_MAX, from = 0;
    while (j < name.n || i < p.n) {
        if (i < p.n && p.p[i] == '*') {
            star = ++i;
            from = j;
            continue;
        }
        if (i < p.n && j < name.n) {
            size_t after = j, behind = i;
            const int32_t cp = next(name, &after);
            const size_t end = p.p[i] == '[' ? set_end(p, i) : 0;
            int same;
            if (end) same = in_set((struct sv){ p.p + i + 1, end - i - 2 }, cp), behind = end;
            else if (p.p[i] == '?') same = 1, behind = i + 1;
            else same = next(p, &behind) == cp;
            if (same) {
                i = behind;
                j = after;
                continue;
            }
        }
        if (star == SIZE_MAX || from >= name.n) return 0;
        next(name, &from);
        i = star;
        j = from;
    }
    return 1;
}

/* ---- folders ---- */

void file_list_release(struct file_list *l)
{
    for (size_t i = 0; i < l->n; i++) mem_free(l->path[i]);
    mem_free(l->path);
    *l = (struct file_list){ 0 };
}

struct search { const char *root, *real, *shown; int no_links; struct sv part[MAX_COMPONENTS]; int n_part; struct file_list *out; size_t folders; ilab_err *e; };

static int is_magic(struct sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (strchr("*?[", s.p[i]) && s.p[i]) return 1;
    return 0;
}

/* Where rel leads in the end; NULL (after a warning): outside, a forbidden link, or nowhere. Caller mem_frees. */
static char *inside(struct search *s, const char *rel)
{
    char *full = path_join(s->root, rel), real[PATH_MAX];
    const int exists = realpath(full, real) != NULL;
    const size_t n = strlen(s->real);
    char *straight = path_join(s->real, rel), *out = NULL;
    const int is_link = !exists || strcmp(real, straight) != 0;
    if (exists && s->no_links && is_link) log_warn("'%s' of %s is a link: it is left out", rel, s->shown);
    else if (exists && (strncmp(real, s->real, n) || (real[n] != '/' && real[n] && n > 1))) log_warn("'%s' of %s is a link that leads out of the folder: it is left out", rel, s->shown);
    else if (exists) out = xstrdup(real);
    mem_free(full);
    mem_free(straight);
    return out;
}

static int add_found(struct search *s, char *rel)
{
    if (s->out->n >= MAX_FILES) return err_set(s->e, ILAB_E_LIMIT, "the patterns match more than %d files in '%s': name fewer", (int)MAX_FILES, s->shown);
    if (mem_grow((void **)&s->out->path, &s->out->cap, s->out->n + 1, sizeof *s->out->path)) return err_set(s->e, ILAB_E_NOMEM, "no memory for the list of files");
    s->out->path[s->out->n++] = rel;
    return 0;
}

static int look(struct search *s, const char *below, int at);

/* One name that component `at` allows. */
static int try_name(struct search *s, const char *below, const char *name, int at)
{
    char *rel = *below ? path_join(below, name) : xstrdup(name), *full = path_join(s->root, rel), *real = NULL;
    const int kind = strcmp(name, ".git") ? file_exists(full) : 0, last = at + 1 == s->n_part;
    int rc = 0, kept = 0;
    if (kind && (last ? kind == 1 : kind == 2) && (real = inside(s, rel)) != NULL) {
        if (!last) rc = look(s, rel, at + 1);
        else {
            rc = add_found(s, rel);
            kept = !rc;
        }
    }
    mem_free(real);
    mem_free(full);
    if (!kept) mem_free(rel);
    return rc;
}

static int look(struct search *s, const char *below, int at)
{
    const struct sv part = s->part[at];
    int rc = 0;
    if (++s->folders > MAX_FOLDERS) return err_set(s->e, ILAB_E_LIMIT, "the patterns lead through more than %d folders of '%s': be more exact", (int)MAX_FOLDERS, s->shown);
    if (!is_magic(part)) {
        char *name = mem_strndup(part.p, part.n);
        rc = name ? try_name(s, below, name, at) : err_set(s->e, ILAB_E_NOMEM, "no memory for the list of files");
        mem_free(name);
        return rc;
    }
    char *dir = *below ? path_join(s->root, below) : xstrdup(s->root), **name = NULL;
    size_t n = 0;
    if (dir_list(dir, &name, &n, NULL)) n = 0; /* a folder that may not be read has no files for us */
    for (size_t i = 0; !rc && i < n; i++)
        if ((name[i][0] != '.' || part.p[0] == '.') && document_pattern_matches(part, sv_of(name[i]))) rc = try_name(s, below, name[i], at);
    dir_list_free(name, n);
    mem_free(dir);
    return rc;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Sorted, each path once, and each file once: a way through a link gives way to the straight one. */
static void tidy(struct file_list *l, const char *root, const char *real)
{
    size_t n = 0;
    if (l->n) qsort(l->path, l->n, sizeof *l->path, by_name);
    for (size_t i = 0; i < l->n; i++) {
        char *full = path_join(root, l->path[i]), where[PATH_MAX];
        int again = n && !strcmp(l->path[n - 1], l->path[i]);
        const size_t skip = strlen(real) + (real[1] != 0);
        if (!again && realpath(full, where) && strlen(where) > skip && strcmp(where + skip, l->path[i])) {
            const char *straight = where + skip;
            again = bsearch(&straight, l->path + i + 1, l->n - i - 1, sizeof *l->path, by_name) != NULL;
            for (size_t k = 0; k < n && !again; k++) again = !strcmp(l->path[k], straight);
        }
        mem_free(full);
        if (again) mem_free(l->path[i]);
        else l->path[n++] = l->path[i];
    }
    l->n = n;
}

static int one_pattern(struct search *s, const char *pattern)
{
    struct sv rest = sv_of(pattern), part;
    const size_t before = s->out->n;
    int deep = 0;
    s->n_part = 0;
    if (!*pattern || strlen(pattern) > MAX_PATTERN) return err_set(s->e, ILAB_E_INVALID, "a pattern is empty or longer than %d bytes: correct document.patterns", (int)MAX_PATTERN);
    if (pattern[0] == '/') return err_set(s->e, ILAB_E_INVALID, "the pattern '%s' is absolute: patterns are relative to document.repo", pattern);
    while (sv_split(&rest, '/', &part)) {
        if (sv_eq_c(part, "..")) return err_set(s->e, ILAB_E_INVALID, "the pattern '%s' leaves the folder: name a folder further up as document.repo", pattern);
        if (!part.n || sv_eq_c(part, ".")) continue;
        if (s->n_part == MAX_COMPONENTS) return err_set(s->e, ILAB_E_INVALID, "the pattern '%s' has more than %d folders", pattern, (int)MAX_COMPONENTS);
        deep |= sv_eq_c(part, "**");
        s->part[s->n_part++] = part;
    }
    if (!s->n_part || pattern[strlen(pattern) - 1] == '/') return 0;
    const int rc = look(s, "", 0);
    if (!rc && deep && s->out->n == before) log_warn("the pattern '%s' matches nothing: ** stands for one folder, as * does; add a pattern for each depth", pattern);
    return rc;
}

int pattern_files(const char *root, const char *const *pattern, int n_pattern, int no_links, const char *shown, struct file_list *out, ilab_err *e)
{
    char real[PATH_MAX];
    struct search s = { .root = root, .real = real, .shown = shown, .no_links = no_links, .out = out, .e = e };
    *out = (struct file_list){ 0 };
    if (!realpath(root, real)) return err_set(e, ILAB_E_NOTFOUND, "there is no folder '%s'", root);
    int rc = 0;
    for (int i = 0; i < n_pattern && !rc; i++) rc = one_pattern(&s, pattern[i]);
    if (rc) file_list_release(out);
    else tidy(out, root, real);
    return rc;
}
