/* cmd_model.c — `ilab model complete | perplexity | evaluate`.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "eval/eval.h"
#include "infer/infer.h"
#include "lm/lm.h"

#include <string.h>

/* NULL: *rc is the exit code, the message is out. */
static struct engine *open_engine(const char *model, const char *adapter, const char *kv_type, int threads, int *rc)
{
    ilab_err e = { 0 };
    struct engine *en = NULL;
    int kv;
    *rc = EXIT_USAGE;
    if (kv_type_arg(kv_type, &kv)) return NULL;
    if (model) *rc = EXIT_FAILED;
    char *path = model ? model_find(model) : NULL;
    if (!model) fprintf(stderr, "Error: Missing option '--model'.\n");
    if (path && engine_open(&en, path, adapter, threads, &e)) fprintf(stderr, "%s\n", e.msg);
    if (en) {
        en->kv_type = kv;
        en->watch = 1;
    }
    mem_free(path);
    return en;
}

/* ---- complete ---- */
enum { PROMPT_MAX_BYTES = 64 << 20 };
struct complete_args { const char *kv_type, *model, *adapter, *prompt, *prompt_file, *stop; int n, json, threads, top_k, seed, top, bos, special, lookup; double temp, top_p, min_p, repeat; };
static const struct complete_args COMPLETE_DEFAULTS = { .prompt = "", .n = 64, .temp = 0, .top_p = 1, .repeat = 1, .seed = 42, .bos = 1 };
#define O(field) offsetof(struct complete_args, field)
static const struct opt COMPLETE_OPTS[] = {
    { "model", 'm', NULL, OPT_STR, O(model), 0, 0, "FILE", NULL, "GGUF file, or a name below models/" },
    { "adapter", 0, NULL, OPT_STR, O(adapter), 0, 0, "FILE", NULL, "LoRA adapter made for this model" },
    { "prompt", 'p', NULL, OPT_STR, O(prompt), 0, 0, "TEXT", NULL, "text to continue" },
    { "file", 'f', NULL, OPT_STR, O(prompt_file), 0, 0, "FILE", NULL, "text to continue from a file; -: standard input" },
    { "max-tokens", 'n', NULL, OPT_INT, O(n), 0, 1 << 20, "N", NULL, "tokens to generate" },
    { "temperature", 't', NULL, OPT_FLOAT, O(temp), 0, 10, "T", NULL, "0: always the most likely token" },
    { "top-k", 0, NULL, OPT_INT, O(top_k), 0, 1 << 20, "K", NULL, "only the K most likely; 0: all" },
    { "top-p", 0, NULL, OPT_FLOAT, O(top_p), 0, 1, "P", NULL, "only the most likely with mass P together" },
    { "min-p", 0, NULL, OPT_FLOAT, O(min_p), 0, 1, "P", NULL, "only tokens at least P times as likely as the likeliest" },
    { "repeat-penalty", 0, NULL, OPT_FLOAT, O(repeat), 0.1, 10, "X", NULL, "1: none" },
    { "seed", 0, NULL, OPT_INT, O(seed), 0, 2147483647, "N", NULL, "other random choices; the same seed gives the same text" },
    { "stop", 0, NULL, OPT_STR, O(stop), 0, 0, "TEXT", NULL, "end before this text" },
    { "logprobs", 0, NULL, OPT_INT, O(top), 0, 32, "N", NULL, "with --json: the N most likely tokens at each place" },
    { "no-bos", 0, NULL, OPT_NO_FLAG, O(bos), 0, 0, NULL, NULL, "no beginning-of-text token" },
    { "special", 0, NULL, OPT_FLAG, O(special), 0, 0, NULL, NULL, "read special tokens such as <|user|> in the prompt" },
    { "kv-type", 0, NULL, OPT_STR, O(kv_type), 0, 0, "TYPE", NULL, "keys and values as f32, f16, q8_0 or q4_0; auto: f16 when they are many" },
    { "lookup", 0, NULL, OPT_INT, O(lookup), 0, LOOKUP_MAX, "N", NULL, "guess up to N tokens a step from the text so far; the result stays the same" },
    { "num-threads", 0, NULL, OPT_INT, O(threads), 0, 1024, "N", NULL, "threads; 0: one a core" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "ids, text and log-probabilities as JSON" },
    { 0 },
};
#undef O

