/* cmd_diff.c — `ilab diff`: what changed in the taxonomy, and is it valid?  SPDX-License-Identifier: Apache-2.0 */
#include "cli/check.h"

#include <string.h>

struct diff_args { const char *path, *base; struct check_args check; int documents; };
static const struct diff_args DEFAULTS = { .path = "taxonomy", .base = "origin/main" };
#define O(field) offsetof(struct diff_args, field)
static const struct opt OPTS[] = {
    { "taxonomy-path", 0, NULL, OPT_STR, O(path), 0, 0, "PATH", "generate.taxonomy_path", "folder of the taxonomy, or one qna.yaml" },
    { "taxonomy-base", 0, NULL, OPT_STR, O(base), 0, 0, "REF", "generate.taxonomy_base", "git reference that changes are counted from; empty: every leaf" },
    { "documents", 0, NULL, OPT_FLAG, O(documents), 0, 0, NULL, NULL, "fetch documents that lie elsewhere, and check them too" },
    CHECK_OPTS(O(check)),
    { 0 },
};

/* One leaf's check: files are independent, so threads share them out. */
struct job { char *file; struct findings f; ilab_err e; int rc; int is_knowledge; };
struct jobs { struct job *v; const struct check *c; const struct diff_args *a; const char *taxonomy; };

static int is_elsewhere(const char *repo) { return (strstr(repo, "://") && strncmp(repo, "file://", 7)) || strchr(repo, '@'); }

static void check_one(void *ud, int i, int i_thread)
{
    const struct jobs *all = ud;
    struct job *j = &all->v[i];
    struct leaf *leaf = NULL;
    (void)i_thread;
    j->rc = leaf_check(j->file, all->taxonomy, &all->c->o, &leaf, &j->f, &j->e);
    if (!j->rc && leaf && leaf->is_knowledge && !j->f.n_errors) {
        struct documents d;
        j->is_knowledge = 1;
        if (!all->a->documents && is_elsewhere(leaf->repo)) log_debug("%s: the document of %s is not looked at: --documents fetches it", j->file, leaf->repo);
        else if (!(j->rc = documents_load(leaf, *all->taxonomy ? all->taxonomy : ".", &d, &j->e))) documents_release(&d);
    }
    leaf_free(leaf);
}

static void print_job(struct check *c, const char *name, struct job *j)
{
    const int silent = c->quiet || c->json;
    if (!silent && c->format != FINDINGS_GITHUB && c->format != FINDINGS_LINE) printf("%s\n", name);
    check_print(c, j->file, &j->f);
    if (!j->rc) return;
    j->f.n_errors++;
    if (!silent && c->format == FINDINGS_GITHUB) printf("::error file=%s::%s\n", j->file, j->e.msg);
    else if (!silent) printf("%s\n", j->e.msg);
    if (c->json) json_array_append_new(c->all, json_pack("{s:o,s:b,s:s,s:o}", "file", check_text_json(j->file), "error", 1, "level", "error", "message", check_text_json(j->e.msg)));
}

static void print_verdict(const struct check *c, const char *path, int single, int n_errors, int n_warnings, int n_files)
{
    const size_t skip = path[0] == '/', len = strlen(path + skip), slash = len && path[skip + len - 1] == '/';
    struct sb b;
    if (n_warnings && c->o.compat) log_warn("%d warnings (see above) due to taxonomy files that were not (fully) usable.", n_warnings);
    if (c->quiet || c->json || c->format == FINDINGS_GITHUB || c->format == FINDINGS_LINE) return;
    sb_init(&b, 1 << 16);
    if (!n_errors && (single || c->o.compat == COMPAT_0_26)) sb_addf(&b, "Taxonomy in %s is valid :)", path);
    else if (!n_errors) sb_addf(&b, "Taxonomy in /%.*s/ is valid :)", (int)(len - slash), path + skip);
    else compat_total(&b, c->o.compat, single, n_errors, n_files);
    printf("%s\n", b.p ? b.p : "");
    sb_release(&b);
}

