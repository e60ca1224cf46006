/* taxonomy.c — which leaves of a taxonomy were changed, asked of git.
 *
 * Candidates are untracked files and files that differ between the merge point with the base and the working tree, deletions
 * excluded (instructlab-reference §2.4). The merge point is git's own merge-base; a base that cannot be found is an error.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/taxonomy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { GIT_MAX_OUTPUT = 64 << 20, MAX_LEAVES = 100000, MAX_DEPTH = 32 };
static const char *const ROOTS[] = { "compositional_skills/", "knowledge/" };

static int add(struct leaf_list *l, const char *path, ilab_err *e)
{
    if (l->n >= MAX_LEAVES) return err_set(e, ILAB_E_LIMIT, "the taxonomy has more than %d leaves", (int)MAX_LEAVES);
    if (mem_grow((void **)&l->path, &l->cap, l->n + 1, sizeof *l->path)) return err_set(e, ILAB_E_NOMEM, "no memory for the leaves");
    l->path[l->n++] = xstrdup(path);
    return 0;
}

static int is_leaf(struct sv path)
{
    for (size_t i = 0; i < ARRAY_LEN(ROOTS); i++) {
        if (!sv_starts(path, ROOTS[i])) continue;
        if (sv_ends(path, ".yaml")) return 1;
        if (sv_ends(path, ".yml") || sv_ends(path, ".YAML"))
            log_warn("Found a '%.*s' file: taxonomy files must be named 'qna.yaml'. File will not be checked.", SV_ARG(path));
    }
    return 0;
}

/* NUL-separated paths of a git command's output. */
static int add_output(struct leaf_list *l, const char *out, size_t n, ilab_err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n;) {
        const size_t len = strlen(out + i);
        if (len && is_leaf((struct sv){ out + i, len })) rc = add(l, out + i, e);
        i += len + 1;
    }
    return rc;
}

/* Runs git in `dir`; *why (may be NULL) gets the first line that it complained with. */
static int git(const char *dir, const char *const *argv, char **out, size_t *n, int *status, char why[200], ilab_err *e)
{
    char *err_text = NULL;
    const int rc = child_run(argv, dir, GIT_MAX_OUTPUT, out, n, &err_text, status, e);
    struct sv rest = sv_of(err_text ? err_text : ""), line = { "", 0 };
    if (!rc && *status) log_debug("git: %s", err_text ? err_text : "");
    if (why) sv_split(&rest, '\n', &line), snprintf(why, 200, "%.*s", (int)(line.n < 199 ? line.n : 199), line.p);
    mem_free(err_text);
    if (rc == ILAB_E_NOTFOUND) return err_set(e, rc, "%s: install git, or use --taxonomy-base empty, which needs none", e ? e->msg : "");
    return rc;
}

/* Links to folders are not followed: git does not, and they may form circles. */
static int is_link(const char *path)
{
    struct stat st;
    return !lstat(path, &st) && S_ISLNK(st.st_mode);
}

