/* option.c — parses options by table and prints help from the same table.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/messages.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int usage(const struct cmd *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int usage(const struct cmd *cmd, const char *fmt, ...)
{
    va_list ap;
    char called[64];
    snprintf(called, sizeof called, "ilab %s", cmd->name);
    fprintf(stderr, "Usage: %s [OPTIONS]%s%s\n", called, cmd->words ? " " : "", cmd->words ? cmd->words : "");
    fprintf(stderr, tr("Try '%s --help' for help."), called);
    fprintf(stderr, "\n\n%s", tr("Error: "));
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

/* Is word one of the words of list? */
static int word_in(const char *list, const char *word)
{
    struct sv rest = sv_of(list), part;
    while (sv_split(&rest, ' ', &part))
        if (sv_eq_c(part, word)) return 1;
    return 0;
}

/* What every command has; offsets are those of struct common_args. */
#define C(field) offsetof(struct common_args, field)
static const struct opt COMMON[] = {
    { "debug-params", 0, NULL, OPT_FLAG, C(debug_params), 0, 0, NULL, NULL, "show the options' values with their origin, and do nothing", OPT_HIDDEN },
    { "debug-params-json", 0, NULL, OPT_FLAG, C(debug_params_json), 0, 0, NULL, NULL, "the same as JSON", OPT_HIDDEN },
    { "detached", 0, "dt", OPT_FLAG, C(detached), 0, 0, NULL, NULL, "run in the background: `ilab process list`, `attach`, `stop`" },
    { "detach", 0, NULL, OPT_FLAG, C(detached), 0, 0, NULL, NULL, "the same", OPT_HIDDEN },
};
#undef C

const struct opt *common_option(const struct cmd *cmd, int i)
{
    const int n = cmd->detach ? 4 : 2;
    return i < n ? &COMMON[i] : NULL;
}

/* Stores text as the option's value; 0 or EXIT_USAGE with a message that begins with `what`. */
static int store(const struct cmd *cmd, const struct opt *o, const char *text, void *args, const char *what)
{
    char *at = (char *)args + o->off;
    int64_t i;
    double f;
    if (o->choices && !word_in(o->choices, text)) return usage(cmd, tr("Invalid value for '%s': '%s' is not one of: %s"), what, text, o->choices);
    switch (o->kind) {
    case OPT_FLAG: case OPT_NO_FLAG: *(int *)at = o->kind == OPT_FLAG; return 0;
    case OPT_STR: memcpy(at, &text, sizeof text); return 0;
    case OPT_INT:
        if (parse_i64(text, INT32_MIN, INT32_MAX, &i)) return usage(cmd, tr("Invalid value for '%s': '%s' is not a valid integer"), what, text);
        if ((double)i < o->lo || (double)i > o->hi) return usage(cmd, tr("Invalid value for '%s': %s is not in the range %.0f to %.0f"), what, text, o->lo, o->hi);
        *(int *)at = (int)i;
        return 0;
    case OPT_FLOAT:
        if (parse_f64(text, -1e300, 1e300, &f)) return usage(cmd, tr("Invalid value for '%s': '%s' is not a valid number"), what, text);
        if (f < o->lo || f > o->hi) return usage(cmd, tr("Invalid value for '%s': %s is not in the range %g to %g"), what, text, o->lo, o->hi);
        *(double *)at = f;
        return 0;
    case OPT_LIST: {
        struct opt_list *l = (struct opt_list *)(void *)at;
        if (l->n == OPT_LIST_MAX) return usage(cmd, tr("Option '%s' may be given %d times at most"), what, OPT_LIST_MAX);
        l->v[l->n++] = text;
        return 0;
    }
    }
    return 0;
}

/* A boolean as YAML 1.1 writes it; -1: none. */
static int truth_of(const char *v)
{
    static const char *const WORD[] = { "true", "yes", "on", "false", "no", "off" };
    for (int i = 0; i < 6; i++)
        if (!strcasecmp(v, WORD[i])) return i < 3;
    return -1;
}

/* A flag's value from a file or the environment. */
static int store_truth(const struct cmd *cmd, const struct opt *o, const char *v, void *args, const char *what)
{
    const int truth = truth_of(v);
    if (truth < 0) return usage(cmd, tr("Invalid value for '%s': '%s' is neither true nor false"), what, v);
    if (truth) *(int *)((char *)args + o->off) = o->kind == OPT_FLAG;
    return 0;
}

int options_from_config(const struct cmd *cmd, struct cli *c, void *args)
{
    int n = 0, i = 0;
    while (cmd->opts && cmd->opts[n].name) n++;
    if (!c->source) c->source = xcalloc((size_t)n + 1, 1);
    for (const struct opt *o = cmd->opts; o && o->name; o++, i++) {
        const char *v = o->config && c->config ? config_get(c->config, o->config) : NULL, *from_env = o->env ? getenv(o->env) : NULL;
        const char *what = from_env ? o->env : o->config;
        if (from_env) v = from_env;
        if (!v || (!*v && o->kind != OPT_STR)) continue; /* an explicit '' is a value: "nowhere" */
        const int rc = o->kind < OPT_STR ? store_truth(cmd, o, v, args, what) : store(cmd, o, v, args, what);
        if (rc) return rc;
        c->source[i] = from_env ? FROM_ENVIRONMENT : (unsigned char)config_source(c->config, o->config);
    }
    return 0;
}

