/* cmd_manual.c — `ilab manual DIR`: the man pages, written from the tables of commands, options and configuration keys
 * (`make man`): ilab.1, a page for each command, and ilab-config.5. Macros of man(7); everything beyond ASCII is named by
 * its code point, so that any formatter takes it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"

#include <string.h>

struct page { struct file_out out; int bol, col; /* at the beginning of a line; characters since then */ };

/* Text with what roff would understand made plain; broken at blanks unless `keep`. */
static void text_n(struct page *p, struct sv s, int keep)
{
    enum { WIDTH = 56 };
    for (size_t i = 0; i < s.n;) {
        const size_t at = i;
        const int32_t cp = utf8_next(s, &i);
        if (p->bol) p->col = 0;
        if (!keep && p->col++ > WIDTH && cp == ' ' && i < s.n && s.p[i] != ' ') {
            file_putf(&p->out, "\n");
            p->bol = 1;
            continue;
        }
        if (p->bol && (s.p[at] == '.' || s.p[at] == '\'' || cp == 0x2026)) file_putf(&p->out, "\\&");
        p->bol = 0;
        if (cp < 0) continue;
        if (cp == 0x2026) file_putf(&p->out, "..."); /* a terminal without UTF-8 has no ellipsis */
        else if (cp > 126) file_putf(&p->out, "\\[u%04X]", (unsigned)cp);
        else if (cp == '\\') file_putf(&p->out, "\\e");
        else if (cp == '-') file_putf(&p->out, "\\-");
        else if (cp == '\'') file_putf(&p->out, "\\(aq");
        else if (cp == '`') file_putf(&p->out, "\\(ga");
        else if (cp == '^') file_putf(&p->out, "\\(ha");
        else if (cp == '~') file_putf(&p->out, "\\(ti");
        else if (cp == '"') file_putf(&p->out, "\\(dq");
        else file_putf(&p->out, "%c", cp < 32 ? ' ' : (int)cp);
    }
}

static void text(struct page *p, const char *s) { text_n(p, sv_of(s), 1); }

static void line(struct page *p, const char *s)
{
    p->bol = 1;
    text_n(p, sv_of(s), 0);
    file_putf(&p->out, "\n");
    p->bol = 1;
}

static void macro(struct page *p, const char *name, const char *arg)
{
    file_putf(&p->out, ".%s%s", name, *arg ? " " : "");
    p->bol = 0;
    text(p, arg);
    file_putf(&p->out, "\n");
    p->bol = 1;
}

static int begin(struct page *p, const char *dir, const char *name, int section, const char *date, ilab_err *e)
{
    char file[160], upper[128];
    size_t i = 0;
    snprintf(file, sizeof file, "%s.%d", name, section);
    for (; name[i] && i + 1 < sizeof upper; i++) upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 32) : name[i];
    upper[i] = 0;
    char *path = path_join(dir, file);
    int rc = path ? file_create(&p->out, path, e) : err_set(e, ILAB_E_NOMEM, "no memory for a path");
    mem_free(path);
    if (rc) return rc;
    file_putf(&p->out, ".\\\" Written by `ilab manual` from the tables of the program.\n.TH ");
    p->bol = 0;
    text(p, upper);
    file_putf(&p->out, " %d \"%s\" \"ilab %s\" \"ilab\"\n", section, date, ILAB_VERSION);
    p->bol = 1;
    return 0;
}

