/* queue.c — a bounded queue and the one worker that owns the model.
 *
 * The worker takes everything that waits (up to a batch) and completes it together; results do not depend on the company
 * (infer.h). A request that cannot run fails the whole call, therefore such a batch is repeated one by one; nothing was
 * streamed before, as requests are checked before the first step. A job that nobody waits for is cancelled at its next piece
 * of text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "serve/queue.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum { QUEUE_BATCH = 32, QUEUE_LINGER_MS = 2 /* clients that send several requests at once need a moment */, JOB_MAX_TEXT = 64 << 20 };

struct queue {
    struct lm *lm;
    pthread_mutex_t lock;
    pthread_cond_t work, progress;   /* something to do; something done */
    struct job **waiting; int n_waiting, max_waiting;
    int stop, started;
    pthread_t worker;
};

struct job *job_new(void) {
    struct job *j = mem_calloc(1, sizeof *j);
    if (!j) return NULL;
    j->refs = 1;
    sb_init(&j->text, JOB_MAX_TEXT);
    return j;
}

static void job_free(struct job *j) {
    sb_release(&j->text);
    lm_result_release(&j->result);
    json_decref(j->doc);
    mem_free(j->message);
    mem_free(j);
}

void job_release(struct job *j) {
    if (!j) return;
    struct queue *q = j->queue;
    if (q) pthread_mutex_lock(&q->lock);
    int last = --j->refs == 0;
    if (q) pthread_mutex_unlock(&q->lock);
    if (last) job_free(j);
}

void job_cancel(struct job *j) {
    pthread_mutex_lock(&j->queue->lock);
    j->cancelled = 1;
    pthread_mutex_unlock(&j->queue->lock);
}

int job_wait(struct job *j, int ms, size_t have, struct sb *out) {
    struct queue *q = j->queue;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) until.tv_sec++, until.tv_nsec -= 1000000000L;
    pthread_mutex_lock(&q->lock);
    while (!j->done && j->text.n <= have && pthread_cond_timedwait(&q->progress, &q->lock, &until) != ETIMEDOUT) {}
    if (out && j->text.n > have) sb_add(out, (struct sv){ j->text.p + have, j->text.n - have });
    int done = j->done;
    pthread_mutex_unlock(&q->lock);
    return done;
}

