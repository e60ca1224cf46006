/* cli.h — internal to src/cli: commands and options as rows.
 *
 * One row of a command (commands.c) and of an option parses it and prints its help, its man page and its completions; an
 * option's row also names its key of the configuration (config_keys.c). Order of precedence: command line, environment,
 * configuration file, default. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_CLI_H
#define ILAB_CLI_H

#include "base/base.h"
#include "text/text.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };
enum opt_kind { OPT_FLAG, OPT_NO_FLAG /* clears the int */, OPT_STR, OPT_INT, OPT_FLOAT, OPT_LIST /* struct opt_list; repeatable */ };
enum { OPT_LIST_MAX = 64 };
struct opt_list { int n; const char *v[OPT_LIST_MAX]; };
enum { OPT_HIDDEN = 1 /* works, but help does not name it */ };
struct opt {
    const char *name;             /* "model-path"; NULL ends the table */
    char alias;                   /* 'm', or 0; a longer alias stands in alias2 */
    const char *alias2;           /* "qq", "gm": reached by one dash */
    enum opt_kind kind;
    size_t off;                   /* of an int, const char *, double or opt_list in the command's struct */
    double lo, hi;
    const char *arg;              /* what help calls the value */
    const char *config;           /* "generate.taxonomy_path" or NULL */
    const char *help;
    unsigned flags;               /* OPT_HIDDEN */
    const char *choices;          /* "simple full": the only values, or NULL; completions offer them */
    const char *env;              /* environment variable that is its default, or NULL */
};
/* Where an option's value came from. */
enum opt_source { FROM_DEFAULT, FROM_CONFIG, FROM_ENVIRONMENT, FROM_COMMAND_LINE };
/* Options that every command has (option.c, COMMON). */
struct common_args { int debug_params, debug_params_json, detached; };
struct config;
struct cmd;
struct cli {
    const char *config_path;      /* DEFAULT: none */
    int config_named;             /* --config or ILAB_GLOBAL_CONFIG was given: the file must be there */
    struct config *config;        /* NULL for commands that need none */
    int n_word; const char **word;/* positional arguments */
    int argc; char **argv;        /* everything that was typed */
    const struct cmd *cmd;        /* the command that runs */
    int by_group;                 /* it was called `ilab GROUP NAME`: the later command line */
    int compat;                   /* --compat: 0 none, 14 (0.14), 26 (0.26) */
    int verbose;
    struct common_args common;
    unsigned char *source;        /* enum opt_source of each row of cmd->opts */
};
struct cmd {
    const char *name;             /* "generate"; "model info": only in that group */
    const char *group;            /* "data": `ilab data generate` is the same command; NULL: none, or it is in the name */
    size_t args_bytes;
    const void *defaults;
    const struct opt *opts;
    int (*run)(struct cli *c, void *args);
    int needs_config;             /* 1: refuses to start without config.yaml; 2: under --compat only; 0: uses it when it is there; -1: does not read it */
    int max_words;
    const char *words;            /* how help names the positional arguments */
    const char *summary, *help;   /* help: paragraphs and examples below the options */
    const char *detach;           /* "Generation": can run detached (`-dt`), listed by this type; NULL: cannot */
    int hidden;                   /* help does not list it */
    const char *word_choices;     /* "bash zsh fish": the only positional arguments, or NULL */
};
extern const struct cmd *const CMDS[];
extern const int N_CMDS;
struct group { const char *name, *summary; };
extern const struct group GROUPS[];
extern const int N_GROUPS;
/* Old names: `ilab check` is `ilab diff --quiet`. */
struct cmd_alias { const char *name, *notice; const char *words[4]; };
extern const struct cmd_alias ALIASES[];
extern const int N_ALIASES;
/* commands.c: the group ("model") and the last word ("info") of a command's name; group "" for commands without one. */
struct sv cmd_group(const struct cmd *c);
const char *cmd_leaf(const struct cmd *c);
/* The command that argv names, *used how many of its words; NULL: none. */
const struct cmd *cmd_find(int n, char **argv, int *used);
void commands_help(void);
int group_help(const char *group);                                    /* 0: printed; 1: no such group */
/* An unknown command's message with the nearest name; the exit code. */
int command_unknown(int n, char **argv);

