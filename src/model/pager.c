/* pager.c — runs a model that is larger than the memory without thrashing.
 *
 * Inference walks the layers in a circle, training up and down again. The kernel drops what was used longest ago, which is what
 * comes next: with a file a little larger than the memory it would read all of it again each time. So as many layers as fit stay,
 * and the others are read ahead by a thread while earlier layers compute, and given back (MADV_PAGEOUT) as soon as they are done,
 * unless they are the next ones themselves (at a turn). The layers that stay are spread evenly between those that come and go, so that
 * reading has time. Experts of a mixture are read on demand when few
 * rows pass (most are not used then), and the kernel keeps the popular ones.
 *
 * Only advice is given to the kernel: results never depend on it.  Source: madvise(2).
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

enum { EXPERTS_ALL_ROWS = 64 /* from so many rows on, nearly all experts are in use */ };

struct range { uintptr_t at; size_t n; int layer, experts; };
struct pager {
    struct range *range; int n_range;
    uint8_t *streams;                     /* [n_layer] this layer comes and goes */
    int n_layer;
    int first, turn;                      /* lowest layers of the ways up and down */
    double rate;
    pthread_t thread; int started;
    pthread_mutex_t mutex; pthread_cond_t wake;
    int want, want_experts, stop;         /* layer to read ahead, -1: none */
};

static int layer_of(const char *name)
{
    int layer, used = 0;
    return sscanf(name, "blk.%d.%n", &layer, &used) == 1 && used ? layer : -1;
}

/* Whole pages inside the tensor: what it shares with its neighbours is left alone. */
static struct range range_of(const struct tensor *t, size_t page)
{
    const uintptr_t at = ((uintptr_t)t->data + page - 1) / page * page, end = ((uintptr_t)t->data + t->n_bytes) / page * page;
    return (struct range){ at, end > at ? end - at : 0, layer_of(t->name), strstr(t->name, "_exps.") != NULL };
}

static void fetch(const struct range *r)
{
    if (!madvise((void *)r->at, r->n, MADV_POPULATE_READ)) return;
    madvise((void *)r->at, r->n, MADV_WILLNEED); /* kernels before 5.14 */
}

static void *reader(void *arg)
{
    struct pager *p = arg;
    pthread_mutex_lock(&p->mutex);
    while (!p->stop) {
        if (p->want < 0) {
            pthread_cond_wait(&p->wake, &p->mutex);
            continue;
        }
        const int layer = p->want, experts = p->want_experts;
        p->want = -1;
        pthread_mutex_unlock(&p->mutex);
        for (int i = 0; i < p->n_range; i++)
            if (p->range[i].layer == layer && (experts || !p->range[i].experts)) fetch(&p->range[i]);
        pthread_mutex_lock(&p->mutex);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* The first layer that streams is read once to learn how fast the disk is. */
static void measure(struct pager *p)
{
    size_t n = 0;
    const double t0 = now_seconds();
    for (int l = 0; l < p->n_layer && !n; l++)
        for (int i = 0; p->streams[l] && i < p->n_range; i++)
            if (p->range[i].layer == l && p->range[i].n) {
                fetch(&p->range[i]);
                n += p->range[i].n;
            }
    const double s = now_seconds() - t0;
    p->rate = s > 0 ? (double)n / s : 0;
}

/* Chooses the layers that stay: `fixed` bytes are always there, `layers` come to the rest. */
static void choose(struct pager *p, double budget, double fixed, double layers)
{
    const double each = layers / p->n_layer, room = budget - fixed;
    int stay = each > 0 && room > 0 ? (int)(room / each) - 2 : 0; /* two more are under way */
    if (stay < 0) stay = 0;
    for (int l = 0; l < p->n_layer; l++) p->streams[l] = (int64_t)(l + 1) * stay / p->n_layer == (int64_t)l * stay / p->n_layer;
}

/* Bytes of the layers and of all else. */
static void sizes(const struct gguf *g, double *layers, double *fixed)
{
    *layers = *fixed = 0;
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        *(layer_of(t->name) >= 0 ? layers : fixed) += (double)t->n_bytes;
    }
}

double pager_least(const struct gguf *g, int n_layer)
{
    double layers, fixed;
    sizes(g, &layers, &fixed);
    return fixed + 2 * layers / (n_layer > 0 ? n_layer : 1);
}

int pager_new(struct pager **out, const struct gguf *g, int n_layer, double budget, ilab_err *e)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    double layers, fixed;
    *out = NULL;
    sizes(g, &layers, &fixed);
    if (layers + fixed <= budget) return 0;
    struct pager *p = mem_calloc(1, sizeof *p);
    if (!p) return err_set(e, ILAB_E_NOMEM, "no memory");
    p->n_layer = n_layer;
    p->want = -1;
    p->range = mem_calloc((size_t)gguf_n_tensor(g), sizeof *p->range);
    p->streams = mem_calloc((size_t)n_layer, 1);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake, NULL);
    if (!p->range || !p->streams) {
        pager_free(p);
        return err_set(e, ILAB_E_NOMEM, "no memory");
    }
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const struct range r = range_of(gguf_tensor_at(g, i), page);
        if (r.layer >= 0 && r.layer < n_layer && r.n) p->range[p->n_range++] = r;
    }
    choose(p, budget, fixed, layers);
    measure(p);
    p->started = !pthread_create(&p->thread, NULL, reader, p); /* without it, pages come when they are touched */
    *out = p;
    return 0;
}

