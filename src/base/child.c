/* child.c — runs another program with an argument vector and collects what it writes.
 *
 * No shell.  A child that writes more than `max` is killed; so is one that runs for too long, or that still runs
 * when the user interrupts us.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct stream { int fd; struct sb text; };

/* 1: more may come; 0: closed; negative: error. */
static int stream_read(struct stream *s) {
    char buf[16384];
    ssize_t n = read(s->fd, buf, sizeof buf);
    if (n < 0) return errno == EINTR || errno == EAGAIN ? 1 : ILAB_E_IO;
    if (n == 0) return 0;
    if ((size_t)n > s->text.max - s->text.n) return ILAB_E_LIMIT;
    sb_add(&s->text, (struct sv){ buf, (size_t)n });
    return s->text.failed ? ILAB_E_NOMEM : 1;
}

/* Reads both streams to their ends, unless a signal comes that was not pending `before` the child was made. */
static int collect(struct stream s[2], pid_t pid, int before, double seconds, int *late) {
    const double start = now_seconds();
    int rc = 0;
    while (s[0].fd >= 0 || s[1].fd >= 0) {
        struct pollfd fds[2] = { { s[0].fd, POLLIN, 0 }, { s[1].fd, POLLIN, 0 } }; /* poll skips negative ones */
        int ready = poll(fds, 2, 200);
        if (signal_pending() != before) rc = ILAB_E_CANCEL;
        else if (seconds > 0 && now_seconds() - start > seconds) rc = ILAB_E_LIMIT, *late = 1;
        else if (ready < 0 && errno != EINTR) rc = ILAB_E_IO;
        for (int i = 0; i < 2 && rc == 0 && ready > 0; i++) {
            if (!fds[i].revents) continue;
            int more = stream_read(&s[i]);
            if (more < 0) rc = more; /* stays open until the child is killed, or SIGPIPE might come first */
            if (more == 0) {
                close(s[i].fd);
                s[i].fd = -1;
            }
        }
        if (rc) {
            kill(pid, rc == ILAB_E_CANCEL ? SIGTERM : SIGKILL);
            break;
        }
    }
    return rc;
}

/* This process's environment with the lines of `set` in it; NULL without memory. The array is the caller's, the lines are not. */
static char **environment(const char *const *set) {
    size_t n_old = 0, n_set = 0, n = 0;
    while (environ[n_old]) n_old++;
    while (set[n_set]) n_set++;
    char **v = mem_alloc((n_old + n_set + 1) * sizeof *v);
    for (size_t i = 0; v && i < n_old; i++) {
        const size_t name = strcspn(environ[i], "=") + 1;
        int replaced = 0;
        for (size_t k = 0; k < n_set; k++) replaced |= !strncmp(environ[i], set[k], name);
        if (!replaced) v[n++] = environ[i];
    }
    for (size_t k = 0; v && k < n_set; k++) v[n++] = (char *)(uintptr_t)set[k];
    if (v) v[n] = NULL;
    return v;
}

static int spawn(const char *const *argv, const struct child_opts *o, int out_fd, int err_fd, pid_t *pid) {
    char **env = o->env ? environment(o->env) : environ;
    if (!env) return ENOMEM;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t defaults;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* ignored signals are inherited; ordinary programs expect to die of it */
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
    if (o->in_fd > 0) posix_spawn_file_actions_adddup2(&actions, o->in_fd, 0);
    else posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
    posix_spawn_file_actions_adddup2(&actions, err_fd, 2);
    if (o->cwd) posix_spawn_file_actions_addchdir_np(&actions, o->cwd);
    int errnum = posix_spawnp(pid, argv[0], &actions, &attr, (char *const *)argv, env);
    if (o->env) mem_free(env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return errnum;
}

static int report(ilab_err *e, int rc, const char *program, const struct child_opts *o, int late) {
    char bytes[32];
    format_bytes(bytes, sizeof bytes, (double)o->max);
    if (late) return err_set(e, rc, "\"%s\" was stopped: it had not finished after %.0f s", program, o->seconds);
    switch (rc) {
    case ILAB_E_CANCEL: return err_set(e, rc, "\"%s\" was interrupted", program);
    case ILAB_E_NOMEM: return err_set(e, rc, "no memory for the output of \"%s\"", program);
    case ILAB_E_LIMIT: return err_set(e, rc, "\"%s\" wrote more than %s", program, bytes);
    default: return err_set(e, rc, "cannot read the output of \"%s\"", program);
    }
}

int child_run_with(const char *const *argv, const struct child_opts *o, char **out, size_t *n_out, char **err_out, int *status, ilab_err *e) {
    int p_out[2] = { -1, -1 }, p_err[2] = { -1, -1 }, rc = 0, before = signal_pending(), late = 0;
    pid_t pid = -1;
    if (out) *out = NULL;
    if (n_out) *n_out = 0;
    if (err_out) *err_out = NULL;
    *status = -1;
    if (o->cwd && file_exists(o->cwd) != 2) return err_set(e, ILAB_E_NOTFOUND, "the folder \"%s\" does not exist", o->cwd);
    int errnum = pipe2(p_out, O_CLOEXEC) || pipe2(p_err, O_CLOEXEC) ? errno : 0;
    if (!errnum) errnum = spawn(argv, o, p_out[1], p_err[1], &pid);
    if (p_out[1] >= 0) close(p_out[1]);
    if (p_err[1] >= 0) close(p_err[1]);
    struct stream s[2] = { { .fd = p_out[0] }, { .fd = p_err[0] } };
    sb_init(&s[0].text, o->max);
    sb_init(&s[1].text, o->max);
    if (errnum == ENOENT) rc = err_set(e, ILAB_E_NOTFOUND, "the program \"%s\" is not installed", argv[0]);
    else if (errnum) rc = err_errno(e, errnum, "cannot run \"%s\"", argv[0]);
    else {
        rc = collect(s, pid, before, o->seconds, &late);
        int wait_status = 0;
        while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {}
        *status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
        if (rc) rc = report(e, rc, argv[0], o, late);
    }
    for (int i = 0; i < 2; i++)
        if (s[i].fd >= 0) close(s[i].fd);
    if (rc == 0 && out && !(*out = sb_take(&s[0].text, n_out))) rc = err_set(e, ILAB_E_NOMEM, "no memory for the output of \"%s\"", argv[0]);
    if (rc == 0 && err_out && !(*err_out = sb_take(&s[1].text, NULL))) {
        rc = err_set(e, ILAB_E_NOMEM, "no memory for the output of \"%s\"", argv[0]);
        if (out) mem_free(*out), *out = NULL;
    }
    sb_release(&s[0].text);
    sb_release(&s[1].text);
    return rc;
}

int child_run(const char *const *argv, const char *cwd, size_t max, char **out, size_t *n_out, char **err_out, int *status, ilab_err *e) {
    return child_run_with(argv, &(struct child_opts){ .cwd = cwd, .max = max }, out, n_out, err_out, status, e);
}
