/* cmd_train.c — `ilab train`: an adapter (or a whole small model) from generated data, before and after shown.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/convert.h"
#include "cli/train_result.h"
#include "cli/messages.h"
#include "train/train.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

struct train_args {
    const char *data, *data_dir, *input_dir, *model, *out, *pipeline, *scratch, *device, *save, *modules, *memory, *recompute, *states, *share, *precision;
    const char *long_samples;
    const char *save_type, *optimizer, *moments;
    int epochs, rank, batch, micro, max_seq, seed, threads, dry_run, json, fresh, resume, no_merge, quiet, first_layer, save_steps, rslora;
    double alpha, dropout, lr, soft, decay, warmup, learnt, save_seconds;
};
/* Ours where science.md shows the reference's (rank 4, attention only, lr 5e-5, 300 tokens, 1 epoch) to teach next to nothing. */
static const struct train_args DEFAULTS = {
    .input_dir = "generated", .data_dir = "taxonomy_data", .model = "starter", .out = "training_results", .pipeline = "lora", .device = "cpu",
    .save = "models/ggml-model-f16.gguf", .modules = "all", .recompute = "auto", .states = "auto", .share = "auto", .epochs = 4, .rank = 16, .alpha = 32, .batch = 1024, .micro = 1024, .max_seq = 1024,
    .seed = 1, .lr = 1e-3, .soft = 0.5, .decay = 0.01, .warmup = 0.05, .long_samples = "skip", .precision = "auto", .save_seconds = 60,
    .save_type = "F16", .optimizer = "adamw", .moments = "f32",
};
#define O(field) offsetof(struct train_args, field)
static const struct opt OPTS[] = {
    { "data-path", 0, NULL, OPT_STR, O(data), 0, 0, "FILE", "train.data_path", "JSONL to train on; by default the newest of --input-dir" },
    { "input-dir", 0, NULL, OPT_STR, O(input_dir), 0, 0, "DIR", "generate.output_dir", "where `ilab generate` wrote" },
    { "data-dir", 0, NULL, OPT_STR, O(data_dir), 0, 0, "DIR", "train.data_output_dir", "the data used is copied here (train_gen.jsonl, test_gen.jsonl)" },
    { "data-output-dir", 0, NULL, OPT_STR, O(data_dir), 0, 0, "DIR", NULL, "the same as --data-dir", OPT_HIDDEN },
    { "model-path", 'm', NULL, OPT_STR, O(model), 0, 0, "FILE", "train.model_path", "base model: a name below models/ or a file" },
    { "model-name", 0, NULL, OPT_STR, O(model), 0, 0, "FILE", NULL, "the same" },
    { "ckpt-output-dir", 0, NULL, OPT_STR, O(out), 0, 0, "DIR", "train.ckpt_output_dir", "checkpoints, adapter.gguf, metrics.jsonl, manifest.json" },
    { "save-path", 0, NULL, OPT_STR, O(save), 0, 0, "FILE", "train.save_path", "merged model" },
    { "save-type", 0, NULL, OPT_STR, O(save_type), 0, 0, "TYPE", "train.save_type", "its element type: F16, BF16, Q8_0, or any that `ilab model quantize` knows; 4 bits cost some of what was learnt (the cost is told)" },
    { "no-merge", 0, NULL, OPT_FLAG, O(no_merge), 0, 0, NULL, NULL, "keep only the adapter" },
    { "pipeline", 0, NULL, OPT_STR, O(pipeline), 0, 0, "NAME", "train.pipeline", "lora: an adapter beside the frozen base; full: all weights (small models)" },
    { "from-scratch", 0, NULL, OPT_STR, O(scratch), 0, 0, "CONFIG", NULL, "with --pipeline full: a new model as CONFIG (YAML) describes it" },
    { "num-epochs", 0, NULL, OPT_INT, O(epochs), 1, 10000, "N", "train.num_epochs", "passes over the data (the reference's 1 teaches next to nothing)" },
    { "lora-rank", 0, NULL, OPT_INT, O(rank), 1, 1024, "R", "train.lora_rank", "rank of the adapter" },
    { "lora-alpha", 0, NULL, OPT_FLOAT, O(alpha), 0.001, 1e6, "A", "train.lora_alpha", "its scale is A/R" },
    { "lora-dropout", 0, NULL, OPT_FLOAT, O(dropout), 0, 0.99, "P", "train.lora_dropout", "share of an adapter's input that falls out in training" },
    { "use-rslora", 0, NULL, OPT_FLAG, O(rslora), 0, 0, NULL, "train.use_rslora", "scale A/sqrt(R) instead: for large ranks" },
    { "lora-target-modules", 0, NULL, OPT_STR, O(modules), 0, 0, "LIST", "train.lora_target_modules", "all, or names with commas: attn_q … ffn_down, ffn_gate_exps …, or q_proj … down_proj; router is not in all" },
    { "lora-first-layer", 0, NULL, OPT_INT, O(first_layer), 0, 1000, "N", "train.lora_first_layer", "leave the layers below alone (less work)" },
    { "learning-rate", 0, NULL, OPT_FLOAT, O(lr), 1e-9, 10, "X", "train.learning_rate", "highest learning rate (smaller for larger models: 2e-4 at 7B)" },
    { "warmup", 0, NULL, OPT_FLOAT, O(warmup), 0, 0.9, "X", "train.warmup", "share of the steps with a rising rate" },
    { "optimizer", 0, NULL, OPT_STR, O(optimizer), 0, 0, "NAME", "train.optimizer", "adamw, or adafactor: hardly any memory beside weights and gradients, for --pipeline full (try --learning-rate 1e-4)", 0, "adamw adafactor" },
    { "moments-storage", 0, NULL, OPT_STR, O(moments), 0, 0, "TYPE", "train.moments_storage", "f32, or bf16: AdamW's two moments in half the memory (of 16 bytes a weight with --pipeline full 4 are saved)", 0, "f32 bf16" },
    { "weight-decay", 0, NULL, OPT_FLOAT, O(decay), 0, 1, "X", "train.weight_decay", "AdamW's" },
    { "effective-batch-size", 0, NULL, OPT_INT, O(batch), 16, 1 << 24, "TOKENS", "train.effective_batch_tokens", "tokens of one step" },
    { "max-batch-len", 0, NULL, OPT_INT, O(micro), 16, 1 << 24, "TOKENS", "train.max_batch_len", "tokens that are in memory together; does not change the result" },
    { "max-seq-len", 0, NULL, OPT_INT, O(max_seq), 8, 1 << 20, "TOKENS", "train.max_seq_len", "longest sample (at most the model's context); longer ones: --long-samples" },
    { "long-samples", 0, NULL, OPT_STR, O(long_samples), 0, 0, "WHAT", "train.long_samples", "samples that are too long: skip leaves them out, cut drops their end", 0, "skip cut" },
    { "precision", 0, NULL, OPT_STR, O(precision), 0, 0, "PATH", "train.precision",
      "products with the frozen weights: exact (F32), mixed (8 bits forward), fast (8 bits both ways), auto: the fastest whose gradients agree on your data", 0, "auto exact mixed fast" },
    { "distill", 0, NULL, OPT_FLOAT, O(soft), 0, 1, "X", "train.distill", "weight of the stored teacher distribution where the data has one" },
    { "memory", 0, NULL, OPT_STR, O(memory), 0, 0, "SIZE", "train.memory", "most memory, the mapped model included (6G); fewer tokens at a time, recomputation and reading weights layer by layer make it fit, the result stays the same; default: what is free", 0, NULL, "ILAB_MEMORY" },
    { "recompute", 0, NULL, OPT_STR, O(recompute), 0, 0, "WHEN", "train.recompute", "auto, on, off: compute layers a second time instead of keeping their activations (about a third more work, far less memory, the same result)", 0, "auto on off" },
    { "skip-learnt", 0, NULL, OPT_FLOAT, O(learnt), 0, 10, "X", "train.skip_learnt", "samples of which every token is right and loses at most X nats (0.05: 95 % sure) rest for 1, 2, 4 epochs and are looked at again; 0: none rests" },
    { "cache-states", 0, NULL, OPT_STR, O(states), 0, 0, "WHERE", "train.cache_states", "auto, off, ram, disk: keep the hidden states below the lowest adapted layer from the first epoch on (--lora-first-layer; the same result in less time)", 0, "auto off ram disk" },
    { "share-prefix", 0, NULL, OPT_STR, O(share), 0, 0, "WHEN", "train.share_prefix",
      "auto, on, off: tokens that samples begin with (16 or more: a system prompt, a document) are computed once for those of a step; on: such samples come into the same steps, which saves more and makes steps less mixed",
      0, "auto on off" },
    { "seed", 0, NULL, OPT_INT, O(seed), 0, 2147483647, "N", "train.seed", "other order of the samples and other first weights of the adapter" },
    { "num-threads", 0, NULL, OPT_INT, O(threads), 0, 1024, "N", "train.num_threads", "threads; 0: one a core; does not change the result" },
    { "resume", 0, NULL, OPT_FLAG, O(resume), 0, 0, NULL, NULL, "go on with the unfinished run without asking (default where nobody can answer)" },
    { "fresh", 0, NULL, OPT_FLAG, O(fresh), 0, 0, NULL, NULL, "forget an unfinished run instead of going on with it" },
    { "restart", 0, NULL, OPT_FLAG, O(fresh), 0, 0, NULL, NULL, "the same", OPT_HIDDEN },
    { "checkpoint-seconds", 0, NULL, OPT_FLOAT, O(save_seconds), 0, 1e9, "X", "train.checkpoint_seconds", "save the state so often (never more than 5 % of the time); 0: not by time" },
    { "checkpoint-steps", 0, NULL, OPT_INT, O(save_steps), 0, 1000000000, "N", "train.checkpoint_steps", "save the state every N steps; 0: not by steps" },
    { "dry-run", 0, NULL, OPT_FLAG, O(dry_run), 0, 0, NULL, NULL, "memory by buffer and time from two measured steps; trains nothing" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "the report as JSON on stdout" },
    { "quiet", 0, NULL, OPT_FLAG, O(quiet), 0, 0, NULL, NULL, "no table of answers before and after" },
    { "device", 0, NULL, OPT_STR, O(device), 0, 0, "NAME", "train.device", "cpu" },
    { 0 },
};

