/* ilab.h — the public C interface: open a model, ask it, close it.
 *
 * Handles are opaque. An engine is used by one thread at a time; several engines are independent. Strings are UTF-8 and
 * NUL-terminated. Link with libilab.a (make build/libilab.a).  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_H
#define ILAB_H

#include "ilab_err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ilab_engine ilab_engine;

struct ilab_engine_opts {
    const char *model;    /* path of a GGUF file                                      */
    const char *adapter;  /* path of a LoRA adapter made for that file, or NULL       */
    int n_threads;        /* 0: one for each core that this process may use           */
};
/* 0, or a code of ilab_err.h with a message in *e (NULL is fine). Close what was opened with ilab_engine_close. */
int ilab_engine_open(ilab_engine **out, const struct ilab_engine_opts *o, ilab_err *e);
void ilab_engine_close(ilab_engine *engine); /* NULL is fine */

struct ilab_message { const char *role /* "system", "user", "assistant" */, *content; };
struct ilab_answer_opts {
    int max_tokens;
    float temperature; /* 0: always the most likely token */
    float top_p;       /* 1: off */
    uint64_t seed;
    /* Called for each piece of text as it is made; nonzero stops. NULL allowed. */
    int (*on_text)(void *ud, const char *piece, size_t n);
    void *ud;
};
#define ILAB_ANSWER_OPTS_INIT { .max_tokens = 256, .temperature = 0.0f, .top_p = 1.0f, .seed = 42 }
/* Continues a conversation with the model's own chat template. *text is the answer; release it with ilab_free. */
int ilab_answer(ilab_engine *engine, const struct ilab_message *message, int n_message, const struct ilab_answer_opts *o, char **text, ilab_err *e);
void ilab_free(void *p);

#endif
