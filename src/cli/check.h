/* check.h — internal to src/cli: options that `diff` and `taxonomy check` share.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_CLI_CHECK_H
#define ILAB_CLI_CHECK_H

#include "cli/cli.h"
#include "taxonomy/taxonomy.h"

struct check_args { const char *rules, *format, *compat; int strict, json, quiet; };
#define CHECK_OPTS(off) \
    { "yaml-rules", 0, NULL, OPT_STR, off + offsetof(struct check_args, rules), 0, 0, "FILE", NULL, "style rules in yamllint's configuration format (without: its \"relaxed\" rules, lines up to 120)" }, \
    { "strict", 0, NULL, OPT_FLAG, off + offsetof(struct check_args, strict), 0, 0, NULL, NULL, "warnings are errors" }, \
    { "format", 0, NULL, OPT_STR, off + offsetof(struct check_args, format), 0, 0, "NAME", NULL, "text (with the line and what to do), line (file:line:col: level: message), github (annotations), json", 0, "text line github json" }, \
    { "json", 0, NULL, OPT_FLAG, off + offsetof(struct check_args, json), 0, 0, NULL, NULL, "findings as JSON (the same as --format json)" }, \
    { "compat", 0, NULL, OPT_STR, off + offsetof(struct check_args, compat), 0, 0, "VERSION", NULL, "verdicts, words and exit codes of InstructLab 0.14 or 0.26", 0, NULL, "ILAB_COMPAT" }, \
    { "quiet", 0, NULL, OPT_FLAG, off + offsetof(struct check_args, quiet), 0, 0, NULL, NULL, "no output; the exit code tells (0 valid, 1 not)" }

/* In the language of the user; but for GitHub. */
void findings_print(FILE *to, const char *file, struct findings *f, enum finding_format format);

/* A judge made of the options. check_open: 0, or an exit code after a message. */
struct check { struct check_opts o; struct lint_config *lint; enum finding_format format; FILE *to; int json, quiet; json_t *all; };
int check_open(struct check *c, const struct cli *cli, const struct check_args *a, unsigned folder); /* --compat here, else before the command; c->to: stdout */
void check_print(struct check *c, const char *file, struct findings *f); /* to c->to, or into c->all; compat: to the log */
void check_print_problem(struct check *c, const char *file, const char *text); /* what keeps a file from being read at all */
void check_print_json(struct check *c, int n_files, int n_errors);
void check_close(struct check *c);

#endif