/* Names of GGUF, and those of Hugging Face's classes, which mean every matrix of that kind: dense, of experts, of shared experts. */
static const struct { const char *name; unsigned which; } MODULES[] = {
    { "all", ADAPT_DEFAULT }, { "all-linear", ADAPT_DEFAULT }, { "router", 1u << ADAPT_ROUTER },
    { "q_proj", 1u << LIN_Q }, { "k_proj", 1u << LIN_K }, { "v_proj", 1u << LIN_V }, { "o_proj", 1u << LIN_O },
    { "qkv_proj", 1u << LIN_Q | 1u << LIN_K | 1u << LIN_V }, { "c_attn", 1u << LIN_Q | 1u << LIN_K | 1u << LIN_V },
    { "gate_proj", 1u << LIN_GATE | 1u << (ADAPT_EXPERTS + EXPERT_GATE) | 1u << (ADAPT_SHARED + EXPERT_GATE) },
    { "up_proj", 1u << LIN_UP | 1u << (ADAPT_EXPERTS + EXPERT_UP) | 1u << (ADAPT_SHARED + EXPERT_UP) },
    { "down_proj", 1u << LIN_DOWN | 1u << (ADAPT_EXPERTS + EXPERT_DOWN) | 1u << (ADAPT_SHARED + EXPERT_DOWN) },
    { "gate_up_proj", 1u << LIN_GATE | 1u << LIN_UP },
};

