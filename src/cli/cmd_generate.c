/* cmd_generate.c — `ilab generate`: training data from the changed leaves.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/check.h"
#include "cli/messages.h"
#include "data/data.h"
#include "document/document.h"
#include "lm/lm.h"

#include <string.h>
#include <unistd.h>

struct generate_args {
    const char *model, *path, *base, *out, *endpoint, *api_key;
    struct check_args check;
    int n, cpus, chunk_words, chunk_tokens, ctx, per_fact, quiet, seed, threads, restart;
    double rouge;
};
static const struct generate_args DEFAULTS = { .model = "starter", .path = "taxonomy", .base = "origin/main", .out = "generated", .api_key = "no_api_key",
                                               .chunk_words = 1000, .ctx = 4096, .per_fact = 24, .seed = 1, .rouge = 0.9 };
#define O(field) offsetof(struct generate_args, field)
static const struct opt OPTS[] = {
    { "model", 'm', NULL, OPT_STR, O(model), 0, 0, "MODEL", "generate.model", "model that writes the data: a name below models/ or a file" },
    { "num-instructions", 0, NULL, OPT_INT, O(n), 0, 1e6, "N", "generate.num_instructions", "samples about facts in all; 0: as many as the facts need (ours; the reference's 100 starves long documents)" },
    { "per-fact", 0, NULL, OPT_INT, O(per_fact), 1, 64, "N", NULL, "different questions for each fact" },
    { "taxonomy-path", 0, NULL, OPT_STR, O(path), 0, 0, "PATH", "generate.taxonomy_path", "folder of the taxonomy, or one qna.yaml" },
    { "taxonomy-base", 0, NULL, OPT_STR, O(base), 0, 0, "REF", "generate.taxonomy_base", "git reference that changes are counted from; empty: every leaf" },
    { "output-dir", 0, NULL, OPT_STR, O(out), 0, 0, "DIR", "generate.output_dir", "where the files go" },
    { "rouge-threshold", 0, NULL, OPT_FLOAT, O(rouge), 0, 1, "X", NULL, "drop a question more similar than this to an earlier one; 1.0 keeps all" },
    { "chunk-word-count", 0, NULL, OPT_INT, O(chunk_words), 1, 100000, "N", "generate.chunk_word_count", "most words of the document shown with a question (1.3 tokens each); fewer where the model's context is small" },
    { "chunk-tokens", 0, NULL, OPT_INT, O(chunk_tokens), 0, 1e6, "N", NULL, "most tokens of such a chunk; 0: a seventh of the model's context, 56 to 500" },
    { "quiet", 0, NULL, OPT_FLAG, O(quiet), 0, 0, NULL, NULL, "do not print the samples" },
    { "seed", 0, NULL, OPT_INT, O(seed), 0, 2147483647, "N", NULL, "another seed, other wordings" },
    { "restart", 0, NULL, OPT_FLAG, O(restart), 0, 0, NULL, NULL, "forget an unfinished generation instead of going on with it" },
    { "num-threads", 0, NULL, OPT_INT, O(threads), 0, 1024, "N", NULL, "threads; 0: one a core" },
    { "endpoint-url", 0, NULL, OPT_STR, O(endpoint), 0, 0, "URL", NULL, "an OpenAI-style server instead of the model here" },
    { "api-key", 0, NULL, OPT_STR, O(api_key), 0, 0, "KEY", NULL, "its key" },
    { "num-cpus", 0, NULL, OPT_INT, O(cpus), 0, 1024, "N", NULL, "accepted for compatibility; see --num-threads" },
    { "server-ctx-size", 0, NULL, OPT_INT, O(ctx), 0, 1e6, "N", NULL, "with --compat: context that chunks must leave room in" },
    { "yaml-rules", 0, NULL, OPT_STR, O(check.rules), 0, 0, "FILE", NULL, "style rules in yamllint's configuration format, as for diff" },
    { "strict", 0, NULL, OPT_FLAG, O(check.strict), 0, 0, NULL, NULL, "refuse leaves with warnings, too, as diff --strict does" },
    { 0 },
};

static void print_samples(const char *path)
{
    json_t *v = json_read_file(path, (size_t)1 << 30, NULL);
    size_t i;
    json_t *it;
    json_array_foreach(v, i, it) printf("Q> %s\nI> \nA> %s\n\n", json_str(it, "instruction"), json_str(it, "output"));
    json_decref(v);
}

/* The reference's chunks must fit the server's context, and be longer than their overlap: it refuses to start otherwise. */
static int check_chunks(const struct generate_args *a, int compat, ilab_err *e)
{
    struct arena mem;
    struct sv *v = NULL;
    size_t n = 0;
    arena_init(&mem, 1 << 20);
    const int rc = chunks_of_characters(SV("x"), a->chunk_words, a->ctx, compat != 14, &mem, &v, &n, e);
    arena_release(&mem);
    return rc;
}

/* Findings go to the story, not into the answer. */
static void on_found(void *ud, const char *file, struct findings *f, const char *problem)
{
    struct check *c = ud;
    if (problem) check_print_problem(c, file, problem);
    else check_print(c, file, f);
}