void pager_free(struct pager *p)
{
    if (!p) return;
    if (p->started) {
        pthread_mutex_lock(&p->mutex);
        p->stop = 1;
        pthread_cond_signal(&p->wake);
        pthread_mutex_unlock(&p->mutex);
        pthread_join(p->thread, NULL);
    }
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    mem_free(p->range);
    mem_free(p->streams);
    mem_free(p);
}

void pager_way(struct pager *p, int first, int turn)
{
    if (p) p->first = first, p->turn = turn;
}

static int streaming(const struct pager *p, int from, int to)
{
    for (int l = from; from <= to ? l <= to : l >= to; l += from <= to ? 1 : -1)
        if (l >= 0 && l < p->n_layer && p->streams[l]) return l;
    return -1;
}

/* The layer that has to be there next after `layer`, among those that come and go; -1: none. */
static int next_layer(const struct pager *p, int layer, enum pager_walk walk)
{
    const int last = p->n_layer - 1;
    int next = -1;
    if (walk != PAGER_DOWN && layer < last) next = streaming(p, layer + 1, last);
    if (walk == PAGER_UP && next < 0) next = streaming(p, last, p->turn);
    if (walk == PAGER_DOWN && layer > p->turn) next = streaming(p, layer - 1, p->turn);
    return next >= 0 ? next : streaming(p, walk == PAGER_CIRCLE ? 0 : p->first, last);
}

void pager_enter(struct pager *p, int layer, int n_row, enum pager_walk walk)
{
    if (!p || !p->started) return;
    const int next = next_layer(p, layer, walk);
    if (next < 0 || next == layer) return;
    pthread_mutex_lock(&p->mutex);
    p->want = next;
    p->want_experts = n_row >= EXPERTS_ALL_ROWS;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->mutex);
}

void pager_leave(struct pager *p, int layer, int n_row, enum pager_walk walk)
{
    if (!p || !p->streams[layer] || next_layer(p, layer, walk) == layer) return;
    for (int i = 0; i < p->n_range; i++) {
        const struct range *r = &p->range[i];
        if (r->layer == layer && (n_row >= EXPERTS_ALL_ROWS || !r->experts)) madvise((void *)r->at, r->n, MADV_PAGEOUT);
    }
}

void pager_expect(const struct pager *p, int from_layer, double *bytes, double *rate)
{
    *bytes = 0;
    *rate = p ? p->rate : 0;
    for (int i = 0; p && i < p->n_range; i++)
        if (p->streams[p->range[i].layer] && p->range[i].layer >= from_layer) *bytes += (double)p->range[i].n;
}
