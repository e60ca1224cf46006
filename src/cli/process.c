/* process.c — the registry of background runs, and starting one: see process.h.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/process.h"
#include "cli/config.h"
#include "cli/messages.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REGISTRY_MAX_BYTES = 16 << 20, REGISTRY_MAX_RUNS = 500, LOCK_TRIES = 40 };

static void pause_ms(int ms) { nanosleep(&(struct timespec){ ms / 1000, (long)(ms % 1000) * 1000000 }, NULL); }

/* ---- states ---- */

/* Start time of a process in clock ticks since boot (/proc/PID/stat, field 22); 0: there is none, or it is a zombie. */
static int64_t start_ticks(int64_t pid)
{
    char path[64], text[2048];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *p = strrchr(text, ')'); /* the name before it may hold anything */
    if (!p || (p[1] == ' ' && p[2] == 'Z')) return 0;
    for (int field = 2; p && field < 22; field++) p = strchr(p + 1, ' ');
    return p ? strtoll(p + 1, NULL, 10) : 0;
}

int process_alive(const json_t *entry)
{
    const int64_t pid = json_int(entry, "pid", 0), ticks = json_int(entry, "start_ticks", 0), now = pid > 0 ? start_ticks(pid) : 0;
    return now && (!ticks || ticks == now);
}

static int64_t parse_time(const char *text) /* "2026-01-31T12:00:00", local */
{
    struct tm tm = { .tm_isdst = -1 };
    const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    return end ? (int64_t)mktime(&tm) : 0;
}

double process_seconds(const json_t *entry)
{
    const int64_t from = parse_time(json_str(entry, "start_time")), to = parse_time(json_str(entry, "end_time"));
    const int64_t now = (int64_t)time(NULL), end = to ? to : now;
    return from && end > from ? (double)(end - from) : 0;
}

static void set_end(json_t *entry, const char *status)
{
    char when[32];
    time_local(when, sizeof when, "%Y-%m-%dT%H:%M:%S");
    json_object_set_new(entry, "status", json_string(status));
    json_object_set_new(entry, "end_time", json_string(when));
}

/* ---- the file ---- */

void registry_close(struct registry *r)
{
    json_decref(r->all);
    mem_free(r->path);
    if (r->fd >= 0) close(r->fd);
    *r = (struct registry){ .fd = -1 };
}

int registry_save(struct registry *r, ilab_err *e)
{
    struct sb b;
    sb_init(&b, REGISTRY_MAX_BYTES);
    sb_add_json(&b, r->all);
    sb_addch(&b, '\n');
    const int rc = b.failed ? err_set(e, ILAB_E_NOMEM, "no memory for the list of runs") : file_write(r->path, b.p, b.n, e);
    sb_release(&b);
    return rc;
}

enum { UNLOCKED = -2 };
static int not_writable(int why) { return why == EACCES || why == EROFS || why == EPERM; }

/* A lock, or UNLOCKED where nobody may write: then the list can still be read. -1 with *e. */
static int lock_registry(const char *path, ilab_err *e)
{
    struct sb b;
    sb_init(&b, 1 << 16);
    sb_addf(&b, "%s.lock", path);
    int fd = open(b.p, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 && not_writable(errno)) fd = UNLOCKED;
    else if (fd < 0) err_errno(e, errno, "cannot write '%s' (XDG_DATA_HOME names another place)", b.p);
    for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB); i++) {
        if (i < LOCK_TRIES) {
            pause_ms(50);
            continue;
        }
        err_set(e, ILAB_E_LIMIT, "another program holds '%s': try again", b.p);
        close(fd);
        fd = -1;
    }
    sb_release(&b);
    return fd;
}

int registry_open(struct registry *r, unsigned how, ilab_err *e)
{
    const char *uuid;
    json_t *entry;
    ilab_err own = { 0 };
    if (!e) e = &own;
    char *dir = user_dir("data", "internal", e);
    *r = (struct registry){ .fd = -1 };
    if (how & REGISTRY_LOOK && dir && !file_exists(dir)) { /* perhaps it cannot be made, and nothing is in it */
        mem_free(dir);
        r->all = json_object();
        return 0;
    }
    int rc = dir ? dir_make(dir, e) : e->code, changed = 0;
    if (!rc) {
        r->path = path_join(dir, "process_registry.json");
        r->fd = lock_registry(r->path, e);
        rc = r->fd == -1 ? e->code : 0;
    }
    mem_free(dir);
    if (!rc) r->all = file_exists(r->path) ? json_read_file(r->path, REGISTRY_MAX_BYTES, e) : json_object();
    if (!rc && !json_is_object(r->all)) {
        rc = err_set(e, ILAB_E_FORMAT, "'%s' is no list of runs: move it away", r->path);
    }
    if (rc) {
        registry_close(r);
        return rc;
    }
    json_object_foreach(r->all, uuid, entry) {
        const char *status = json_str(entry, "status");
        if (how & REGISTRY_KEEP_STATES || (status && strcmp(status, "Running")) || process_alive(entry)) continue;
        set_end(entry, "Errored"); /* whoever should have told its end is gone, too */
        changed = 1;
    }
    if (changed) registry_save(r, NULL); /* only a note: the next reader finds the same */
    return 0;
}

