/* cli.h — internal to src/cli: commands and options as rows.
 *
 * One row of an option prints its help line, parses it, and names its key in config.yaml. Order of precedence: command line,
 * configuration file, default. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_CLI_H
#define ILAB_CLI_H

#include "base/base.h"
#include "text/text.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };
enum opt_kind { OPT_FLAG, OPT_NO_FLAG /* clears the int */, OPT_STR, OPT_INT, OPT_FLOAT };
struct opt {
    const char *name;             /* "model-path"; NULL ends the table */
    char alias;                   /* 'm', or 0; a longer alias stands in alias2 */
    const char *alias2;           /* "qq", "gm": reached by one dash */
    enum opt_kind kind;
    size_t off;                   /* of an int, const char * or double in the command's struct */
    double lo, hi;
    const char *arg;              /* what help calls the value */
    const char *config;           /* "generate.taxonomy_path" or NULL */
    const char *help;
};
struct config;
struct cli {
    const char *config_path;
    int config_named;             /* --config was given: the file must be there */
    struct config *config;        /* NULL for commands that need none */
    int n_word; const char **word;/* positional arguments */
};
struct cmd {
    const char *name;             /* "generate" */
    const char *group;            /* "data": `ilab data generate` is the same command; NULL: none */
    size_t args_bytes;
    const void *defaults;
    const struct opt *opts;
    int (*run)(struct cli *c, void *args);
    int needs_config;             /* 1: refuses to start without config.yaml; 0: uses it when it is there; -1: does not read it */
    int max_words;
    const char *words;            /* how help names the positional arguments */
    const char *summary, *help;   /* help: paragraphs and examples below the options */
};
extern const struct cmd *const CMDS[];
extern const int N_CMDS;

/* option.c */
/* Parses argv[0..n) into args (already filled with defaults and configuration). EXIT_USAGE after a message; -1: help was printed. */
int options_parse(const struct cmd *cmd, int n, char **argv, void *args, struct cli *c);
int options_from_config(const struct cmd *cmd, const struct config *config, void *args);
void options_help(const struct cmd *cmd);

/* config.c */
/* Missing keys are listed on stderr, one a line; e then tells what to do. */
int config_load(struct config **out, const char *path, ilab_err *e);
void config_free(struct config *c);
const char *config_get(const struct config *c, const char *key);      /* "chat.model"; NULL: absent */
int config_write_default(const char *path, const char *model_path, const char *taxonomy_path, const char *taxonomy_base, ilab_err *e);

/* shared.c */
int fail(const ilab_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* prints `fmt` + message; the exit code for it */
/* A model's file or Hugging Face directory: the path itself, or a name below models/. Caller mem_frees; NULL: message printed. */
char *model_find(const char *name);
char *model_locate(const char *name, ilab_err *e);                    /* the same without printing; NULL: *e is set */
char *path_stem(const char *path);                                    /* file name without its ending; caller mem_frees */
/* The newest train-able file below dir: messages_*.jsonl, else train_*.jsonl; *test the matching test_*.jsonl (may be NULL). */
int newest_dataset(const char *dir, char **train, char **test, ilab_err *e);
const char *system_prompt_for(const struct cli *c);                   /* chat.system_prompt, "" by default */
int kv_type_arg(const char *name /* NULL: auto */, int *out);         /* of --kv-type; EXIT_USAGE after a message */
struct lm;
/* The model for a command: a server that already runs (configured address) when it reports the same weights, else in this process. */
int lm_for_command(const struct cli *c, const char *model, const char *adapter, const char *endpoint, const char *api_key, int n_threads,
                   struct lm **out, ilab_err *e);

/* starter.c: files inside the program */
struct embedded { const char *path; const unsigned char *p; size_t n; };
int embedded_count(void);
struct embedded embedded_at(int i);         /* 0 is the starter model */

#define CMD(name) extern const struct cmd CMD_##name
CMD(INIT); CMD(DOWNLOAD); CMD(DIFF); CMD(GENERATE); CMD(TRAIN); CMD(TEST); CMD(CHAT); CMD(SERVE);
CMD(COMPLETE); CMD(PERPLEXITY); CMD(EVALUATE); CMD(INFO); CMD(CONVERT); CMD(QUANTIZE);
CMD(SYSTEM_INFO); CMD(SYSTEM_BENCH);
#undef CMD

#endif