/* option.c */
/* Parses argv[0..n) into args (already filled with defaults and configuration). EXIT_USAGE after a message; -1: help was printed. */
int options_parse(const struct cmd *cmd, int n, char **argv, void *args, struct cli *c);
int options_from_config(const struct cmd *cmd, struct cli *c, void *args);
void options_help(const struct cmd *cmd);
/* option_compat.c: an option of InstructLab without effect here (told in the log)? 0: no, 1: yes, 2: yes, and the next word is its value. */
int option_ignored(const struct cmd *cmd, const char *word);
void options_ignored_help(const struct cmd *cmd);
void option_notes(const struct cmd *cmd, const struct opt *o, char *out, size_t cap); /* "[default: 4; config: 'train.num_epochs']" */
void options_debug(const struct cmd *cmd, const struct cli *c, const void *args); /* --debug-params[-json] */
const struct opt *common_option(const struct cmd *cmd, int i);        /* row i of those every command has; NULL: no more */

/* config.c; the table of keys is in config.h */
/* path NULL: no file, only the environment (late: its layout). Everything that is wrong is listed on stderr, one a line; e then
 * tells what to do. *out is never NULL after 0. */
int config_load(struct config **out, const char *path, int late, int compat, ilab_err *e);
void config_free(struct config *c);
/* "chat.model": the environment's, the file's, or in the late layout the default path; NULL: the option's own default holds. */
const char *config_get(const struct config *c, const char *key);
enum opt_source config_source(const struct config *c, const char *key);

/* shared.c */
int print_json(json_t *v); /* a line on standard output, and v is released; EXIT_DONE or, said on stderr, EXIT_FAILED */
int fail(const ilab_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* prints `fmt` + message; the exit code for it */
/* A model's file or Hugging Face directory: the path itself, or a name below models/. Caller mem_frees; NULL: message printed. */
char *model_find(const char *name);
char *model_locate(const char *name, ilab_err *e);                    /* the same without printing; NULL: *e is set */
void models_dir_set(const char *dir);                                 /* general.models_dir: where names of models are looked up, too */
char *path_stem(const char *path);                                    /* file name without its ending; caller mem_frees */
/* The newest train-able file below dir: messages_*.jsonl, else train_*.jsonl; *test the matching test_*.jsonl (may be NULL). */
int newest_dataset(const char *dir, char **train, char **test, ilab_err *e);
const char *system_prompt_for(const struct cli *c);                   /* chat.system_prompt, "" by default */
int kv_type_arg(const char *name /* NULL: auto */, int *out);         /* of --kv-type; EXIT_USAGE after a message */
struct lm;
/* The model for a command: a server that already runs (configured address) when it reports the same weights, else in this process. */
int lm_for_command(const struct cli *c, const char *model, const char *adapter, const char *endpoint, const char *api_key, int n_threads,
                   int kv_type /* 0: auto; a server has its own */, struct lm **out, ilab_err *e);

/* ask.c */
int ask_byte(char *c);                                                /* of standard input: 1; 0: it has ended; -1: signal_pending(), or it cannot be read */
int ask_line(char *line, size_t cap);                                 /* one line of standard input without its end; 0: input has ended, or Ctrl-C */
enum { ASK_NO_ANSWER = -1 };
int ask_agreed(int dflt);                                             /* yes or no, asked again until it is one; ASK_NO_ANSWER as above */
int completion_print(const char *shell, size_t n);                    /* cmd_completion.c; 1: no such shell */

/* starter.c: files inside the program */
struct embedded { const char *path; const unsigned char *p; size_t n; };
int embedded_count(void);
struct embedded embedded_at(int i);         /* 0 is the starter model */

#define COMMAND(name) extern const struct cmd CMD_##name;
#include "cli/command_list.h"
#undef COMMAND

#endif