static int print_piece(void *ud, struct sv piece)
{
    (void)ud;
    fwrite(piece.p, 1, piece.n, stdout);
    fflush(stdout);
    return 0;
}

static json_t *completion_json(const struct engine *en, const struct ids *prompt, const struct completion *c)
{
    static const char *const FINISH[] = { "stop", "length", "context", "cancel" };
    json_t *ids = json_array(), *pids = json_array(), *logp = json_array(), *tops = json_array(), *pieces = json_array();
    for (size_t i = 0; i < prompt->n; i++) json_array_append_new(pids, json_integer(prompt->v[i]));
    for (int i = 0; i < c->n; i++) {
        struct sb b;
        sb_init(&b, 1 << 16);
        tokenizer_piece(en->tokenizer, c->id[i], 1, &b);
        json_array_append_new(ids, json_integer(c->id[i]));
        json_array_append_new(logp, json_real((double)c->logp[i]));
        json_t *piece = json_stringn(b.p ? b.p : "", b.n);
        json_array_append_new(pieces, piece ? piece : json_null()); /* a token may hold part of a character */
        sb_release(&b);
        json_t *row = json_array();
        for (int k = 0; k < c->n_top; k++) json_array_append_new(row, json_pack("[i,f]", c->top[i * c->n_top + k].id, (double)c->top[i * c->n_top + k].logp));
        json_array_append_new(tops, row);
    }
    json_t *text = json_stringn(c->text ? c->text : "", c->n_text);
    json_t *o = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:s}", "text", text ? text : json_string(""), "ids", ids, "logprobs", logp, "tokens", pieces, "top_logprobs", tops, "prompt_ids",
                     pids, "finish_reason", FINISH[c->finish]);
    if (c->n_proposed) json_object_update_new(o, json_pack("{s:i,s:i}", "lookup_proposed", c->n_proposed, "lookup_accepted", c->n_accepted));
    return o;
}

/* The prompt: from a file, or as it stands on the command line (which holds 128 kB at most). */
static int read_prompt(const struct complete_args *a, char **text, size_t *n, ilab_err *e)
{
    if (a->prompt_file && *a->prompt) return err_set(e, ILAB_E_INVALID, "--prompt and --file contradict each other: give one of them");
    if (a->prompt_file) return file_read(strcmp(a->prompt_file, "-") ? a->prompt_file : "/dev/stdin", PROMPT_MAX_BYTES, text, n, e);
    *text = xstrdup(a->prompt);
    *n = strlen(*text);
    return 0;
}

static int complete_run(struct cli *c, void *args)
{
    (void)c;
    const struct complete_args *a = args;
    ilab_err e = { 0 };
    int rc;
    struct ids prompt = { 0 };
    struct completion out = { 0 };
    struct engine *en = open_engine(a->model, a->adapter, a->kv_type, a->threads, &rc);
    if (!en) return rc;
    const char *stop[1] = { a->stop };
    char *text = NULL;
    size_t n_text = 0;
    rc = read_prompt(a, &text, &n_text, &e);
    if (!rc) rc = tokenizer_encode(en->tokenizer, (struct sv){ text, n_text }, (a->bos ? TOKEN_ADD_BOS : 0) | (a->special ? TOKEN_PARSE_SPECIAL : 0), &prompt, &e);
    if (!rc && !prompt.n) rc = err_set(&e, ILAB_E_INVALID, "the prompt is empty and the model has no beginning-of-text token: give one with --prompt or --file");
    struct request q = { .prompt = prompt.v, .n_prompt = (int)prompt.n, .max_tokens = a->n, .stop = stop, .n_stop = a->stop != NULL, .n_top = a->top, .n_lookup = a->lookup ? a->lookup : -1,
                         .sample = { .temp = (float)a->temp, .top_p = (float)a->top_p, .min_p = (float)a->min_p, .repeat_penalty = (float)a->repeat,
                                     .top_k = a->top_k, .repeat_last_n = 64, .seed = (uint64_t)a->seed } };
    if (!a->json) q.on_text = print_piece;
    if (!rc) rc = kv_room(&en->model->hp, en->kv_type, (int64_t)prompt.n + a->n, 0, &e);
    struct batcher *b = rc ? NULL : batcher_new(en, 1, (int)prompt.n + a->n + KERN_PANEL, &e);
    if (!rc) rc = b ? batcher_run(b, &q, 1, &out, &e) : e.code;
    if (!rc && a->json) print_json(completion_json(en, &prompt, &out));
    else if (!rc) putchar('\n');
    completion_release(&out);
    batcher_free(b);
    ids_release(&prompt);
    mem_free(text);
    engine_free(en);
    return rc ? fail(&e, "Completion failed: ") : EXIT_DONE;
}