static const struct opt *by_name(const struct cmd *cmd, struct sv name)
{
    for (const struct opt *o = cmd->opts; o && o->name; o++)
        if (sv_eq_c(name, o->name)) return o;
    const struct opt *o;
    for (int i = 0; (o = common_option(cmd, i)) != NULL; i++)
        if (sv_eq_c(name, o->name)) return o;
    return NULL;
}

static const struct opt *by_short(const struct cmd *cmd, const char *word)
{
    const struct opt *o;
    for (o = cmd->opts; o && o->name; o++)
        if (o->alias2 && !strcmp(word, o->alias2)) return o;
    for (int i = 0; (o = common_option(cmd, i)) != NULL; i++)
        if (o->alias2 && !strcmp(word, o->alias2)) return o;
    for (o = cmd->opts; o && o->name; o++) /* "-n8" */
        if (o->alias && word[0] == o->alias && (!word[1] || o->kind >= OPT_STR)) return o;
    return NULL;
}

/* Another name of the same thing: one that goes on behind a hyphen (--model, --model-path) or has more in front (--epochs). */
static int kindred(const char *word, const char *const *names, int n)
{
    const size_t len = strlen(word);
    for (int i = 0; i < n && len > 2; i++) {
        const size_t m = strlen(names[i]), shorter = m < len ? m : len;
        const int front = !strncmp(word, names[i], shorter) && (word[shorter] == '-' || names[i][shorter] == '-');
        if (front || (m > len && names[i][m - len - 1] == '-' && !strcmp(names[i] + m - len, word))) return i;
    }
    return -1;
}

static int unknown(const struct cmd *cmd, const char *word)
{
    enum { MAX_NAMES = 128 };
    const char *names[MAX_NAMES];
    const size_t len = strcspn(word, "=");
    char plain[64];
    int n = 0;
    for (const struct opt *o = cmd->opts; o && o->name && n < MAX_NAMES; o++)
        if (!(o->flags & OPT_HIDDEN)) names[n++] = o->name;
    snprintf(plain, sizeof plain, "%.*s", (int)(len < 60 ? len : 60), word);
    const int is_long = plain[0] == '-' && plain[1] == '-';
    int near = is_long ? nearest_name(plain + 2, names, n) : -1;
    if (near < 0 && is_long) near = kindred(plain + 2, names, n);
    if (near >= 0) return usage(cmd, tr("No such option: %s Did you mean --%s?"), plain, names[near]);
    return usage(cmd, tr("No such option: %s"), plain);
}

int options_parse(const struct cmd *cmd, int n, char **argv, void *args, struct cli *c)
{
    int only_words = 0, n_opts = 0;
    while (cmd->opts && cmd->opts[n_opts].name) n_opts++;
    if (!c->source) c->source = xcalloc((size_t)n_opts + 1, 1);
    c->word = xcalloc((size_t)n + 1, sizeof *c->word);
    c->n_word = 0;
    for (int i = 0; i < n; i++) {
        const char *a = argv[i], *value = NULL;
        if (only_words || a[0] != '-' || !a[1]) {
            if (c->n_word >= cmd->max_words) return usage(cmd, tr("Got unexpected extra argument (%s)"), a);
            c->word[c->n_word++] = a;
            continue;
        }
        if (!strcmp(a, "--")) { only_words = 1; continue; }
        if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
            options_help(cmd);
            return -1;
        }
        const struct opt *o;
        if (a[1] == '-') {
            const char *eq = strchr(a, '=');
            o = by_name(cmd, (struct sv){ a + 2, eq ? (size_t)(eq - a - 2) : strlen(a + 2) });
            value = eq ? eq + 1 : NULL;
        } else {
            o = by_short(cmd, a + 1);
            if (o && !(o->alias2 && !strcmp(a + 1, o->alias2)) && a[2]) value = a + 2;
        }
        if (!o) {
            const int ignored = option_ignored(cmd, a);
            if (!ignored) return unknown(cmd, a);
            if (ignored == 2 && ++i >= n) return usage(cmd, tr("Option '%s' requires an argument"), a);
            continue;
        }
        char what[64];
        snprintf(what, sizeof what, "--%s", o->name);
        if (o->kind < OPT_STR) {
            if (value) return usage(cmd, tr("Option '%s' does not take a value"), what);
        } else if (!value) {
            if (i + 1 >= n) return usage(cmd, tr("Option '%s' requires an argument"), what);
            value = argv[++i];
        }
        const int is_own = o >= cmd->opts && o < cmd->opts + n_opts;
        if (is_own && o->kind == OPT_LIST && c->source[o - cmd->opts] != FROM_COMMAND_LINE) /* replaces what the configuration says */
            ((struct opt_list *)(void *)((char *)args + o->off))->n = 0;
        const int rc = store(cmd, o, value, is_own ? args : (void *)&c->common, what);
        if (rc) return rc;
        if (is_own) c->source[o - cmd->opts] = FROM_COMMAND_LINE;
    }
    return 0;
}