/* Is there something to generate, and does the judge of `diff` accept it? Before a model is read. */
static int check_leaves(const struct generate_args *a, const struct cli *c, struct check *judge, ilab_err *e)
{
    const struct generate_opts what = { .taxonomy = a->path, .base = a->base, .check = &judge->o, .found = on_found, .found_ud = judge };
    int n_knowledge = 0;
    judge->to = stderr;
    const int rc = pipeline_check(&what, &n_knowledge, e);
    return !rc && c->compat && n_knowledge ? check_chunks(a, c->compat, e) : rc;
}

/* What scripts look for in front of the reason. */
static const char *failure(const struct cli *c)
{
    return c->compat == 26 ? "failed to generate data with exception: " : tr("Generating dataset failed with the following error: ");
}

static int run(struct cli *c, void *args)
{
    const struct generate_args *a = args;
    ilab_err e = { 0 };
    struct lm *lm = NULL;
    struct generate_report r;
    struct check judge;
    if (!file_exists(a->path)) {
        fprintf(stderr, "Error: taxonomy (%s) does not exist.%s\n", a->path, c->compat ? "" : " `ilab init` makes one here; --taxonomy-path names another.");
        return EXIT_FAILED;
    }
    int rc = check_open(&judge, c, &a->check, FOLDER_ALL);
    if (rc) return rc;
    rc = check_leaves(a, c, &judge, &e);
    if (!rc) rc = lm_for_command(c, a->model, NULL, a->endpoint, a->api_key, a->threads, 0, &lm, &e);
    if (rc) {
        check_close(&judge);
        const int none = !c->compat && rc == ILAB_E_NOTFOUND && strstr(e.msg, "Nothing to generate.");
        fail(&e, "%s", failure(c));
        if (none) fprintf(stderr, tr("No leaf in '%s' is new or differs from '%s': `ilab taxonomy list` shows them; --taxonomy-base empty takes every leaf.\n"), a->path, a->base);
        return rc == ILAB_E_CANCEL ? EXIT_INTERRUPTED : EXIT_FAILED;
    }
    lm_bulk(lm);
    char *stem = path_stem(a->model);
    if (c->compat == 26) printf("Generating synthetic data using 'ilab' pipeline, '%s' model, '%s' taxonomy, against %s server\n", stem, a->path, lm->name);
    else printf(tr("Generating synthetic data using '%s' model, taxonomy:'%s' against %s\n"), stem, a->path, lm->name);
    printf(tr("Synthesizing new instructions. If you aren't satisfied with the generated instructions, interrupt training (Ctrl-C) and try adjusting your YAML files. Adding more examples may help.\n"));
    fflush(stdout);
    const struct generate_opts o = { .taxonomy = a->path, .base = a->base, .check = &judge.o, .out_dir = a->out, .model_name = stem, .num_instructions = a->n,
                                     .chunk_words = a->chunk_words, .chunk_tokens = a->chunk_tokens, .reference_chunks = c->compat, .server_ctx = a->ctx, .rouge_threshold = a->rouge, .per_fact = a->per_fact, .seed = (uint64_t)a->seed,
                                     .quiet = a->quiet, .resume = !a->restart, .system_prompt = system_prompt_for(c) };
    rc = pipeline_run(lm, &o, &r, &e);
    if (rc == ILAB_E_CANCEL) {
        fprintf(stderr, tr("Stopped. What was made is kept in '%s'; run the same command again to go on.\n"), a->out);
    } else if (rc) {
        fail(&e, "%s", failure(c));
    } else {
        if (!a->quiet) print_samples(r.generated);
        int dropped = 0;
        for (int i = 0; i < DISCARD_COUNT; i++) dropped += r.discarded[i];
        if (dropped)
            log_info("%d instructions generated, %d discarded due to format (see %s), %d discarded due to rouge score", r.kept, r.discarded[DISCARD_FORMAT],
                     r.discard_log, r.discarded[DISCARD_ROUGE]);
        for (int i = 0; i < DISCARD_COUNT; i++)
            if (r.discarded[i] && i != DISCARD_ROUGE) log_info("%d discarded: %s", r.discarded[i], DISCARD_REASON[i]);
        for (int i = 0; i < ITEM_KIND_COUNT; i++)
            if (r.by_kind[i]) log_info("%4d %s", r.by_kind[i], ITEM_NAME[i]);
        log_info("Generation took %.2fs", r.seconds);
        if (c->compat == 26) printf("ᕦ(òᴗóˇ)ᕤ Data generate completed successfully! ᕦ(òᴗóˇ)ᕤ\n");
    }
    lm_close(lm);
    check_close(&judge);
    mem_free(stem);
    return rc == ILAB_E_CANCEL ? EXIT_INTERRUPTED : rc ? EXIT_FAILED : EXIT_DONE;
}

const struct cmd CMD_GENERATE = {
    .name = "generate", .group = "data", .args_bytes = sizeof(struct generate_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .needs_config = 1, .detach = "Generation",
    .summary = "Write training data from the taxonomy's changed leaves and their documents.",
    .help = "Only the model, the qna.yaml and the document are used. For every fact: questions in many wordings, statements, reverse\n"
            "questions, true and false statements, follow-up questions; against harm: questions about names and attributes that\n"
            "nobody told (\"I don't know\") and questions that the model wrote itself. Each answer is checked against the document.\n"
            "Ctrl-C keeps what was made; the same command goes on.\n\nExamples:\n  ilab generate\n  ilab generate --taxonomy-path taxonomy/knowledge/x/qna.yaml --per-fact 40 --seed 7\n",
};
