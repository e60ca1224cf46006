/* main.c — finds the command, fills its arguments (defaults, configuration, command line), runs it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"
#include "cli/process.h"
#include "cli/messages.h"
#include "document/document.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Which file: --config, ILAB_GLOBAL_CONFIG, config.yaml here, or the one of the user's directories. In memory of *owned. */
static void choose_config(struct cli *c, char **owned)
{
    const char *env = getenv("ILAB_GLOBAL_CONFIG");
    *owned = NULL;
    if (c->config_named) return;
    if (env && *env) {
        c->config_path = env;
        c->config_named = 1;
        return;
    }
    if (c->cmd == &CMD_INIT && !c->by_group && c->compat != 26) return; /* it makes the one of this folder, whatever the user has */
    if (file_exists(c->config_path) && !(c->cmd == &CMD_INIT && c->by_group)) return;
    char *late = user_dir("config", "config.yaml", NULL);
    if (late && (file_exists(late) == 1 || c->by_group || c->compat == 26)) c->config_path = *owned = late;
    else mem_free(late);
}

static int missing_config(const struct cli *c)
{
    if (c->compat == 26 || (c->by_group && !c->compat))
        fprintf(stderr, tr("`%s` does not exist or is not a readable file.\nPlease run `ilab config init` or point to a valid configuration file using `--config=<path>`."), c->config_path);
    else
        fprintf(stderr, tr("`%s` does not exists, please run `ilab init` or point to a valid configuration file using `--config=<path>`."), c->config_path);
    fputc('\n', stderr);
    return c->compat == 14 ? EXIT_FAILED : EXIT_USAGE;
}

