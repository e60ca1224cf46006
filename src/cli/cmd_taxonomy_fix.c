/* cmd_taxonomy_fix.c — `ilab taxonomy fix`: shows what would be mended, asks, keeps a backup, writes at once or not at all.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/check.h"
#include "cli/messages.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { MAX_FILES = 4096, MAX_FILE = 8 << 20 };
struct fix_args { const char *rules, *path, *base; int yes, dry, quiet; };
static const struct fix_args DEFAULTS = { .base = "empty" };
#define O(field) offsetof(struct fix_args, field)
static const struct opt OPTS[] = {
    { "yes", 'y', NULL, OPT_FLAG, O(yes), 0, 0, NULL, NULL, "do not ask" },
    { "dry-run", 0, NULL, OPT_FLAG, O(dry), 0, 0, NULL, NULL, "only show the changes; exit 1 when there are any" },
    { "taxonomy-path", 0, NULL, OPT_STR, O(path), 0, 0, "PATH", "generate.taxonomy_path", "without files: the leaves below this folder, qna.yml and the like among them" },
    { "taxonomy-base", 0, NULL, OPT_STR, O(base), 0, 0, "REF", NULL, "only what is new or changed since this git reference; empty: every leaf" },
    { "yaml-rules", 0, NULL, OPT_STR, O(rules), 0, 0, "FILE", NULL, "style rules in yamllint's configuration format (without: its \"relaxed\" rules, lines up to 120)" },
    { "quiet", 0, NULL, OPT_FLAG, O(quiet), 0, 0, NULL, NULL, "no diff, only what was done" },
    { 0 },
};

struct totals { int files, changed, failed, open, refused; };

/* FILE.bak, FILE.bak.1 …: the first that is free. Caller frees. */
static char *backup_name(const char *file)
{
    struct sb b;
    sb_init(&b, 1 << 16);
    for (int i = 0; i < 1000; i++) {
        sb_reset(&b);
        sb_addf(&b, i ? "%s.bak.%d" : "%s.bak", file, i);
        if (b.p && !file_exists(b.p)) break;
    }
    return sb_take(&b, NULL);
}

/* Is it the only file of its folder that could be the leaf's? Two cannot both be named qna.yaml. */
static int is_alone(const char *file)
{
    const char *base = path_base(file);
    char *dir = mem_strndup(file, (size_t)(base - file)), **name = NULL;
    size_t n = 0;
    int others = 0;
    if (dir_list(dir && *dir ? dir : ".", &name, &n, NULL)) others = 1;
    for (size_t i = 0; i < n; i++) {
        const char *dot = strrchr(name[i], '.');
        others += strcmp(name[i], base) && dot && (!strcasecmp(dot, ".yaml") || !strcasecmp(dot, ".yml"));
    }
    dir_list_free(name, n);
    mem_free(dir);
    return !others;
}

/* qna.yml, QNA.yaml, x.yml … → qna.yaml beside it, where that is free; NULL: the name is right, or cannot be mended. */
static char *right_name(const char *file)
{
    const char *base = path_base(file), *dot = strrchr(base, '.');
    const int qna = !strcasecmp(base, "qna.yml") || !strcasecmp(base, "qna.yaml") || !strcasecmp(base, "qna.yaml.txt");
    const int ending = dot && (!strcasecmp(dot, ".yml") || (!strcasecmp(dot, ".yaml") && strcmp(dot, ".yaml")));
    struct sb b;
    if (!strcmp(base, "qna.yaml") || !(qna || (ending && is_alone(file)))) return NULL;
    sb_init(&b, 1 << 16);
    sb_addf(&b, "%.*sqna.yaml", (int)(base - file), file);
    if (b.p && !file_exists(b.p)) return sb_take(&b, NULL);
    sb_release(&b);
    return NULL;
}

static int agreed(const struct fix_args *a)
{
    if (a->yes) return 1;
    if (!isatty(0)) return 0;
    printf(tr("Make these changes? [y/N] "));
    return ask_agreed(0) == 1;
}

static void print_done(const char *file, const struct fix_report *r, const char *renamed)
{
    printf("%s:", file);
    for (int i = 0; i < r->n; i++) printf("%s %s %d", i ? "," : "", r->done[i].rule, r->done[i].n);
    if (renamed) printf("%s renamed to %s", r->n ? "," : "", path_base(renamed));
    printf("%s\n", r->proven ? "; every value is the same as before" : "");
}

/* The backup first, then the file; the file must still be what was read. */
static int put(const char *file, const char *target, struct sv old, struct sv text, ilab_err *e)
{
    char *now = NULL, *backup = backup_name(file);
    size_t n = 0;
    int rc = file_read(file, MAX_FILE, &now, &n, e);
    if (!rc && (n != old.n || memcmp(now, old.p, n))) rc = err_set(e, ILAB_E_IO, "'%s' was changed by somebody else in the meantime: nothing is written", file);
    if (!rc) rc = backup ? file_write(backup, old.p, old.n, e) : err_set(e, ILAB_E_NOMEM, "no memory for a path");
    if (!rc) rc = file_write(target, text.p, text.n, e);
    if (!rc && strcmp(file, target) && unlink(file)) rc = err_set(e, ILAB_E_IO, "cannot remove '%s', whose text is now in '%s'", file, target);
    if (!rc) printf(tr("  written; the old text is in %s\n"), backup);
    mem_free(now);
    mem_free(backup);
    return rc;
}