static int parse_modules(const char *list, unsigned *which, ilab_err *e)
{
    struct sv rest = sv_of(list), part;
    *which = 0;
    while (rest.n && sv_split(&rest, ',', &part)) {
        unsigned found = 0;
        for (int i = 0; i < ADAPT_COUNT; i++)
            if (sv_eq_c(sv_trim(part), LINEAR_NAME[i])) found = 1u << i;
        for (size_t i = 0; i < ARRAY_LEN(MODULES); i++)
            if (sv_eq_c(sv_trim(part), MODULES[i].name)) found = MODULES[i].which;
        if (!found) return err_set(e, ILAB_E_INVALID, "--lora-target-modules: '%.*s' is no linear layer", SV_ARG(part));
        *which |= found;
    }
    return *which ? 0 : err_set(e, ILAB_E_INVALID, "--lora-target-modules names no layer");
}

static int copy_file(const char *from, const char *dir, const char *name, ilab_err *e)
{
    char *to = path_join(dir, name), *text = NULL;
    size_t n = 0;
    int rc = file_read(from, (size_t)4 << 30, &text, &n, e);
    if (!rc) rc = dir_make(dir, e);
    if (!rc) rc = file_write(to, text, n, e);
    mem_free(text);
    mem_free(to);
    return rc;
}

