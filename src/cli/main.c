/* main.c — finds the command, fills its arguments (defaults, configuration, command line), runs it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void top_help(void)
{
    printf("Usage: ilab [--config PATH] [--version] [--help] COMMAND [ARGS]\n\n"
           "  Teaches a local language model the facts of a document, on this computer.\n\n"
           "  New here?  ilab init --non-interactive, put a qna.yaml below taxonomy/knowledge/,\n"
           "  then: ilab diff, ilab generate, ilab train, ilab chat.\n\nCommands:\n");
    for (int i = 0; i < N_CMDS; i++) {
        printf("  %-18s %s\n", CMDS[i]->name, CMDS[i]->summary);
    }
    printf("\n  `ilab COMMAND --help` explains a command with examples. The groups of later InstructLab\n"
           "  releases work too: config init, taxonomy diff, data generate, model train, model chat …\n");
}

/* How many words of argv name this command: "train" 1, "model train" 2, "model complete" 2; 0: another one. */
static int matches(const struct cmd *c, int n, char **argv)
{
    const char *space = strchr(c->name, ' ');
    if (space)
        return n >= 2 && strlen(argv[0]) == (size_t)(space - c->name) && !strncmp(argv[0], c->name, (size_t)(space - c->name)) && !strcmp(argv[1], space + 1) ? 2 : 0;
    if (!strcmp(argv[0], c->name)) return 1;
    return n >= 2 && c->group && !strcmp(argv[0], c->group) && !strcmp(argv[1], c->name) ? 2 : 0;
}

static int unknown_command(int n, char **argv)
{
    const char *names[64];
    int count = 0, is_group = 0;
    for (int i = 0; i < N_CMDS && count < 60; i++) {
        const char *space = strchr(CMDS[i]->name, ' ');
        const size_t len = strlen(argv[0]);
        const int of_group = (CMDS[i]->group && !strcmp(CMDS[i]->group, argv[0])) || (space && (size_t)(space - CMDS[i]->name) == len && !strncmp(CMDS[i]->name, argv[0], len));
        is_group |= of_group;
        names[count++] = space ? space + 1 : CMDS[i]->name;
    }
    if (is_group && (n < 2 || argv[1][0] == '-')) {
        printf("Usage: ilab %s COMMAND [ARGS]\n\nCommands:\n", argv[0]);
        for (int i = 0; i < N_CMDS; i++) {
            const size_t len = strlen(argv[0]);
            if (CMDS[i]->group && !strcmp(CMDS[i]->group, argv[0])) printf("  %-12s %s\n", CMDS[i]->name, CMDS[i]->summary);
            else if (!strncmp(CMDS[i]->name, argv[0], len) && CMDS[i]->name[len] == ' ') printf("  %-12s %s\n", CMDS[i]->name + len + 1, CMDS[i]->summary);
        }
        return n < 2 || !strcmp(argv[1], "--help") ? EXIT_DONE : EXIT_USAGE;
    }
    static const char *const GROUP[] = { "config", "taxonomy", "data", "model", "system" };
    for (size_t i = 0; i < ARRAY_LEN(GROUP) && !is_group; i++) names[count++] = GROUP[i];
    const char *word = is_group ? argv[1] : argv[0];
    const int near = nearest_name(word, names, count);
    fprintf(stderr, "Usage: ilab [OPTIONS] COMMAND [ARGS]...\nTry 'ilab --help' for help.\n\nError: No such command '%s'.%s%s%s\n", word,
            near >= 0 ? " Did you mean '" : "", near >= 0 ? names[near] : "", near >= 0 ? "'?" : "");
    return EXIT_USAGE;
}

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
    const int reads = cmd->needs_config > 0 || (!cmd->needs_config && (c->config_named || file_exists(c->config_path)));
    if (!wants_help && reads && strcmp(c->config_path, "DEFAULT")) {
        if (config_load(&c->config, c->config_path, &e)) {
            fprintf(stderr, "%s\n", e.msg);
            rc = EXIT_USAGE;
        } else {
            rc = log_level_from(c->config, c->config_path);
            if (!rc) rc = options_from_config(cmd, c->config, args);
        }
    }
    if (!rc) rc = options_parse(cmd, n, argv, args, c);
    if (!rc) {
        signal_install();
        rc = cmd->run(c, args);
    }
    mem_free(args);
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

int main(int argc, char **argv)
{
    struct cli c = { .config_path = "config.yaml" };
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            top_help();
            return finish(EXIT_DONE);
        } else if (!strcmp(argv[i], "--version")) {
            printf("ilab, version %s\n", ILAB_VERSION);
            return finish(EXIT_DONE);
        } else if (!strncmp(argv[i], "--config=", 9)) {
            c.config_path = argv[i] + 9;
            c.config_named = 1;
        } else if (!strcmp(argv[i], "--config")) {
            if (i + 1 >= argc) {
                fprintf(stderr, "Usage: ilab [OPTIONS] COMMAND [ARGS]...\nTry 'ilab --help' for help.\n\nError: Option '--config' requires an argument.\n");
                return EXIT_USAGE;
            }
            c.config_path = argv[++i];
            c.config_named = 1;
        } else {
            fprintf(stderr, "Usage: ilab [OPTIONS] COMMAND [ARGS]...\nTry 'ilab --help' for help.\n\nError: No such option: %s\n", argv[i]);
            return EXIT_USAGE;
        }
    }
    if (i >= argc) {
        top_help();
        return finish(EXIT_DONE);
    }
    for (int k = 0; k < N_CMDS; k++) {
        const int used = matches(CMDS[k], argc - i, argv + i);
        if (used) return finish(run_command(CMDS[k], &c, argc - i - used, argv + i + used));
    }
    return finish(unknown_command(argc - i, argv + i));
}