json_t *registry_find(struct registry *r, const char *id, const char **uuid, ilab_err *e)
{
    const char *key, *best = "";
    json_t *entry, *found = NULL;
    int n = 0;
    const int latest = !strcmp(id, "latest");
    json_object_foreach(r->all, key, entry) {
        const char *start = json_str(entry, "start_time");
        if (latest ? strcmp(start ? start : "", best) < 0 : strncmp(key, id, strlen(id)) != 0) continue;
        if (latest) best = start ? start : "";
        found = entry, *uuid = key, n++;
    }
    if (!found && latest) err_set(e, ILAB_E_NOTFOUND, "No processes found in registry");
    else if (!found) err_set(e, ILAB_E_NOTFOUND, "Process not found: '%s' (`ilab process list` shows all)", id);
    else if (!latest && n > 1) err_set(e, ILAB_E_INVALID, "'%s' fits %d runs: give more of the ID", id, n), found = NULL;
    return found;
}

/* ---- starting ---- */

struct start { char uuid[37], *log; int ok; };

static void make_uuid(char out[37])
{
    struct rng g;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    rng_seed(&g, hash64(&t, sizeof t, (uint64_t)getpid()));
    const uint64_t a = rng_u64(&g), b = rng_u64(&g);
    snprintf(out, 37, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff),
             (unsigned)(0x8000 | (b >> 48 & 0x3fff)), (unsigned long long)(b & 0xffffffffffffULL));
}

static char *make_log(const struct cmd *cmd, const char *uuid, ilab_err *e)
{
    struct sb b;
    char type[32], *dir = NULL, *path = NULL;
    size_t i = 0;
    for (; cmd->detach[i] && i + 1 < sizeof type; i++) type[i] = (char)tolower((unsigned char)cmd->detach[i]);
    type[i] = 0;
    sb_init(&b, 1 << 16);
    sb_addf(&b, "logs/%s", type);
    dir = user_dir("data", b.p, e);
    sb_reset(&b);
    sb_addf(&b, "%s-%s.log", type, uuid);
    if (dir && !dir_make(dir, e)) path = path_join(dir, b.p);
    sb_release(&b);
    mem_free(dir);
    return path;
}

static int add_entry(const struct cli *c, const struct start *s, pid_t worker, ilab_err *e)
{
    struct registry r;
    char when[32], cwd[4096];
    int rc = registry_open(&r, 0, e);
    if (rc) return rc;
    time_local(when, sizeof when, "%Y-%m-%dT%H:%M:%S");
    json_t *words = json_array(), *command;
    for (int i = 0; i < c->argc; i++) {
        json_t *word = json_string(c->argv[i]);
        json_array_append_new(words, word ? word : json_string("?"));
    }
    command = json_pack("{s:i,s:s,s:s,s:[],s:s,s:s,s:I,s:o}", "pid", (int)worker, "type", c->cmd->detach, "log_file", s->log, "children_pids", "start_time", when, "status", "Running",
                        "start_ticks", (json_int_t)start_ticks(worker), "command", words);
    if (getcwd(cwd, sizeof cwd)) json_object_set_new(command, "cwd", json_string(cwd));
    json_object_set_new(r.all, s->uuid, command);
    while (json_object_size(r.all) > REGISTRY_MAX_RUNS) { /* the oldest that have ended make room */
        const char *key, *oldest = NULL, *best = "~";
        json_t *it;
        json_object_foreach(r.all, key, it) {
            const char *start = json_str(it, "start_time"), *status = json_str(it, "status");
            if (status && strcmp(status, "Running") && strcmp(start ? start : "", best) < 0) oldest = key, best = start ? start : "";
        }
        if (!oldest) break;
        json_object_del(r.all, oldest);
    }
    rc = registry_save(&r, e);
    registry_close(&r);
    return rc;
}

