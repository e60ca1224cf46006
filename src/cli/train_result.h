/* train_result.h — what `ilab train` does with a finished run.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_CLI_TRAIN_RESULT_H
#define ILAB_CLI_TRAIN_RESULT_H

#include "train/train.h"

struct train_result {
    struct gemm_ctx *g; struct model *m; struct tokenizer *t; struct adapter *ad; /* NULL: all weights were trained */
    const struct dataset *d, *val;                                /* val without samples: there are none */
    const char *base, *data, *test /* questions; NULL: none */, *out;
    const char *save; int mix;                                    /* merged model; save NULL: none is wanted */
    int quiet, json; double begin;                                /* now_seconds() when the command began */
    struct train_report *report;                                  /* peak_rss_bytes rises where the end took more */
};
/* Merges, measures what rounding cost, shows answers before and after, completes manifest.json, prints the end. */
int train_result(const struct train_result *o, ilab_err *e);
void train_result_work(const struct train_result *o, int rank /* 0: no adapter */, struct train_opts *out);   /* sets out->after: how much that is */
void train_report_json(const struct train_report *r, const char *adapter, const char *merged, double seconds_total);
int terminal_is_utf8(void);

#endif
