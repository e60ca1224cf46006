/* pager.c — runs a model that is larger than the memory without thrashing.
 *
 * A pass walks the layers in a circle. The kernel drops what was used longest ago, which is what comes next: with a file a little
 * larger than the memory it would read all of it again each time. So as many layers as fit stay, and the others are read ahead
 * by a thread while earlier layers compute, and given back (MADV_PAGEOUT) as soon as they are done. The layers that stay are
 * spread evenly between those that come and go, so that reading has time. Experts of a mixture are read on demand when few
 * rows pass (most are not used then), and the kernel keeps the popular ones.
 *
 * Only advice is given to the kernel: results never depend on it.  Source: madvise(2).
 * SPDX-License-Identifier: Apache-2.0 */
#include "infer/pager.h"

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
    double bytes_a_pass, rate;
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
    for (int i = 0; i < p->n_range; i++)
        if (p->streams[p->range[i].layer]) p->bytes_a_pass += (double)p->range[i].n;
}

int pager_new(struct pager **out, const struct gguf *g, int n_layer, double budget, ilab_err *e)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    double all = 0, layers = 0;
    *out = NULL;
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        all += (double)t->n_bytes;
        if (layer_of(t->name) >= 0) layers += (double)t->n_bytes;
    }
    if (all <= budget) return 0;
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
    choose(p, budget, all - layers, layers);
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

void pager_enter(struct pager *p, int layer, int n_row)
{
    if (!p || !p->started) return;
    for (int i = 1; i <= p->n_layer; i++) {
        const int next = (layer + i) % p->n_layer;
        if (!p->streams[next]) continue;
        pthread_mutex_lock(&p->mutex);
        p->want = next;
        p->want_experts = n_row >= EXPERTS_ALL_ROWS;
        pthread_cond_signal(&p->wake);
        pthread_mutex_unlock(&p->mutex);
        return;
    }
}

void pager_leave(struct pager *p, int layer, int n_row)
{
    if (!p || !p->streams[layer]) return;
    for (int i = 0; i < p->n_range; i++) {
        const struct range *r = &p->range[i];
        if (r->layer == layer && (n_row >= EXPERTS_ALL_ROWS || !r->experts)) madvise((void *)r->at, r->n, MADV_PAGEOUT);
    }
}

void pager_expect(const struct pager *p, double *bytes_a_pass, double *rate)
{
    *bytes_a_pass = p ? p->bytes_a_pass : 0;
    *rate = p ? p->rate : 0;
}