const struct cmd CMD_COMPLETE = {
    .name = "model complete", .args_bytes = sizeof(struct complete_args), .defaults = &COMPLETE_DEFAULTS, .opts = COMPLETE_OPTS, .run = complete_run,
    .summary = "Continue a raw text, without chat template.",
    .help = "Example:\n  ilab model complete -m models/starter.gguf -p 'Once upon a time' -n 40 --json\n  ilab model complete -m models/other.gguf -f article.txt -n 200 --kv-type q8_0\n",
};

/* ---- perplexity ---- */
struct perplexity_args { const char *kv_type, *model, *adapter, *file; int ctx, json, threads; };
static const struct perplexity_args PERPLEXITY_DEFAULTS = { .ctx = 512 };
#define O(field) offsetof(struct perplexity_args, field)
static const struct opt PERPLEXITY_OPTS[] = {
    { "model", 'm', NULL, OPT_STR, O(model), 0, 0, "FILE", NULL, "GGUF file, or a name below models/" },
    { "adapter", 0, NULL, OPT_STR, O(adapter), 0, 0, "FILE", NULL, "LoRA adapter made for this model" },
    { "file", 'f', NULL, OPT_STR, O(file), 0, 0, "FILE", NULL, "text; parts separated by <|endoftext|>" },
    { "ctx-size", 0, NULL, OPT_INT, O(ctx), 2, 1 << 20, "N", NULL, "each part is cut here" },
    { "kv-type", 0, NULL, OPT_STR, O(kv_type), 0, 0, "TYPE", NULL, "keys and values as f32, f16, q8_0 or q4_0; auto: f16 when they are many" },
    { "num-threads", 0, NULL, OPT_INT, O(threads), 0, 1024, "N", NULL, "threads; 0: one a core" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "as JSON" },
    { 0 },
};
#undef O

static int perplexity_run(struct cli *c, void *args)
{
    (void)c;
    const struct perplexity_args *a = args;
    ilab_err e = { 0 };
    int rc;
    struct perplexity p;
    char *text = NULL;
    size_t n = 0;
    if (!a->file) {
        fprintf(stderr, "Error: Missing option '--file'.\n");
        return EXIT_USAGE;
    }
    struct engine *en = open_engine(a->model, a->adapter, a->kv_type, a->threads, &rc);
    if (!en) return rc;
    if (a->ctx > en->model->hp.n_ctx)
        log_warn("the model was trained with %d tokens of context; %d are asked for", en->model->hp.n_ctx, a->ctx);
    rc = file_read(a->file, (size_t)1 << 30, &text, &n, &e);
    if (!rc) rc = perplexity_text(en, (struct sv){ text, n }, a->ctx, &p, &e);
    if (!rc && a->json)
        print_json(json_pack("{s:f,s:f,s:I,s:i,s:f}", "nll_mean", p.nll_mean, "perplexity", p.perplexity, "tokens", (json_int_t)p.n_tokens, "parts", p.n_parts, "seconds", p.seconds));
    else if (!rc)
        printf("mean NLL %.5f, perplexity %.4f over %lld tokens in %d parts (%.1f s)\n", p.nll_mean, p.perplexity, (long long)p.n_tokens, p.n_parts, p.seconds);
    mem_free(text);
    engine_free(en);
    return rc ? fail(&e, "Perplexity failed: ") : EXIT_DONE;
}

const struct cmd CMD_PERPLEXITY = {
    .name = "model perplexity", .args_bytes = sizeof(struct perplexity_args), .defaults = &PERPLEXITY_DEFAULTS, .opts = PERPLEXITY_OPTS, .run = perplexity_run,
    .summary = "Mean negative log-likelihood of a text.",
    .help = "The text is split at <|endoftext|>; each part gets a beginning-of-text token and is cut at --ctx-size.\n\n"
            "Example:\n  ilab model perplexity -m models/starter.gguf -f text.txt --json\n",
};

