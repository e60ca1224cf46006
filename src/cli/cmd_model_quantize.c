/* cmd_model_quantize.c — `ilab model quantize`: a GGUF file with other element types.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/convert.h"
#include "tensor/tensor.h"

#include <string.h>

struct quantize_args { int threads, pure, force, dry_run, json; };
static const struct quantize_args QUANTIZE_DEFAULTS = { 0 };
#define O(field) offsetof(struct quantize_args, field)
static const struct opt QUANTIZE_OPTS[] = {
    { "pure", 0, NULL, OPT_FLAG, O(pure), 0, 0, NULL, NULL, "one type for all matrices instead of the usual mix" },
    { "force", 0, NULL, OPT_FLAG, O(force), 0, 0, NULL, NULL, "replace OUT" },
    { "dry-run", 0, NULL, OPT_FLAG, O(dry_run), 0, 0, NULL, NULL, "tell sizes, write nothing" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "the result as JSON" },
    { "num-threads", 0, NULL, OPT_INT, O(threads), 0, 1024, "N", NULL, "threads; 0: one a core" },
    { 0 },
};
#undef O

/* What the mix would give, tensor by tensor. */
static void plan(const struct gguf *g, int mix, struct requantize *how)
{
    struct mix_model m;
    mix_model_of(&m, g);
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        const int type = mix_type(mix, how->pure, &m, t->name, t->type, t->n_dim, t->dim);
        const struct qtype_info *q = qtype_known(type), *from = qtype_known(t->type);
        how->n_tensor++;
        how->n_changed += type != t->type;
        how->n_lossy_source += type != t->type && from && from->elems > 1;
        how->bytes_in += t->n_bytes;
        how->bytes_out += (uint64_t)(tensor_elems(t) / q->elems) * (uint64_t)q->bytes;
    }
}

static void report(const struct requantize *how, const char *out, const char *type, const struct quantize_args *a, double seconds)
{
    char in[32], size[32], time[32];
    if (a->json) {
        print_json(json_pack("{s:s,s:s,s:I,s:I,s:i,s:i,s:i,s:b,s:f}", "output", out, "type", type, "bytes_in", (json_int_t)how->bytes_in, "bytes_out", (json_int_t)how->bytes_out,
                              "tensors", how->n_tensor, "changed", how->n_changed, "from_quantised", how->n_lossy_source, "written", !a->dry_run, "seconds", seconds));
        return;
    }
    format_bytes(in, sizeof in, (double)how->bytes_in);
    format_bytes(size, sizeof size, (double)how->bytes_out);
    format_duration(time, sizeof time, seconds);
    printf("%s: %s, %s of weights become %s (%d of %d tensors change)%s%s\n", out, type, in, size, how->n_changed, how->n_tensor, a->dry_run ? "; nothing was written" : ", ", a->dry_run ? "" : time);
}

static int quantize(const char *in, const char *out, const char *type, const struct quantize_args *a, ilab_err *e)
{
    struct convert_progress p = { .label = "quantize" };
    struct requantize how = { .mix = type, .pure = a->pure, .progress = convert_progress, .ud = &p };
    struct gguf *g = NULL;
    const double start = now_seconds();
    int rc = gguf_open(&g, in, e);
    if (rc) return rc;
    plan(g, mix_by_name(type), &how);
    rc = convert_room(out, how.bytes_out, e);
    if (!rc && how.n_lossy_source && !a->json)
        log_warn("%d tensors of '%s' are quantised already: their rounding stays, and another is added; start from F16 where you can", how.n_lossy_source, in);
    if (!rc && !a->dry_run) {
        how.pool = pool_new(a->threads);
        rc = how.pool ? gguf_requantize_from(g, out, &how, e) : err_set(e, ILAB_E_NOMEM, "no memory for threads");
        pool_free(how.pool);
        convert_progress_end(&p);
    }
    if (!rc) report(&how, out, mix_name(mix_by_name(type)), a, now_seconds() - start);
    gguf_close(g);
    return rc;
}

static int quantize_run(struct cli *c, void *args)
{
    const struct quantize_args *a = args;
    ilab_err e = { 0 };
    if (c->n_word < 3) {
        static const char *const MISSING[] = { "IN.gguf", "OUT.gguf", "TYPE" };
        fprintf(stderr, "Error: Missing argument '%s'.\n", MISSING[c->n_word]);
        return EXIT_USAGE;
    }
    if (mix_by_name(c->word[2]) < 0) return unknown_type(c->word[2]);
    char *path = file_exists(c->word[0]) ? xstrdup(c->word[0]) : model_find(c->word[0]);
    if (!path) return EXIT_FAILED;
    int rc = 0;
    if (file_exists(path) == 2) {
        fprintf(stderr, "'%s' is a folder: `ilab model convert %s -o %s --type %s` does it in one go\n", path, c->word[0], c->word[1], c->word[2]);
        rc = EXIT_FAILED;
    } else if (!a->force && !a->dry_run && file_exists(c->word[1]) && strcmp(c->word[1], "/dev/null")) {
        fprintf(stderr, "'%s' exists: choose another name, or --force\n", c->word[1]);
        rc = EXIT_FAILED;
    } else if (quantize(path, c->word[1], c->word[2], a, &e)) {
        rc = fail(&e, "Quantising failed: ");
    }
    mem_free(path);
    return rc;
}

const struct cmd CMD_QUANTIZE = {
    .name = "model quantize", .args_bytes = sizeof(struct quantize_args), .defaults = &QUANTIZE_DEFAULTS, .opts = QUANTIZE_OPTS, .run = quantize_run, .max_words = 3,
    .words = "IN.gguf OUT.gguf TYPE", .needs_config = -1,
    .summary = "Write a model with smaller (or other) weights.",
    .help = "TYPE is a mix as llama.cpp names them: F32, F16, BF16, Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0 … (an unknown one lists all).\n"
            "As a rule Q8_0 loses nothing that can be noticed, Q4_K_M little, at a quarter of the size of F16. Small matrices whose\n"
            "rows are no multiple of 256 get the next type that fits. Metadata is kept; norms and routers stay as they are.\n\n"
            "Examples:\n"
            "  ilab model quantize mistral.gguf mistral-q4.gguf Q4_K_M\n"
            "  ilab model quantize models/ggml-model-f16.gguf small.gguf Q8_0 --dry-run\n",
};
