/* taxonomy.c — which leaves a taxonomy has, and which of them are new or changed.
 *
 * The names of leaves are judged here, the folders are walked here; what changed is asked of git (git_changes.c). Links to folders
 * are not followed: git does not, and they may form circles. What stands where a leaf should and cannot be read as one is a
 * problem of the list, so that nobody takes silence for validity.  SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/leaves.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_LEAVES = 200000, MAX_PROBLEMS = 1000 };
static const char *const ROOTS[] = { "compositional_skills/", "knowledge/" };

static int add(struct leaf_list *l, const char *path, enum leaf_change change, ilab_err *e)
{
    char *copy = NULL;
    if (l->n >= MAX_LEAVES) return err_set(e, ILAB_E_LIMIT, "the taxonomy has more than %d leaves", (int)MAX_LEAVES);
    if (mem_grow((void **)&l->path, &l->cap, l->n + 1, sizeof *l->path) || mem_grow((void **)&l->change, &l->cap_change, l->n + 1, 1) ||
        !(copy = mem_strndup(path, strlen(path))))
        return err_set(e, ILAB_E_NOMEM, "no memory for the leaves");
    l->path[l->n] = copy;
    l->change[l->n++] = (unsigned char)change;
    return 0;
}

int leaves_problem(struct leaf_list *l, ilab_err *e, const char *path, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    if (l->n_problem >= MAX_PROBLEMS) return 0;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (mem_grow((void **)&l->problem, &l->cap_problem, l->n_problem + 1, sizeof *l->problem)) return err_set(e, ILAB_E_NOMEM, "no memory for the leaves");
    char *name = xstrdup(path); /* fit to print */
    for (char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = '?';
    l->problem[l->n_problem++] = (struct leaf_problem){ name, xstrdup(text) };
    return 0;
}

static int in_roots(struct sv path)
{
    for (size_t i = 0; i < ARRAY_LEN(ROOTS); i++)
        if (sv_starts(path, ROOTS[i])) return 1;
    return 0;
}

int leaves_offer(struct leaf_list *l, const char *path, enum leaf_change change, ilab_err *e)
{
    const char *name = path_base(path);
    const struct sv s = sv_of(path);
    if (!in_roots(s)) return 0;
    const int leaf = !strcmp(name, "qna.yaml") || (!(l->flags & TAXONOMY_QNA_ONLY) && sv_ends(s, ".yaml"));
    if (leaf) {
        const char *c = path;
        while (*c && (unsigned char)*c >= 0x20 && *c != 0x7F) c++;
        if (*c) return leaves_problem(l, e, path, "the path holds a control character (0x%02x): rename the folder or file", (unsigned char)*c);
        return add(l, path, change, e);
    }
    if (strstr(path, "/qna.yaml/")) return leaves_problem(l, e, path, "a folder is named qna.yaml, which is the name of a leaf's file: rename the folder");
    const int almost = !strcasecmp(name, "qna.yml") || !strcasecmp(name, "qna.yaml") || (!(l->flags & TAXONOMY_QNA_ONLY) && (sv_ends(s, ".yml") || sv_ends(s, ".YAML")));
    if (almost && l->flags & TAXONOMY_MISNAMED) return add(l, path, change, e);
    if (almost)
        log_warn("Found a '%s' file: %s: taxonomy files must be named 'qna.yaml'. File will not be checked.%s", name, path,
                 l->flags & TAXONOMY_REFERENCE_BASE ? "" : " `ilab taxonomy fix` renames it.");
    return 0;
}

int leaves_walk(struct leaf_list *l, const char *root, const char *below, int depth, enum leaf_change change, ilab_err *e)
{
    char *dir = path_join(root, below), **name = NULL;
    size_t n = 0;
    int rc = dir ? dir_list(dir, &name, &n, e) : err_set(e, ILAB_E_NOMEM, "no memory for a path");
    if (rc == ILAB_E_NOTFOUND) rc = 0; /* it vanished while we walked */
    if (rc == ILAB_E_IO) rc = leaves_problem(l, e, below, "the folder cannot be read: check its permissions (%s)", e ? e->msg : "");
    const int too_deep = depth >= TAXONOMY_MAX_DEPTH;
    if (!rc && too_deep) rc = leaves_problem(l, e, below, "more than %d folders deep: what lies in it is not read", (int)TAXONOMY_MAX_DEPTH);
    for (size_t i = 0; !rc && !too_deep && i < n; i++) {
        char *rel = path_join(below, name[i]), *full = rel ? path_join(root, rel) : NULL;
        struct stat st;
        if (!full) rc = err_set(e, ILAB_E_NOMEM, "no memory for a path");
        else if (lstat(full, &st)) log_debug("%s vanished", full); /* while we walked */
        else if (S_ISDIR(st.st_mode) && !strcmp(name[i], "qna.yaml"))
            rc = leaves_problem(l, e, rel, "a folder is named qna.yaml, which is the name of a leaf's file: rename the folder");
        else if (S_ISDIR(st.st_mode) && name[i][0] != '.') rc = leaves_walk(l, root, rel, depth + 1, change, e);
        else if (!S_ISDIR(st.st_mode) && !(S_ISLNK(st.st_mode) && file_exists(full) == 2)) rc = leaves_offer(l, rel, change, e);
        mem_free(rel);
        mem_free(full);
    }
    dir_list_free(name, n);
    mem_free(dir);
    return rc;
}

