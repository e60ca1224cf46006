/* communicator_mpi.c — the communicator over MPI, as a shared object of its own (ilab-mpi.so).
 *
 * The sum is made in pieces: each process gets its slice of a piece from all others, adds the slices in pairs of ranks, and
 * sends the result back to all. The traffic is that of a ring, and the order never depends on the network; MPI_Allreduce promises
 * neither. Gives no memory to the program and takes none from it.  SPDX-License-Identifier: Apache-2.0 */
#include "train/communicator.h"

#include <mpi.h>
#include <stdio.h>
#include <string.h>

enum { PIECE = 1 << 20 /* floats */, MAX_SIZE = 1024 };
static float received[PIECE + MAX_SIZE];
static int count[MAX_SIZE], at[MAX_SIZE], in_count[MAX_SIZE], in_at[MAX_SIZE];

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

static int mpi_broadcast(struct communicator *c, void *p, size_t n)
{
    (void)c;
    for (size_t i = 0; i < n; i += 1 << 30)
        if (MPI_Bcast((char *)p + i, (int)(n - i < 1 << 30 ? n - i : 1 << 30), MPI_BYTE, 0, MPI_COMM_WORLD)) return 1;
    return 0;
}

static int mpi_barrier(struct communicator *c)
{
    (void)c;
    return MPI_Barrier(MPI_COMM_WORLD) != 0;
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
    if (c->size > MAX_SIZE) {
        snprintf(msg, n_msg, "%d processes are more than %d", c->size, MAX_SIZE);
        return 1;
    }
    c->sum = mpi_sum;
    c->gather = mpi_gather;
    c->broadcast = mpi_broadcast;
    c->barrier = mpi_barrier;
    c->close = mpi_close;
    c->stop_all = mpi_stop_all;
    return 0;
}