static void print_estimate(const struct train_estimate *s, int json)
{
    static const char *const STATES[] = { "auto", "off", "ram", "disk" };
    char bytes[32], time[32], end[32];
    if (json) {
        printf("{\"tokens_per_s\": %.1f, \"peak_rss_bytes\": %zu, \"planned_bytes\": %zu, \"seconds_total\": %.1f, \"share_of_peak\": %.3f, \"steps\": %lld, \"tokens\": %lld, "
               "\"micro_tokens\": %d, \"recomputed_layers\": %d, \"cached_states\": \"%s\", \"streams_weights\": %s",
               s->tokens_per_s, s->peak_rss_bytes, s->total_bytes, s->seconds_total, s->share_of_peak, (long long)s->steps, (long long)s->tokens,
               s->micro_tokens, s->recomputed_layers, STATES[s->states], s->streams ? "true" : "false");
        if (s->joules > 0) printf(", \"joules\": %.0f", s->joules);
        if (s->end_bytes) printf(", \"end_bytes\": %zu", s->end_bytes);
        printf(", \"shared_prefix\": {\"epoch_tokens\": %.0f, \"computed\": %.0f}", s->sample_tokens, s->sample_tokens - s->share_saved);
        printf(", \"buffers\": {");
        for (int i = 0; i < s->n_row; i++) printf("%s\"%s\": %zu", i ? ", " : "", s->row[i].what, s->row[i].bytes);
        struct sb b;
        sb_init(&b, 1 << 16);
        path_report_json(&s->paths, &b);
        printf("}, \"paths\": %s}\n", b.p ? b.p : "null");
        sb_release(&b);
        return;
    }
    for (int i = 0; i < s->n_row; i++) {
        format_bytes(bytes, sizeof bytes, (double)s->row[i].bytes);
        printf("  %-40s %12s\n", s->row[i].what, bytes);
    }
    format_bytes(bytes, sizeof bytes, (double)s->total_bytes);
    printf("  %-40s %12s\n", "together", bytes);
    format_bytes(bytes, sizeof bytes, (double)s->peak_rss_bytes);
    printf("  %-40s %12s\n", "measured in the first steps", bytes);
    format_bytes(bytes, sizeof bytes, (double)s->end_bytes);
    if (s->end_bytes) printf("  %-40s %12s\n", "afterwards, for the merged model", bytes);
    printf("\n  %s\n", s->choices);
    if (s->seconds_total <= 0) {
        printf(tr("  %lld steps, %lld tokens; too little memory is free to measure the time\n"), (long long)s->steps, (long long)s->tokens);
        return;
    }
    format_duration(time, sizeof time, s->seconds_total);
    time_local_after(end, sizeof end, "%a %H:%M", s->seconds_total);
    printf(tr("  %lld steps, %lld tokens, %.0f tokens/s (%.0f %% of this machine's FP32 peak): about %s, until %s\n"), (long long)s->steps,
           (long long)s->tokens, s->tokens_per_s, 100 * s->share_of_peak, time, end);
    if (s->joules > 0) printf(tr("  %.0f Wh by the processor's own count\n"), s->joules / 3600);
}

/* --memory, --recompute, --cache-states, --share-prefix. */
static int parse_memory(const struct train_args *a, struct train_opts *o, ilab_err *e)
{
    static const char *const WHEN[] = { "auto", "on", "off" }, *const WHERE[] = { "auto", "off", "ram", "disk" };
    int recompute = -1, states = -1, share = -1;
    for (int i = 0; i < (int)ARRAY_LEN(WHEN); i++) if (!strcmp(a->recompute, WHEN[i])) recompute = i;
    for (int i = 0; i < (int)ARRAY_LEN(WHEN); i++) if (!strcmp(a->share, WHEN[i])) share = i;
    for (int i = 0; i < (int)ARRAY_LEN(WHERE); i++) if (!strcmp(a->states, WHERE[i])) states = i;
    if (recompute < 0) return err_set(e, ILAB_E_INVALID, "--recompute %s: use auto, on or off", a->recompute);
    if (states < 0) return err_set(e, ILAB_E_INVALID, "--cache-states %s: use auto, off, ram or disk", a->states);
    if (share < 0) return err_set(e, ILAB_E_INVALID, "--share-prefix %s: use auto, on or off", a->share);
    if (a->memory && parse_bytes(a->memory, &o->memory_bytes)) return err_set(e, ILAB_E_INVALID, "--memory %s: a size like 6G or 800M", a->memory);
    o->learnt = (float)a->learnt;
    o->recompute = (enum recompute)recompute;
    o->states = (enum states_place)states;
    o->share = (enum share_prefix)share;
    return 0;
}

/* The state is saved. A service that is told to end has done its work; a person who presses Ctrl-C sees that it was not the end. */
static int stopped(const ilab_err *e, int signal)
{
    fprintf(stderr, "%s\n", e->msg);
    return signal == SIGTERM ? EXIT_DONE : EXIT_INTERRUPTED;
}

static int from_scratch(const struct train_args *a, struct gemm_ctx *g)
{
    ilab_err e = { 0 };
    struct train_report r;
    const struct scratch_opts o = { .config = a->scratch, .quiet = a->quiet, .fresh = a->fresh };
    const int rc = train_from_scratch(g, &o, &r, &e);
    if (rc == ILAB_E_CANCEL) return stopped(&e, signal_pending());
    if (rc) return fail(&e, "Training failed: ");
    if (a->json) train_report_json(&r, NULL, NULL, r.seconds);
    return EXIT_DONE;
}