/* Paragraphs of help; indented lines stand as they are. */
static void help_text(struct page *p, const char *help)
{
    struct sv rest = sv_of(help), l;
    int example = 0, started = 1; /* the heading has begun a paragraph */
    while (rest.n) {
        l = (struct sv){ rest.p, 0 }; /* not sv_split: an empty line counts */
        while (l.n < rest.n && rest.p[l.n] != '\n') l.n++;
        const size_t used = l.n + (l.n < rest.n);
        rest.p += used, rest.n -= used;
        const int indented = l.n > 2 && l.p[0] == ' ';
        if (example && !indented) file_putf(&p->out, ".EE\n.RE\n"), example = 0;
        if (indented && !example) file_putf(&p->out, ".RS 4\n.EX\n"), example = 1;
        p->bol = 1;
        if (!l.n) {
            started = 0;
            continue;
        }
        if (sv_eq(l, SV("Examples:")) || sv_eq(l, SV("Example:"))) {
            macro(p, "SH", "EXAMPLES");
            started = 1;
            continue;
        }
        if (!started && !indented) file_putf(&p->out, ".PP\n");
        started = 1;
        text_n(p, indented ? (struct sv){ l.p + 2, l.n - 2 } : l, indented);
        file_putf(&p->out, "\n");
        p->bol = 1;
    }
    if (example) file_putf(&p->out, ".EE\n.RE\n");
}

static void option(struct page *p, const struct cmd *c, const struct opt *o)
{
    char notes[1400];
    if (o->flags & OPT_HIDDEN) return;
    file_putf(&p->out, ".TP\n\\fB");
    p->bol = 0;
    if (o->alias) file_putf(&p->out, "\\-%c\\fR, \\fB", o->alias);
    if (o->alias2) file_putf(&p->out, "\\-%s\\fR, \\fB", o->alias2);
    text(p, "--");
    text(p, o->name);
    file_putf(&p->out, "\\fR");
    if (o->arg) {
        file_putf(&p->out, " \\fI");
        text(p, o->arg);
        file_putf(&p->out, "\\fR");
    }
    file_putf(&p->out, "\n");
    line(p, *o->help ? o->help : "seed of the random numbers");
    option_notes(c, o, notes, sizeof notes);
    if (*notes) line(p, notes);
}

