/* cmd_model_convert.c — `ilab model convert`: Hugging Face directory → GGUF, and back.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/convert.h"
#include "model/model.h"
#include "token/token.h"

#include <string.h>

struct convert_args { const char *output, *type, *to, *model; double shard_gb; int threads, force, dry_run; };
static const struct convert_args CONVERT_DEFAULTS = { .shard_gb = 5 };
#define O(field) offsetof(struct convert_args, field)
static const struct opt CONVERT_OPTS[] = {
    { "output", 'o', NULL, OPT_STR, O(output), 0, 0, "PATH", NULL, "file to write; with --to safetensors: folder" },
    { "type", 0, NULL, OPT_STR, O(type), 0, 0, "TYPE", NULL, "F32, F16, BF16, Q8_0, Q4_K_M …; without it as stored" },
    { "to", 0, NULL, OPT_STR, O(to), 0, 0, "FORMAT", NULL, "gguf, or safetensors to go back" },
    { "model", 'm', NULL, OPT_STR, O(model), 0, 0, "FILE", NULL, "adapters: the base model that they were made for" },
    { "shard-size", 0, NULL, OPT_FLOAT, O(shard_gb), 0, 10000, "GB", NULL, "safetensors: a new file about every so many GB; 0: one" },
    { "force", 0, NULL, OPT_FLAG, O(force), 0, 0, NULL, NULL, "replace what is there" },
    { "dry-run", 0, NULL, OPT_FLAG, O(dry_run), 0, 0, NULL, NULL, "check everything and tell the size, write nothing" },
    { "num-threads", 0, NULL, OPT_INT, O(threads), 0, 1024, "N", NULL, "threads; 0: one a core" },
    { 0 },
};
#undef O

int convert_progress(void *ud, const char *tensor, int64_t done, int64_t total)
{
    struct convert_progress *p = ud;
    if (!p->started) progress_start(&p->line, p->label, total, 0);
    p->started = 1;
    progress_at(&p->line, done, "%s", tensor);
    return signal_pending() != 0;
}

void convert_progress_end(struct convert_progress *p)
{
    if (p->started) progress_end(&p->line);
    p->started = 0;
}

int convert_room(const char *out, uint64_t bytes, ilab_err *e)
{
    char a[32], b[32];
    const uint64_t room = disk_free(out);
    format_bytes(a, sizeof a, (double)bytes);
    format_bytes(b, sizeof b, (double)room);
    return room && room < bytes ? err_set(e, ILAB_E_IO, "'%s' needs %s of disk space, %s are free: free some, or choose a smaller type", out, a, b) : 0;
}

int unknown_type(const char *type)
{
    fprintf(stderr, "Error: Invalid value for '--type': '%s' is none of", type);
    for (int i = 0; mix_name(i); i++) fprintf(stderr, " %s", mix_name(i));
    fputc('\n', stderr);
    return EXIT_USAGE;
}

/* Says what was written, and whether this program can use it. */
static void report(const char *out, double seconds)
{
    ilab_err e = { 0 };
    char size[32], time[32];
    json_t *v = model_describe(out, 0, &e);
    format_bytes(size, sizeof size, (double)file_size(out));
    format_duration(time, sizeof time, seconds);
    printf("%s: %s, %lld parameters, %s, %s\n", out, json_str(v, "architecture") ? json_str(v, "architecture") : "?", (long long)json_int(v, "parameters", 0), size, time);
    if (json_str(v, "runs_why")) log_warn("this program cannot run it: %s", json_str(v, "runs_why"));
    json_decref(v);
}

static int put_tokenizer(struct hf *h, const char *dir, struct gguf_writer *w, ilab_err *e)
{
    struct tokenizer *t;
    int rc = tokenizer_open_hf(&t, dir, e);
    if (rc) return rc;
    if (tokenizer_size(t) != hf_vocabulary(h))
        rc = err_set(e, ILAB_E_FORMAT, "'%s': the tokenizer has %d tokens, the embedding %d rows", dir, tokenizer_size(t), hf_vocabulary(h));
    if (!rc) rc = tokenizer_to_gguf(t, w, e);
    tokenizer_free(t);
    return rc;
}