/* Everything that is open during a run. */
struct session { struct communicator comm; struct pool *pool; struct gemm_ctx *g; struct model *m; struct tokenizer *t; struct dataset d, val; struct adapter *ad; char *base, *data, *test, *save; };

static void session_release(struct session *s)
{
    communicator_close(&s->comm);
    dataset_release(&s->d);
    dataset_release(&s->val);
    adapter_free(s->ad);
    tokenizer_free(s->t);
    model_free(s->m);
    gemm_ctx_free(s->g);
    pool_free(s->pool);
    mem_free(s->base);
    mem_free(s->data);
    mem_free(s->test);
    mem_free(s->save);
}

/* No sample is dropped or shortened without a word. */
static int read_data(struct session *s, const struct train_args *a, struct train_opts *o, ilab_err *e)
{
    struct read_report r;
    const int n_ctx = s->m->hp.n_ctx, by_model = n_ctx > 0 && n_ctx < a->max_seq;
    const char *limit = by_model ? "the model's context" : "--max-seq-len";
    o->max_sample_tokens = by_model ? n_ctx : a->max_seq;
    const struct read_opts how = { .max_tokens = o->max_sample_tokens, .cut_long = !strcmp(a->long_samples, "cut") };
    int rc = dataset_read(&s->d, s->data, s->t, &how, &r, e);
    if (rc) return rc;
    const size_t n_long = r.n_left_out + r.n_cut + r.n_cut_empty;
    if (!s->d.n && !n_long) return err_set(e, ILAB_E_FORMAT, "'%s' holds no sample", s->data);
    if (!s->d.n)
        return err_set(e, ILAB_E_FORMAT, "no sample of '%s' teaches anything: all %zu are longer than %d tokens, %s (the longest has %lld)%s", s->data, n_long, how.max_tokens, limit,
                       (long long)r.longest, how.cut_long ? ", and their answers begin behind that" : "; --long-samples cut keeps their beginning");
    if (r.n_left_out)
        log_warn("%zu of %zu samples are longer than %d tokens (%s) and are left out; the first is line %lld, the longest has %lld tokens; %s--long-samples cut keeps their beginning",
                 r.n_left_out, s->d.n + r.n_left_out, how.max_tokens, limit, (long long)r.first_line, (long long)r.longest, by_model ? "" : "raise --max-seq-len, or ");
    if (r.n_cut) log_warn("%zu of %zu samples are longer than %d tokens (%s) and lose their end; the first is line %lld, the longest has %lld tokens", r.n_cut,
                          s->d.n + r.n_cut_empty, how.max_tokens, limit, (long long)r.first_line, (long long)r.longest);
    if (r.n_cut_empty) log_warn("%zu samples are left out: their answers begin behind token %d, so nothing to learn would stay", r.n_cut_empty, how.max_tokens);
    if (r.n_silent) log_warn("%zu of %zu samples have an empty answer, and teach the model to say nothing: the first is %s:%lld; give it an answer, or remove the line", r.n_silent, s->d.n,
                             s->data, (long long)r.first_silent);
    /* The test questions: measured before the first step and after the last. */
    ilab_err why = { 0 };
    if (s->test && dataset_read(&s->val, s->test, s->t, &how, NULL, &why)) {
        log_warn("no loss on the test questions: %s", why.msg);
        dataset_release(&s->val);
    }
    o->val_steps = INT64_MAX;
    return 0;
}

static int prepare(struct session *s, const struct train_args *a, struct train_opts *o, ilab_err *e)
{
    int rc = 0;
    if (a->data && file_exists(a->data) != 2) s->data = xstrdup(a->data);
    else rc = newest_dataset(a->data ? a->data : a->input_dir, &s->data, &s->test, e);
    if (!rc && !(s->base = model_locate(a->model, e))) rc = ILAB_E_NOTFOUND;
    if (!rc) rc = model_open(&s->m, s->base, o->full ? MODEL_TRAINABLE : 0, s->g, e);
    if (!rc) rc = tokenizer_of_model(&s->t, s->m->gguf, s->base, e);
    if (!rc) rc = read_data(s, a, o, e);
    return rc;
}

/* Refuses early what would fail late. */
static int check_room(const struct session *s, const struct train_args *a, ilab_err *e)
{
    char want[32];
    uint64_t n_elem = 0;
    for (int i = 0; i < gguf_n_tensor(s->m->gguf); i++) n_elem += (uint64_t)tensor_elems(gguf_tensor_at(s->m->gguf, i));
    const uint64_t disk = n_elem * (a->save_type && !strcasecmp(a->save_type, "F32") ? 4u : 2u) + ((uint64_t)64 << 20); /* narrower types take less */
    if (!a->no_merge && disk_free(s->save) < disk) {
        format_bytes(want, sizeof want, (double)disk);
        return err_set(e, ILAB_E_IO, "no room on the disk of '%s' for the merged model (about %s): free some, or use --no-merge", s->save, want);
    }
    return 0;
}

