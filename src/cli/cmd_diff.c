/* cmd_diff.c — `ilab diff`: what changed in the taxonomy, and is it valid?  SPDX-License-Identifier: Apache-2.0 */
#include "cli/check.h"
#include "cli/messages.h"

#include <string.h>

struct diff_args { const char *path, *base; struct check_args check; int documents, names_only; };
static const struct diff_args DEFAULTS = { .path = "taxonomy", .base = "origin/main" };
#define O(field) offsetof(struct diff_args, field)
static const struct opt OPTS[] = {
    { "taxonomy-path", 0, NULL, OPT_STR, O(path), 0, 0, "PATH", "generate.taxonomy_path", "folder of the taxonomy, or one qna.yaml" },
    { "taxonomy-base", 0, NULL, OPT_STR, O(base), 0, 0, "REF", "generate.taxonomy_base", "git reference that changes are counted from; empty: every leaf" },
    { "documents", 0, NULL, OPT_FLAG, O(documents), 0, 0, NULL, NULL, "fetch documents that lie elsewhere, and check them too" },
    { "names-only", 0, NULL, OPT_FLAG, O(names_only), 0, 0, NULL, NULL, "list the leaves without looking into them" },
    CHECK_OPTS(O(check)),
    { 0 },
};

struct report {
    struct check *c;
    const struct diff_args *a;
    const struct leaf_list *l;
    int single, silent, n_errors, n_warnings, n_files /* with errors */, n_away /* documents that were not looked at */;
    char *exception;             /* 0.14: the parser's words that ended it */
};

static void add_problem(struct report *r, const char *file, const char *text)
{
    r->n_errors++;
    r->n_files++;
    check_print_problem(r->c, file, text);
}

/* The documents of a valid leaf. Those that lie elsewhere are looked at when they were fetched before, else only when that was
 * asked for; under --compat all only when it was asked for. */
static void check_documents(struct report *r, const struct leaf_read_result *l)
{
    struct documents d = { 0 };
    ilab_err e = { 0 };
    const char *taxonomy = r->single ? "." : r->a->path;
    int away = r->c->o.compat && !r->a->documents, rc = 0;
    if (r->a->documents) rc = documents_load(l->leaf, taxonomy, &d, &e);
    else if (!away) rc = documents_load_here(l->leaf, taxonomy, &d, &away, &e);
    r->n_away += !rc && away;
    if (rc) add_problem(r, l->file, e.msg);
    documents_release(&d);
}

static int report_leaf(void *ud, struct leaf_read_result *l, ilab_err *e)
{
    (void)e;
    struct report *r = ud;
    if (!r->silent && r->c->format == FINDINGS_TEXT) printf("%s\n", l->path);
    check_print(r->c, l->file, &l->findings);
    r->n_errors += l->findings.n_errors;
    r->n_warnings += l->findings.n_warnings;
    r->n_files += l->findings.n_errors > 0;
    if (l->rc) add_problem(r, l->file, l->err.msg);
    else if (l->leaf && l->leaf->is_knowledge && !l->findings.n_errors) check_documents(r, l);
    return 0;
}

/* 0.14: a text that does not parse ends everything with the parser's own words. */
static int find_exception(void *ud, struct leaf_read_result *l, ilab_err *e)
{
    (void)e;
    struct report *r = ud;
    const char *text = l->rc ? NULL : compat_failure(&l->findings);
    if (!text) return 0;
    r->exception = xstrdup(text);
    return ILAB_E_FORMAT; /* the first is enough */
}

