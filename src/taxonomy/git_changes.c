/* git_changes.c — which leaves are new or changed, asked of the `git` program (instructlab-reference §2.4).
 *
 * Candidates are untracked files, and files that differ between one commit and the working tree, staged or not; what was deleted
 * is none. The commit: a base that names a branch is followed from HEAD along first parents to the first commit that the branch
 * contains; any other base is the commit itself. All names come NUL-separated, so no name is quoted. Submodules are asked in
 * their own folders, against the commit that the taxonomy had recorded for them.
 *
 * A hook's environment (GIT_DIR, GIT_INDEX_FILE …) is put aside, for it names another folder's repository; programs that the
 * repository's configuration names for watching files are not run. Nothing is written, no lock is taken.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/leaves.h"

#include <string.h>

enum { GIT_MAX_OUTPUT = 64 << 20, GIT_MAX_ARGS = 32, MAX_REFS = 16, MAX_SUBMODULE_DEPTH = 8, SHA_MAX = 80 };

/* Why git refuses, by a part of what it says; what to do. */
static const struct { const char *part, *remedy; } REFUSALS[] = {
    { "dubious ownership", "the folder belongs to somebody else: take it over, or tell git with `git config --global --add safe.directory PATH`" },
    { "bad config", "mend git's configuration file" },
    { "index file corrupt", "the repository is damaged: delete .git/index and run `git reset`" },
    { "bad object", "the repository is damaged: run `git fsck`, or clone it anew" },
    { "unable to read", "the repository is damaged: run `git fsck`, or clone it anew" },
    { "Permission denied", "check the permissions of the folder" },
};

struct answer { char *out; size_t n; int status; char why[200]; char *err; };

static void answer_release(struct answer *a)
{
    mem_free(a->out);
    mem_free(a->err);
    *a = (struct answer){ 0 };
}