/* 0.14: a text that does not parse ends everything with the parser's own words. */
static const char *exception_of(const struct check *c, const struct jobs *all, size_t n)
{
    const char *text = NULL;
    for (size_t i = 0; c->o.compat == COMPAT_0_14 && !text && i < n; i++) text = compat_failure(&all->v[i].f);
    return text;
}

static int check_all(struct check *c, const struct diff_args *a, const struct leaf_list *l, int single)
{
    struct jobs all = { .v = mem_calloc(l->n + 1, sizeof *all.v), .c = c, .a = a, .taxonomy = single ? "" : a->path };
    struct pool *pool = pool_new(0);
    int n_errors = 0, n_warnings = 0, n_files = 0;
    if (!all.v || !pool) {
        fprintf(stderr, "no memory for %zu files\n", l->n);
        mem_free(all.v);
        pool_free(pool);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < l->n; i++) all.v[i].file = single ? xstrdup(a->path) : path_join(a->path, l->path[i]);
    pool_run(pool, check_one, &all, (int)l->n);
    pool_free(pool);
    const char *exception = exception_of(c, &all, l->n);
    for (size_t i = 0; exception && !c->quiet && i < l->n; i++) printf("%s\n", l->path[i]);
    for (size_t i = 0; i < l->n; i++) {
        if (!exception) print_job(c, l->path[i], &all.v[i]);
        n_errors += all.v[i].f.n_errors;
        n_warnings += all.v[i].f.n_warnings;
        n_files += all.v[i].f.n_errors > 0;
    }
    if (exception && !c->quiet) printf("Reading taxonomy failed with the following error: %s\n", exception);
    if (c->json) check_print_json(c, (int)l->n, n_errors);
    if (!exception) print_verdict(c, a->path, single, n_errors, n_warnings, n_files);
    for (size_t i = 0; i < l->n; i++) {
        findings_release(&all.v[i].f);
        mem_free(all.v[i].file);
    }
    mem_free(all.v);
    return n_errors ? EXIT_FAILED : EXIT_DONE;
}

static int run(struct cli *cli, void *args)
{
    (void)cli;
    const struct diff_args *a = args;
    ilab_err e = { 0 };
    struct leaf_list l;
    struct check c;
    int rc = check_open(&c, &a->check, 1);
    if (rc) return rc;
    static const unsigned FLAGS[] = { [COMPAT_NONE] = 0, [COMPAT_0_14] = TAXONOMY_REFERENCE_BASE, [COMPAT_0_26] = TAXONOMY_REFERENCE_BASE | TAXONOMY_QNA_ONLY };
    rc = taxonomy_leaves(a->path, a->base, FLAGS[c.o.compat], &l, &e);
    for (size_t i = 0; !rc && i < l.n_problem; i++) log_warn("%s: %s", l.problem[i].path, l.problem[i].text);
    if (rc) {
        check_close(&c);
        if (c.o.compat != COMPAT_0_14) return c.quiet ? EXIT_FAILED : fail(&e, "Reading taxonomy failed with the following error: ");
        if (!c.quiet) printf("%s\n", e.msg);
        return EXIT_DONE; /* as 0.14 does */
    }
    rc = check_all(&c, a, &l, file_exists(a->path) == 1);
    leaf_list_release(&l);
    check_close(&c);
    return rc;
}

const struct cmd CMD_DIFF = {
    .name = "diff", .group = "taxonomy", .args_bytes = sizeof(struct diff_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .needs_config = 1,
    .summary = "List what changed in the taxonomy and check it, with a remedy for every problem.",
    .help = "Errors are what keeps a leaf from being used; style (yamllint's rules) is a warning unless --strict.\n"
            "`ilab taxonomy fix` mends most of it.\n\n"
            "Examples:\n  ilab diff\n  ilab diff --taxonomy-path taxonomy/knowledge/x/qna.yaml\n  ilab diff --strict --yaml-rules .yamllint\n"
            "  ilab diff --format github\n  ilab diff --quiet && echo valid\n",
};
