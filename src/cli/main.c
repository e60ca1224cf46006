/* main.c — finds the command, fills its arguments (defaults, configuration, command line), runs it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The names that the reference takes, in any case. 0, or EXIT_USAGE after a message. */
static int log_level_from(const struct config *c, const char *path)
{
    static const struct { const char *name; enum log_level level; } LEVEL[] = {
        { "DEBUG", LOG_DEBUG }, { "NOTSET", LOG_DEBUG }, { "INFO", LOG_INFO }, { "WARNING", LOG_WARNING }, { "WARN", LOG_WARNING },
        { "ERROR", LOG_ERROR }, { "CRITICAL", LOG_ERROR }, { "FATAL", LOG_ERROR },
    };
    const char *v = config_get(c, "general.log_level");
    for (size_t i = 0; v && i < ARRAY_LEN(LEVEL); i++)
        if (!strcasecmp(v, LEVEL[i].name)) {
            log_set_level(LEVEL[i].level);
            return 0;
        }
    if (!v) return 0;
    fprintf(stderr, "1 errors in %s:\n- general->log_level: '%s' is no level: use DEBUG, INFO, WARNING or ERROR\n", path, v);
    return EXIT_USAGE;
}

static int run_command(const struct cmd *cmd, struct cli *c, int n, char **argv)
{
    ilab_err e = { 0 };
    int rc = EXIT_DONE, wants_help = 0;
    void *args = xcalloc(1, cmd->args_bytes ? cmd->args_bytes : 1);
    for (int i = 0; i < n; i++) wants_help |= !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
    if (cmd->defaults) memcpy(args, cmd->defaults, cmd->args_bytes);
    c->cmd = cmd;
    const int reads = cmd->needs_config > 0 || (!cmd->needs_config && (c->config_named || file_exists(c->config_path)));
    if (!wants_help && reads && strcmp(c->config_path, "DEFAULT")) {
        if (config_load(&c->config, c->config_path, &e)) {
            fprintf(stderr, "%s\n", e.msg);
            rc = EXIT_USAGE;
        } else {
            rc = log_level_from(c->config, c->config_path);
        }
    }
    if (!rc && !wants_help) rc = options_from_config(cmd, c, args);
    if (!rc) rc = options_parse(cmd, n, argv, args, c);
    if (!rc && (c->common.debug_params || c->common.debug_params_json)) {
        options_debug(cmd, c, args);
        rc = -1;
    }
    if (!rc) {
        signal_install();
        rc = cmd->run(c, args);
    }
    mem_free(args);
    mem_free(c->source);
    mem_free(c->word);
    config_free(c->config);
    return rc < 0 ? EXIT_DONE : rc;
}

/* Output that could not be written (a full disk behind stdout) must not look like success. */
static int finish(int code)
{
    if (!fflush(stdout) && !ferror(stdout)) return code;
    fprintf(stderr, "cannot write to standard output: is the disk full?\n");
    return code ? code : EXIT_FAILED;
}

static int bad_usage(const char *fmt, const char *what)
{
    fprintf(stderr, "Usage: ilab [OPTIONS] COMMAND [ARGS]...\nTry 'ilab --help' for help.\n\nError: ");
    fprintf(stderr, fmt, what);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

static int set_compat(struct cli *c, const char *version)
{
    static const struct { const char *name; int compat; } VERSIONS[] = { { "0.14", 14 }, { "0.26", 26 }, { "", 0 } };
    for (size_t i = 0; i < ARRAY_LEN(VERSIONS); i++)
        if (!strcmp(version, VERSIONS[i].name)) return c->compat = VERSIONS[i].compat, 0;
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
                if (i + 1 >= argc) return bad_usage("Option '%s' requires an argument.", argv[i]);
                value = argv[++i];
                break;
            }
            if (!strncmp(argv[i], TAKES[k], len) && argv[i][len] == '=') which = k, value = argv[i] + len + 1;
        }
        if (!value) return bad_usage("No such option: %s", argv[i]);
        if (which == 0) c->config_path = value, c->config_named = 1;
        else if ((rc = set_compat(c, value))) return rc;
    }
    *at = i;
    return -1;
}

int main(int argc, char **argv)
{
    struct cli c = { .config_path = "config.yaml" };
    int i = 1, used = 0;
    const char *compat = getenv("ILAB_COMPAT");
    int rc = compat ? set_compat(&c, compat) : 0;
    if (rc) return rc;
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
