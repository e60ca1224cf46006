/* queue.h — internal to src/serve: requests on their way from a connection to the worker and back.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_SERVE_QUEUE_H
#define ILAB_SERVE_QUEUE_H

#include "lm/lm.h"
#include "text/text.h"

struct queue;
/* Shared by the connection and the worker: the last one to let go frees it. */
struct job {
    struct lm_request rq;        /* strings live in doc */
    json_t *doc;                 /* the parsed request */
    struct lm_message *message;
    int is_score; struct sv answer; double logp; int n_scored;  /* log p(answer | messages) instead of a completion */
    /* below: under the queue's lock until done */
    struct queue *queue;
    int refs, done, cancelled;
    struct sb text;              /* what was generated so far */
    int rc; ilab_err err;
    struct lm_result result;     /* when done and rc 0 */
};
struct queue *queue_new(struct lm *lm, int max_waiting, ilab_err *e);  /* starts the worker; lm stays the caller's */
/* No new jobs; waiting ones fail with ILAB_E_CANCEL, running ones end early; waits for the worker. Jobs may outlive this call. */
void queue_stop(struct queue *q);
void queue_free(struct queue *q);                                      /* after the last job was released */
struct job *job_new(void);
int queue_submit(struct queue *q, struct job *j, ilab_err *e);         /* ILAB_E_LIMIT: full; ILAB_E_CANCEL: stopped */
/* Waits up to ms for more than `have` bytes of text, or the end. Appends what is new to out. 1: done. */
int job_wait(struct job *j, int ms, size_t have, struct sb *out);
void job_cancel(struct job *j);
void job_release(struct job *j);

#endif