/* Fills c->config. Commands that do not read the file still get the environment. */
static int read_config(struct cli *c)
{
    ilab_err e = { 0 };
    static const struct { const char *name; enum log_level level; } LEVEL[] = {
        { "DEBUG", LOG_DEBUG }, { "NOTSET", LOG_DEBUG }, { "INFO", LOG_INFO }, { "WARNING", LOG_WARNING }, { "WARN", LOG_WARNING },
        { "ERROR", LOG_ERROR }, { "CRITICAL", LOG_ERROR }, { "FATAL", LOG_ERROR },
    };
    const int none = c->cmd->needs_config < 0 || !strcmp(c->config_path, "DEFAULT"), there = !none && file_exists(c->config_path);
    if (!none && !there && (c->cmd->needs_config == 1 || (c->cmd->needs_config == 2 && c->compat) || c->config_named)) return missing_config(c);
    if (config_load(&c->config, there ? c->config_path : NULL, c->compat == 26, c->compat, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        return EXIT_USAGE;
    }
    const char *v = config_get(c->config, "general.log_level"), *debug = config_get(c->config, "general.debug_level");
    for (size_t i = 0; v && !c->verbose && i < ARRAY_LEN(LEVEL); i++)
        if (!strcasecmp(v, LEVEL[i].name)) log_set_level(LEVEL[i].level);
    if (debug && strcmp(debug, "0")) log_set_level(LOG_DEBUG);
    models_dir_set(config_get(c->config, "general.models_dir"));
    return 0;
}

static int run_command(const struct cmd *cmd, struct cli *c, int n, char **argv)
{
    int rc = EXIT_DONE, wants_help = 0;
    char *owned = NULL;
    void *args = xcalloc(1, cmd->args_bytes ? cmd->args_bytes : 1);
    for (int i = 0; i < n; i++) wants_help |= !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
    if (cmd->defaults) memcpy(args, cmd->defaults, cmd->args_bytes);
    c->cmd = cmd;
    if (!wants_help) {
        choose_config(c, &owned);
        rc = read_config(c);
        if (!rc) rc = options_from_config(cmd, c, args);
    }
    if (!rc) rc = options_parse(cmd, n, argv, args, c);
    if (!rc && (c->common.debug_params || c->common.debug_params_json)) {
        options_debug(cmd, c, args);
        rc = -1;
    }
    if (!rc) {
        signal_install();
        rc = c->common.detached ? detach_run(c, args) : cmd->run(c, args);
    }
    mem_free(args);
    mem_free(c->source);
    mem_free(c->word);
    config_free(c->config);
    mem_free(owned);
    return rc < 0 ? EXIT_DONE : rc;
}

/* Output that could not be written (a full disk behind stdout) must not look like success. */
static int finish(int code)
{
    if (!fflush(stdout) && !ferror(stdout)) return code;
    fprintf(stderr, "cannot write to standard output: is the disk full?\n");
    return code ? code : EXIT_FAILED;
}

static int bad_usage(const char *fmt, const char *what) __attribute__((format(printf, 1, 0)));
static int bad_usage(const char *fmt, const char *what)
{
    fprintf(stderr, "Usage: ilab [OPTIONS] COMMAND [ARGS]...\n");
    fprintf(stderr, tr("Try '%s --help' for help."), "ilab");
    fprintf(stderr, "\n\n%s", tr("Error: "));
    fprintf(stderr, fmt, what);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

static int set_compat(struct cli *c, const char *version)
{
    static const struct { const char *name; int compat; } VERSIONS[] = { { "0.14", 14 }, { "0.26", 26 }, { "", 0 } };
    for (size_t i = 0; i < ARRAY_LEN(VERSIONS); i++)
        if (!strcmp(version, VERSIONS[i].name)) {
            setenv("ILAB_COMPAT", version, 1); /* commands with an option of this name take it from there */
            c->compat = VERSIONS[i].compat;
            messages_init(c->compat != 0); /* scripts written for InstructLab read what it says */
            return 0;
        }
    return bad_usage("Invalid value for '--compat': '%s' is not one of '0.14', '0.26'.", version);
}

/* The options in front of the command. *at is the first word behind them; -1: go on. */
static int global_options(struct cli *c, int argc, char **argv, int *at)
{
    int i = 1, rc;
    for (; i < argc && argv[i][0] == '-'; i++) {
        static const char *const TAKES[] = { "--config", "--compat" };
        const char *value = NULL;
        size_t which = ARRAY_LEN(TAKES);
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            commands_help();
            return EXIT_DONE;
        }
        if (!strcmp(argv[i], "--version")) {
            printf("ilab, version %s\n", ILAB_VERSION);
            return EXIT_DONE;
        }
        if (!strcmp(argv[i], "--verbose") || (argv[i][1] == 'v' && !argv[i][strspn(argv[i] + 1, "v") + 1])) {
            log_set_level(LOG_DEBUG);
            c->verbose = 1;
            continue;
        }
        for (size_t k = 0; k < ARRAY_LEN(TAKES); k++) {
            const size_t len = strlen(TAKES[k]);
            if (!strcmp(argv[i], TAKES[k])) {
                which = k;
                if (i + 1 >= argc) return bad_usage(tr("Option '%s' requires an argument"), argv[i]);
                value = argv[++i];
                break;
            }
            if (!strncmp(argv[i], TAKES[k], len) && argv[i][len] == '=') which = k, value = argv[i] + len + 1;
        }
        if (!value) return bad_usage(tr("No such option: %s"), argv[i]);
        if (which == 0) c->config_path = value, c->config_named = 1;
        else if ((rc = set_compat(c, value))) return rc;
    }
    *at = i;
    return -1;
}

int main(int argc, char **argv)
{
    const int child = document_child(argc, argv); /* this program as the reader of one foreign file */
    if (child >= 0) return child;
    struct cli c = { .config_path = "config.yaml", .argc = argc, .argv = argv };
    int i = 1, used = 0;
    const char *compat = getenv("ILAB_COMPAT");
    messages_init(0);
    int rc = compat ? set_compat(&c, compat) : 0;
    if (rc) return rc;
    const char *complete = getenv("_ILAB_COMPLETE"); /* as the reference's completions were installed: bash_source, … */
    if (complete && sv_ends(sv_of(complete), "_source") && !completion_print(complete, strlen(complete) - 7)) return finish(EXIT_DONE);
    rc = global_options(&c, argc, argv, &i);
    if (rc >= 0) return finish(rc);
    if (i >= argc) {
        commands_help();
        return finish(EXIT_DONE);
    }
    const struct cmd *cmd = cmd_find(argc - i, argv + i, &used);
    if (cmd) {
        c.by_group = used == 2;
        return finish(run_command(cmd, &c, argc - i - used, argv + i + used));
    }
    for (int k = 0; k < N_ALIASES; k++) {
        if (strcmp(argv[i], ALIASES[k].name)) continue;
        char *words[256];
        int n = 0;
        for (; ALIASES[k].words[n]; n++) words[n] = (char *)(uintptr_t)ALIASES[k].words[n];
        for (int w = i + 1; w < argc && n < (int)ARRAY_LEN(words); w++) words[n++] = argv[w];
        if (ALIASES[k].notice) fprintf(stderr, "%s\n", ALIASES[k].notice);
        cmd = cmd_find(n, words, &used);
        return finish(run_command(cmd, &c, n - used, words + used));
    }
    return finish(command_unknown(argc - i, argv + i));
}
