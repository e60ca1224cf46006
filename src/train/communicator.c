/* communicator.c — is this process one of several? Then the plug-in that connects them is opened; and what they tell each other.
 *
 * A process that fails keeps its error until the next point at which all speak; there everybody gets the error of the first that has one, and
 * all end together. So nobody waits for one that has gone (one that was killed: its starter ends the others).
 *
 * mpirun and srun tell a process by variables that it is one of N. When the plug-in then sees one process only (srun without PMIx
 * gives N of those), N trainings would run side by side and write the same files: that is an error, not a fallback.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct { const char *variable, *starter; } STARTED_BY[] = {
    { "OMPI_COMM_WORLD_SIZE", "mpirun" }, { "PMI_SIZE", "mpirun" }, { "MPI_LOCALNRANKS", "mpirun" }, { "SLURM_STEP_NUM_TASKS", "srun" },
};

static int one_sum(struct communicator *c, float *x, size_t n) { return (void)c, (void)x, (void)n, 0; }
static int one_gather(struct communicator *c, const void *own, size_t n, void *all) { return (void)c, memcpy(all, own, n), 0; }
static int one_broadcast(struct communicator *c, void *p, size_t n, int from) { return (void)c, (void)p, (void)n, (void)from, 0; }
static void one_close(struct communicator *c) { (void)c; }
static void one_stop_all(struct communicator *c, int code) { (void)c, (void)code; }
const struct communicator COMMUNICATOR_ONE = { .size = 1, .local = 1, .crowd = 1, .sum = one_sum, .gather = one_gather, .broadcast = one_broadcast,
                                               .close = one_close, .stop_all = one_stop_all };

/* Beside the program, in ../lib/ilab, or where ILAB_MPI says. */
static void *open_plugin(ilab_err *e) {
    static const char *const PLACE[] = { "ilab-mpi.so", "../lib/ilab/ilab-mpi.so" };
    char exe[4096], path[4200];
    const char *named = getenv("ILAB_MPI");
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    char *slash = strrchr(exe, '/');
    for (size_t i = 0; i < ARRAY_LEN(PLACE) + 1; i++) {
        if (i == 0 && !named)
            continue;
        if (i == 0)
            snprintf(path, sizeof path, "%s", named);
        else
            snprintf(path, sizeof path, "%.*s/%s", slash ? (int)(slash - exe) : 1, slash ? exe : ".", PLACE[i - 1]);
        if (file_exists(path) != 1)
            continue;
        void *lib = dlopen(path, RTLD_NOW | RTLD_GLOBAL);   /* MPI opens parts of its own that look for its names */
        if (!lib)
            err_set(e, ILAB_E_INVALID, "the plug-in '%s' cannot be opened: %s", path, dlerror());
        return lib;
    }
    err_set(e, ILAB_E_NOTFOUND, "the plug-in ilab-mpi.so is not there: `make mpi` builds it (it needs libopenmpi-dev), or ILAB_MPI names it");
    return NULL;
}

int communicator_open(struct communicator *c, ilab_err *e) {
    int64_t wanted = 0;
    const char *starter = "";
    *c = COMMUNICATOR_ONE;
    for (size_t i = 0; i < ARRAY_LEN(STARTED_BY) && wanted < 2; i++) {
        const char *v = getenv(STARTED_BY[i].variable);
        if (!v || parse_i64(v, 0, INT32_MAX, &wanted))
            wanted = 0;
        starter = STARTED_BY[i].starter;
    }
    if (wanted < 2)
        return 0;
    char msg[200] = "it is no plug-in of this program";
    void *lib = open_plugin(e);
    if (!lib)
        return err_prefix(e, "%s started %lld processes, but they cannot be connected: ", starter, (long long)wanted);
    communicator_plugin *fill = NULL;
    *(void **)&fill = dlsym(lib, "ilab_communicator");
    if (!fill || fill(c, COMMUNICATOR_ABI, msg, sizeof msg)) {
        *c = COMMUNICATOR_ONE;
        return err_set(e, ILAB_E_INVALID, "%s started %lld processes, but they cannot be connected: %s", starter, (long long)wanted, msg);
    }
    if (c->size < 2) {
        c->close(c);
        *c = COMMUNICATOR_ONE;
        return err_set(e, ILAB_E_INVALID, "%s started %lld processes, but each sees only itself, so each would train alone: use `srun --mpi=pmix`, or mpirun of the MPI that the plug-in was built with", starter, (long long)wanted);
    }
    return 0;
}

