/* fetch.c — the folder that document.repo and document.commit name: on this machine, or a clone in the cache.
 *
 *   <cache>/documents/<name>-<hash of the address>/
 *       .lock           held while something is fetched
 *       repo.git        what git has fetched so far
 *       <commit>/       the files of a commit; made beside and renamed, so it is whole or absent
 *       names           "<branch or tag> <commit>" a line: what a name meant when it was last fetched
 *
 * A commit that is there is never fetched again. git runs without a shell, without hooks, without asking; only https, ssh, git
 * and local files are spoken. Git LFS is not followed.  SPDX-License-Identifier: Apache-2.0 */
#include "document/document.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GIT_MAX_OUTPUT = 1 << 20, FETCH_SECONDS = 3600, LOCK_SECONDS = 900, MIN_FREE = 64 << 20, MAX_ADDRESS = 4096 };

void source_release(struct source *s)
{
    mem_free(s->root);
    mem_free(s->only);
    *s = (struct source){ 0 };
}

static int is_hex(const char *s)
{
    const size_t n = strlen(s);
    return n >= 7 && n <= 64 && strspn(s, "0123456789abcdef") == n;
}

static int is_whole_hash(const char *s) { return is_hex(s) && (strlen(s) == 40 || strlen(s) == 64); }

/* ---- git ---- */

/* Runs git; *out (may be NULL) is what it said, without the line end. Nonzero exit: ILAB_E_IO with git's words in *said. */
static int git(const char *const *args, const char *cwd, const char *index, int is_local, double seconds, char **out, char **said, ilab_err *e)
{
    const char *argv[40] = { "git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c",
                             "filter.lfs.required=false", "-c", "advice.detachedHead=false", "-c", "gc.auto=0" };
    int n = 15, k = 0, status = 0;
    const char *env[8] = { "GIT_TERMINAL_PROMPT=0", "LC_ALL=C", is_local ? "GIT_ALLOW_PROTOCOL=file" : "GIT_ALLOW_PROTOCOL=https:ssh:git" };
    char *index_env = NULL, *text = NULL;
    for (k = 3; env[k]; k++) {}
    if (!getenv("GIT_SSH_COMMAND")) env[k++] = "GIT_SSH_COMMAND=ssh -oBatchMode=yes";
    if (index) {
        struct sb b;
        sb_init(&b, 1 << 16);
        sb_addf(&b, "GIT_INDEX_FILE=%s", index);
        env[k++] = index_env = sb_take(&b, NULL);
    }
    while (*args && n < 38) argv[n++] = *args++;
    const struct child_opts o = { .cwd = cwd, .max = GIT_MAX_OUTPUT, .seconds = seconds, .env = env };
    int rc = child_run_with(argv, &o, &text, NULL, said, &status, e);
    mem_free(index_env);
    if (rc == ILAB_E_NOTFOUND) rc = err_set(e, rc, "the program git is not installed, and document.repo needs it (Debian: apt install git)");
    if (!rc && status) rc = err_set(e, ILAB_E_IO, "git failed");
    if (rc || !out) mem_free(text);
    else {
        const struct sv s = sv_trim(sv_of(text));
        *out = mem_strndup(s.p, s.n);
        mem_free(text);
        if (!*out) rc = err_set(e, ILAB_E_NOMEM, "no memory for the output of git");
    }
    return rc;
}
#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* The commit that a name means in a repository, or NULL. Caller mem_frees. */
static char *resolve(const char *repo, const char *prefix, const char *name)
{
    char spec[512], *out = NULL, *said = NULL;
    if (snprintf(spec, sizeof spec, "%s%s^{commit}", prefix, name) >= (int)sizeof spec) return NULL;
    if (git(ARGS("-C", repo, "rev-parse", "--verify", "--quiet", "--end-of-options", spec), NULL, NULL, 1, 60, &out, &said, NULL)) out = NULL;
    mem_free(said);
    if (out && !is_whole_hash(out)) mem_free(out), out = NULL;
    return out;
}

/* ---- the cache ---- */

