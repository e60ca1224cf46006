/* process.h — internal to src/cli: runs in the background and their registry.
 *
 * A detached run has a session of its own. Its supervisor, a small process that only waits, writes down how it ended. The
 * registry is the reference's file, internal/process_registry.json below the data directory: one object a run, by UUID,
 * with keys of ours beside the reference's (start_ticks, exit_code, command, cwd). A run is recognised by its PID and the
 * kernel's start time, so a PID that came back is no run of ours.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_CLI_PROCESS_H
#define ILAB_CLI_PROCESS_H

#include "cli/cli.h"

struct registry { json_t *all; char *path; int fd; };
/* Locks and reads; waits at most two seconds for another program. Entries of runs that are gone get their state. */
enum { REGISTRY_KEEP_STATES = 1 /* … no, they keep it */, REGISTRY_LOOK = 2 /* without a folder for it there are no runs; it is not made */ };
int registry_open(struct registry *r, unsigned how, ilab_err *e);
int registry_save(struct registry *r, ilab_err *e);
void registry_close(struct registry *r);
/* The run whose UUID starts with id ("latest": the newest); *uuid is borrowed. NULL: *e tells. */
json_t *registry_find(struct registry *r, const char *id, const char **uuid, ilab_err *e);
int process_alive(const json_t *entry);
double process_seconds(const json_t *entry);                          /* run time so far, or in all */
/* Starts the command in the background: the exit code of the starting program. */
int detach_run(struct cli *c, void *args);

/* table.c: +---+ and pipes, as the reference prints lists; cells row by row. */
void table_print(const char *const *head, int n_col, const char *const *cell, int n_row);
#endif