static int command_page(const struct cmd *c, const char *dir, const char *date, ilab_err *e)
{
    struct page p = { .bol = 1 };
    char name[128], flat[64] = "", synopsis[256];
    const struct sv g = cmd_group(c);
    const struct opt *o;
    snprintf(name, sizeof name, g.n ? "ilab-%.*s-%s" : "ilab%.*s-%s", SV_ARG(g), cmd_leaf(c));
    if (c->group) snprintf(flat, sizeof flat, ", ilab-%s", c->name);
    int rc = begin(&p, dir, name, 1, date, e);
    if (rc) return rc;
    macro(&p, "SH", "NAME");
    p.bol = 1;
    text(&p, name);
    text(&p, flat);
    file_putf(&p.out, " \\-\n");
    line(&p, c->summary);
    macro(&p, "SH", "SYNOPSIS");
    snprintf(synopsis, sizeof synopsis, "ilab %.*s%s%s", SV_ARG(g), g.n ? " " : "", cmd_leaf(c));
    macro(&p, "B", synopsis);
    file_putf(&p.out, "[\\fIOPTIONS\\fR]%s", c->words ? " " : "");
    p.bol = 0;
    if (c->words) text(&p, c->words);
    file_putf(&p.out, "\n");
    if (c->group) {
        snprintf(synopsis, sizeof synopsis, "ilab %s", c->name);
        file_putf(&p.out, ".br\n");
        macro(&p, "B", synopsis);
        file_putf(&p.out, "[\\fIOPTIONS\\fR]\n");
    }
    macro(&p, "SH", "OPTIONS");
    for (o = c->opts; o && o->name; o++) option(&p, c, o);
    for (int i = 0; (o = common_option(c, i)) != NULL; i++) option(&p, &(struct cmd){ .name = c->name }, o);
    file_putf(&p.out, ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\n");
    line(&p, "Show the help.");
    if (c->help) {
        if (strncmp(c->help, "Example", 7)) macro(&p, "SH", "DESCRIPTION");
        help_text(&p, c->help);
    }
    macro(&p, "SH", "SEE ALSO");
    file_putf(&p.out, ".BR ilab (1),\n.BR ilab\\-config (5)\n");
    return file_commit(&p.out, e);
}

static void commands(struct page *p, const char *group)
{
    for (int i = 0; i < N_CMDS; i++) {
        char name[128];
        if (CMDS[i]->hidden || !sv_eq_c(cmd_group(CMDS[i]), group)) continue;
        snprintf(name, sizeof name, "ilab-%s%s%s", group, *group ? "-" : "", cmd_leaf(CMDS[i]));
        file_putf(&p->out, ".TP\n\\fB");
        p->bol = 0;
        text(p, name);
        file_putf(&p->out, "\\fR(1)\n");
        line(p, CMDS[i]->summary);
    }
}

static int main_page(const char *dir, const char *date, ilab_err *e)
{
    static const char *const EXITS[][2] = { { "0", "Done." }, { "1", "Failed; the message says why and what to do." }, { "2", "Wrong usage." }, { "130", "Interrupted; what was done is saved." } };
    static const char *const PLACES[][2] = {
        { "config.yaml", "Configuration of the current folder (ilab init)." },
        { "~/.config/instructlab/config.yaml", "Configuration of the user (ilab config init)." },
        { "~/.local/share/instructlab", "The user's taxonomy, data, checkpoints, logs of runs in the background." },
        { "~/.cache/instructlab/models", "The user's models." },
    };
    static const char *const ENV[][2] = {
        { "ILAB_GLOBAL_CONFIG", "The configuration file." }, { "ILAB_COMPAT", "As --compat." }, { "ILAB_LANG", "Language of messages: en or de; else that of LANG." },
        { "ILAB_SYSTEM_PROFILE_DIR", "Folder of profiles for ilab config init --profile." }, { "ILAB_CPU", "Level of the kernels: ref, avx2, avx512, neon." },
        { "XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_CACHE_HOME", "Other places of the user's directories." }, { "EDITOR", "For ilab config edit." }, { "HF_TOKEN", "For downloads that are not public." },
    };
    static const struct { const char *title; const char *const (*row)[2]; size_t n; } SECTIONS[] = {
        { "FILES", PLACES, ARRAY_LEN(PLACES) }, { "ENVIRONMENT", ENV, ARRAY_LEN(ENV) }, { "EXIT STATUS", EXITS, ARRAY_LEN(EXITS) },
    };
    struct page p = { .bol = 1 };
    int rc = begin(&p, dir, "ilab", 1, date, e);
    if (rc) return rc;
    macro(&p, "SH", "NAME");
    file_putf(&p.out, "ilab \\- teaches a local language model the facts of a document\n");
    macro(&p, "SH", "SYNOPSIS");
    file_putf(&p.out, ".B ilab\n[\\fB\\-\\-config\\fR \\fIPATH\\fR] [\\fB\\-\\-compat\\fR \\fIVERSION\\fR] [\\fB\\-\\-version\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]\n");
    macro(&p, "SH", "DESCRIPTION");
    line(&p, "From a document and five questions about it, ilab makes training data, trains a small adapter beside a model that runs on this computer, and answers, measures and serves. "
             "Nothing leaves the computer.");
    file_putf(&p.out, ".PP\n");
    line(&p, "The way in short: ilab init --non-interactive, a qna.yaml below taxonomy/knowledge, then ilab diff, ilab generate, ilab train, ilab chat.");
    macro(&p, "SH", "COMMANDS");
    for (int g = 0; g < N_GROUPS; g++) {
        macro(&p, "SS", GROUPS[g].summary);
        commands(&p, GROUPS[g].name);
    }
    macro(&p, "SS", "Others");
    commands(&p, "");
    for (size_t s = 0; s < ARRAY_LEN(SECTIONS); s++) {
        macro(&p, "SH", SECTIONS[s].title);
        for (size_t i = 0; i < SECTIONS[s].n; i++) {
            macro(&p, "TP", "");
            macro(&p, "B", SECTIONS[s].row[i][0]);
            line(&p, SECTIONS[s].row[i][1]);
        }
    }
    macro(&p, "SH", "SEE ALSO");
    file_putf(&p.out, ".BR ilab\\-config (5)\n");
    return file_commit(&p.out, e);
}

/* ilab-config.5: every key with what it means. */
static int config_page(const char *dir, const char *date, ilab_err *e)
{
    static const struct config_paths WITH = { "models/starter.gguf", "taxonomy", "empty" };
    struct page p = { .bol = 1 };
    struct arena a;
    int rc = begin(&p, dir, "ilab-config", 5, date, e);
    if (rc) return rc;
    arena_init(&a, (size_t)16 << 20);
    macro(&p, "SH", "NAME");
    file_putf(&p.out, "ilab\\-config \\- keys of config.yaml\n");
    macro(&p, "SH", "DESCRIPTION");
    line(&p, "A setting comes from the command line, else from the environment, else from the file, else it is the default. The file is that of --config, else that of "
             "ILAB_GLOBAL_CONFIG, else config.yaml in the current folder, else ~/.config/instructlab/config.yaml. Unknown keys are errors. Files of InstructLab 0.14 and 0.26 are read as they are.");
    macro(&p, "SH", "KEYS");
    for (int i = 0; i < N_CONFIG_KEYS; i++) {
        const struct config_key *k = &CONFIG_KEYS[i];
        char env[160], more[400];
        if (k->type == KEY_SECTION) {
            if (!strchr(k->name, '.')) macro(&p, "SS", k->name);
            continue;
        }
        macro(&p, "TP", "");
        macro(&p, "B", k->name);
        line(&p, k->doc);
        if (!config_key_works(k)) line(&p, "Kept for files of InstructLab; no effect.");
        const char *early = k->early || k->ours ? config_key_default(k, 0, 0, &WITH, &a) : NULL;
        if (early) snprintf(more, sizeof more, "Default: %s.", early);
        else if (*k->late == '%') snprintf(more, sizeof more, "Default: below the user's directories.");
        else snprintf(more, sizeof more, "Default: %s.", k->late);
        line(&p, more);
        if (k->lo < k->hi) snprintf(more, sizeof more, "From %.10g to %.10g.", k->lo, k->hi), line(&p, more);
        if (k->choices) snprintf(more, sizeof more, "Values: %s.", k->choices), line(&p, more);
        snprintf(more, sizeof more, "In InstructLab %s.", k->early && k->late ? "0.14 and 0.26" : k->early ? "0.14" : "0.26");
        if (k->early || k->late) line(&p, more);
        config_key_env(k, env, sizeof env);
        snprintf(more, sizeof more, "Environment: %s.", env);
        if (k->type < KEY_LIST) line(&p, more);
    }
    macro(&p, "SH", "SEE ALSO");
    file_putf(&p.out, ".BR ilab (1),\n.BR ilab\\-config\\-show (1)\n");
    arena_release(&a);
    return file_commit(&p.out, e);
}

struct manual_args { const char *date; };
static const struct manual_args DEFAULTS = { .date = "2026-01-01" };
static const struct opt OPTS[] = { { "date", 0, NULL, OPT_STR, offsetof(struct manual_args, date), 0, 0, "DATE", NULL, "date in the pages' heads" }, { 0 } };

static int run(struct cli *c, void *args)
{
    const struct manual_args *a = args;
    ilab_err e = { 0 };
    const char *dir = c->n_word ? c->word[0] : "man";
    int n = 2, rc = dir_make(dir, &e);
    if (!rc) rc = main_page(dir, a->date, &e);
    if (!rc) rc = config_page(dir, a->date, &e);
    for (int i = 0; !rc && i < N_CMDS; i++)
        if (!CMDS[i]->hidden) rc = command_page(CMDS[i], dir, a->date, &e), n++;
    if (rc) return fail(&e, "%s", "");
    printf("%d pages in %s\n", n, dir);
    return EXIT_DONE;
}

const struct cmd CMD_MANUAL = {
    .name = "manual", .args_bytes = sizeof(struct manual_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .needs_config = -1, .max_words = 1, .words = "[DIR]", .hidden = 1,
    .summary = "Write the man pages.",
    .help = "Example:\n  ilab manual build/man\n",
};
