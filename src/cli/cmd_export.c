/* cmd_export.c — `ilab export`: data and configuration for trainers that run on GPUs.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "data/data.h"

#include <string.h>

struct export_args { const char *format, *form, *data, *input_dir, *out, *base, *chat_template; int full, rank, alpha, epochs, max_seq, json; double lr; };
static const struct export_args EXPORT_DEFAULTS = { .input_dir = "generated", .out = "export", .base = "instructlab/granite-7b-lab", .rank = 16, .alpha = 32,
                                                    .epochs = 4, .max_seq = 2048, .lr = 2e-4 };
#define O(field) offsetof(struct export_args, field)
static const struct opt EXPORT_OPTS[] = {
    { "format", 0, NULL, OPT_STR, O(format), 0, 0, "NAME", NULL, "the trainer", 0, "instructlab axolotl llamafactory" },
    { "data-path", 0, NULL, OPT_STR, O(data), 0, 0, "FILE", NULL, "JSONL to export; by default the newest of --input-dir" },
    { "input-dir", 0, NULL, OPT_STR, O(input_dir), 0, 0, "DIR", "generate.output_dir", "where `ilab generate` wrote" },
    { "output-dir", 0, NULL, OPT_STR, O(out), 0, 0, "DIR", NULL, "train.jsonl, test.jsonl and the configuration go here" },
    { "base", 0, NULL, OPT_STR, O(base), 0, 0, "NAME", NULL, "Hugging Face name or folder of the model to train (a GGUF file does not serve there)" },
    { "data-form", 0, NULL, OPT_STR, O(form), 0, 0, "NAME", NULL, "how a conversation is written [messages]", 0, "messages sharegpt alpaca" },
    { "template", 0, NULL, OPT_STR, O(chat_template), 0, 0, "NAME", NULL, "LLaMA-Factory's name of the chat format; by default from --base" },
    { "full", 0, NULL, OPT_FLAG, O(full), 0, 0, NULL, NULL, "train all weights instead of an adapter" },
    { "lora-rank", 0, NULL, OPT_INT, O(rank), 1, 4096, "R", NULL, "rank of the adapter" },
    { "lora-alpha", 0, NULL, OPT_INT, O(alpha), 1, 1 << 20, "A", NULL, "its scale is A/R" },
    { "num-epochs", 0, NULL, OPT_INT, O(epochs), 1, 10000, "N", NULL, "passes over the data" },
    { "learning-rate", 0, NULL, OPT_FLOAT, O(lr), 1e-6, 10, "X", NULL, "highest learning rate" },
    { "max-seq-len", 0, NULL, OPT_INT, O(max_seq), 8, 1 << 20, "TOKENS", NULL, "longest sample" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "the result as JSON" },
    { 0 },
};
#undef O

/* Formats share names of files: what another one left in the folder does not work any more. */
static void warn_of_others(const char *out, const char *format)
{
    static const struct { const char *format, *file; } MARK[] = { { "instructlab", "train.sh" }, { "axolotl", "axolotl.yaml" }, { "llamafactory", "dataset_info.json" } };
    for (size_t i = 0; i < ARRAY_LEN(MARK); i++) {
        char *path = path_join(out, MARK[i].file);
        if (path && strcmp(MARK[i].format, format) && file_exists(path) == 1)
            log_warn("'%s' holds what was written for %s; files of the same name are replaced: --output-dir keeps both", out, MARK[i].format);
        mem_free(path);
    }
}

static int export_run(struct cli *c, void *args)
{
    const struct export_args *a = args;
    struct export_report r;
    ilab_err e = { 0 };
    char *train = NULL, *test = NULL;
    (void)c;
    if (!a->format) {
        fprintf(stderr, "Error: Missing option '--format': one of instructlab, axolotl, llamafactory\n");
        return EXIT_USAGE;
    }
    const size_t n = strlen(a->base);
    if (n > 5 && !strcmp(a->base + n - 5, ".gguf")) {
        fprintf(stderr, "Error: --base %s: those trainers read no GGUF; give the Hugging Face name or folder (`ilab model convert` writes one)\n", a->base);
        return EXIT_USAGE;
    }
    int rc = a->data ? 0 : newest_dataset(a->input_dir, &train, &test, &e);
    const struct export_opts o = { .trainer = a->format, .form = a->form, .train = a->data ? a->data : train, .test = test, .base = a->base, .chat_template = a->chat_template,
                                   .out = a->out, .full = a->full, .rank = a->rank, .alpha = a->alpha, .epochs = a->epochs, .max_seq = a->max_seq, .lr = a->lr };
    if (!rc) warn_of_others(a->out, a->format);
    if (!rc) rc = data_export(&o, &r, &e);
    if (!rc && r.n_left_out) log_warn("%lld samples are left out: they hold no conversation that this form can write (plain texts, other turns)", (long long)r.n_left_out);
    if (!rc && r.n_weighted) log_warn("%lld samples have a weight; the exported files do not", (long long)r.n_weighted);
    if (!rc && a->json) {
        json_t *v = json_pack("{s:s,s:I,s:I,s:I,s:s}", "folder", a->out, "train", (json_int_t)r.n_train, "test", (json_int_t)r.n_test, "left_out", (json_int_t)r.n_left_out, "start", r.start);
        print_json(v);
    } else if (!rc) {
        printf("%s: %lld training samples, %lld test samples\n", a->out, (long long)r.n_train, (long long)r.n_test);
        for (int i = 0; i < r.n_file; i++) printf("  %s/%s\n", a->out, r.file[i]);
        printf("On the machine with the GPU:  cd %s && %s\nAn adapter that comes back in PEFT's form can be used here.\n", a->out, r.start);
    }
    mem_free(train);
    mem_free(test);
    return rc ? fail(&e, "Export failed: ") : EXIT_DONE;
}

const struct cmd CMD_EXPORT = {
    .name = "export", .group = "data", .args_bytes = sizeof(struct export_args), .defaults = &EXPORT_DEFAULTS, .opts = EXPORT_OPTS, .run = export_run,
    .summary = "Write the generated data and a ready configuration for a trainer on a GPU.",
    .help = "instructlab   InstructLab's training library: messages with id, metadata, unmask; train.yaml (TrainingArgs), train.sh\n"
            "axolotl       axolotl.yaml with its datasets\n"
            "llamafactory  train.yaml and dataset_info.json of LLaMA-Factory\n\n"
            "Nothing is sent anywhere, and none of these programs is needed to write the files.\n\n"
            "Examples:\n  ilab export --format axolotl --base mistralai/Mistral-7B-Instruct-v0.2\n"
            "  ilab export --format llamafactory --data-form alpaca --output-dir factory\n",
};
