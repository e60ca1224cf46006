/* cmd_test.c — `ilab test`: the seed questions as the base and the taught model answer them.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "lm/lm.h"

#include <string.h>

enum { TEST_MAX_ROWS = 10000, TEST_MAX_FILE = 256 << 20 };

struct test_args { const char *data_dir, *file, *model, *model_dir, *adapter, *trained, *api_key, *family; int max_tokens, threads; };
static const struct test_args DEFAULTS = { .data_dir = "taxonomy_data", .model = "starter", .adapter = "auto", .max_tokens = 48 };
#define O(field) offsetof(struct test_args, field)
static const struct opt OPTS[] = {
    { "data-dir", 0, NULL, OPT_STR, O(data_dir), 0, 0, "DIR", "train.data_output_dir", "where `ilab train` put test_gen.jsonl" },
    { "test_file", 't', NULL, OPT_STR, O(file), 0, 0, "FILE", NULL, "JSONL with user, assistant and perhaps system" },
    { "model", 'm', NULL, OPT_STR, O(model), 0, 0, "MODEL", "generate.model", "base model: a name below models/ or a file" },
    { "adapter", 0, NULL, OPT_STR, O(adapter), 0, 0, "FILE", NULL, "what was taught; auto: adapter.gguf of train.ckpt_output_dir, None: only the base" },
    { "adapter-file", 0, NULL, OPT_STR, O(adapter), 0, 0, "FILE", NULL, "the same" },
    { "trained-model", 0, NULL, OPT_STR, O(trained), 0, 0, "FILE", NULL, "a merged or fully trained model instead of an adapter" },
    { "max-tokens", 0, NULL, OPT_INT, O(max_tokens), 1, 4096, "N", NULL, "longest answer" },
    { "num-threads", 0, NULL, OPT_INT, O(threads), 0, 1024, "N", NULL, "threads; 0: one a core" },
    { "model-dir", 0, NULL, OPT_STR, O(model_dir), 0, 0, "DIR", NULL, "accepted for compatibility; see --model" },
    { "api-key", 0, NULL, OPT_STR, O(api_key), 0, 0, "KEY", NULL, "accepted for compatibility" },
    { "model-family", 0, NULL, OPT_STR, O(family), 0, 0, "NAME", NULL, "accepted for compatibility" },
    { 0 },
};

static int keep_row(void *ud, int line, const json_t *v, ilab_err *e)
{
    json_t *rows = ud;
    if (!json_str(v, "user")) return err_set(e, ILAB_E_FORMAT, "line %d has no 'user'", line);
    if (json_array_size(rows) < TEST_MAX_ROWS) json_array_append(rows, (json_t *)(uintptr_t)v);
    return 0;
}

/* The file that was asked for, else train's copy, else the newest that generate wrote. */
static char *find_questions(const struct cli *c, const struct test_args *a, ilab_err *e)
{
    static const char *const NAME[] = { "test_gen.jsonl", "test.jsonl" };
    const char *out = c->config ? config_get(c->config, "generate.output_dir") : NULL;
    char *train = NULL, *test = NULL;
    if (a->file) {
        if (file_exists(a->file) == 1) return xstrdup(a->file);
        err_set(e, ILAB_E_NOTFOUND, "the test file '%s' does not exist", a->file);
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(NAME); i++) {
        char *p = path_join(a->data_dir, NAME[i]);
        if (p && file_exists(p) == 1) return p;
        mem_free(p);
    }
    if (!newest_dataset(out ? out : "generated", &train, &test, NULL) && test) {
        mem_free(train);
        return test;
    }
    mem_free(train);
    err_set(e, ILAB_E_NOTFOUND, "no test_gen.jsonl in '%s': did you run `ilab generate` and `ilab train`? (or give --test_file)", a->data_dir);
    return NULL;
}