static int every_leaf(struct leaf_list *l, const char *taxonomy, enum leaf_change change, ilab_err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < ARRAY_LEN(ROOTS); i++) {
        char *dir = path_join(taxonomy, ROOTS[i]), root[64];
        snprintf(root, sizeof root, "%.*s", (int)strlen(ROOTS[i]) - 1, ROOTS[i]);
        if (file_exists(dir) == 2) rc = leaves_walk(l, taxonomy, root, 0, change, e);
        mem_free(dir);
    }
    return rc;
}

struct entry { char *path; unsigned char change; };
static int by_path(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    const int c = strcmp(x->path, y->path);
    return c ? c : x->change - y->change; /* what git says stands before what a walk says */
}
static int by_problem(const void *a, const void *b) { return strcmp(((const struct leaf_problem *)a)->path, ((const struct leaf_problem *)b)->path); }

/* Sorted, each path once. */
static int arrange(struct leaf_list *l, ilab_err *e)
{
    struct entry *v = l->n ? mem_alloc(l->n * sizeof *v) : NULL;
    size_t n = 0;
    if (l->n && !v) return err_set(e, ILAB_E_NOMEM, "no memory for the leaves");
    for (size_t i = 0; i < l->n; i++) v[i] = (struct entry){ l->path[i], l->change[i] };
    if (l->n) qsort(v, l->n, sizeof *v, by_path);
    for (size_t i = 0; i < l->n; i++) {
        if (n && !strcmp(l->path[n - 1], v[i].path)) {
            mem_free(v[i].path);
            continue;
        }
        l->path[n] = v[i].path;
        l->change[n++] = v[i].change;
    }
    l->n = n;
    mem_free(v);
    if (l->n_problem) qsort(l->problem, l->n_problem, sizeof *l->problem, by_problem);
    return 0;
}

static int from_folder(struct leaf_list *l, const char *taxonomy, const char *base, ilab_err *e)
{
    char *skills = path_join(taxonomy, ROOTS[0]), *knowledge = path_join(taxonomy, ROOTS[1]);
    if (!(l->flags & TAXONOMY_REFERENCE_BASE) && skills && knowledge && file_exists(skills) != 2 && file_exists(knowledge) != 2)
        log_warn("'%s' holds neither a folder compositional_skills nor a folder knowledge, so there is nothing to look at: name the folder above them with --taxonomy-path", taxonomy);
    mem_free(skills);
    mem_free(knowledge);
    if (!strcmp(base, "empty")) return every_leaf(l, taxonomy, l->flags & TAXONOMY_EVERY ? LEAF_UNKNOWN : LEAF_NEW, e);
    int rc = leaves_from_git(l, taxonomy, base, e);
    if (!rc && l->flags & TAXONOMY_EVERY) rc = every_leaf(l, taxonomy, LEAF_UNCHANGED, e);
    return rc;
}

int taxonomy_leaves(const char *taxonomy, const char *base, unsigned flags, struct leaf_list *l, ilab_err *e)
{
    *l = (struct leaf_list){ .flags = flags };
    const int kind = file_exists(taxonomy);
    int rc = 0;
    if (!kind) return err_set(e, ILAB_E_NOTFOUND, "taxonomy (%s) does not exist.%s", taxonomy,
                              flags & TAXONOMY_REFERENCE_BASE ? "" : " `ilab init` makes one here; --taxonomy-path names another.");
    if (kind == 1 && flags & TAXONOMY_QNA_ONLY && strcmp(path_base(taxonomy), "qna.yaml"))
        rc = leaves_problem(l, e, taxonomy, "Taxonomy file must be named \"qna.yaml\"; \"%s\" is not a valid name", path_base(taxonomy));
    else if (kind == 1 && !sv_ends(sv_of(taxonomy), ".yaml")) log_warn("Skipping %s! Use lowercase '.yaml' extension instead.", taxonomy);
    else if (kind == 1) rc = add(l, taxonomy, LEAF_UNKNOWN, e);
    else rc = from_folder(l, taxonomy, base, e);
    if (!rc) rc = arrange(l, e);
    if (rc) leaf_list_release(l);
    return rc;
}

int leaf_file_check(const char *file, ilab_err *e)
{
    struct stat st;
    static const struct { mode_t mode; const char *what; } KINDS[] = { { S_IFDIR, "a folder" }, { S_IFIFO, "a pipe" }, { S_IFSOCK, "a socket" }, { S_IFCHR, "a device" }, { S_IFBLK, "a device" } };
    if (stat(file, &st)) return 0; /* whoever opens it says why not */
    for (size_t i = 0; i < ARRAY_LEN(KINDS); i++)
        if ((st.st_mode & S_IFMT) == KINDS[i].mode) return err_set(e, ILAB_E_INVALID, "\"%s\" is %s, not a file: remove it, or put the qna.yaml in its place", file, KINDS[i].what);
    return 0;
}

void leaf_list_release(struct leaf_list *l)
{
    for (size_t i = 0; i < l->n; i++) mem_free(l->path[i]);
    for (size_t i = 0; i < l->n_problem; i++) mem_free(l->problem[i].path), mem_free(l->problem[i].text);
    mem_free(l->path);
    mem_free(l->change);
    mem_free(l->problem);
    *l = (struct leaf_list){ 0 };
}
