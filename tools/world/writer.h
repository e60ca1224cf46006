/* writer.h — what the samples of tasks.c and the mix of corpus.c share.  SPDX-License-Identifier: Apache-2.0 */
#ifndef WRITER_H
#define WRITER_H

#include "tools/world/world.h"

enum { TURNS_MAX = 12 };
struct writer {
    const struct core *core;
    struct rng *r;
    struct names names;
    struct scene scene;
    struct sb turn[TURNS_MAX];           /* user, assistant, user … */
    int n_turn, loss_all, is_text;
    struct sb line;
};

/* Each fills the turns (or one text) of a sample; 0: no sample this time. */
int sample_read(struct writer *w);
int sample_ask(struct writer *w);
int sample_ask_missing(struct writer *w);
int sample_rephrase(struct writer *w);
int sample_state(struct writer *w);
int sample_core(struct writer *w);
int sample_dialogue(struct writer *w);
int sample_unknown(struct writer *w);
int sample_check(struct writer *w);
int sample_premise(struct writer *w);
int sample_repeat(struct writer *w);
int sample_lookup(struct writer *w);
int sample_tell(struct writer *w);
int sample_prose_core(struct writer *w);
int sample_prose_fresh(struct writer *w);
int sample_chat(struct writer *w);

#endif
