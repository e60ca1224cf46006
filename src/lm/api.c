/* api.c — the public interface (include/ilab.h) over the local language model.  SPDX-License-Identifier: Apache-2.0 */
#include "ilab.h"
#include "lm/lm.h"

#include <string.h>

enum { API_MAX_MESSAGES = 4096 };
struct ilab_engine { struct lm *lm; };
struct api_stream { const struct ilab_answer_opts *o; };

int ilab_engine_open(ilab_engine **out, const struct ilab_engine_opts *o, ilab_err *e)
{
    *out = NULL;
    ilab_engine *en = mem_calloc(1, sizeof *en);
    if (!en) return err_set(e, ILAB_E_NOMEM, "no memory for an engine");
    const int rc = lm_local_open(&en->lm, o->model, o->adapter, o->n_threads, e);
    if (rc) mem_free(en);
    else *out = en;
    return rc;
}

void ilab_engine_close(ilab_engine *engine)
{
    if (!engine) return;
    lm_close(engine->lm);
    mem_free(engine);
}

static int pass_on(void *ud, struct sv piece)
{
    const struct api_stream *s = ud;
    return s->o->on_text(s->o->ud, piece.p, piece.n);
}

int ilab_answer(ilab_engine *engine, const struct ilab_message *message, int n_message, const struct ilab_answer_opts *o, char **text, ilab_err *e)
{
    *text = NULL;
    if (n_message < 1 || n_message > API_MAX_MESSAGES) return err_set(e, ILAB_E_INVALID, "a conversation of %d messages is out of range", n_message);
    struct lm_message *m = mem_calloc((size_t)n_message, sizeof *m);
    if (!m) return err_set(e, ILAB_E_NOMEM, "no memory for a conversation");
    for (int i = 0; i < n_message; i++) m[i] = (struct lm_message){ message[i].role, sv_of(message[i].content) };
    struct api_stream stream = { o };
    const struct lm_request q = { .message = m, .n_message = n_message, .max_tokens = o->max_tokens, .temp = o->temperature, .top_p = o->top_p,
                                  .seed = o->seed, .on_text = o->on_text ? pass_on : NULL, .ud = &stream };
    struct lm_result r = { 0 };
    int rc = lm_complete(engine->lm, &q, 1, &r, e);
    if (!rc && !(*text = mem_strndup(r.text ? r.text : "", r.text ? r.n : 0))) rc = err_set(e, ILAB_E_NOMEM, "no memory for an answer");
    lm_result_release(&r);
    mem_free(m);
    return rc;
}

void ilab_free(void *p) { mem_free(p); }