int queue_submit(struct queue *q, struct job *j, ilab_err *e) {
    int rc = 0;
    pthread_mutex_lock(&q->lock);
    if (q->stop) rc = err_set(e, ILAB_E_CANCEL, "the server is shutting down");
    else if (q->n_waiting == q->max_waiting) rc = err_set(e, ILAB_E_LIMIT, "%d requests are waiting already; try again in a moment", q->max_waiting);
    else {
        j->queue = q;
        j->refs++;
        q->waiting[q->n_waiting++] = j;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
    return rc;
}

/* ---- worker ---- */
static int on_text(void *ud, struct sv piece) {
    struct job *j = ud;
    struct queue *q = j->queue;
    pthread_mutex_lock(&q->lock);
    sb_add(&j->text, piece);
    int end = j->cancelled || q->stop || j->text.failed;
    pthread_cond_broadcast(&q->progress);
    pthread_mutex_unlock(&q->lock);
    return end;
}

static void finish(struct queue *q, struct job *j, int rc, const ilab_err *err) {
    pthread_mutex_lock(&q->lock);
    j->rc = rc;
    if (rc) j->err = *err;
    j->done = 1;
    pthread_cond_broadcast(&q->progress);
    pthread_mutex_unlock(&q->lock);
    job_release(j);
}

static void complete(struct queue *q, struct job **job, int n) {
    struct lm_request rq[QUEUE_BATCH];
    struct lm_result out[QUEUE_BATCH];
    ilab_err err = { 0 };
    for (int i = 0; i < n; i++) {
        rq[i] = job[i]->rq;
        rq[i].on_text = on_text;
        rq[i].ud = job[i];
    }
    int rc = lm_complete(q->lm, rq, n, out, &err);
    if (rc && n > 1 && rc != ILAB_E_CANCEL) {
        int begun = 0;
        for (int i = 0; i < n; i++) begun |= job[i]->text.n > 0; /* only this thread writes it */
        for (int i = 0; i < n && !begun; i++) complete(q, &job[i], 1);
        if (!begun) return;
    }
    for (int i = 0; i < n; i++) {
        if (!rc) job[i]->result = out[i];
        finish(q, job[i], rc, &err);
    }
}

static void run_batch(struct queue *q, struct job **job, int n) {
    struct job *free_text[QUEUE_BATCH];
    int n_free = 0;
    for (int i = 0; i < n; i++) {
        ilab_err err = { 0 };
        struct job *j = job[i];
        if (!j->is_score) {
            free_text[n_free++] = j;
            continue;
        }
        int rc = lm_score(q->lm, j->rq.message, j->rq.n_message, j->answer, &j->logp, &j->n_scored, &err);
        finish(q, j, rc, &err);
    }
    if (n_free) complete(q, free_text, n_free);
}

/* Moves up to a batch out of the queue; jobs that nobody waits for end here. */
static int take(struct queue *q, struct job **job) {
    struct job *dropped[QUEUE_BATCH];
    int n = 0, n_dropped = 0, n_seen = 0;
    while (n_seen < q->n_waiting && n < QUEUE_BATCH && n_dropped < QUEUE_BATCH) {
        struct job *j = q->waiting[n_seen++];
        if (j->cancelled || q->stop) dropped[n_dropped++] = j;
        else job[n++] = j;
    }
    q->n_waiting -= n_seen;
    memmove(q->waiting, q->waiting + n_seen, (size_t)q->n_waiting * sizeof *q->waiting);
    pthread_mutex_unlock(&q->lock);
    ilab_err err = { .code = ILAB_E_CANCEL, .msg = "the server is shutting down" };
    for (int i = 0; i < n_dropped; i++) finish(q, dropped[i], ILAB_E_CANCEL, &err);
    pthread_mutex_lock(&q->lock);
    return n;
}

static void *work(void *ud) {
    struct queue *q = ud;
    struct job *job[QUEUE_BATCH];
    pthread_mutex_lock(&q->lock);
    while (!q->stop || q->n_waiting) {
        if (!q->n_waiting) {
            pthread_cond_wait(&q->work, &q->lock);
            continue;
        }
        if (q->n_waiting < QUEUE_BATCH && !q->stop) {
            pthread_mutex_unlock(&q->lock);
            poll(NULL, 0, QUEUE_LINGER_MS);
            pthread_mutex_lock(&q->lock);
        }
        int n = take(q, job);
        pthread_mutex_unlock(&q->lock);
        if (n) run_batch(q, job, n);
        pthread_mutex_lock(&q->lock);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

struct queue *queue_new(struct lm *lm, int max_waiting, ilab_err *e) {
    struct queue *q = mem_calloc(1, sizeof *q);
    pthread_condattr_t monotonic;
    if (q) q->waiting = mem_calloc((size_t)max_waiting, sizeof *q->waiting);
    if (!q || !q->waiting) {
        mem_free(q);
        err_set(e, ILAB_E_NOMEM, "not enough memory for a queue");
        return NULL;
    }
    q->lm = lm;
    q->max_waiting = max_waiting;
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->work, &monotonic);
    pthread_cond_init(&q->progress, &monotonic);
    pthread_condattr_destroy(&monotonic);
    q->started = !pthread_create(&q->worker, NULL, work, q);
    if (q->started) return q;
    err_set(e, ILAB_E_NOMEM, "the worker thread does not start");
    queue_free(q);
    return NULL;
}

void queue_stop(struct queue *q) {
    pthread_mutex_lock(&q->lock);
    q->stop = 1;
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(&q->lock);
    if (q->started) pthread_join(q->worker, NULL);
    q->started = 0;
}

void queue_free(struct queue *q) {
    if (!q) return;
    if (q->started) queue_stop(q);
    pthread_cond_destroy(&q->work);
    pthread_cond_destroy(&q->progress);
    pthread_mutex_destroy(&q->lock);
    mem_free(q->waiting);
    mem_free(q);
}
