/* cmd_process.c — `ilab process list | attach | stop | prune`: runs in the background.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"
#include "cli/process.h"
#include "cli/messages.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static void pause_ms(int ms) { nanosleep(&(struct timespec){ 0, (long)ms * 1000000 }, NULL); }

/* Last complete line of a log: where a run is. */
static void last_line(const char *path, char *out, size_t cap)
{
    char text[4096];
    *out = 0;
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    const off_t size = lseek(fd, 0, SEEK_END);
    const off_t from = size > (off_t)sizeof text - 1 ? size - (off_t)sizeof text + 1 : 0;
    const ssize_t got = pread(fd, text, sizeof text - 1, from);
    close(fd);
    size_t n = got > 0 ? (size_t)got : 0;
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r')) n--;
    size_t start = n;
    while (start && text[start - 1] != '\n' && text[start - 1] != '\r') start--;
    snprintf(out, cap, "%.*s", (int)(n - start), text + start);
}

/* ---- list ---- */
struct list_args { const char *state; int json; };
#define O(field) offsetof(struct list_args, field)
static const struct opt LIST_OPTS[] = {
    { "state", 0, NULL, OPT_STR, O(state), 0, 0, "STATE", NULL, "only runs in this state: Running, Done, Errored or Stopped, in any case" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "with exit code, command, folder and last line of the log, as JSON" },
    { 0 },
};
#undef O

