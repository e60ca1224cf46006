/* communicator_mpi.c — the communicator over MPI, as a shared object of its own (ilab-mpi.so).
 *
 * The sum is made in pieces: each process gets its slice of a piece from all others, adds the slices in pairs of ranks, and
 * sends the result back to all. The traffic is that of a ring, and the order never depends on the network; MPI_Allreduce promises
 * neither. Gives no memory to the program and takes none from it.  SPDX-License-Identifier: Apache-2.0 */
#include "train/communicator.h"

#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum { PIECE = 1 << 20 /* floats */, MOST = COMMUNICATOR_MOST };
static float received[PIECE + MOST];
static int count[MOST], at[MOST], in_count[MOST], in_at[MOST];
static cpu_set_t cores[MOST];

static int sum_piece(struct communicator *c, float *x, int n)
{
    for (int r = 0; r < c->size; r++) {
        at[r] = (int)((long long)n * r / c->size);
        count[r] = (int)((long long)n * (r + 1) / c->size) - at[r];
    }
    const int own = count[c->rank];
    for (int r = 0; r < c->size; r++) in_at[r] = own * r, in_count[r] = own;
    if (MPI_Alltoallv(x, count, at, MPI_FLOAT, received, in_count, in_at, MPI_FLOAT, MPI_COMM_WORLD)) return 1;
    for (int step = 1; step < c->size; step *= 2)
        for (int r = 0; r + step < c->size; r += 2 * step)
            for (int i = 0; i < own; i++) received[own * r + i] += received[own * (r + step) + i];
    return MPI_Allgatherv(received, own, MPI_FLOAT, x, count, at, MPI_FLOAT, MPI_COMM_WORLD) != 0;
}

static int mpi_sum(struct communicator *c, float *x, size_t n)
{
    for (size_t i = 0; i < n; i += PIECE)
        if (sum_piece(c, x + i, (int)(n - i < PIECE ? n - i : PIECE))) return 1;
    return 0;
}

static int mpi_gather(struct communicator *c, const void *own, size_t n, void *all)
{
    (void)c;
    return n > 1 << 30 || MPI_Allgather(own, (int)n, MPI_BYTE, all, (int)n, MPI_BYTE, MPI_COMM_WORLD) != 0;
}

static int mpi_broadcast(struct communicator *c, void *p, size_t n, int from)
{
    (void)c;
    for (size_t i = 0; i < n; i += 1 << 30)
        if (MPI_Bcast((char *)p + i, (int)(n - i < 1 << 30 ? n - i : 1 << 30), MPI_BYTE, from, MPI_COMM_WORLD)) return 1;
    return 0;
}

static void mpi_close(struct communicator *c)
{
    (void)c;
    MPI_Finalize();
}

static void mpi_stop_all(struct communicator *c, int code)
{
    (void)c;
    MPI_Abort(MPI_COMM_WORLD, code);
}

/* Who else is on this machine, and on these cores. */
static int meet_neighbours(struct communicator *c)
{
    MPI_Comm here;
    cpu_set_t own, both;
    CPU_ZERO(&own);
    c->local = c->crowd = 1;
    if (sched_getaffinity(0, sizeof own, &own)) CPU_SET(0, &own);
    if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here)) return 1;
    int failed = MPI_Comm_size(here, &c->local) || MPI_Allgather(&own, sizeof own, MPI_BYTE, cores, sizeof own, MPI_BYTE, here);
    if (failed) c->local = 1;
    else c->crowd = 0;
    for (int i = 0; !failed && i < c->local; i++) {
        CPU_AND(&both, &own, &cores[i]);
        c->crowd += CPU_COUNT(&both) > 0;
    }
    return MPI_Comm_free(&here) || failed;
}

communicator_plugin ilab_communicator;
int ilab_communicator(struct communicator *c, int abi, char *msg, size_t n_msg)
{
    int provided = 0;
    if (abi != COMMUNICATOR_ABI) {
        snprintf(msg, n_msg, "it was built for another version of ilab: `make mpi` builds it again");
        return 1;
    }
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided)) {
        snprintf(msg, n_msg, "MPI does not start");
        return 1;
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &c->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &c->size);
    if (c->size > MOST) {
        snprintf(msg, n_msg, "%d processes are more than %d", c->size, MOST);
        return 1;
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (meet_neighbours(c)) {
        snprintf(msg, n_msg, "MPI does not connect them");
        return 1;
    }
    c->sum = mpi_sum;
    c->gather = mpi_gather;
    c->broadcast = mpi_broadcast;
    c->close = mpi_close;
    c->stop_all = mpi_stop_all;
    return 0;
}