/* All processes give up together, with the same error; the first says it. Who lost the others ends them. */
static int give_up(struct session *s, const ilab_err *e, const char *what)
{
    const int code = s->comm.rank == 0 || s->comm.lost ? fail(e, what) : EXIT_FAILED;
    fflush(NULL);
    if (s->comm.lost) s->comm.stop_all(&s->comm, code);
    session_release(s);
    return code;
}

static enum opt_source source_of(const struct cli *c, const char *name)
{
    for (int i = 0; c->source && c->cmd->opts[i].name; i++)
        if (!strcmp(c->cmd->opts[i].name, name)) return (enum opt_source)c->source[i];
    return FROM_DEFAULT;
}

/* Names that the reference's users know: ggml-model-f16.gguf, and ggml-model-Q4_K_M.gguf for mixes. */
static char *save_path(const struct cli *c, const struct train_args *a, int mix)
{
    struct sb b;
    if (source_of(c, "save-path") == FROM_COMMAND_LINE || strcmp(path_base(a->save), "ggml-model-f16.gguf")) return xstrdup(a->save);
    sb_init(&b, 1 << 16);
    sb_add(&b, (struct sv){ a->save, (size_t)(path_base(a->save) - a->save) });
    sb_addc(&b, "ggml-model-");
    const int plain = mix_base_type(mix) == QT_Q8_0 || qtype_info(mix_base_type(mix))->elems == 1;
    for (const char *p = mix_name(mix); *p; p++) sb_addch(&b, plain && *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p);
    sb_addc(&b, ".gguf");
    return sb_take(&b, NULL);
}

