/* stream.h — bytes of tokens to UTF-8 text with stop strings; private to `infer`.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_STREAM_H
#define ILAB_STREAM_H

#include "infer/infer.h"

struct stream {
    struct sb raw;               /* bytes as decoded                       */
    struct sb text;              /* UTF-8 handed out                       */
    size_t n_out;                /* bytes of raw that are in text          */
    size_t n_searched;           /* no stop string begins before this      */
    const char *const *stop; int n_stop;
    int (*on_text)(void *ud, struct sv piece); void *ud;
    int cancelled, stopped;
};
void stream_init(struct stream *s, const struct request *rq);
/* Takes bytes; sets stopped (a stop string is complete) or cancelled. */
void stream_push(struct stream *s, struct sv bytes);
void stream_finish(struct stream *s); /* hands out what was held back */
void stream_release(struct stream *s);

#endif