static int answer_all(const struct test_args *a, const char *model, const char *adapter, const json_t *rows, const char *fallback_system, struct lm_result *out, ilab_err *e)
{
    const size_t n = json_array_size(rows);
    struct lm *lm = NULL;
    struct lm_request *q = mem_calloc(n, sizeof *q);
    struct lm_message *m = mem_calloc(2 * n, sizeof *m);
    int rc = q && m ? lm_local_open(&lm, model, adapter, a->threads, e) : err_set(e, ILAB_E_NOMEM, "not enough memory for %zu questions", n);
    for (size_t i = 0; !rc && i < n; i++) {
        const json_t *row = json_array_get(rows, i);
        const char *system = json_str(row, "system");
        if (!system) system = fallback_system;
        m[2 * i] = (struct lm_message){ "system", sv_of(system) };
        m[2 * i + 1] = (struct lm_message){ "user", sv_of(json_str(row, "user")) };
        const int skip = !*system;
        q[i] = (struct lm_request){ .message = m + 2 * i + skip, .n_message = 2 - skip, .max_tokens = a->max_tokens, .top_p = 1 };
    }
    if (!rc) rc = lm_complete(lm, q, (int)n, out, e);
    lm_close(lm);
    mem_free(q);
    mem_free(m);
    return rc;
}

static int compare(const struct cli *c, const struct test_args *a, const char *base, const char *taught, const char *adapter, const json_t *rows, ilab_err *e)
{
    const size_t n = json_array_size(rows);
    struct lm_result *r[2] = { mem_calloc(n, sizeof **r), mem_calloc(n, sizeof **r) };
    const int n_model = adapter || taught ? 2 : 1;
    int rc = r[0] && r[1] ? 0 : err_set(e, ILAB_E_NOMEM, "not enough memory for %zu answers", n);
    for (int k = 0; !rc && k < n_model; k++) rc = answer_all(a, k && taught ? taught : base, k ? adapter : NULL, rows, system_prompt_for(c), r[k], e);
    for (size_t i = 0; !rc && i < n; i++) {
        const json_t *row = json_array_get(rows, i);
        printf("===\ntest %zu\n===\nuser:               %s\nassistant_old:      %s\n", i, json_str(row, "user"), r[0][i].text);
        if (n_model == 2) printf("assistant_new:      %s\n", r[1][i].text);
        printf("assistant_expected: %s\n\n", json_str(row, "assistant") ? json_str(row, "assistant") : "");
    }
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; r[k] && i < n; i++) lm_result_release(&r[k][i]);
        mem_free(r[k]);
    }
    return rc;
}

static int run(struct cli *c, void *args)
{
    const struct test_args *a = args;
    ilab_err e = { 0 };
    const char *out = c->config ? config_get(c->config, "train.ckpt_output_dir") : NULL;
    char *own = path_join(out ? out : "training_results", "adapter.gguf");
    const char *adapter = !strcmp(a->adapter, "None") || a->trained ? NULL : !strcmp(a->adapter, "auto") ? own : a->adapter;
    char *file = find_questions(c, a, &e), *base = NULL, *taught = NULL;
    json_t *rows = json_array();
    int rc = file ? json_read_lines(file, TEST_MAX_FILE, keep_row, rows, &e) : e.code;
    if (!rc && !json_array_size(rows)) rc = err_set(&e, ILAB_E_FORMAT, "'%s' holds no question", file);
    if (!rc && !own) rc = err_set(&e, ILAB_E_NOMEM, "no memory for a path");
    if (!rc && adapter == own && !file_exists(own)) rc = err_set(&e, ILAB_E_NOTFOUND, "there is no %s: did you run `ilab train`? (--adapter None asks only the base)", own);
    if (!rc && !(base = model_find(a->model))) rc = err_set(&e, ILAB_E_NOTFOUND, "no model '%s'", a->model);
    if (!rc && a->trained && !(taught = model_find(a->trained))) rc = err_set(&e, ILAB_E_NOTFOUND, "no model '%s'", a->trained);
    if (!rc) rc = compare(c, a, base, taught, adapter, rows, &e);
    json_decref(rows);
    mem_free(own);
    mem_free(file);
    mem_free(base);
    mem_free(taught);
    return rc ? fail(&e, "Testing failed: ") : EXIT_DONE;
}

const struct cmd CMD_TEST = {
    .name = "test", .group = "model", .needs_config = 2, .args_bytes = sizeof(struct test_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run,
    .summary = "Show how the base and the taught model answer the seed questions.",
    .help = "Examples:\n  ilab test\n  ilab test --adapter training_results/adapter.gguf --test_file generated/test_starter_2024-05-01T12_00_00.jsonl\n"
            "  ilab test --trained-model models/ggml-model-f16.gguf\n",
};