static void conclude(const struct report *r)
{
    struct check *c = r->c;
    const char *path = r->a->path;
    const size_t skip = path[0] == '/', len = strlen(path + skip), slash = len && path[skip + len - 1] == '/';
    struct sb b;
    if (r->n_warnings && c->o.compat) log_warn("%d warnings (see above) due to taxonomy files that were not (fully) usable.", r->n_warnings);
    if (c->json) check_print_json(c, (int)r->l->n, r->n_errors);
    if (r->silent || c->format != FINDINGS_TEXT) return;
    if (r->n_away && !c->o.compat)
        printf(r->n_away == 1 ? tr("%d document in a repository elsewhere is not at hand and not checked: `ilab taxonomy diff --documents` fetches and checks.\n")
                              : tr("%d documents in a repository elsewhere are not at hand and not checked: `ilab taxonomy diff --documents` fetches and checks.\n"), r->n_away);
    sb_init(&b, 1 << 16);
    if (!r->n_errors && (r->single || c->o.compat == COMPAT_0_26)) sb_addf(&b, tr("Taxonomy in %s is valid :)"), path);
    else if (!r->n_errors) sb_addf(&b, tr("Taxonomy in /%.*s/ is valid :)"), (int)(len - slash), path + skip);
    else if (c->o.compat) compat_total(&b, c->o.compat, r->single, r->n_errors, r->n_files);
    else {
        struct sb verdict;
        sb_init(&verdict, 1 << 12);
        compat_verdict(&verdict, COMPAT_NONE, r->single, r->n_errors, r->n_files);
        message_add(&b, tr("Reading taxonomy failed with the following error: "), verdict.p ? verdict.p : "");
        sb_release(&verdict);
    }
    printf("%s\n", b.p ? b.p : "");
    sb_release(&b);
}

static int check_all(struct report *r, ilab_err *e)
{
    const struct leaf_list *l = r->l;
    int rc = 0;
    if (r->c->o.compat == COMPAT_0_14 && !r->c->json) {
        rc = leaves_each(r->a->path, l, &r->c->o, find_exception, r, e);
        for (size_t i = 0; r->exception && !r->silent && i < l->n; i++) printf("%s\n", l->path[i]);
        if (r->exception && !r->silent) printf("Reading taxonomy failed with the following error: %s\n", r->exception);
        if (r->exception) return r->n_errors = 1, 0;
    }
    if (!rc) rc = leaves_each(r->a->path, l, &r->c->o, report_leaf, r, e);
    for (size_t i = 0; !rc && i < l->n_problem; i++) add_problem(r, l->problem[i].path, l->problem[i].text);
    if (!rc) conclude(r);
    return rc;
}

static int run(struct cli *cli, void *args)
{
    const struct diff_args *a = args;
    ilab_err e = { 0 };
    struct leaf_list l;
    struct check c;
    int rc = check_open(&c, cli, &a->check, FOLDER_ALL);
    if (rc) return rc;
    const enum compat compat = c.o.compat;
    struct report r = { .c = &c, .a = a, .l = &l, .silent = c.quiet || c.json };
    if (taxonomy_leaves(a->path, a->base, compat_leaf_flags(compat), &l, &e)) {
        check_close(&c);
        if (compat == COMPAT_0_14) return c.quiet ? EXIT_DONE : (printf("%s\n", e.msg), EXIT_DONE); /* as 0.14 does */
        return c.quiet ? EXIT_FAILED : fail(&e, "Reading taxonomy failed with the following error: ");
    }
    r.single = file_exists(a->path) == 1;
    for (size_t i = 0; a->names_only && !r.silent && i < l.n; i++) printf("%s\n", l.path[i]);
    if (!a->names_only) rc = check_all(&r, &e);
    mem_free(r.exception);
    leaf_list_release(&l);
    check_close(&c);
    if (rc) return fail(&e, "Reading taxonomy failed with the following error: ");
    return r.n_errors ? EXIT_FAILED : EXIT_DONE;
}

const struct cmd CMD_DIFF = {
    .name = "diff", .group = "taxonomy", .args_bytes = sizeof(struct diff_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .needs_config = 1,
    .summary = "List what changed in the taxonomy and check it, with a remedy for every problem.",
    .help = "Lists untracked leaves and those that differ from the base: a branch (the commit where this one left it), or a tag or\n"
            "commit. \"empty\" takes every leaf and needs no git. Nothing is fetched without --documents.\n"
            "Errors are what keeps a leaf from being used; style (yamllint's rules) is a warning unless --strict.\n"
            "`ilab taxonomy fix` mends most of it.\n\n"
            "Examples:\n  ilab diff\n  ilab diff --taxonomy-path taxonomy/knowledge/x/qna.yaml\n  ilab diff --strict --yaml-rules .yamllint\n"
            "  ilab diff --format github\n  ilab diff --quiet && echo valid\n",
};
