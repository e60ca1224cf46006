/* option.c — parses options by table and prints help from the same table.  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int usage(const struct cmd *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int usage(const struct cmd *cmd, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "Usage: ilab %s [OPTIONS]%s%s\nTry 'ilab %s --help' for help.\n\nError: ", cmd->name, cmd->words ? " " : "",
            cmd->words ? cmd->words : "", cmd->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

/* Stores text as the option's value; 0 or EXIT_USAGE with a message that begins with `what`. */
static int store(const struct cmd *cmd, const struct opt *o, const char *text, void *args, const char *what)
{
    char *at = (char *)args + o->off;
    int64_t i;
    double f;
    switch (o->kind) {
    case OPT_FLAG: case OPT_NO_FLAG: *(int *)at = o->kind == OPT_FLAG; return 0;
    case OPT_STR: memcpy(at, &text, sizeof text); return 0;
    case OPT_INT:
        if (parse_i64(text, INT32_MIN, INT32_MAX, &i)) return usage(cmd, "Invalid value for '%s': '%s' is not a valid integer", what, text);
        if ((double)i < o->lo || (double)i > o->hi) return usage(cmd, "Invalid value for '%s': %s is not in the range %.0f to %.0f", what, text, o->lo, o->hi);
        *(int *)at = (int)i;
        return 0;
    case OPT_FLOAT:
        if (parse_f64(text, -1e300, 1e300, &f)) return usage(cmd, "Invalid value for '%s': '%s' is not a valid number", what, text);
        if (f < o->lo || f > o->hi) return usage(cmd, "Invalid value for '%s': %s is not in the range %g to %g", what, text, o->lo, o->hi);
        *(double *)at = f;
        return 0;
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

int options_from_config(const struct cmd *cmd, const struct config *config, void *args)
{
    for (const struct opt *o = cmd->opts; o && o->name; o++) {
        const char *v = o->config && config ? config_get(config, o->config) : NULL;
        if (!v || (!*v && o->kind != OPT_STR)) continue; /* an explicit '' is a value: "nowhere" */
        if (o->kind == OPT_FLAG || o->kind == OPT_NO_FLAG) {
            const int truth = truth_of(v);
            if (truth < 0) return usage(cmd, "Invalid value for '%s' in the configuration: '%s' is neither true nor false", o->config, v);
            if (truth) *(int *)((char *)args + o->off) = o->kind == OPT_FLAG;
            continue;
        }
        const int rc = store(cmd, o, v, args, o->config);
        if (rc) return rc;
    }
    return 0;
}

static const struct opt *by_name(const struct cmd *cmd, struct sv name)
{
    for (const struct opt *o = cmd->opts; o && o->name; o++)
        if (sv_eq_c(name, o->name)) return o;
    return NULL;
}

static const struct opt *by_short(const struct cmd *cmd, const char *word)
{
    for (const struct opt *o = cmd->opts; o && o->name; o++) {
        if (o->alias2 && !strcmp(word, o->alias2)) return o;
        if (o->alias && word[0] == o->alias && (!word[1] || o->kind >= OPT_STR)) return o;
    }
    return NULL;
}

static int unknown(const struct cmd *cmd, const char *word)
{
    const char *names[64];
    int n = 0;
    for (const struct opt *o = cmd->opts; o && o->name && n < 64; o++) names[n++] = o->name;
    const int near = word[0] == '-' && word[1] == '-' ? nearest_name(word + 2, names, n) : -1;
    if (near >= 0) return usage(cmd, "No such option: %s Did you mean --%s?", word, names[near]);
    return usage(cmd, "No such option: %s", word);
}

int options_parse(const struct cmd *cmd, int n, char **argv, void *args, struct cli *c)
{
    int only_words = 0;
    c->word = xcalloc((size_t)n + 1, sizeof *c->word);
    c->n_word = 0;
    for (int i = 0; i < n; i++) {
        const char *a = argv[i], *value = NULL;
        if (only_words || a[0] != '-' || !a[1]) {
            if (c->n_word >= cmd->max_words) return usage(cmd, "Got unexpected extra argument (%s)", a);
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
        if (!o) return unknown(cmd, a);
        char what[64];
        snprintf(what, sizeof what, "--%s", o->name);
        if (o->kind < OPT_STR) {
            if (value) return usage(cmd, "Option '%s' does not take a value", what);
        } else if (!value) {
            if (i + 1 >= n) return usage(cmd, "Option '%s' requires an argument", what);
            value = argv[++i];
        }
        const int rc = store(cmd, o, value, args, what);
        if (rc) return rc;
    }
    return 0;
}

/* The default as help shows it. */
static void show_default(const struct cmd *cmd, const struct opt *o)
{
    const char *at = (const char *)cmd->defaults + o->off;
    const char *s;
    char text[64] = "";
    if (!cmd->defaults) return;
    switch (o->kind) {
    case OPT_STR:
        memcpy(&s, at, sizeof s);
        if (s && *s) snprintf(text, sizeof text, "default: %s", s);
        break;
    case OPT_INT: snprintf(text, sizeof text, "default: %d", *(const int *)at); break;
    case OPT_FLOAT: snprintf(text, sizeof text, "default: %g", *(const double *)at); break;
    default: break;
    }
    if (*text && o->config) printf("  [%s; config: '%s']", text, o->config);
    else if (*text) printf("  [%s]", text);
    else if (o->config) printf("  [config: '%s']", o->config);
}

void options_help(const struct cmd *cmd)
{
    printf("Usage: ilab %s [OPTIONS]%s%s\n\n  %s\n\nOptions:\n", cmd->name, cmd->words ? " " : "", cmd->words ? cmd->words : "", cmd->summary);
    for (const struct opt *o = cmd->opts; o && o->name; o++) {
        char left[64];
        if (o->alias) snprintf(left, sizeof left, "  -%c, --%s %s", o->alias, o->name, o->arg ? o->arg : "");
        else if (o->alias2) snprintf(left, sizeof left, "  -%s, --%s %s", o->alias2, o->name, o->arg ? o->arg : "");
        else snprintf(left, sizeof left, "  --%s %s", o->name, o->arg ? o->arg : "");
        printf("%-34s %s", left, o->help);
        show_default(cmd, o);
        putchar('\n');
    }
    printf("  %-32s Show this message and exit.\n", "-h, --help");
    if (cmd->help) printf("\n%s", cmd->help);
}