static int list_run(struct cli *c, void *args)
{
    static const char *const HEAD[] = { "Type", "PID", "UUID", "Log File", "Runtime", "Status" };
    static const char *const STATES[] = { "Running", "Done", "Errored", "Stopped" };
    enum { COLS = ARRAY_LEN(HEAD) };
    const struct list_args *a = args;
    ilab_err e = { 0 };
    struct registry r;
    const char *uuid;
    json_t *entry, *all = json_array();
    size_t known = 0;
    while (a->state && known < ARRAY_LEN(STATES) && strcasecmp(a->state, STATES[known])) known++;
    if (known == ARRAY_LEN(STATES)) {
        fprintf(stderr, "Error: Invalid value for '--state': '%s' is not one of: Running, Done, Errored, Stopped\n", a->state);
        json_decref(all);
        return EXIT_USAGE;
    }
    if (registry_open(&r, REGISTRY_LOOK | (c->compat == 26 ? REGISTRY_KEEP_STATES : 0u), &e)) return json_decref(all), fail(&e, "%s", "");
    const size_t n_all = json_object_size(r.all);
    const char **cell = mem_calloc(n_all * COLS + 1, sizeof *cell);
    char(*text)[2][32] = mem_calloc(n_all + 1, sizeof *text);
    int n = 0;
    json_object_foreach(r.all, uuid, entry) {
        const char *status = json_str(entry, "status"), *log = json_str(entry, "log_file");
        char line[512];
        if (!cell || !text || (a->state && strcasecmp(status ? status : "Running", a->state))) continue;
        const int64_t s = (int64_t)process_seconds(entry);
        snprintf(text[n][0], 32, "%lld", (long long)json_int(entry, "pid", 0));
        snprintf(text[n][1], 32, "%02lld:%02d:%02d", (long long)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
        const char *const row[COLS] = { json_str(entry, "type"), text[n][0], uuid, log, text[n][1], status ? status : "Running" };
        for (int i = 0; i < COLS; i++) cell[n * COLS + i] = row[i] ? row[i] : "";
        n++;
        if (!a->json) continue;
        json_t *o = json_deep_copy(entry);
        last_line(log, line, sizeof line);
        json_object_set_new(o, "uuid", json_string(uuid));
        json_object_set_new(o, "runtime_seconds", json_integer(s));
        json_t *last = json_string(line);
        json_object_set_new(o, "last_line", last ? last : json_null());
        json_array_append_new(all, o);
    }
    if (a->json) print_json(json_incref(all));
    else if (!n) fputs(tr("No processes found in registry\n"), stdout);
    else table_print(HEAD, COLS, cell, n);
    json_decref(all);
    mem_free(cell);
    mem_free(text);
    registry_close(&r);
    return EXIT_DONE;
}

const struct cmd CMD_PROCESS_LIST = {
    .name = "process list", .args_bytes = sizeof(struct list_args), .opts = LIST_OPTS, .run = list_run, .needs_config = -1,
    .summary = "Runs in the background and how they ended.",
    .help = "`ilab generate -dt` and `ilab train -dt` start such runs. A run whose end nobody could write down is Errored.\n\n"
            "Examples:\n  ilab process list\n  ilab process list --state running --json\n",
};

/* ---- attach and stop ---- */
struct one_args { const char *uuid; int latest, timeout, kill; };
#define O(field) offsetof(struct one_args, field)
static const struct opt ATTACH_OPTS[] = {
    { "uuid", 0, NULL, OPT_STR, O(uuid), 0, 0, "ID", NULL, "the same as ID" },
    { "latest", 0, NULL, OPT_FLAG, O(latest), 0, 0, NULL, NULL, "the run that was started last" },
    { 0 },
};
static const struct one_args STOP_DEFAULTS = { .timeout = 120 };
static const struct opt STOP_OPTS[] = {
    { "uuid", 0, NULL, OPT_STR, O(uuid), 0, 0, "ID", NULL, "the same as ID" },
    { "latest", 0, NULL, OPT_FLAG, O(latest), 0, 0, NULL, NULL, "the run that was started last" },
    { "timeout", 0, NULL, OPT_INT, O(timeout), 0, 86400, "SECONDS", NULL, "how long to wait until it has saved and ended" },
    { "kill", 0, NULL, OPT_FLAG, O(kill), 0, 0, NULL, NULL, "then end it at once; what came since its last save is lost" },
    { 0 },
};
#undef O

/* A copy of the run's entry, so that the registry is not locked meanwhile; caller json_decrefs. NULL: message printed, *code set. */
static json_t *entry_of(const struct cli *c, const struct one_args *a, char uuid[64], int *code)
{
    ilab_err e = { 0 };
    struct registry r;
    const char *id = a->latest ? "latest" : a->uuid ? a->uuid : c->n_word ? c->word[0] : NULL, *key = "";
    json_t *copy = NULL;
    *code = EXIT_USAGE;
    if (!id || !*id) {
        fprintf(stderr, "Error: Missing argument 'ID': give an ID of `ilab process list`, or --latest\n");
        return NULL;
    }
    *code = EXIT_FAILED;
    if (registry_open(&r, REGISTRY_LOOK, &e)) return fail(&e, "%s", ""), NULL;
    json_t *entry = registry_find(&r, id, &key, &e);
    if (entry) copy = json_deep_copy(entry);
    snprintf(uuid, 64, "%s", key);
    registry_close(&r);
    if (!copy) fail(&e, "%s", "");
    return copy;
}

/* Copies what is new in the log to stdout; 0: nothing. */
static int copy_new(int fd)
{
    char text[16384];
    const ssize_t n = read(fd, text, sizeof text);
    if (n <= 0) return 0;
    fwrite(text, 1, (size_t)n, stdout);
    fflush(stdout);
    return 1;
}

static int report_end(const struct cli *c, struct one_args *a, const char *uuid)
{
    char again[64];
    int code = EXIT_FAILED;
    a->latest = 0, a->uuid = uuid;
    for (int i = 0; i < 20; i++) { /* its supervisor is just writing it down */
        json_t *entry = entry_of(c, a, again, &code);
        if (!entry) return code;
        const json_t *exit_code = json_object_get(entry, "exit_code");
        const char *status = json_str(entry, "status");
        const int known = json_is_integer(exit_code), value = (int)json_int(entry, "exit_code", EXIT_FAILED);
        if (known) printf(tr("The run has ended: %s, exit code %d.\n"), status ? status : "?", value);
        json_decref(entry);
        if (known) return value;
        pause_ms(100);
    }
    printf(tr("The run has ended; its exit code is not known.\n"));
    return EXIT_FAILED;
}

static int attach_run(struct cli *c, void *args)
{
    enum { SHOW_BYTES = 64 << 10 };
    struct one_args *a = args;
    char uuid[64];
    int code, fd, alive = 1;
    json_t *entry = entry_of(c, a, uuid, &code);
    if (!entry) return code;
    const char *log = json_str(entry, "log_file");
    fd = log ? open(log, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        fprintf(stderr, "cannot read the log '%s': %s\n", log ? log : "", strerror(errno));
        json_decref(entry);
        return EXIT_FAILED;
    }
    const off_t size = lseek(fd, 0, SEEK_END);
    lseek(fd, size > SHOW_BYTES ? size - SHOW_BYTES : 0, SEEK_SET);
    while (!signal_pending()) {
        if (copy_new(fd)) continue;
        if (!alive) break; /* it ended before this look at the log, so that was all */
        alive = process_alive(entry);
        if (alive) pause_ms(200);
    }
    close(fd);
    json_decref(entry);
    if (!signal_pending()) return report_end(c, a, uuid);
    printf(tr("\nNo longer following; the run goes on. `ilab process stop %.8s` ends it.\n"), uuid);
    return EXIT_DONE;
}

const struct cmd CMD_PROCESS_ATTACH = {
    .name = "process attach", .args_bytes = sizeof(struct one_args), .opts = ATTACH_OPTS, .run = attach_run, .needs_config = -1, .max_words = 1, .words = "[ID]",
    .summary = "Follow the log of a run in the background; Ctrl-C only stops following.",
    .help = "ID is the UUID of `ilab process list`, or its beginning. Ends with the exit code of the run when that ends.\n\n"
            "Examples:\n  ilab process attach --latest\n  ilab process attach 63866b91\n",
};

/* A run may save and end with 0 when it is told to stop: the list shall not call that Done. */
static void mark_stopping(const char *uuid)
{
    struct registry r;
    if (registry_open(&r, REGISTRY_KEEP_STATES, NULL)) return;
    const char *key;
    json_t *entry = registry_find(&r, uuid, &key, NULL);
    if (entry) {
        json_object_set_new(entry, "stop_requested", json_true());
        registry_save(&r, NULL);
    }
    registry_close(&r);
}

static int stop_run(struct cli *c, void *args)
{
    struct one_args *a = args;
    char uuid[64], line[512];
    int code;
    json_t *entry = entry_of(c, a, uuid, &code);
    if (!entry) return code;
    const pid_t pid = (pid_t)json_int(entry, "pid", 0);
    if (!process_alive(entry)) {
        printf(tr("%s has ended already.\n"), uuid);
        json_decref(entry);
        return EXIT_DONE;
    }
    const double start = now_seconds();
    struct progress p;
    progress_start(&p, "waiting until it has saved", 0, 0);
    mark_stopping(uuid);
    code = kill(pid, SIGTERM) ? errno : 0;
    while (!code && process_alive(entry) && now_seconds() - start < a->timeout && !signal_pending()) {
        last_line(json_str(entry, "log_file"), line, sizeof line);
        progress_at(&p, (int64_t)(now_seconds() - start), "s  %.60s", line);
        pause_ms(100);
    }
    if (!code && a->kill && !signal_pending() && process_alive(entry)) {
        code = kill(pid, SIGKILL) ? errno : 0;
        for (int i = 0; !code && i < 50 && process_alive(entry); i++) pause_ms(100);
    }
    progress_end(&p);
    const int alive = process_alive(entry);
    json_decref(entry);
    if (code) fprintf(stderr, "cannot stop process %d: %s\n", (int)pid, strerror(code));
    else if (alive) fprintf(stderr, tr("It was told to stop and still runs: `ilab process attach %.8s` follows it, `ilab process stop --kill` ends it at once\n"), uuid);
    else report_end(c, a, uuid);
    return code || alive ? EXIT_FAILED : EXIT_DONE;
}

const struct cmd CMD_PROCESS_STOP = {
    .name = "process stop", .args_bytes = sizeof(struct one_args), .defaults = &STOP_DEFAULTS, .opts = STOP_OPTS, .run = stop_run, .needs_config = -1, .max_words = 1, .words = "[ID]",
    .summary = "End a run in the background; it saves first, and the same command goes on later.",
    .help = "Sends SIGTERM and waits.\n\nExamples:\n  ilab process stop --latest\n  ilab process stop 63866b91 --timeout 10 --kill\n",
};

/* ---- prune ---- */
struct prune_args { int logs; };
static const struct opt PRUNE_OPTS[] = {
    { "logs", 0, NULL, OPT_FLAG, offsetof(struct prune_args, logs), 0, 0, NULL, NULL, "remove their log files, too" },
    { 0 },
};

static int prune_run(struct cli *c, void *args)
{
    (void)c;
    const struct prune_args *a = args;
    ilab_err e = { 0 };
    struct registry r;
    const char *uuid;
    void *next;
    json_t *entry;
    int n = 0, rc = registry_open(&r, REGISTRY_LOOK, &e);
    if (rc) return fail(&e, "%s", "");
    char *logs = user_dir("data", "logs/", &e);
    json_object_foreach_safe(r.all, next, uuid, entry) {
        const char *status = json_str(entry, "status"), *log = json_str(entry, "log_file");
        if (!status || !strcmp(status, "Running")) continue;
        if (a->logs && log && logs && !strncmp(log, logs, strlen(logs)) && !strstr(log, "/../")) unlink(log); /* never anything but a log */
        json_object_del(r.all, uuid);
        n++;
    }
    if (n) rc = registry_save(&r, &e);
    registry_close(&r);
    mem_free(logs);
    if (rc) return fail(&e, "%s", "");
    printf(tr("%d runs that have ended were removed from the list.\n"), n);
    return EXIT_DONE;
}

const struct cmd CMD_PROCESS_PRUNE = {
    .name = "process prune", .args_bytes = sizeof(struct prune_args), .opts = PRUNE_OPTS, .run = prune_run, .needs_config = -1,
    .summary = "Remove runs that have ended from the list.",
    .help = "Examples:\n  ilab process prune\n  ilab process prune --logs\n",
};
