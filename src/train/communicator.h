/* communicator.h — several processes that train together, as a table of functions; the default is one process.
 *
 * Filled by a plug-in (plugin/communicator_mpi.c, built by `make mpi` as ilab-mpi.so) that is opened only when mpirun or srun
 * started this process as one of several. Includes nothing of the program, so that the plug-in needs nothing of it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TRAIN_COMMUNICATOR_H
#define ILAB_TRAIN_COMMUNICATOR_H

#include <stddef.h>

enum { COMMUNICATOR_ABI = 2, COMMUNICATOR_MOST = 1024 /* processes */ };
/* All calls are collective and return 0, or not 0 when the connection failed. */
struct communicator {
    int rank, size;
    int local, crowd;   /* processes on this machine; of those, how many may use a core that this one may use. This one counts */
    int lost;           /* a call failed: nothing but stop_all can be said any more. The program's own note */
    /* x[0…n) becomes the sum over all processes, in pairs ((0 + 1) + (2 + 3) …): the same bits in every process and every run. */
    int (*sum)(struct communicator *c, float *x, size_t n);
    int (*gather)(struct communicator *c, const void *own, size_t n_bytes, void *all);   /* all: size · n_bytes, by rank */
    int (*broadcast)(struct communicator *c, void *p, size_t n_bytes, int from);
    void (*close)(struct communicator *c);                                               /* waits until all close */
    void (*stop_all)(struct communicator *c, int code);                                  /* ends every process; does not return */
};
/* What the plug-in exports as "ilab_communicator": fills the table; not 0: msg says why not. */
typedef int communicator_plugin(struct communicator *c, int abi, char *msg, size_t n_msg);

#endif
