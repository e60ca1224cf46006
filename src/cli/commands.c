/* commands.c — the one table of commands, their groups and old names; finds a command, lists them, names the nearest.
 *
 * Two command lines meet here: the flat one of early InstructLab (`ilab train`) and the groups of later releases
 * (`ilab model train`). A row with a group answers to both; a name with a space only to the second. A new command is
 * a line in command_list.h; help, man pages and completions follow.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/messages.h"

#include <string.h>

const struct cmd *const CMDS[] = {
#define COMMAND(name) &CMD_##name,
#include "cli/command_list.h"
#undef COMMAND
};
const int N_CMDS = ARRAY_LEN(CMDS);

/* In the order in which help lists them. */
const struct group GROUPS[] = {
    { "config", "Settings." },
    { "taxonomy", "What is to be taught." },
    { "data", "Documents and training data." },
    { "model", "Get, train, ask, measure and serve models." },
    { "process", "Runs in the background." },
    { "system", "This machine." },
};
const int N_GROUPS = ARRAY_LEN(GROUPS);

const struct cmd_alias ALIASES[] = {
    { "list", "DeprecationWarning: Use `ilab diff` instead.", { "diff", "--names-only", NULL } },
    { "convert", NULL, { "model", "convert", NULL } },
    { "check", "DeprecationWarning: Use `ilab diff --quiet` instead.", { "diff", "--quiet", NULL } },
    { "sysinfo", NULL, { "system", "info", NULL } },
};
const int N_ALIASES = ARRAY_LEN(ALIASES);

/* Commands of InstructLab that this program has not, and what does their work here. */
static const struct { const char *group, *name /* NULL: all of the group */, *instead; } ABSENT[] = {
    { "rag", NULL, "nothing is looked up while a model answers, it is taught: `ilab data ingest` shows documents as text, `ilab generate` and `ilab train` teach them" },
    { "model", "upload", "nothing is sent anywhere: `ilab model list` names the file, `ilab model convert` writes a Hugging Face folder of it" },
};

struct sv cmd_group(const struct cmd *c)
{
    const char *space = strchr(c->name, ' ');
    if (space) return (struct sv){ c->name, (size_t)(space - c->name) };
    return c->group ? sv_of(c->group) : SV("");
}

const char *cmd_leaf(const struct cmd *c)
{
    const char *space = strchr(c->name, ' ');
    return space ? space + 1 : c->name;
}

const struct cmd *cmd_find(int n, char **argv, int *used)
{
    for (int i = 0; i < N_CMDS; i++)
        if (!strcmp(argv[0], CMDS[i]->name)) return *used = 1, CMDS[i];
    for (int i = 0; n > 1 && i < N_CMDS; i++)
        if (sv_eq_c(cmd_group(CMDS[i]), argv[0]) && !strcmp(argv[1], cmd_leaf(CMDS[i]))) return *used = 2, CMDS[i];
    return NULL;
}

static void list_group(const char *group, const char *lead)
{
    for (int i = 0; i < N_CMDS; i++) {
        char name[64];
        if (CMDS[i]->hidden || !sv_eq_c(cmd_group(CMDS[i]), group)) continue;
        snprintf(name, sizeof name, "%s%s%s", lead, *lead ? " " : "", cmd_leaf(CMDS[i]));
        printf("  %-18s %s\n", name, tr(CMDS[i]->summary));
    }
}