static char *cache_folder(const struct source_request *r)
{
    const char *own = r->cache ? r->cache : getenv("ILAB_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own && *own) return path_join(own, "documents");
    if (xdg && *xdg == '/') return path_join(xdg, "ilab/documents");
    return path_join(home && *home ? home : "/tmp", ".cache/ilab/documents");
}

/* "<last part of the address>-<hash>", so that somebody who looks finds something. */
static char *entry_name(const char *url)
{
    struct sha256 h;
    char hex[65], name[128];
    struct sv base = sv_of(url);
    size_t k = 0;
    sha256_init(&h);
    sha256_add(&h, url, strlen(url));
    sha256_hex(&h, hex);
    while (base.n && base.p[base.n - 1] == '/') base.n--;
    if (sv_ends(base, ".git")) base.n -= 4;
    size_t from = base.n;
    while (from && base.p[from - 1] != '/' && base.p[from - 1] != ':') from--;
    for (; from < base.n && k < 40; from++) {
        const char c = base.p[from];
        name[k++] = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ? c : '_';
    }
    snprintf(name + k, sizeof name - k, "-%.16s", hex);
    return xstrdup(name);
}

static int lock_entry(const char *dir, int *fd, ilab_err *e)
{
    const double start = now_seconds();
    int rc, told = 0;
    while ((rc = dir_lock(dir, fd, e)) == ILAB_E_LIMIT && now_seconds() - start < LOCK_SECONDS && !signal_pending()) {
        if (!told++) log_info("another ilab fetches these documents: waiting for it");
        poll(NULL, 0, 200);
    }
    return rc && signal_pending() ? err_set(e, ILAB_E_CANCEL, "interrupted") : rc;
}

/* What a branch or tag meant when it was last fetched. Caller mem_frees; NULL: not known, or its files are gone. */
static char *known_name(const char *entry, const char *name)
{
    char *file = path_join(entry, "names"), *text = NULL, *found = NULL;
    size_t n = 0;
    if (!file_read(file, 1 << 20, &text, &n, NULL)) {
        struct sv rest = { text, n }, line, word;
        while (sv_split(&rest, '\n', &line)) {
            struct sv hash = line;
            if (sv_split(&hash, ' ', &word) && sv_eq_c(word, name)) {
                mem_free(found);
                found = mem_strndup(hash.p, hash.n);
            }
        }
    }
    char *dir = found ? path_join(entry, found) : NULL;
    if (found && (!is_whole_hash(found) || file_exists(dir) != 2)) mem_free(found), found = NULL;
    mem_free(dir);
    mem_free(text);
    mem_free(file);
    return found;
}

static void keep_name(const char *entry, const char *name, const char *hash)
{
    char *file = path_join(entry, "names"), *text = NULL;
    size_t n = 0;
    struct sb b;
    sb_init(&b, 1 << 20);
    if (!file_read(file, 1 << 20, &text, &n, NULL)) {
        struct sv rest = { text, n }, line, word;
        while (sv_split(&rest, '\n', &line)) {
            struct sv copy = line;
            if (!sv_split(&copy, ' ', &word) || sv_eq_c(word, name)) continue;
            sb_add(&b, line);
            sb_addch(&b, '\n');
        }
    }
    sb_addf(&b, "%s %s\n", name, hash);
    if (!b.failed) file_write(file, b.p, b.n, NULL); /* without it only the offline lookup by name is lost */
    sb_release(&b);
    mem_free(text);
    mem_free(file);
}

/* ---- fetching ---- */

static int has_any(const char *text, const char *const *word, int n)
{
    for (int i = 0; i < n; i++)
        if (strstr(text, word[i])) return 1;
    return 0;
}

/* git's own words, and what to do. */
static int fetch_failed(const char *url, const char *said, ilab_err *e)
{
    static const char *const OFFLINE[] = { "Could not resolve host", "Network is unreachable", "Temporary failure in name resolution", "Connection timed out",
                                           "Couldn't connect", "Failed to connect", "Connection refused", "Could not resolve hostname" };
    static const char *const CLOSED[] = { "terminal prompts disabled", "Authentication failed", "Permission denied", "could not read Username" };
    if (e && e->code != ILAB_E_IO) return e->code;
    const struct sv s = sv_trim(sv_of(said ? said : ""));
    size_t from = s.n;
    while (from && s.p[from - 1] != '\n' && s.n - from < 250) from--;
    const struct sv line = { s.p + from, s.n - from };
    if (has_any(s.p, OFFLINE, ARRAY_LEN(OFFLINE)))
        return err_set(e, ILAB_E_IO, "git fetch %s: this machine does not reach the address (%.*s), and the documents are not in the cache: connect once, or set document.repo to a folder here", url, SV_ARG(line));
    if (has_any(s.p, CLOSED, ARRAY_LEN(CLOSED)))
        return err_set(e, ILAB_E_IO, "git fetch %s: the repository wants a login (%.*s): set up git's credentials or a key for it, or check document.repo", url, SV_ARG(line));
    return err_set(e, ILAB_E_IO, "git fetch %s: %.*s: check document.repo and the network", url, SV_ARG(line));
}

/* Fetches a commit, branch or tag. *hash is what it means; caller mem_frees. */
static int fetch(const char *entry, const char *url, const char *name, int is_local, char **hash, ilab_err *e)
{
    char *repo = path_join(entry, "repo.git"), *head = path_join(repo, "HEAD"), *shallow = path_join(repo, "shallow"), *said = NULL, want[600];
    int rc = 0;
    *hash = NULL;
    if (!file_exists(head) && git(ARGS("init", "--quiet", "--bare", "--", repo), NULL, NULL, 1, 60, NULL, &said, e))
        rc = e && e->code == ILAB_E_NOTFOUND ? e->code : err_set(e, ILAB_E_IO, "cannot make the cache '%s': %s", repo, said ? said : "");
    mem_free(said), said = NULL;
    if (!rc && is_hex(name)) *hash = resolve(repo, "", name); /* it came along with another one */
    if (!rc && !*hash) {
        log_info("git fetch %s (%s)", url, *name ? name : "HEAD");
        snprintf(want, sizeof want, "+%s:refs/ilab/want", *name ? name : "HEAD");
        rc = git(ARGS("-C", repo, "fetch", "--quiet", "--no-tags", "--depth=1", "--", url, want), NULL, NULL, is_local, FETCH_SECONDS, NULL, &said, e);
        if (!rc) *hash = resolve(repo, "", "refs/ilab/want");
        if (rc == ILAB_E_IO && *name) { /* not a name there, or a server that gives no single commits: everything, then look again */
            mem_free(said), said = NULL;
            rc = git(ARGS("-C", repo, "fetch", "--quiet", "--tags", file_exists(shallow) ? "--unshallow" : "--force", "--", url, "+refs/heads/*:refs/remotes/origin/*"), NULL, NULL,
                     is_local, FETCH_SECONDS, NULL, &said, e);
            static const char *const PLACE[] = { "refs/remotes/origin/", "refs/tags/", "" };
            for (size_t i = 0; !rc && i < ARRAY_LEN(PLACE) && !*hash; i++) *hash = resolve(repo, PLACE[i], name);
        }
        if (rc && rc != ILAB_E_CANCEL) rc = fetch_failed(url, said, e);
        else if (!rc && !*hash) rc = err_set(e, ILAB_E_IO, "%s has no commit %s: check document.commit", url, *name ? name : "HEAD");
    }
    mem_free(said);
    mem_free(repo);
    mem_free(head);
    mem_free(shallow);
    return rc;
}

static void remove_tree(const char *dir)
{
    int status;
    child_run(ARGS("rm", "-rf", "--", dir), NULL, GIT_MAX_OUTPUT, NULL, NULL, NULL, &status, NULL);
}

/* The files of a commit as a folder of the entry. */
static int unpack(const char *entry, const char *hash, ilab_err *e)
{
    char *dir = path_join(entry, hash), *repo = path_join(entry, "repo.git"), *said = NULL, name[64], git_dir[4200];
    int rc = 0;
    if (file_exists(dir) == 2) goto done;
    snprintf(name, sizeof name, ".new-%ld", (long)getpid());
    char *tmp = path_join(entry, name), *index = path_join(entry, ".index");
    remove_tree(tmp);
    unlink(index);
    rc = dir_make(tmp, e);
    snprintf(git_dir, sizeof git_dir, "--git-dir=%s", repo);
    if (!rc) rc = git(ARGS(git_dir, "--work-tree=.", "read-tree", hash), tmp, index, 1, FETCH_SECONDS, NULL, &said, e);
    if (!rc) {
        mem_free(said), said = NULL;
        rc = git(ARGS(git_dir, "--work-tree=.", "checkout-index", "--all", "--force", "--quiet"), tmp, index, 1, FETCH_SECONDS, NULL, &said, e);
    }
    if (rc == ILAB_E_IO) rc = err_set(e, rc, "cannot write the documents of commit %s to '%s': %.200s", hash, tmp, said && *said ? said : "is the disk full?");
    if (!rc && rename(tmp, dir)) rc = err_set(e, ILAB_E_IO, "cannot rename '%s' to '%s'", tmp, dir);
    if (rc) remove_tree(tmp);
    unlink(index);
    mem_free(tmp);
    mem_free(index);
    mem_free(said);
done:
    mem_free(dir);
    mem_free(repo);
    return rc;
}

/* Locked: fetches unless the commit is there already. */
static int clone_locked(const char *entry, const char *url, const char *commit, int is_local, struct source *out, ilab_err *e)
{
    char *hash = NULL;
    int rc = fetch(entry, url, commit, is_local, &hash, e);
    if (rc == ILAB_E_IO && (hash = known_name(entry, *commit ? commit : "HEAD")) != NULL) {
        log_warn("%s: the commit that '%s' meant when it was last fetched is used: %.12s", e ? e->msg : "cannot fetch", *commit ? commit : "HEAD", hash);
        rc = 0;
        out->from_cache = 1;
    } else if (!rc) {
        rc = unpack(entry, hash, e);
        if (!rc) keep_name(entry, *commit ? commit : "HEAD", hash);
    }
    if (!rc) {
        snprintf(out->commit, sizeof out->commit, "%s", hash);
        out->root = path_join(entry, hash);
    }
    mem_free(hash);
    return rc;
}

/* Looks only: *out is the folder of a commit that was fetched before. A name means what it meant then. */
static int clone_known(const char *entry, const char *commit, struct source *out)
{
    char *hash = known_name(entry, *commit ? commit : "HEAD");
    if (!hash) return 0;
    snprintf(out->commit, sizeof out->commit, "%s", hash);
    out->root = path_join(entry, hash);
    out->from_cache = 1;
    mem_free(hash);
    return 1;
}

static int clone_open(const struct source_request *r, const char *url, int is_local, struct source *out, ilab_err *e)
{
    const char *commit = r->commit ? r->commit : "";
    char *cache = cache_folder(r), *name = entry_name(url), *entry = path_join(cache, name), *there = is_whole_hash(commit) ? path_join(entry, commit) : NULL;
    int rc = 0, lock = -1;
    out->is_clone = 1;
    if (there && file_exists(there) == 2) {
        out->root = there;
        there = NULL;
        out->from_cache = 1;
        snprintf(out->commit, sizeof out->commit, "%s", commit);
    } else if (r->offline && !is_local) {
        if (!clone_known(entry, commit, out)) rc = err_set(e, ILAB_E_NOTFOUND, "the documents of %s (%s) are not at hand", url, *commit ? commit : "HEAD");
    } else {
        rc = dir_make(entry, e);
        if (!rc) rc = lock_entry(entry, &lock, e);
        if (rc && rc != ILAB_E_CANCEL) err_prefix(e, "the cache of documents cannot be used (set ILAB_CACHE_DIR to another folder): ");
        if (!rc && disk_free(entry) < MIN_FREE) rc = err_set(e, ILAB_E_IO, "less than %d MB are free at '%s': free some space, or set ILAB_CACHE_DIR", (int)(MIN_FREE >> 20), cache);
        if (!rc) rc = clone_locked(entry, url, commit, is_local, out, e);
        if (lock >= 0) dir_unlock(lock);
    }
    mem_free(there);
    mem_free(entry);
    mem_free(name);
    mem_free(cache);
    return rc;
}

/* ---- what repo is ---- */

static int holds(const char *dir, const char *name)
{
    char *p = path_join(dir, name);
    const int kind = file_exists(p);
    mem_free(p);
    return kind;
}

/* The file or folder that `repo` names on this machine, or NULL. Caller mem_frees. */
static char *local_path(const struct source_request *r)
{
    const char *repo = r->repo;
    if (!strncmp(repo, "file://", 7)) repo += 7;
    if (repo[0] == '/') return file_exists(repo) ? xstrdup(repo) : NULL;
    for (int i = 0; i < r->n_from; i++) {
        char *p = strcmp(r->from[i], ".") ? path_join(r->from[i], repo) : xstrdup(repo);
        if (file_exists(p)) return p;
        mem_free(p);
    }
    return NULL;
}

/* A name that git would take for an option or for more than one thing is refused. */
static int check_names(const struct source_request *r, ilab_err *e)
{
    static const char *const SCHEME[] = { "https://", "ssh://", "git://", "file://" };
    const char *commit = r->commit ? r->commit : "", *colon = strstr(r->repo, "://");
    int known = !colon;
    for (size_t i = 0; i < ARRAY_LEN(SCHEME); i++) known |= !strncmp(r->repo, SCHEME[i], strlen(SCHEME[i]));
    if (!*r->repo || r->repo[0] == '-' || strstr(r->repo, "::") || strlen(r->repo) > MAX_ADDRESS)
        return err_set(e, ILAB_E_INVALID, "document.repo '%.200s' is not the address of a repository: write https://…, a folder or a file", r->repo);
    if (!known) return err_set(e, ILAB_E_INVALID, "document.repo '%.200s': documents are fetched by https, ssh or git only", r->repo);
    if (strlen(commit) > 255 || commit[0] == '-' || strpbrk(commit, " ~^:?*[\\\177") || strstr(commit, "..") || strstr(commit, "@{"))
        return err_set(e, ILAB_E_INVALID, "document.commit '%.200s' is no commit, branch or tag", commit);
    for (const char *p = r->repo; *p; p++)
        if ((unsigned char)*p < 0x20) return err_set(e, ILAB_E_INVALID, "document.repo has control characters");
    return 0;
}

/* Is the local folder to be read through git? A bare repository always, one with a work tree when the address says file://, or
 * when commit is the hash of one of its commits; else it is read as it stands. */
static int wants_clone(const struct source_request *r, const char *dir)
{
    const int bare = holds(dir, "HEAD") == 1 && holds(dir, "objects") == 2 && holds(dir, "refs") == 2;
    if (bare || (!strncmp(r->repo, "file://", 7) && holds(dir, ".git"))) return 1;
    if (!r->commit || !is_hex(r->commit) || !holds(dir, ".git")) return 0;
    char *hash = resolve(dir, "", r->commit);
    mem_free(hash);
    return hash != NULL;
}

int source_open(const struct source_request *r, struct source *out, ilab_err *e)
{
    *out = (struct source){ 0 };
    char *path = NULL;
    const char *at = strchr(r->repo, '@');
    int rc = check_names(r, e);
    if (rc) return rc;
    path = local_path(r);
    const int is_address = strstr(r->repo, "://") || (at && strchr(at, ':')) || sv_ends(sv_of(r->repo), ".git");
    const int kind = path ? file_exists(path) : 0;
    if (kind == 2 && wants_clone(r, path)) {
        char real[4096];
        rc = realpath(path, real) ? clone_open(r, real, 1, out, e) : err_set(e, ILAB_E_NOTFOUND, "there is no folder '%s'", path);
    } else if (kind == 2) {
        out->root = path;
        path = NULL;
    } else if (kind == 1) {
        const char *slash = strrchr(path, '/');
        out->root = slash ? mem_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : xstrdup(".");
        out->only = xstrdup(path_base(path));
        if (!out->root) rc = err_set(e, ILAB_E_NOMEM, "no memory for the path of a document");
    } else if (!strncmp(r->repo, "file://", 7)) rc = clone_open(r, r->repo + 7, 1, out, e); /* gone, but perhaps in the cache */
    else if (is_address) rc = clone_open(r, r->repo, 0, out, e);
    else
        rc = err_set(e, ILAB_E_NOTFOUND, "there is no file or folder '%s' (looked beside the file, in the taxonomy and in the current folder), and it is not the address of a "
                     "git repository: correct it (in a qna.yaml: document.repo)", r->repo);
    mem_free(path);
    if (rc) source_release(out);
    return rc;
}