static void report_open(const char *file, struct sv text, const struct lint_config *lint, struct totals *t)
{
    const struct check_opts o = { .lint = lint };
    struct findings f;
    if (leaf_check_text(text, file, "", &o, NULL, &f, NULL)) return;
    t->open += (int)f.n;
    if (f.n) printf("%s", tr("Left for you:\n"));
    findings_print(stdout, file, &f, FINDINGS_TEXT);
    findings_release(&f);
}

static void fix_one(const char *file, const struct fix_args *a, const struct lint_config *lint, struct totals *t)
{
    char *old = NULL, *text = NULL, *name = right_name(file);
    size_t n_old = 0, n = 0;
    struct fix_report r = { 0 };
    struct sb b;
    ilab_err e = { 0 };
    t->files++;
    int rc = leaf_file_check(file, &e);
    if (!rc) rc = file_read(file, MAX_FILE, &old, &n_old, &e);
    if (!rc) rc = leaf_fix((struct sv){ old, n_old }, name ? name : file, lint, &text, &n, &r, &e);
    if (!rc && (r.changed || name)) {
        t->changed++;
        sb_init(&b, (size_t)64 << 20);
        if (r.changed && !a->quiet) text_difference(&b, file, (struct sv){ old, n_old }, name ? name : file, (struct sv){ text, n });
        if (b.p) fputs(b.p, stdout);
        sb_release(&b);
        print_done(file, &r, name);
        if (a->dry) {
        } else if (agreed(a)) {
            rc = put(file, name ? name : file, (struct sv){ old, n_old }, (struct sv){ text, n }, &e);
        } else {
            printf("  not written%s\n", isatty(0) ? "" : ": --yes writes without asking");
            t->refused++;
        }
    }
    if (!rc && !a->quiet) report_open(name ? name : file, (struct sv){ text, n }, lint, t);
    if (rc) fprintf(stderr, "%s\n", e.msg), t->failed++;
    mem_free(name);
    mem_free(old);
    mem_free(text);
}

static void fix_tree(const struct fix_args *a, const struct lint_config *lint, struct totals *t)
{
    struct leaf_list l;
    ilab_err e = { 0 };
    if (taxonomy_leaves(a->path, a->base, TAXONOMY_MISNAMED, &l, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        t->failed++;
        return;
    }
    for (size_t i = 0; i < l.n && !signal_pending(); i++) {
        char *file = file_exists(a->path) == 1 ? xstrdup(l.path[i]) : path_join(a->path, l.path[i]);
        fix_one(file, a, lint, t);
        mem_free(file);
    }
    for (size_t i = 0; i < l.n_problem; i++) fprintf(stderr, "%s: %s\n", l.problem[i].path, l.problem[i].text), t->failed++;
    leaf_list_release(&l);
}

static int run(struct cli *c, void *args)
{
    const struct fix_args *a = args;
    struct lint_config *lint = NULL;
    struct totals t = { 0 };
    ilab_err e = { 0 };
    if (a->rules && lint_config_read(a->rules, &lint, &e)) return fail(&e, "Error: --yaml-rules: "), EXIT_USAGE;
    if (!lint) lint = lint_config_relaxed(LINT_MAX_LINE);
    if (!c->n_word && !a->path) {
        fprintf(stderr, "Error: name files, or --taxonomy-path FOLDER\n");
        lint_config_free(lint);
        return EXIT_USAGE;
    }
    for (int i = 0; i < c->n_word && !signal_pending(); i++) fix_one(c->word[i], a, lint, &t);
    if (!c->n_word) fix_tree(a, lint, &t);
    printf("%d %s looked at, %d %s%s", t.files, t.files == 1 ? "file" : "files", t.changed - t.refused, a->dry ? "to mend" : "mended", t.open ? "" : "\n");
    if (t.open) printf(", %d findings left\n", t.open);
    lint_config_free(lint);
    return t.failed || t.refused || (a->dry && t.changed) ? EXIT_FAILED : EXIT_DONE;
}

const struct cmd CMD_TAXONOMY_FIX = {
    .name = "taxonomy fix", .args_bytes = sizeof(struct fix_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .needs_config = 0, .max_words = MAX_FILES, .words = "[FILE]...",
    .summary = "Mend line ends, blanks, long lines, a missing version, the file's name; never a text.",
    .help = "Shows a diff, asks (or needs --yes), keeps the old file as FILE.bak. Before anything is written, the values of\n"
            "the file before and after are compared: a change that alters one is not made.\n\n"
            "Examples:\n  ilab taxonomy fix taxonomy/knowledge/x/qna.yaml\n  ilab taxonomy fix --dry-run --taxonomy-path taxonomy\n  ilab taxonomy fix --taxonomy-base origin/main\n  ilab taxonomy fix --yes knowledge/x/qna.yml\n",
};