/* An option's value as text; empty: nothing to show. */
static void value_text(const struct opt *o, const void *args, char *out, size_t cap)
{
    const char *at = (const char *)args + o->off, *s;
    *out = 0;
    switch (o->kind) {
    case OPT_STR:
        memcpy(&s, at, sizeof s);
        if (s) snprintf(out, cap, "%s", s);
        break;
    case OPT_FLAG: case OPT_NO_FLAG: snprintf(out, cap, "%s", *(const int *)at == (o->kind == OPT_FLAG) ? "true" : "false"); break;
    case OPT_INT: /* one that cannot be typed means: not given */
        if (*(const int *)at >= o->lo || o->lo >= o->hi) snprintf(out, cap, "%d", *(const int *)at);
        break;
    case OPT_FLOAT: snprintf(out, cap, "%g", *(const double *)at); break;
    case OPT_LIST: {
        const struct opt_list *l = (const struct opt_list *)(const void *)at;
        for (int i = 0, n = 0; i < l->n && n < (int)cap; i++) n += snprintf(out + n, cap - (size_t)n, "%s%s", i ? " " : "", l->v[i]);
        break;
    }
    }
}

void option_notes(const struct cmd *cmd, const struct opt *o, char *out, size_t cap)
{
    char value[256] = "";
    const char *part[4];
    char text[4][320];
    int n = 0;
    if (cmd->defaults && o->kind >= OPT_STR) value_text(o, cmd->defaults, value, sizeof value);
    if (o->choices) snprintf(text[n], sizeof text[n], "one of: %s", o->choices), part[n] = text[n], n++;
    if (*value) snprintf(text[n], sizeof text[n], "default: %s", value), part[n] = text[n], n++;
    if (o->config) snprintf(text[n], sizeof text[n], "config: '%s'", o->config), part[n] = text[n], n++;
    if (o->env) snprintf(text[n], sizeof text[n], "env: %s", o->env), part[n] = text[n], n++;
    *out = 0;
    for (int i = 0, at = 0; i < n && at < (int)cap; i++) at += snprintf(out + at, cap - (size_t)at, "%s%s%s", i ? "; " : "[", part[i], i + 1 == n ? "]" : "");
}

static void help_line(const struct cmd *cmd, const struct opt *o)
{
    char left[80], notes[1400];
    if (o->flags & OPT_HIDDEN) return;
    if (o->alias) snprintf(left, sizeof left, "  -%c, --%s %s", o->alias, o->name, o->arg ? o->arg : "");
    else if (o->alias2) snprintf(left, sizeof left, "  -%s, --%s %s", o->alias2, o->name, o->arg ? o->arg : "");
    else snprintf(left, sizeof left, "  --%s %s", o->name, o->arg ? o->arg : "");
    option_notes(cmd, o, notes, sizeof notes);
    printf("%-34s %s%s%s\n", left, o->help, *notes ? "  " : "", notes);
}

void options_help(const struct cmd *cmd)
{
    const struct opt *o;
    printf("Usage: ilab %s [OPTIONS]%s%s\n\n  %s\n\n%s\n", cmd->name, cmd->words ? " " : "", cmd->words ? cmd->words : "", tr(cmd->summary), tr("Options:"));
    for (o = cmd->opts; o && o->name; o++) help_line(cmd, o);
    for (int i = 0; (o = common_option(cmd, i)) != NULL; i++) help_line(&(struct cmd){ .name = cmd->name }, o);
    printf("  %-32s %s\n", "-h, --help", tr("Show this message and exit."));
    options_ignored_help(cmd);
    if (cmd->help) printf("\n%s", cmd->help);
}

void options_debug(const struct cmd *cmd, const struct cli *c, const void *args)
{
    static const char *const SOURCE[] = { "default", "config", "environment", "command line" };
    json_t *all = json_object();
    int i = 0;
    for (const struct opt *o = cmd->opts; o && o->name; o++, i++) {
        char value[4096];
        value_text(o, args, value, sizeof value);
        if (!c->common.debug_params_json) {
            printf("%s: %s [%s]\n", o->name, value, SOURCE[c->source[i]]);
            continue;
        }
        json_t *v = o->kind == OPT_INT                            ? json_integer(*(const int *)((const char *)args + o->off))
                    : o->kind == OPT_FLOAT                        ? json_real(*(const double *)((const char *)args + o->off))
                    : o->kind == OPT_FLAG || o->kind == OPT_NO_FLAG ? json_boolean(!strcmp(value, "true"))
                                                                    : json_string(value);
        json_object_set_new(all, o->name, v ? v : json_null());
    }
    if (c->common.debug_params_json) print_json(all);
    else json_decref(all);
}