/* Options that were typed and cannot both be meant. 0, or EXIT_USAGE after a message. */
static int contradictions(const struct cli *c, const struct train_args *a)
{
    const int full = !strcmp(a->pipeline, "full"), scratch = a->scratch != NULL;
    const struct { int when; const char *option, *says; } ROWS[] = {
        { a->resume && a->fresh, "resume", "--resume and --fresh contradict each other" },
        { a->no_merge, "save-type", "--save-type is for a merged model, --no-merge wants none" },
        { a->no_merge, "save-path", "--save-path names a merged model, --no-merge wants none" },
        { full, "lora-rank", "--pipeline full trains all weights and has no adapter: leave --lora-rank out" },
        { full, "lora-alpha", "--pipeline full trains all weights and has no adapter: leave --lora-alpha out" },
        { full, "lora-target-modules", "--pipeline full trains all weights and has no adapter: leave --lora-target-modules out" },
        { full, "lora-first-layer", "--pipeline full trains all weights and has no adapter: leave --lora-first-layer out" },
        { full, "lora-dropout", "--pipeline full trains all weights and has no adapter: leave --lora-dropout out" },
        { full && a->rslora, "use-rslora", "--pipeline full trains all weights and has no adapter: leave --use-rslora out" },
        { full && strcmp(a->precision, "auto") && strcmp(a->precision, "exact"), "precision", "--precision is about frozen weights, --pipeline full trains all of them exactly" },
        { full && strcmp(a->states, "auto") && strcmp(a->states, "off"), "cache-states", "--cache-states keeps what frozen lower layers make, --pipeline full trains all layers" },
        { !full && !a->first_layer && strcmp(a->states, "auto") && strcmp(a->states, "off"), "cache-states", "--cache-states keeps what the layers below the adapter make: name its lowest layer with --lora-first-layer" },
        { full && !scratch, "no-merge", "--pipeline full writes no adapter: with --no-merge nothing would come out of it" },
        { !strcmp(a->optimizer, "adafactor") && strcmp(a->moments, "f32"), "moments-storage", "--moments-storage is about AdamW's moments, --optimizer adafactor has hardly any" },
        { scratch, "moments-storage", "--from-scratch keeps F32 moments: leave --moments-storage out" },
        { scratch && !full, "from-scratch", "--from-scratch makes a new model and needs --pipeline full" },
        { scratch, "model-path", "--from-scratch makes a new model: --model-path has nothing to name" },
        { scratch, "data-path", "with --from-scratch the data are named in its CONFIG, not by --data-path" },
        { scratch, "num-epochs", "with --from-scratch the length of the run is named in its CONFIG (tokens), not by --num-epochs" },
        { scratch, "save-path", "with --from-scratch the result is named in its CONFIG (output), not by --save-path" },
        { scratch && a->dry_run, "dry-run", "--dry-run does not work with --from-scratch" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
        if (ROWS[i].when && source_of(c, ROWS[i].option) == FROM_COMMAND_LINE) {
            fprintf(stderr, "Error: %s\n", ROWS[i].says);
            return EXIT_USAGE;
        }
    uint64_t bytes;
    if (a->memory && parse_bytes(a->memory, &bytes)) {
        fprintf(stderr, "Error: --memory %s: a size like 6G or 800M\n", a->memory);
        return EXIT_USAGE;
    }
    return 0;
}

/* Whether to go on with what is in the folder: as told, else as answered, else yes. 0; else an exit code after a message. */
static int ask_resume(const struct train_args *a, int *fresh)
{
    struct train_found f;
    const int found = train_find_run(a->out, &f);
    char time[32];
    *fresh = a->fresh;
    if (a->resume && found != 1) {
        fprintf(stderr, "Error: --resume: there is no unfinished run in '%s'\n", a->out);
        return EXIT_FAILED;
    }
    if (found != 1 || a->fresh || a->resume || a->json || a->dry_run || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) return 0;
    format_duration(time, sizeof time, f.seconds);
    fprintf(stderr, tr("There is an unfinished run in '%s': step %lld of %lld, %s of work. Go on with it? [Y/n] "), a->out, (long long)f.step, (long long)f.total_steps, time);
    const int agreed = ask_agreed(1);
    if (agreed == ASK_NO_ANSWER) {
        fprintf(stderr, "\n");
        return EXIT_INTERRUPTED;
    }
    *fresh = !agreed;
    return 0;
}

/* Processes that may use the same cores share them. */
static int own_threads(const struct communicator *comm, const struct train_args *a)
{
    return a->threads || comm->crowd < 2 ? a->threads : cpu_count() > comm->crowd ? cpu_count() / comm->crowd : 1;
}

/* Processes on one machine share its memory; and mpirun binds each to one core unless it is told otherwise. */
static void share_machine(const struct communicator *comm, const struct train_args *a, struct train_opts *o)
{
    if (comm->local > 1 && !o->memory_bytes) o->memory_bytes = mem_available() / (size_t)comm->local;
    if (comm->size > 1 && comm->rank == 0 && a->threads > cpu_count())
        log_warn("%d threads were asked for, but this process may use %d: `mpirun --bind-to none` lets them use more", a->threads, cpu_count());
}

static int run(struct cli *c, void *args)
{
    const struct train_args *a = args;
    const double begin = now_seconds();
    int fresh = 0, code = contradictions(c, a);
    if (code) return code;
    ilab_err e = { 0 };
    struct session s = { 0 };
    struct train_report r = { 0 };
    struct train_opts o = train_opts_default();
    if (strcmp(a->device, "cpu")) {
        fprintf(stderr, "Error: --device %s: this program trains on the CPU\n", a->device);
        return EXIT_USAGE;
    }
    if (strcmp(a->pipeline, "lora") && strcmp(a->pipeline, "full") && strcmp(a->pipeline, "simple")) {
        fprintf(stderr, "Error: --pipeline %s: use lora (or simple, its old name) or full\n", a->pipeline);
        return EXIT_USAGE;
    }
    const int mix = mix_by_name(a->save_type);
    if (mix < 0) return unknown_type(a->save_type);
    if (communicator_open(&s.comm, &e)) return fail(&e, "Error: ");
    const int first = s.comm.rank == 0; /* the others compute, and say nothing */
    if (!first) log_set_level(LOG_ERROR);
    if (!a->scratch && first) code = ask_resume(a, &fresh);
    if (communicator_share(&s.comm, &code, sizeof code, &e)) return give_up(&s, &e, "Error: ");
    if (a->scratch && s.comm.size > 1) {
        if (first) fprintf(stderr, "Error: --from-scratch trains in one process\n");
        code = EXIT_USAGE;
    }
    if (code) {
        session_release(&s);
        return code;
    }
    s.save = save_path(c, a, mix);
    s.pool = pool_new(own_threads(&s.comm, a));
    o.comm = &s.comm;
    s.g = s.pool ? gemm_ctx_new(kern_get(cpu_detect()), s.pool) : NULL;
    int rc = s.g ? 0 : err_set(&e, ILAB_E_NOMEM, "no memory");
    if (!rc && a->scratch) {
        code = from_scratch(a, s.g);
        session_release(&s);
        return code;
    }
    o.full = !strcmp(a->pipeline, "full");
    o.rank = a->rank, o.alpha = (float)a->alpha, o.lora_dropout = (float)a->dropout, o.rslora = a->rslora, o.first_layer = a->first_layer, o.epochs = a->epochs;
    o.batch_tokens = a->batch, o.micro_tokens = a->micro < a->batch ? a->micro : a->batch;
    o.precision = a->precision;
    o.optim.kind = strcmp(a->optimizer, "adafactor") ? OPTIM_ADAMW : OPTIM_ADAFACTOR;
    o.optim.storage = o.optim.kind == OPTIM_ADAMW && !strcmp(a->moments, "bf16") ? OPTIM_BF16 : OPTIM_F32; /* a configuration may name both */
    o.checkpoint_seconds = a->save_seconds, o.checkpoint_steps = a->save_steps;
    o.optim.lr = (float)a->lr, o.optim.weight_decay = (float)a->decay, o.loss.soft_mix = (float)a->soft;
    o.seed = (uint64_t)a->seed, o.out_dir = a->out, o.resume = !fresh, o.quiet = a->json || !first;
    if (!rc) rc = parse_modules(a->modules, &o.which, &e);
    if (!rc) rc = parse_memory(a, &o, &e);
    if (!rc) share_machine(&s.comm, a, &o);
    if (!rc) rc = prepare(&s, a, &o, &e);
    if (!rc && a->warmup > 0) o.schedule.warmup_steps = (int64_t)(a->warmup * (double)a->epochs * (double)s.d.n_tokens / a->batch) + 1;
    struct train_result end = { .g = s.g, .m = s.m, .t = s.t, .d = &s.d, .val = &s.val, .base = s.base, .data = s.data, .test = s.test, .out = a->out,
                                .save = a->no_merge ? NULL : s.save, .mix = mix, .quiet = a->quiet, .json = a->json, .begin = begin, .report = &r };
    if (!rc && first) train_result_work(&end, o.full ? 0 : a->rank, &o);
    if (a->dry_run && !(rc = communicator_agree(&s.comm, rc, &e))) {
        struct train_estimate est = { 0 };
        const double loaded = now_seconds() - begin;
        rc = communicator_agree(&s.comm, train_estimate(s.g, s.m, &s.d, s.val.n ? &s.val : NULL, &o, &est, &e), &e);
        if (est.seconds_total > 0) est.seconds_total += loaded;
        if (!rc && first) print_estimate(&est, a->json);
        if (rc) return give_up(&s, &e, "Dry run failed: ");
        session_release(&s);
        return EXIT_DONE;
    }
    if (!rc && first) rc = check_room(&s, a, &e);
    if (!rc) log_info("LINUX_TRAIN: NUM EPOCHS IS: %d, TRAIN FILE IS: %s (%zu samples, %zu tokens), BASE MODEL: %s", a->epochs, s.data, s.d.n, s.d.n_tokens, s.base);
    if (!rc && first && !a->data) rc = copy_file(s.data, a->data_dir, "train_gen.jsonl", &e);
    if (!rc && first && s.test) rc = copy_file(s.test, a->data_dir, "test_gen.jsonl", &e);
    if (!a->dry_run) rc = communicator_agree(&s.comm, rc, &e);
    if (!rc) rc = train_run(s.g, s.m, s.t, &s.d, s.val.n ? &s.val : NULL, &o, &s.ad, &r, &e);
    if (rc == ILAB_E_CANCEL) {
        code = first ? stopped(&e, r.signal ? r.signal : signal_pending()) : EXIT_DONE;
        session_release(&s);
        return code;
    }
    if (!rc && first) {
        end.ad = s.ad;
        rc = train_result(&end, &e);
    }
    if (rc) return give_up(&s, &e, "Training failed: ");
    session_release(&s);
    return EXIT_DONE;
}

const struct cmd CMD_TRAIN = {
    .name = "train", .group = "model", .needs_config = 2, .args_bytes = sizeof(struct train_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .detach = "Training",
    .summary = "Teach the model the generated data; shows the remaining time, can be stopped and resumed.",
    .help = "An adapter (LoRA) is trained beside the frozen base and kept as its own file; the merged model is written as F16.\n"
            "The state is saved every minute. Ctrl-C saves and ends with 130, SIGTERM with 0; after those, a kill or a power cut the same\n"
            "command goes on (asking first on a terminal) and ends with the same result bit for bit.\n\n"
            "Examples:\n  ilab train\n  ilab train --dry-run                    memory and time beforehand\n"
            "  ilab train --model-path models/granite-7b.gguf --learning-rate 2e-4 --no-merge\n"
            "  ilab model train --pipeline full --from-scratch models/starter.yaml\n"
            "  mpirun -n 2 ilab train                  two processes share every step; srun --mpi=pmix does, too (`make mpi`)\n",
};