static int to_gguf(const char *dir, const struct convert_args *a, int mix, struct pool *pool, ilab_err *e)
{
    struct convert_progress p = { .label = "convert" };
    const struct hf_convert how = { mix, pool, convert_progress, &p };
    struct hf *h = NULL;
    const double start = now_seconds();
    int rc = hf_open(&h, dir, e);
    if (rc) return rc;
    struct gguf_writer *w = gguf_writer_new();
    rc = hf_put_gguf(h, w, &how, e);
    if (!rc) rc = put_tokenizer(h, dir, w, e);
    const uint64_t bytes = gguf_writer_bytes(w);
    if (!rc) rc = convert_room(a->output, bytes, e);
    if (!rc && a->dry_run) {
        char size[32];
        format_bytes(size, sizeof size, (double)bytes);
        printf("%s: %s, %s; nothing was written\n", a->output, hf_architecture(h), size);
    } else if (!rc) {
        rc = gguf_write(w, a->output, e);
        convert_progress_end(&p);
        if (!rc) report(a->output, now_seconds() - start);
    }
    gguf_writer_free(w);
    hf_close(h);
    return rc;
}

static int to_safetensors(const char *file, const struct convert_args *a, int type, struct pool *pool, ilab_err *e)
{
    struct convert_progress p = { .label = "convert" };
    const struct hf_export how = { type, (uint64_t)(a->shard_gb * 1e9), pool, convert_progress, &p };
    struct gguf *g = NULL;
    uint64_t bytes = 0;
    char size[32], time[32];
    const double start = now_seconds();
    int rc = gguf_open(&g, file, e);
    if (rc) return rc;
    for (int i = 0; i < gguf_n_tensor(g); i++) bytes += (uint64_t)tensor_elems(gguf_tensor_at(g, i)) * (type == QT_F32 ? 4 : 2);
    format_bytes(size, sizeof size, (double)bytes);
    rc = convert_room(a->output, bytes, e);
    if (!rc && a->dry_run) {
        printf("%s: about %s; nothing was written\n", a->output, size);
    } else if (!rc) {
        rc = hf_export(g, a->output, &how, e);
        convert_progress_end(&p);
        format_duration(time, sizeof time, now_seconds() - start);
        if (!rc) printf("%s: config.json, safetensors, %s\n", a->output, time);
    }
    gguf_close(g);
    return rc;
}

static int is_adapter_file(const char *path)
{
    struct gguf *g;
    struct sv type;
    if (gguf_open(&g, path, NULL)) return 0;
    const int yes = !gguf_get_str(g, "general.type", &type, NULL) && sv_eq_c(type, "adapter");
    gguf_close(g);
    return yes;
}

/* An adapter, from a folder of PEFT's to GGUF or back; names and order of rows are those of the base. */
static int convert_adapter(const char *path, const struct convert_args *a, int back, ilab_err *e)
{
    char *base = file_exists(a->model) ? xstrdup(a->model) : model_find(a->model);
    struct model *m = NULL;
    struct adapter *ad = NULL;
    int rc = base ? model_open(&m, base, 0, NULL, e) : err_set(e, ILAB_E_NOTFOUND, "no base model '%s'", a->model), n = 0;
    if (!rc) rc = adapter_open(&ad, path, m, e);
    for (int i = 0; !rc && i < ad->n_layer * ADAPT_COUNT; i++) n += ad->lora[i].on != 0;
    if (!rc && !a->dry_run) rc = back ? adapter_write_peft(ad, m, a->output, e) : adapter_write(ad, m, a->output, e);
    if (!rc) printf("%s: adapter of rank %d on %d matrices of '%s'%s\n", a->output, ad->rank, n, m->name[0] ? m->name : path_base(base), a->dry_run ? "; nothing was written" : "");
    adapter_free(ad);
    model_free(m);
    mem_free(base);
    return rc;
}