static int walk(struct leaf_list *l, const char *root, const char *below, int depth, ilab_err *e)
{
    char *dir = path_join(root, below), **name = NULL;
    size_t n = 0;
    int rc = dir ? dir_list(dir, &name, &n, e) : err_set(e, ILAB_E_NOMEM, "no memory for a path");
    for (size_t i = 0; !rc && i < n && depth < MAX_DEPTH; i++) {
        char *rel = path_join(below, name[i]), *full = path_join(root, rel ? rel : "");
        const int kind = full ? file_exists(full) : 0;
        if (kind == 2 && name[i][0] != '.' && !is_link(full)) rc = walk(l, root, rel, depth + 1, e);
        if (kind == 1 && is_leaf(sv_of(rel))) rc = add(l, rel, e);
        mem_free(rel);
        mem_free(full);
    }
    dir_list_free(name, n);
    mem_free(dir);
    return rc;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Sorted, each path once. */
static void arrange(struct leaf_list *l)
{
    size_t n = 0;
    if (l->n) qsort(l->path, l->n, sizeof *l->path, by_name);
    for (size_t i = 0; i < l->n; i++) {
        if (n && !strcmp(l->path[n - 1], l->path[i])) mem_free(l->path[i]);
        else l->path[n++] = l->path[i];
    }
    l->n = n;
}

/* The commit from which on files count as changed. */
static int merge_point(const char *taxonomy, const char *base, char commit[64], ilab_err *e)
{
    const char *const exists[] = { "git", "rev-parse", "--verify", "--quiet", "HEAD", NULL };
    const char *const argv[] = { "git", "merge-base", "HEAD", base, NULL };
    char *out = NULL;
    size_t n = 0;
    int status = 0;
    if (base[0] == '-' || !*base) return err_set(e, ILAB_E_INVALID, "'%s' is no git reference: name a branch, tag or commit with --taxonomy-base", base);
    int rc = git(taxonomy, exists, &out, &n, &status, NULL, e);
    mem_free(out);
    out = NULL;
    if (!rc && status) return err_set(e, ILAB_E_INVALID, "the taxonomy '%s' has no commit yet: commit it once, or use --taxonomy-base empty", taxonomy);
    if (!rc) rc = git(taxonomy, argv, &out, &n, &status, NULL, e);
    if (!rc && (status || n < 8))
        rc = err_set(e, ILAB_E_NOTFOUND, "Couldn't find the taxonomy %s \"%s\" from the current HEAD: fetch it, or name another one with --taxonomy-base (empty: every leaf)",
                     strchr(base, '/') ? "base branch" : "git ref", base);
    if (!rc) {
        const struct sv s = sv_trim((struct sv){ out, n });
        snprintf(commit, 64, "%.*s", (int)(s.n < 63 ? s.n : 63), s.p);
    }
    mem_free(out);
    return rc;
}

static int every_leaf(struct leaf_list *l, const char *taxonomy, ilab_err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < ARRAY_LEN(ROOTS); i++) {
        char *dir = path_join(taxonomy, ROOTS[i]), root[64];
        snprintf(root, sizeof root, "%.*s", (int)strlen(ROOTS[i]) - 1, ROOTS[i]);
        if (file_exists(dir) == 2) rc = walk(l, taxonomy, root, 0, e);
        mem_free(dir);
    }
    return rc;
}

static int changed_leaves(struct leaf_list *l, const char *taxonomy, const char *base, ilab_err *e)
{
    char commit[64] = "", why[200], *out = NULL;
    size_t n = 0;
    int status = 0;
    const char *const inside[] = { "git", "rev-parse", "--show-prefix", NULL };
    const char *const untracked[] = { "git", "ls-files", "-z", "--others", "--exclude-standard", NULL };
    const char *const changed[] = { "git", "diff", "-z", "--no-ext-diff", "--name-only", "--relative", "--no-renames", "--diff-filter=d", commit, "--", NULL };
    int rc = git(taxonomy, inside, &out, &n, &status, why, e);
    if (!rc && status)
        rc = err_set(e, ILAB_E_INVALID, "the taxonomy '%s' is not a git repository (%s): run `git init` there and commit, or use --taxonomy-base empty", taxonomy, why);
    mem_free(out);
    out = NULL;
    if (!rc) rc = merge_point(taxonomy, base, commit, e);
    for (int i = 0; !rc && i < 2; i++) {
        rc = git(taxonomy, i ? changed : untracked, &out, &n, &status, why, e);
        if (!rc && status) rc = err_set(e, ILAB_E_IO, "git cannot list the changes of '%s': %s", taxonomy, why);
        if (!rc) rc = add_output(l, out, n, e);
        mem_free(out);
        out = NULL;
    }
    return rc;
}

int taxonomy_changed(const char *taxonomy, const char *base, struct leaf_list *l, ilab_err *e)
{
    *l = (struct leaf_list){ 0 };
    const int kind = file_exists(taxonomy);
    int rc = 0;
    if (!kind) return err_set(e, ILAB_E_NOTFOUND, "taxonomy (%s) does not exist.", taxonomy);
    if (kind == 1 && !sv_ends(sv_of(taxonomy), ".yaml")) log_warn("Skipping %s! Use lowercase '.yaml' extension instead.", taxonomy);
    else if (kind == 1) rc = add(l, taxonomy, e);
    else rc = !strcmp(base, "empty") ? every_leaf(l, taxonomy, e) : changed_leaves(l, taxonomy, base, e);
    if (!rc) arrange(l);
    else leaf_list_release(l);
    return rc;
}

void leaf_list_release(struct leaf_list *l)
{
    for (size_t i = 0; i < l->n; i++) mem_free(l->path[i]);
    mem_free(l->path);
    *l = (struct leaf_list){ 0 };
}
