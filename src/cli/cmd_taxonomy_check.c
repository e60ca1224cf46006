/* cmd_taxonomy_check.c — `ilab taxonomy check`: single files, or what an editor has in its window, by the validator of `diff`.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/check.h"

#include <string.h>

enum { MAX_FILES = 4096, MAX_INPUT = 8 << 20 };
struct one_args { struct check_args check; const char *name; };
static const struct one_args DEFAULTS = { { 0 }, NULL };
#define O(field) offsetof(struct one_args, field)
static const struct opt OPTS[] = {
    { "stdin-name", 0, NULL, OPT_STR, O(name), 0, 0, "FILE", NULL, "check what comes on standard input, as if it were this file" },
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

static int run(struct cli *cli, void *args)
{
    const struct one_args *a = args;
    struct check c;
    int rc = 0, n_errors = 0;
    if (!a->name && !cli->n_word) {
        fprintf(stderr, "Error: name a file, or --stdin-name FILE for standard input\n");
        return EXIT_USAGE;
    }
    if ((rc = check_open(&c, cli, &a->check, !a->name))) return rc;
    for (int i = 0; i < (a->name ? 1 : cli->n_word); i++) {
        const char *file = a->name ? a->name : cli->word[i];
        struct findings f = { 0 };
        ilab_err e = { 0 };
        char *text = NULL;
        size_t n = 0;
        rc = a->name ? read_stdin(&text, &n, &e) : 0;
        if (!rc) rc = a->name ? leaf_check_text((struct sv){ text, n }, file, "", &c.o, NULL, &f, &e) : leaf_check(file, "", &c.o, NULL, &f, &e);
        if (rc) fprintf(stderr, "%s\n", e.msg);
        else check_print(&c, file, &f);
        n_errors += f.n_errors + (rc != 0);
        findings_release(&f);
        mem_free(text);
    }
    if (c.json) check_print_json(&c, a->name ? 1 : cli->n_word, n_errors);
    check_close(&c);
    return n_errors ? EXIT_FAILED : EXIT_DONE;
}

const struct cmd CMD_TAXONOMY_CHECK = {
    .name = "taxonomy check", .args_bytes = sizeof(struct one_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .needs_config = -1, .max_words = MAX_FILES, .words = "[FILE]...",
    .summary = "Check single qna.yaml files, or what an editor pipes in.",
    .help = "Examples:\n  ilab taxonomy check taxonomy/knowledge/x/qna.yaml\n  ilab taxonomy check --format line --stdin-name \"$FILE\" < buffer\n"
            "  Vim: :set makeprg=ilab\\ taxonomy\\ check\\ --format\\ line\\ %\n",
};