void communicator_close(struct communicator *c) {
    if (c->close && !c->lost)
        c->close(c);
    *c = COMMUNICATOR_ONE;
}

/* ---- what all are told ---- */

static int connection_lost(struct communicator *c, ilab_err *e) {
    c->lost = 1;
    return err_set(e, ILAB_E_IO, "the connection to the other processes is lost");
}

static int told_by(struct communicator *c, int rank, int rc, ilab_err *e) {
    ilab_err word = { 0 };
    if (rank == c->rank && e)
        word = *e;
    if (c->broadcast(c, &word, sizeof word, rank))
        return connection_lost(c, e);
    return rank ? err_set(e, rc, "process %d: %s", rank, word.msg) : err_set(e, rc, "%s", word.msg);
}

int communicator_agree(struct communicator *c, int rc, ilab_err *e) {
    int all[COMMUNICATOR_MOST];
    if (c->size < 2 || c->lost)
        return rc;
    if (c->gather(c, &rc, sizeof rc, all))
        return connection_lost(c, e);
    for (int i = 0; i < c->size; i++)
        if (all[i])
            return told_by(c, i, all[i], e);
    return 0;
}

int communicator_share(struct communicator *c, void *p, size_t n, ilab_err *e) {
    return c->size > 1 && c->broadcast(c, p, n, 0) ? connection_lost(c, e) : 0;
}

int communicator_gather(struct communicator *c, const void *own, size_t n, void *all, ilab_err *e) {
    return c->gather(c, own, n, all) ? connection_lost(c, e) : 0;
}

/* ---- what a run shares ---- */

int run_share_state(struct loop *l, ilab_err *e) {
    struct communicator *c = l->comm;
    struct optim_view view = optim_view(l->optim);
    uint64_t all[COMMUNICATOR_MOST], own = hash64(l->r->settings, strlen(l->r->settings), 0);
    if (c->size < 2)
        return 0;
    int rc = communicator_gather(c, &own, sizeof own, all, e);
    for (int i = 1; i < c->size && !rc; i++)
        if (all[i] != all[0])
            rc = err_set(e, ILAB_E_INVALID, "process %d has other data, settings or another base model than process 0", i);
    if (!rc)
        rc = communicator_share(c, &l->s, sizeof l->s, e);
    if (!rc)
        rc = communicator_share(c, &l->resumed, sizeof l->resumed, e);
    for (int i = 0; i < l->n_saved && !rc; i++)
        rc = communicator_share(c, l->saved[i].w, l->saved[i].n * sizeof(float), e);
    if (!rc)
        rc = communicator_share(c, view.state, view.n * sizeof(float), e);
    if (!rc)
        rc = communicator_share(c, view.step, sizeof *view.step, e);
    if (!rc)
        log_info("%d processes train together, each a part of every step", c->size);
    return rc;
}

int run_share_step(struct loop *l, int rc, struct step_sums *s, ilab_err *e) {
    struct communicator *c = l->comm;
    const struct step_sums *all = l->gathered;
    if (c->size < 2)
        return rc;
    s->failed = rc;
    if (communicator_gather(c, s, sizeof *s, l->gathered, e))
        return ILAB_E_IO;
    *s = (struct step_sums){ 0 };
    for (int i = 0; i < c->size; i++) {
        if (all[i].failed)
            return told_by(c, i, all[i].failed, e);
        s->loss += all[i].loss;
        s->weight += all[i].weight;
        s->rows += all[i].rows;
        s->squares += all[i].squares;
        s->targets += all[i].targets;
        s->stopped |= all[i].stopped;
        s->signal = s->signal ? s->signal : all[i].signal;
    }
    return 0;
}

int run_share_gradient(struct loop *l, ilab_err *e) {
    struct communicator *c = l->comm;
    for (int i = 0; c->size > 1 && i < l->n_param;) {
        float *from = l->param[i].g;
        size_t n = 0;
        do
            n += l->param[i++].n;
        while (i < l->n_param && l->param[i].g == from + n);
        if (c->sum(c, from, n))
            return connection_lost(c, e);
    }
    return 0;
}