static int convert_run(struct cli *c, void *args)
{
    const struct convert_args *a = args;
    ilab_err e = { 0 };
    if (!c->n_word || !a->output) {
        fprintf(stderr, c->n_word ? "Error: Missing option '--output'.\n" : "Error: Missing argument 'DIR or FILE'.\n");
        return EXIT_USAGE;
    }
    char *path = file_exists(c->word[0]) ? xstrdup(c->word[0]) : model_find(c->word[0]);
    if (!path) return EXIT_FAILED;
    const int is_dir = file_exists(path) == 2, is_adapter = is_dir ? adapter_is_dir(path) : is_adapter_file(path), back = a->to ? !strcmp(a->to, "safetensors") : 0, mix = a->type ? mix_by_name(a->type) : -1;
    int rc = 0;
    if (a->to && !back && strcmp(a->to, "gguf")) {
        fprintf(stderr, "Error: Invalid value for '--to': '%s' is neither gguf nor safetensors\n", a->to);
        rc = EXIT_USAGE;
    } else if (a->type && mix < 0) {
        rc = unknown_type(a->type);
    } else if (back && mix >= 0 && mix_base_type(mix) != QT_F32 && mix_base_type(mix) != QT_F16 && mix_base_type(mix) != QT_BF16) {
        fprintf(stderr, "Error: safetensors are written as F32, F16 or BF16, not as '%s'\n", a->type);
        rc = EXIT_USAGE;
    } else if (is_dir == back) {
        fprintf(stderr, is_dir ? "Error: '%s' is a folder already\n" : "Error: '%s' is a file: --to safetensors makes a folder of it, `ilab model quantize` another type\n", path);
        rc = EXIT_USAGE;
    } else if (!a->force && !a->dry_run && file_exists(a->output) && strcmp(a->output, "/dev/null") && !(back && file_exists(a->output) == 2)) {
        fprintf(stderr, "'%s' exists: choose another name, or --force\n", a->output);
        rc = EXIT_FAILED;
    }
    if (!rc && is_adapter && (!a->model || a->type)) {
        fprintf(stderr, a->model ? "Error: adapters are written as F32: leave --type out.\n" : "Error: '%s' is an adapter: --model names the base that it was made for.\n", path);
        rc = EXIT_USAGE;
    }
    if (!rc && is_adapter) {
        if (convert_adapter(path, a, back, &e)) rc = fail(&e, "Conversion failed: ");
        mem_free(path);
        return rc;
    }
    struct pool *pool = rc ? NULL : pool_new(a->threads);
    if (!rc && !pool) rc = fail(err_set(&e, ILAB_E_NOMEM, "no memory for threads") ? &e : &e, "Conversion failed: ");
    if (!rc) {
        const int code = back ? to_safetensors(path, a, mix >= 0 ? mix_base_type(mix) : -1, pool, &e) : to_gguf(path, a, mix, pool, &e);
        if (code) rc = fail(&e, "Conversion failed: ");
    }
    pool_free(pool);
    mem_free(path);
    return rc;
}

const struct cmd CMD_CONVERT = {
    .name = "model convert", .args_bytes = sizeof(struct convert_args), .defaults = &CONVERT_DEFAULTS, .opts = CONVERT_OPTS, .run = convert_run, .max_words = 1,
    .words = "DIR|FILE", .needs_config = -1,
    .summary = "Hugging Face directory to GGUF, and back; adapters too.",
    .help = "The directory has config.json, *.safetensors and tokenizer.json or tokenizer.model, as published on huggingface.co.\n"
            "It can also be used without conversion wherever a model is asked for. Families: llama, mistral, mixtral, granite,\n"
            "granitemoe, qwen2, qwen2_moe, qwen3, qwen3_moe, phi3, gemma, gemma2, gemma3 (text), smollm3, olmo2, gpt2, bert, nomic_bert.\n"
            "An adapter (GGUF, or a folder with adapter_config.json as PEFT and vLLM use it) becomes the other of the two with --model.\n"
            "Weights are streamed: memory for some rows at a time. Nothing appears under the final name before it is complete.\n\n"
            "Examples:\n"
            "  ilab model convert Mistral-7B-v0.3 -o mistral.gguf                     16 bits, as published\n"
            "  ilab model convert Mistral-7B-v0.3 -o mistral-q4.gguf --type Q4_K_M    a third of the size\n"
            "  ilab model convert models/ggml-model-f16.gguf --to safetensors -o taught\n"
            "  ilab model convert training_results/adapter.gguf --model granite.gguf --to safetensors -o taught-lora\n",
};
