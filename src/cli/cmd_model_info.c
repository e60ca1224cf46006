/* cmd_model_info.c — `ilab model info`: what a model's file holds, needs and allows.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "model/model.h"

#include <string.h>

struct info_args { int json, ctx, check, threads; };
static const struct info_args INFO_DEFAULTS = { 0 };
#define O(field) offsetof(struct info_args, field)
static const struct opt INFO_OPTS[] = {
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "as JSON" },
    { "ctx-size", 0, NULL, OPT_INT, O(ctx), 0, 1 << 24, "N", NULL, "memory for so many tokens; 0: the model's context, at most 4096" },
    { "check", 0, NULL, OPT_FLAG, O(check), 0, 0, NULL, NULL, "read all weights: none may be infinite or not a number" },
    { "num-threads", 0, NULL, OPT_INT, O(threads), 0, 1024, "N", NULL, "threads for --check; 0: one a core" },
    { 0 },
};
#undef O

static void print_value(const char *key, const json_t *v)
{
    struct sb b;
    sb_init(&b, (size_t)16 << 20);
    if (json_is_string(v)) sb_addc(&b, json_string_value(v));
    else sb_add_json(&b, v);
    for (size_t i = 0; i < b.n; i++)
        if (b.p[i] == '\n' || b.p[i] == '\r' || b.p[i] == 27) b.p[i] = ' ';
    printf("  %-38s %s\n", key, b.p ? b.p : "");
    sb_release(&b);
}

static void print_bytes(const char *what, double bytes)
{
    char text[32];
    format_bytes(text, sizeof text, bytes);
    printf("  %-38s %s\n", what, text);
}

static void print_memory(const json_t *m)
{
    const json_t *kv = json_object_get(m, "kv_cache");
    const char *type;
    json_t *v;
    char what[64];
    printf("\nMemory for %d tokens\n", (int)json_int(m, "context", 0));
    print_bytes("weights", json_num(m, "weights", 0));
    json_object_foreach((json_t *)kv, type, v) {
        snprintf(what, sizeof what, "KV cache in %s", type);
        print_bytes(what, json_number_value(v));
    }
    print_bytes("buffers", json_num(m, "buffers", 0));
    print_bytes("together (KV cache in F16)", json_num(m, "total", 0));
    print_bytes("free now", json_num(m, "free", 0));
}

static void print_all(const json_t *o)
{
    /* what has a section of its own below, and what only programs want */
    static const char *const ELSEWHERE[] = { "metadata", "memory", "limits", "types", "path", "runs", "runs_why", "trains", "trains_why", "tensor_types", "packed_bytes", "trainable", "faults" };
    const char *key, *type;
    json_t *v;
    size_t i;
    printf("%s\n", json_str(o, "path"));
    json_object_foreach((json_t *)o, key, v) {
        int skip = 0;
        for (i = 0; i < ARRAY_LEN(ELSEWHERE); i++) skip |= !strcmp(key, ELSEWHERE[i]);
        if (!skip) print_value(key, v);
    }
    printf("\nTensors by type\n");
    json_object_foreach(json_object_get(o, "types"), type, v) {
        char bytes[32];
        format_bytes(bytes, sizeof bytes, json_num(v, "bytes", 0));
        printf("  %-8s %6lld tensors  %14lld parameters  %10s\n", type, (long long)json_int(v, "tensors", 0), (long long)json_int(v, "parameters", 0), bytes);
    }
    if (json_object_get(o, "memory")) print_memory(json_object_get(o, "memory"));
    printf("\nLimits\n");
    json_array_foreach(json_object_get(o, "limits"), i, v) printf("  %s\n", json_string_value(v));
    const char *kind = json_str(json_object_get(o, "metadata"), "general.type");
    if (kind && !strcmp(kind, "adapter")) printf("  this is an adapter: `ilab chat -m MODEL --adapter %s` runs the model that it was trained on with it\n", json_str(o, "path"));
    else printf("  %s%s\n", json_is_true(json_object_get(o, "runs")) ? "this program can run it" : "this program cannot run it: ", json_str(o, "runs_why") ? json_str(o, "runs_why") : "");
    if (!kind || strcmp(kind, "adapter"))
        printf("  %s%s\n", json_is_true(json_object_get(o, "trains")) ? "and train it" : "it cannot be trained here: ", json_str(o, "trains_why") ? json_str(o, "trains_why") : "");
    printf("\nMetadata\n");
    json_object_foreach(json_object_get(o, "metadata"), key, v) print_value(key, v);
}

/* Adds "faults": a list of messages. */
static int check_values(const char *path, int threads, json_t *o, ilab_err *e)
{
    struct gguf *g = NULL;
    json_t *faults = json_array();
    struct pool *pool = pool_new(threads);
    int rc = pool ? model_gguf_open(&g, path, e) : err_set(e, ILAB_E_NOMEM, "no memory for threads");
    for (int i = 0; !rc && i < gguf_n_tensor(g) && !signal_pending(); i++) {
        ilab_err one = { 0 };
        const int bad = tensor_check_values(gguf_tensor_at(g, i), pool, &one);
        if (bad == ILAB_E_FORMAT) json_array_append_new(faults, json_string(one.msg));
        else if (bad) rc = err_set(e, one.code, "%s", one.msg);
    }
    if (!rc && g) rc = gguf_check(g, e);
    if (!rc && signal_pending()) rc = err_set(e, ILAB_E_CANCEL, "interrupted");
    if (g) gguf_close(g);
    pool_free(pool);
    json_object_set_new(o, "faults", faults);
    return rc;
}

static int info_run(struct cli *c, void *args)
{
    const struct info_args *a = args;
    ilab_err e = { 0 };
    if (!c->n_word) {
        fprintf(stderr, "Error: Missing argument 'FILE'.\n");
        return EXIT_USAGE;
    }
    char *path = hf_is_dir(c->word[0]) ? xstrdup(c->word[0]) : model_find(c->word[0]);
    if (!path) return EXIT_FAILED;
    json_t *o = model_describe(path, a->ctx, &e);
    int rc = o ? 0 : e.code;
    if (!rc && a->check) rc = check_values(path, a->threads, o, &e);
    size_t n_fault = 0;
    if (!rc && a->json) {
        print_json(json_incref(o));
    } else if (!rc) {
        print_all(o);
    }
    if (!rc && a->check) {
        size_t i;
        json_t *v;
        n_fault = json_array_size(json_object_get(o, "faults"));
        if (!a->json) {
            json_array_foreach(json_object_get(o, "faults"), i, v) printf("  fault: %s\n", json_string_value(v));
            printf("\nCheck: %s\n", n_fault ? "some weights are not finite" : "all weights are finite numbers");
        }
    }
    json_decref(o);
    mem_free(path);
    return rc ? fail(&e, "%s", "") : n_fault ? EXIT_FAILED : EXIT_DONE;
}

const struct cmd CMD_INFO = {
    .name = "model info", .args_bytes = sizeof(struct info_args), .defaults = &INFO_DEFAULTS, .opts = INFO_OPTS, .run = info_run, .max_words = 1, .words = "FILE|DIR", .needs_config = -1,
    .summary = "What a model holds: architecture, sizes, tensor types, memory, limits, metadata.",
    .help = "FILE is a GGUF file (of a split model: the first one), DIR a Hugging Face directory. Also tells whether this program can\n"
            "run and train it, and why not.\n\n"
            "Examples:\n"
            "  ilab model info models/starter.gguf\n"
            "  ilab model info Mistral-7B-v0.3 --ctx-size 8192\n"
            "  ilab model info models/starter.gguf --json --check\n",
};
