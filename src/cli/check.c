/* check.c — what `diff` and `taxonomy check` share: the judge made of options, findings on their way out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/check.h"
#include "cli/messages.h"

#include <stdlib.h>
#include <string.h>

int check_open(struct check *c, const struct cli *cli, const struct check_args *a, unsigned folder)
{
    static const struct { const char *name; enum finding_format format; int json; } FORMATS[] = {
        { "text", FINDINGS_TEXT, 0 }, { "line", FINDINGS_LINE, 0 }, { "github", FINDINGS_GITHUB, 0 }, { "json", FINDINGS_TEXT, 1 },
    };
    ilab_err e = { 0 };
    const char *name = a->format;
    size_t i = 0;
    *c = (struct check){ .o = { .strict = a->strict, .folder = folder }, .to = stdout, .quiet = a->quiet };
    if (!name) name = a->json ? "json" : getenv("GITHUB_ACTIONS") && getenv("GITHUB_WORKFLOW") ? "github" : "text";
    while (i < ARRAY_LEN(FORMATS) && strcmp(name, FORMATS[i].name)) i++;
    if (i == ARRAY_LEN(FORMATS)) {
        fprintf(stderr, "Error: --format: '%s' is none of text, line, github, json\n", name);
        return EXIT_USAGE;
    }
    c->format = FORMATS[i].format;
    c->json = FORMATS[i].json || a->json;
    if (compat_by_name(a->compat, &c->o.compat)) {
        fprintf(stderr, "Error: --compat: '%s' is neither 0.14 nor 0.26\n", a->compat);
        return EXIT_USAGE;
    }
    if (!a->compat && cli->compat) c->o.compat = cli->compat == 26 ? COMPAT_0_26 : COMPAT_0_14;
    if (c->o.compat) c->o.folder = 0, messages_init(1); /* scripts read it */
    if (a->rules && c->o.compat == COMPAT_0_14 && file_exists(a->rules) != 1) log_debug("Cannot find %s. Using default rules.", a->rules);
    else if (a->rules && lint_config_read(a->rules, &c->lint, &e)) return fail(&e, "Error: --yaml-rules: "), EXIT_USAGE;
    if (!c->lint && !c->o.compat) c->lint = lint_config_relaxed(LINT_MAX_LINE); /* once for all files */
    c->o.lint = c->lint;
    if (c->json) c->all = json_array();
    return 0;
}

static void to_log(void *ud, int error, const char *line)
{
    (void)ud;
    if (error) log_error("%s", line);
    else log_warn("%s", line);
}

void findings_print(FILE *to, const char *file, struct findings *f, enum finding_format format)
{
    struct sb b;
    if (format != FINDINGS_GITHUB) findings_reword(f, words_of_user);
    sb_init(&b, (size_t)64 << 20);
    findings_write(&b, file, f, format);
    if (b.p) fputs(b.p, to);
    sb_release(&b);
}

void check_print(struct check *c, const char *file, struct findings *f)
{
    if (c->json) {
        for (size_t i = 0; i < f->n; i++) json_array_append_new(c->all, finding_json(file, &f->v[i]));
    } else if (c->o.compat) {
        compat_report(file, f, c->o.compat, to_log, NULL);
    } else if (!c->quiet) {
        findings_print(c->to, file, f, c->format);
    }
}

/* A name need not be UTF-8. */
static json_t *text_json(const char *s)
{
    json_t *v = json_string(s ? s : "");
    return v ? v : json_string("?");
}

void check_print_problem(struct check *c, const char *file, const char *text)
{
    if (c->json) json_array_append_new(c->all, json_pack("{s:o,s:b,s:s,s:o}", "file", text_json(file), "error", 1, "level", "error", "message", text_json(text)));
    if (c->o.compat) log_error("%s:1:1 [.] %s", file, text);
    else if (c->json || c->quiet) return;
    else if (c->format == FINDINGS_GITHUB) fprintf(c->to, "::error file=%s::%s\n", file, text);
    else if (sv_starts(sv_of(text), file)) fprintf(c->to, "%s\n", text); /* it names its place */
    else fprintf(c->to, "%s: error: %s\n", file, text);
}

void check_print_json(struct check *c, int n_files, int n_errors)
{
    json_t *o = json_pack("{s:b,s:i,s:i,s:O}", "valid", !n_errors, "files", n_files, "errors", n_errors, "findings", c->all);
    if (!c->quiet) print_json(o);
    else json_decref(o);
}

void check_close(struct check *c)
{
    lint_config_free(c->lint);
    json_decref(c->all);
}