/* ---- evaluate ---- */
struct evaluate_args { const char *model, *adapter, *benchmark, *questions, *endpoint, *api_key, *output; int json, threads; };
static const struct evaluate_args EVALUATE_DEFAULTS = { .model = "starter", .api_key = "no_api_key" };
#define O(field) offsetof(struct evaluate_args, field)
static const struct opt EVALUATE_OPTS[] = {
    { "benchmark", 0, NULL, OPT_STR, O(benchmark), 0, 0, "NAME", NULL, "quiz" },
    { "input-questions", 0, NULL, OPT_STR, O(questions), 0, 0, "FILE", NULL, "JSONL: user_input, reference, kind (recall, unknown, retention)" },
    { "model", 'm', NULL, OPT_STR, O(model), 0, 0, "FILE", "evaluate.model", "GGUF file, or a name below models/" },
    { "adapter", 0, NULL, OPT_STR, O(adapter), 0, 0, "FILE", NULL, "LoRA adapter made for this model" },
    { "endpoint-url", 0, NULL, OPT_STR, O(endpoint), 0, 0, "URL", NULL, "an OpenAI-style server instead" },
    { "api-key", 0, NULL, OPT_STR, O(api_key), 0, 0, "KEY", NULL, "its key" },
    { "output", 'o', NULL, OPT_STR, O(output), 0, 0, "FILE", NULL, "write the JSON report here too" },
    { "num-threads", 0, NULL, OPT_INT, O(threads), 0, 1024, "N", NULL, "threads; 0: one a core" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "each answer with its score, and the totals, as JSON" },
    { 0 },
};
#undef O

static int evaluate_run(struct cli *c, void *args)
{
    const struct evaluate_args *a = args;
    ilab_err e = { 0 };
    struct quiz q;
    struct quiz_report r;
    struct lm *lm = NULL;
    if (!a->benchmark || strcmp(a->benchmark, "quiz")) {
        fprintf(stderr, "Error: --benchmark: 'quiz' is what this release has\n");
        return EXIT_USAGE;
    }
    if (!a->questions) {
        fprintf(stderr, "Error: Missing option '--input-questions'.\n");
        return EXIT_USAGE;
    }
    if (quiz_read(&q, a->questions, &e)) return fail(&e, "Evaluation failed: ");
    int rc = lm_for_command(c, a->model, a->adapter, a->endpoint, a->api_key, a->threads, 0, &lm, &e);
    if (!rc) rc = quiz_run(lm, &q, system_prompt_for(c), &r, &e);
    if (!rc) {
        json_t *v = quiz_report_json(&q, &r, 1);
        struct sb b;
        sb_init(&b, (size_t)256 << 20);
        if (a->output) {
            sb_add_json(&b, v);
            sb_addch(&b, '\n');
            rc = file_write(a->output, b.p ? b.p : "", b.n, &e);
            sb_reset(&b);
        }
        if (a->json) print_json(json_incref(v));
        else {
            quiz_report_text(&q, &r, &b);
            printf("%s", b.p ? b.p : "");
        }
        sb_release(&b);
        json_decref(v);
        quiz_report_release(&r, q.n);
    }
    lm_close(lm);
    quiz_release(&q);
    return rc ? fail(&e, "Evaluation failed: ") : EXIT_DONE;
}

const struct cmd CMD_EVALUATE = {
    .name = "model evaluate", .args_bytes = sizeof(struct evaluate_args), .defaults = &EVALUATE_DEFAULTS, .opts = EVALUATE_OPTS, .run = evaluate_run,
    .summary = "Closed-book questions: what it recalls, admits not to know, and has kept.",
    .help = "Greedy, a fresh chat for each question, at most 48 tokens. Right: the reference occurs in the answer and no name or\n"
            "number that is foreign to question and reference. Unknown questions are right when the model says that it does not know.\n\n"
            "Example:\n  ilab model evaluate --benchmark quiz --input-questions examples/university/questions.jsonl --adapter training_results/adapter.gguf\n",
};
