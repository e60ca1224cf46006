/* path.c — the ways to compute products with frozen weights in training.
 *
 * A path is a row of PATHS. Exact: weights are dequantised and multiplied in F32. In 8 bits, forward is what inference computes (the rows
 * of activations are rounded), backward rounds gradients and weights along the sum (kern/qvalues.c). Either way an element is
 * one chain of one order, so every path gives the same bits for any number of threads, micro-batches and CPU level.
 * Adapters' own products, attention, norms and the loss are always F32.  SPDX-License-Identifier: Apache-2.0 */
#include "train/tape.h"

#include <string.h>

const struct path PATHS[] = {
    { "exact", "F32 forward and backward", GEMM_ACT_F32, GEMM_ACT_F32 },
    { "mixed", "8 bits forward, F32 backward", GEMM_ACT_Q8, GEMM_ACT_F32 },
    { "fast", "8 bits forward and backward", GEMM_ACT_Q8, GEMM_ACT_Q8 },
};
const int N_PATH = ARRAY_LEN(PATHS);

const struct path *path_by_name(const char *name)
{
    for (int i = 0; i < N_PATH; i++)
        if (!strcmp(name, PATHS[i].name)) return &PATHS[i];
    return NULL;
}

void path_report_text(const struct path_report *r, struct sb *b)
{
    sb_addf(b, "  %-7s %-32s %9s   %-24s %s\n", "path", "", "seconds", "worst of the probed layers", "worst layer of a whole step");
    for (int i = 0; i < r->n_row; i++) {
        const struct path_row *w = &r->row[i];
        sb_addf(b, "%c %-7s %-32s %9.2f   ", w->path == r->chosen ? '*' : ' ', w->path->name, w->path->what, w->seconds);
        if (i) sb_addf(b, "%.5f × %.3f (layer %2d)   %.5f × %.3f (layer %2d)%s\n", w->worst.cosine, w->worst.norm, w->worst_layer, w->end.cosine, w->end.norm, w->end_layer,
                       w->passed ? "" : "   not near enough");
        else sb_addf(b, "the measure\n");
    }
    sb_addf(b, "  Cosine × length of the adapters' gradients beside the exact ones, over %d tokens; a path needs %.3f on identical inputs, %.3f in a whole step.\n",
            r->tokens, PATH_LAYER_COSINE, PATH_END_COSINE);
}

void path_report_json(const struct path_report *r, struct sb *b)
{
    sb_addf(b, "{\"chosen\": \"%s\"", r->chosen ? r->chosen->name : PATHS[0].name);
    if (r->n_row) sb_addf(b, ", \"tokens\": %d, \"measured\": [", r->tokens);
    for (int i = 0; i < r->n_row; i++) {
        const struct path_row *w = &r->row[i];
        sb_addf(b, "%s{\"path\": \"%s\", \"passed\": %s, \"seconds\": %.3f, \"layer_cosine\": %.6f, \"layer_norm\": %.5f, \"end_cosine\": %.6f, \"end_norm\": %.5f, \"layers\": [",
                i ? ", " : "", w->path->name, w->passed ? "true" : "false", w->seconds, w->worst.cosine, w->worst.norm, w->end.cosine, w->end.norm);
        for (int k = 0; k < r->n_probe; k++)
            sb_addf(b, "%s{\"layer\": %d, \"cosine\": %.6f, \"norm\": %.5f}", k ? ", " : "", r->probe[k], w->layer[k].cosine, w->layer[k].norm);
        sb_addf(b, "]}");
    }
    sb_addf(b, r->n_row ? "]}" : "}");
}