void commands_help(void)
{
    printf("Usage: ilab [--config PATH] [--compat VERSION] [--version] [--help] COMMAND [ARGS]\n\n  %s\n\n  %s\n\n%s\n",
           tr("Teaches a local language model the facts of a document, on this computer."),
           tr("New here?  ilab init --non-interactive, put a qna.yaml below taxonomy/knowledge/,\n  then: ilab diff, ilab generate, ilab train, ilab chat."), tr("Options:"));
    printf("  --config PATH      %s  [default: config.yaml; env: ILAB_GLOBAL_CONFIG]\n  --compat VERSION   %s  [env: ILAB_COMPAT]\n"
           "  --version          %s\n  -h, --help         %s\n",
           tr("configuration file; DEFAULT: none"), tr("verdicts, wording and exit codes of InstructLab 0.14 or 0.26"), tr("show the version"), tr("show this message"));
    for (int g = 0; g < N_GROUPS; g++) {
        int n = 0;
        for (int i = 0; i < N_CMDS; i++) n += !CMDS[i]->hidden && sv_eq_c(cmd_group(CMDS[i]), GROUPS[g].name);
        if (!n) continue;
        printf("\n%s\n", tr(GROUPS[g].summary));
        list_group(GROUPS[g].name, GROUPS[g].name);
    }
    printf("\n");
    list_group("", "");
    printf("\n%s", tr("`ilab GROUP` lists a group, `ilab COMMAND --help` explains a command with examples. These also work\nwithout their group:"));
    for (int i = 0; i < N_CMDS; i++)
        if (CMDS[i]->group && !CMDS[i]->hidden) printf(" %s", CMDS[i]->name);
    printf("\n\nAliases:\n  chat      model chat\n  generate  data generate\n  serve     model serve\n  train     model train\n");
}

int group_help(const char *group)
{
    for (int g = 0; g < N_GROUPS; g++) {
        if (strcmp(GROUPS[g].name, group)) continue;
        printf("Usage: ilab %s COMMAND [ARGS]\n\n  %s\n\n%s\n", group, tr(GROUPS[g].summary), tr("Commands:"));
        list_group(group, "");
        printf("\n");
        printf(tr("`ilab %s COMMAND --help` explains a command."), group);
        printf("\n");
        return 0;
    }
    return 1;
}

int command_unknown(int n, char **argv)
{
    enum { MAX_NAMES = 128 };
    const char *names[MAX_NAMES];
    int count = 0, is_group = 0;
    for (size_t i = 0; i < ARRAY_LEN(ABSENT); i++) {
        if (strcmp(argv[0], ABSENT[i].group) || (ABSENT[i].name && (n < 2 || strcmp(argv[1], ABSENT[i].name)))) continue;
        const int help = !strcmp(argv[n - 1], "--help");
        FILE *to = help ? stdout : stderr;
        if (!help) fputs(tr("Error: "), to);
        fprintf(to, tr("this program has no `ilab %s%s%s`: %s"), ABSENT[i].group, ABSENT[i].name ? " " : "", ABSENT[i].name ? ABSENT[i].name : "", tr(ABSENT[i].instead));
        fputc('\n', to);
        return help ? EXIT_DONE : EXIT_USAGE;
    }
    for (int g = 0; g < N_GROUPS; g++) is_group |= !strcmp(GROUPS[g].name, argv[0]);
    if (is_group && (n < 2 || argv[1][0] == '-')) {
        group_help(argv[0]);
        return n < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ? EXIT_DONE : EXIT_USAGE;
    }
    for (int i = 0; i < N_CMDS && count < MAX_NAMES; i++)
        if (!CMDS[i]->hidden && (!is_group || sv_eq_c(cmd_group(CMDS[i]), argv[0]))) names[count++] = cmd_leaf(CMDS[i]);
    for (int g = 0; g < N_GROUPS && !is_group && count < MAX_NAMES; g++) names[count++] = GROUPS[g].name;
    const char *word = is_group ? argv[1] : argv[0];
    const int near = nearest_name(word, names, count);
    char where[128] = "";
    for (int i = 0; near >= 0 && !is_group && i < N_CMDS; i++) /* `ilab evaluat`: it is `ilab model evaluate` */
        if (names[near] == cmd_leaf(CMDS[i]) && strchr(CMDS[i]->name, ' ')) snprintf(where, sizeof where, "%s", CMDS[i]->name);
    char called[64];
    snprintf(called, sizeof called, "ilab%s%s", is_group ? " " : "", is_group ? argv[0] : "");
    fprintf(stderr, "Usage: %s [OPTIONS] COMMAND [ARGS]...\n", called);
    fprintf(stderr, tr("Try '%s --help' for help."), called);
    fprintf(stderr, "\n\n%s", tr("Error: "));
    fprintf(stderr, tr("No such command '%s'."), word);
    if (near >= 0) fprintf(stderr, tr(" Did you mean '%s'?"), *where ? where : names[near]);
    fputc('\n', stderr);
    return EXIT_USAGE;
}
