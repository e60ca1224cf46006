/* cmd_taxonomy_check.c — `ilab taxonomy check`: single files, or what an editor has in its window, by the validator of `diff`.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/check.h"

#include <string.h>

enum { MAX_FILES = 4096, MAX_INPUT = 8 << 20 };
struct one_args { struct check_args check; const char *name; };
static const struct one_args DEFAULTS = { { 0 }, NULL };
#define O(field) offsetof(struct one_args, field)
static const struct opt OPTS[] = {
    { "stdin-filename", 0, NULL, OPT_STR, O(name), 0, 0, "FILE", NULL, "check what comes on standard input, as if it were this file" },
    { "stdin-name", 0, NULL, OPT_STR, O(name), 0, 0, "FILE", NULL, "the same", OPT_HIDDEN },
    CHECK_OPTS(O(check)),
    { 0 },
};

static int read_stdin(char **out, size_t *n, ilab_err *e)
{
    struct sb b;
    char buf[1 << 16];
    sb_init(&b, (size_t)MAX_INPUT + 1);
    for (size_t got; !b.failed && (got = fread(buf, 1, sizeof buf, stdin)) > 0;) sb_add(&b, (struct sv){ buf, got });
    const int rc = ferror(stdin) ? err_set(e, ILAB_E_IO, "cannot read standard input") : b.failed ? err_set(e, ILAB_E_LIMIT, "standard input is larger than %d MB", (int)(MAX_INPUT >> 20)) : 0;
    *out = rc ? NULL : sb_take(&b, n);
    if (rc) sb_release(&b);
    return rc;
}

/* One file, or with text.p the text that an editor holds of it. */
static int check_one(struct check *c, const char *file, struct sv text, ilab_err *e)
{
    struct findings f = { 0 };
    const int rc = text.p ? leaf_check_text(text, file, "", &c->o, NULL, &f, e) : leaf_check(file, "", &c->o, NULL, &f, e);
    const int n = f.n_errors + (rc != 0);
    if (rc) check_print_problem(c, file, e->msg);
    else check_print(c, file, &f);
    findings_release(&f);
    return n;
}

static int run(struct cli *cli, void *args)
{
    const struct one_args *a = args;
    const int piped = a->name || (cli->n_word && !strcmp(cli->word[0], "-"));
    struct check_args how = a->check;
    struct check c;
    ilab_err e = { 0 };
    char *text = NULL;
    size_t n = 0;
    int rc = 0, n_errors = 0;
    if (!piped && !cli->n_word) {
        fprintf(stderr, "Error: name a file, or - for standard input (--stdin-filename FILE says whose text it is)\n");
        return EXIT_USAGE;
    }
    int n_files = 0;
    for (int i = 0; i < cli->n_word; i++) n_files += strcmp(cli->word[i], "-") != 0;
    if (n_files && (a->name || n_files < cli->n_word)) {
        fprintf(stderr, "Error: standard input is checked by itself, files by another call\n");
        return EXIT_USAGE;
    }
    if (piped && !how.format && !how.json) how.format = "line"; /* an editor reads it */
    /* A text without a name lies nowhere: there is no folder to check. */
    if ((rc = check_open(&c, cli, &how, !piped ? FOLDER_ALL : a->name ? FOLDER_NAMES | (strchr(a->name, '/') ? FOLDER_FILES : 0) : 0))) return rc;
    if (piped && read_stdin(&text, &n, &e)) check_print_problem(&c, a->name ? a->name : "-", e.msg), n_errors = 1;
    else if (piped) n_errors = check_one(&c, a->name ? a->name : "-", (struct sv){ text, n }, &e);
    for (int i = 0; !piped && i < cli->n_word; i++) n_errors += check_one(&c, cli->word[i], (struct sv){ 0 }, &e);
    if (c.json) check_print_json(&c, piped ? 1 : cli->n_word, n_errors);
    mem_free(text);
    check_close(&c);
    return n_errors ? EXIT_FAILED : EXIT_DONE;
}

const struct cmd CMD_TAXONOMY_CHECK = {
    .name = "taxonomy check", .args_bytes = sizeof(struct one_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .needs_config = -1, .max_words = MAX_FILES, .words = "[FILE]...",
    .summary = "Check single qna.yaml files, or what an editor pipes in.",
    .help = "The validator of `ilab diff`. For what comes on standard input a finding is a line `file:line:col: level: message (rule)`,\n"
            "which editors read; --format chooses another form.\n\n"
            "Examples:\n  ilab taxonomy check taxonomy/knowledge/x/qna.yaml\n  ilab taxonomy check - < qna.yaml\n"
            "  ilab taxonomy check --stdin-filename \"$FILE\" < buffer\n"
            "Vim:    :set makeprg=ilab\\ taxonomy\\ check\\ --format\\ line\\ %   then :make\n"
            "Emacs:  M-x compile RET ilab taxonomy check --format line FILE\n",
};