/* Runs git in `dir`; a->why: the first line that it complained with. Nonzero only when it could not be run. */
static int git(const char *dir, struct answer *a, ilab_err *e, const char *const *args)
{
    static const char *const HEAD[] = { "env", "-u", "GIT_DIR", "-u", "GIT_WORK_TREE", "-u", "GIT_INDEX_FILE", "-u", "GIT_PREFIX", "-u", "GIT_NAMESPACE",
                                        "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "git", "-c", "core.fsmonitor=false" };
    const char *argv[GIT_MAX_ARGS + MAX_REFS];
    size_t n = 0;
    *a = (struct answer){ 0 };
    for (size_t i = 0; i < ARRAY_LEN(HEAD); i++) argv[n++] = HEAD[i];
    for (size_t i = 0; args[i] && n + 1 < ARRAY_LEN(argv); i++) argv[n++] = args[i];
    argv[n] = NULL;
    int rc = child_run(argv, dir, GIT_MAX_OUTPUT, &a->out, &a->n, &a->err, &a->status, e);
    if (!rc && a->status == 127 && (!a->err || strstr(a->err, "env:")))
        rc = err_set(e, ILAB_E_NOTFOUND, "the program \"git\" is not installed");
    if (rc == ILAB_E_NOTFOUND) rc = err_set(e, rc, "%s: install git, or use --taxonomy-base empty, which needs none", e ? e->msg : "");
    struct sv rest = sv_of(a->err ? a->err : ""), line = { "", 0 };
    sv_split(&rest, '\n', &line);
    snprintf(a->why, sizeof a->why, "%.*s", (int)(line.n < 199 ? line.n : 199), line.p);
    if (!rc && a->status) log_debug("git: %s", a->err ? a->err : "");
    if (rc) answer_release(a);
    return rc;
}
#define GIT(dir, a, e, ...) git(dir, a, e, (const char *const[]){ __VA_ARGS__, NULL })

static int refused(ilab_err *e, const char *what, const char *dir, const struct answer *a)
{
    const char *remedy = NULL;
    for (size_t i = 0; i < ARRAY_LEN(REFUSALS) && !remedy; i++)
        if (a->err && strstr(a->err, REFUSALS[i].part)) remedy = REFUSALS[i].remedy;
    return err_set(e, ILAB_E_IO, "git cannot %s of '%s': %s%s%s", what, dir, a->why, remedy ? "; " : "", remedy ? remedy : "");
}

/* The commit that a revision stands for; *out "" when there is none. */
static int commit_of(const char *dir, const char *revision, const char *suffix, char out[SHA_MAX], ilab_err *e)
{
    struct sb b;
    struct answer a;
    sb_init(&b, 4096);
    sb_addf(&b, "%s%s", revision, suffix);
    out[0] = 0;
    if (!b.p || b.failed) return sb_release(&b), 0; /* too long to be a name of git's */
    const int rc = GIT(dir, &a, e, "rev-parse", "--verify", "--quiet", "--end-of-options", b.p);
    sb_release(&b);
    if (rc) return rc;
    const struct sv s = sv_trim((struct sv){ a.out ? a.out : "", a.n });
    if (!a.status && s.n >= 8 && s.n < SHA_MAX) snprintf(out, SHA_MAX, "%.*s", SV_ARG(s));
    answer_release(&a);
    return 0;
}

/* Branches whose commits count as the base. The reference compares ends of lines of a list of branches, so that `main` means
 * `xmain` and `remotes/origin/main`, too; that only where it is asked for. */
struct refs { char *name[MAX_REFS]; int n; };

static int add_ref(struct refs *r, const char *dir, const char *folder, const char *base, ilab_err *e)
{
    struct sb b;
    char sha[SHA_MAX];
    sb_init(&b, 4096);
    sb_addf(&b, "%s%s", folder, base);
    int rc = b.p && !b.failed ? commit_of(dir, b.p, "^{commit}", sha, e) : (sha[0] = 0);
    if (!rc && sha[0] && r->n < MAX_REFS) r->name[r->n++] = xstrdup(b.p);
    sb_release(&b);
    return rc;
}

static int refs_of_base(const char *dir, const char *base, unsigned flags, struct refs *r, ilab_err *e)
{
    struct answer a;
    const int remote = strchr(base, '/') != NULL;
    int rc = 0;
    if (remote) rc = add_ref(r, dir, "refs/remotes/", base, e);
    if (!rc && !r->n && !(remote && flags & TAXONOMY_REFERENCE_BASE)) rc = add_ref(r, dir, "refs/heads/", base, e);
    if (rc || remote || !r->n || !(flags & TAXONOMY_REFERENCE_BASE)) return rc;
    if ((rc = GIT(dir, &a, e, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes"))) return rc;
    struct sv rest = { a.out ? a.out : "", a.n }, line;
    while (sv_split(&rest, '\n', &line) && r->n < MAX_REFS)
        if (line.n && sv_ends(line, base)) r->name[r->n++] = mem_strndup(line.p, line.n);
    answer_release(&a);
    return 0;
}

static int no_base(ilab_err *e, const char *what, const char *base, int shallow)
{
    return err_set(e, ILAB_E_NOTFOUND, "Couldn't find the taxonomy %s \"%s\" from the current HEAD: %s, or name another one with --taxonomy-base (empty: every leaf)", what, base,
                   shallow ? "the clone is shallow: run `git fetch --unshallow`" : "fetch it");
}

/* From HEAD along first parents to the first commit that one of the branches contains. */
static int first_contained(const char *dir, const struct refs *r, const char *base, int shallow, char commit[SHA_MAX], ilab_err *e)
{
    const char *args[8 + MAX_REFS] = { "rev-list", "--first-parent", "HEAD", "--not" };
    char last[SHA_MAX] = "";
    struct answer a;
    int n = 4;
    for (int i = 0; i < r->n; i++) args[n++] = r->name[i];
    args[n++] = "--";
    int rc = git(dir, &a, e, args);
    if (rc) return rc;
    if (a.status) rc = refused(e, "walk the history", dir, &a);
    const struct sv s = sv_trim((struct sv){ a.out ? a.out : "", a.n });
    size_t from = s.n;
    while (from && s.p[from - 1] != '\n') from--;
    if (s.n - from < SHA_MAX) snprintf(last, sizeof last, "%.*s", (int)(s.n - from), s.p + from);
    answer_release(&a);
    if (!rc) rc = last[0] ? commit_of(dir, last, "^1", commit, e) : commit_of(dir, "HEAD", "^{commit}", commit, e);
    if (!rc && !commit[0]) rc = no_base(e, "base branch", base, shallow);
    return rc;
}

static int find_base(const char *dir, const char *base, unsigned flags, int shallow, char commit[SHA_MAX], ilab_err *e)
{
    struct refs r = { 0 };
    commit[0] = 0;
    if (base[0] == '-' || !*base) return err_set(e, ILAB_E_INVALID, "'%s' is no git reference: name a branch, tag or commit with --taxonomy-base", base);
    int rc = refs_of_base(dir, base, flags, &r, e);
    if (!rc && r.n) rc = first_contained(dir, &r, base, shallow, commit, e);
    else if (!rc && !(strchr(base, '/') && flags & TAXONOMY_REFERENCE_BASE)) rc = commit_of(dir, base, "^{commit}", commit, e);
    if (!rc && !commit[0]) rc = no_base(e, strchr(base, '/') ? "base branch" : "git ref", base, shallow);
    for (int i = 0; i < r.n; i++) mem_free(r.name[i]);
    return rc;
}

static int offer(struct leaf_list *l, const char *prefix, const char *path, enum leaf_change change, ilab_err *e)
{
    if (!*prefix) return leaves_offer(l, path, change, e);
    char *full = path_join(prefix, path);
    const int rc = full ? leaves_offer(l, full, change, e) : err_set(e, ILAB_E_NOMEM, "no memory for a path");
    mem_free(full);
    return rc;
}

/* A folder that git cannot open is left out of its list, with a line on stderr. */
static int complaints(struct leaf_list *l, const char *prefix, const struct answer *a, ilab_err *e)
{
    struct sv rest = sv_of(a->err ? a->err : ""), line;
    int rc = 0;
    while (!rc && sv_split(&rest, '\n', &line)) {
        if (sv_starts(line, "warning: could not open directory '")) {
            const size_t from = strlen("warning: could not open directory '");
            const ptrdiff_t to = sv_find(line, SV("/':"), from);
            char *name = to > 0 ? mem_strndup(line.p + from, (size_t)to - from) : NULL, *path = name && *prefix ? path_join(prefix, name) : NULL;
            if (name) rc = leaves_problem(l, e, path ? path : name, "the folder cannot be read: check its permissions (%.*s)", SV_ARG(line));
            mem_free(name);
            mem_free(path);
        } else if (line.n) {
            log_warn("git (%s): %.*s", *prefix ? prefix : ".", (int)(line.n < 300 ? line.n : 300), line.p);
        }
    }
    return rc;
}

/* The roots, as arguments behind "--": git need not look anywhere else. */
#define ROOT_FOLDERS "compositional_skills", "knowledge"

static int untracked(struct leaf_list *l, const char *dir, const char *root, const char *prefix, ilab_err *e)
{
    struct answer a;
    const int narrow = !*prefix; /* below a submodule every folder may hold leaves */
    int rc = narrow ? GIT(dir, &a, e, "ls-files", "-z", "--others", "--exclude-standard", "--", ROOT_FOLDERS)
                    : GIT(dir, &a, e, "ls-files", "-z", "--others", "--exclude-standard");
    if (rc) return rc;
    if (a.status) rc = refused(e, "list the new files", dir, &a);
    for (size_t i = 0; !rc && i < a.n;) {
        const size_t n = strlen(a.out + i);
        if (n && a.out[i + n - 1] == '/') { /* a repository of its own that is no submodule (yet): all of it is new */
            char *below = *prefix ? path_join(prefix, a.out + i) : mem_strndup(a.out + i, n);
            if (below && *below && below[strlen(below) - 1] == '/') below[strlen(below) - 1] = 0;
            rc = below ? leaves_walk(l, root, below, 0, LEAF_NEW, e) : err_set(e, ILAB_E_NOMEM, "no memory for a path");
            mem_free(below);
        } else if (n) {
            rc = offer(l, prefix, a.out + i, LEAF_NEW, e);
        }
        i += n + 1;
    }
    if (!rc) rc = complaints(l, prefix, &a, e);
    answer_release(&a);
    return rc;
}

static int differing(struct leaf_list *l, const char *dir, const char *prefix, const char *commit, ilab_err *e)
{
    struct answer a;
    int rc = *prefix ? GIT(dir, &a, e, "diff", "-z", "--no-ext-diff", "--name-status", "--relative", "--no-renames", "--ignore-submodules=all", "--diff-filter=d", commit, "--")
                     : GIT(dir, &a, e, "diff", "-z", "--no-ext-diff", "--name-status", "--relative", "--no-renames", "--ignore-submodules=all", "--diff-filter=d", commit, "--", ROOT_FOLDERS);
    if (rc) return rc;
    if (a.status) rc = refused(e, "list the changes", dir, &a);
    for (size_t i = 0; !rc && i < a.n;) {
        const char *status = a.out + i, *path = status + strlen(status) + 1;
        if (path >= a.out + a.n) break;
        rc = offer(l, prefix, path, *status == 'A' ? LEAF_NEW : LEAF_CHANGED, e);
        i = (size_t)(path - a.out) + strlen(path) + 1;
    }
    answer_release(&a);
    return rc;
}

static int changes_in(struct leaf_list *l, const char *root, const char *prefix, const char *commit, int depth, ilab_err *e);

static int submodule(struct leaf_list *l, const char *dir, const char *root, const char *prefix, const char *path, const char *commit, int depth, ilab_err *e)
{
    char old[SHA_MAX] = "", here[SHA_MAX] = "", *sub = path_join(dir, path), *git_dir = sub ? path_join(sub, ".git") : NULL;
    char *below = *prefix ? path_join(prefix, path) : xstrdup(path), *spec = path_join(".", path);
    struct sb b;
    sb_init(&b, 1 << 16);
    sb_addf(&b, "%s:%s", commit, spec ? spec : "");
    int rc = b.p && !b.failed && sub && git_dir && below && spec ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for a path");
    if (!rc && !file_exists(git_dir)) {
        log_warn("the submodule '%s' is not checked out, so its leaves are not seen: run `git submodule update --init`", below);
    } else if (!rc && depth < MAX_SUBMODULE_DEPTH) {
        rc = commit_of(dir, b.p, "", old, e);
        if (!rc && old[0]) rc = commit_of(sub, old, "^{commit}", here, e);
        if (!rc) rc = here[0] ? changes_in(l, root, below, here, depth + 1, e) : leaves_walk(l, root, below, 0, LEAF_NEW, e);
    }
    sb_release(&b);
    mem_free(sub);
    mem_free(git_dir);
    mem_free(below);
    mem_free(spec);
    return rc;
}

static int submodules(struct leaf_list *l, const char *dir, const char *root, const char *prefix, const char *commit, int depth, ilab_err *e)
{
    struct answer a;
    int rc = GIT(dir, &a, e, "rev-parse", "--show-toplevel");
    if (rc) return rc;
    if (!a.status && a.n && a.out[a.n - 1] == '\n') a.out[a.n - 1] = 0;
    char *list = !a.status && a.out ? path_join(a.out, ".gitmodules") : NULL;
    const int any = list && file_exists(list) == 1;
    mem_free(list);
    answer_release(&a);
    if (!any) return 0;
    if ((rc = GIT(dir, &a, e, "ls-files", "-z", "--stage"))) return rc;
    for (size_t i = 0; !rc && !a.status && i < a.n;) {
        const char *line = a.out + i, *tab = strchr(line, '\t');
        if (tab && !strncmp(line, "160000 ", 7)) rc = submodule(l, dir, root, prefix, tab + 1, commit, depth, e);
        i += strlen(line) + 1;
    }
    answer_release(&a);
    return rc;
}

/* prefix: where `dir` lies below the taxonomy ("": the taxonomy itself). */
static int changes_in(struct leaf_list *l, const char *root, const char *prefix, const char *commit, int depth, ilab_err *e)
{
    char *dir = *prefix ? path_join(root, prefix) : xstrdup(root);
    if (!dir) return err_set(e, ILAB_E_NOMEM, "no memory for a path");
    int rc = untracked(l, dir, root, prefix, e);
    if (!rc) rc = differing(l, dir, prefix, commit, e);
    if (!rc) rc = submodules(l, dir, root, prefix, commit, depth, e);
    mem_free(dir);
    return rc;
}

int leaves_from_git(struct leaf_list *l, const char *taxonomy, const char *base, ilab_err *e)
{
    struct answer a;
    char commit[SHA_MAX];
    int rc = GIT(taxonomy, &a, e, "rev-parse", "--is-inside-work-tree", "--is-shallow-repository", "HEAD");
    if (rc) return rc;
    const struct sv out = { a.out ? a.out : "", a.n };
    const int shallow = sv_find(out, SV("\ntrue\n"), 0) >= 0;
    if (a.status && !out.n && a.err && strstr(a.err, "not a git repository"))
        rc = err_set(e, ILAB_E_INVALID, "the taxonomy '%s' is not a git repository: run `git init` there and commit, or use --taxonomy-base empty (every leaf)", taxonomy);
    else if (a.status && !out.n) rc = refused(e, "read the repository", taxonomy, &a);
    else if (sv_starts(out, "false"))
        rc = err_set(e, ILAB_E_INVALID, "the taxonomy '%s' is a repository without a working tree: clone it, and name the clone with --taxonomy-path", taxonomy);
    else if (a.status)
        rc = err_set(e, ILAB_E_INVALID, "the taxonomy '%s' has no commit yet: commit it once, or use --taxonomy-base empty", taxonomy);
    answer_release(&a);
    if (!rc) rc = find_base(taxonomy, base, l->flags, shallow, commit, e);
    if (!rc) rc = changes_in(l, taxonomy, "", commit, 0, e);
    return rc;
}