static void record_end(const char *uuid, int code)
{
    struct registry r;
    ilab_err e = { 0 };
    const char *key;
    if (registry_open(&r, REGISTRY_KEEP_STATES, &e)) {
        fprintf(stderr, "%s\n", e.msg); /* into the log */
        return;
    }
    json_t *entry = registry_find(&r, uuid, &key, &e);
    if (entry) {
        const int told = json_is_true(json_object_get(entry, "stop_requested")) && (code == 0 || code == 128 + SIGTERM || code == 128 + SIGKILL);
        set_end(entry, told || code == EXIT_INTERRUPTED ? "Stopped" : code == 0 ? "Done" : "Errored");
        json_object_set_new(entry, "exit_code", json_integer(code));
        if (registry_save(&r, &e)) fprintf(stderr, "%s\n", e.msg);
    }
    registry_close(&r);
}

/* The process that waits. tell: its message to the program that the user started; empty: all is well. */
static int supervise(struct cli *c, void *args, struct start *s, int log_fd, int tell)
{
    ilab_err e = { 0 };
    int status = 0, go[2];
    const int null = open("/dev/null", O_RDONLY);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    if (null >= 0) dup2(null, 0);
    dup2(log_fd, 1);
    dup2(log_fd, 2);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (pipe2(go, O_CLOEXEC)) return EXIT_FAILED;
    const pid_t worker = fork();
    if (worker == 0) {
        char byte;
        close(go[1]);
        close(tell);
        if (read(go[0], &byte, 1) != 1) _exit(EXIT_FAILED); /* it could not be registered */
        signal_install();
        const int code = c->cmd->run(c, args);
        fflush(NULL);
        _exit(code < 0 ? 0 : code);
    }
    close(go[0]);
    int rc = worker < 0 ? err_errno(&e, errno, "cannot start a process") : add_entry(c, s, worker, &e);
    if (rc) {
        if (write(tell, e.msg, strlen(e.msg)) < 0) rc = e.code;
        close(go[1]);
        return EXIT_FAILED;
    }
    if (write(go[1], "", 1) != 1) return EXIT_FAILED;
    close(go[1]);
    close(tell);
    while (waitpid(worker, &status, 0) < 0 && errno == EINTR) {}
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (WIFSIGNALED(status)) fprintf(stderr, "The process was ended by signal %d.\n", WTERMSIG(status));
    record_end(s->uuid, code);
    return 0;
}

int detach_run(struct cli *c, void *args)
{
    ilab_err e = { 0 };
    struct start s = { 0 };
    char said[1024];
    int tell[2] = { -1, -1 }, log_fd = -1, status;
    make_uuid(s.uuid);
    s.log = make_log(c->cmd, s.uuid, &e);
    if (s.log && (log_fd = open(s.log, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666)) < 0) err_errno(&e, errno, "cannot write '%s'", s.log);
    if (log_fd >= 0 && pipe2(tell, O_CLOEXEC)) err_errno(&e, errno, "cannot start a process");
    fflush(NULL);
    const pid_t child = tell[0] >= 0 ? fork() : -1;
    if (child == 0) {
        close(tell[0]);
        setsid();
        const pid_t supervisor = fork(); /* no session leader: no terminal can come back to it */
        _exit(supervisor ? supervisor < 0 : supervise(c, args, &s, log_fd, tell[1]));
    }
    if (log_fd >= 0) close(log_fd);
    if (tell[1] >= 0) close(tell[1]);
    size_t n = 0;
    ssize_t got;
    while (child > 0 && n < sizeof said - 1 && ((got = read(tell[0], said + n, sizeof said - 1 - n)) > 0 || (got < 0 && errno == EINTR))) n += got > 0 ? (size_t)got : 0;
    said[n] = 0;
    if (tell[0] >= 0) close(tell[0]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (child < 0 && !e.code) err_errno(&e, errno, "cannot start a process");
    if (n) err_set(&e, ILAB_E_IO, "%s", said);
    if (!e.code)
        printf(tr("%s runs in the background as %s.\nIts log: %s\n\n  ilab process attach %.8s   follow it (Ctrl-C only stops following)\n  ilab process stop %.8s     end it; what was done is saved\n"), c->cmd->detach,
               s.uuid, s.log, s.uuid, s.uuid);
    mem_free(s.log);
    return e.code ? fail(&e, "Cannot run detached: ") : EXIT_DONE;
}
