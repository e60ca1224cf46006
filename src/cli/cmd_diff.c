/* cmd_diff.c — `ilab diff`: what changed in the taxonomy, and is it valid?  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "taxonomy/taxonomy.h"

#include <string.h>

struct diff_args { const char *path, *base, *rules; int quiet, json, documents; };
static const struct diff_args DEFAULTS = { .path = "taxonomy", .base = "origin/main" };
#define O(field) offsetof(struct diff_args, field)
static const struct opt OPTS[] = {
    { "taxonomy-path", 0, NULL, OPT_STR, O(path), 0, 0, "PATH", "generate.taxonomy_path", "folder of the taxonomy, or one qna.yaml" },
    { "taxonomy-base", 0, NULL, OPT_STR, O(base), 0, 0, "REF", "generate.taxonomy_base", "git reference that changes are counted from; empty: every leaf" },
    { "yaml-rules", 0, NULL, OPT_STR, O(rules), 0, 0, "FILE", NULL, "accepted for compatibility: the rules are those of docs/FORMATS.md" },
    { "quiet", 0, NULL, OPT_FLAG, O(quiet), 0, 0, NULL, NULL, "no output; the exit code tells (0 valid, 1 not)" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "findings as JSON" },
    { "documents", 0, NULL, OPT_FLAG, O(documents), 0, 0, NULL, NULL, "fetch and check documents that lie in a repository elsewhere, too (needs the network)" },
    { 0 },
};

static void print_finding(const char *file, const struct finding *f)
{
    printf("%s:%d:%d: %s: [%s] %s\n", file, f->line, f->col, f->error ? "error" : "warning", f->where ? f->where : ".", f->text ? f->text : "");
    if (f->remedy) printf("    %s\n", f->remedy);
}

static json_t *text_json(const char *s) /* a file name need not be UTF-8 */
{
    json_t *v = json_string(s ? s : "");
    return v ? v : json_string("?");
}

static json_t *finding_json(const char *file, const struct finding *f)
{
    return json_pack("{s:o,s:i,s:i,s:b,s:o,s:o,s:o}", "file", text_json(file), "line", f->line, "col", f->col, "error", f->error, "where",
                     text_json(f->where ? f->where : "."), "message", text_json(f->text), "remedy", text_json(f->remedy));
}

struct report { const struct diff_args *a; json_t *all; int single, n_errors, n_away; };

static void add_problem(struct report *r, const char *file, const char *text)
{
    r->n_errors++;
    if (!r->a->quiet && !r->a->json) printf("%s: error: %s\n", file, text);
    json_array_append_new(r->all, json_pack("{s:o,s:b,s:o}", "file", text_json(file), "error", 1, "message", text_json(text)));
}

/* The documents of a valid leaf. Those that lie elsewhere are fetched only when that was asked for. */
static void check_documents(struct report *r, const struct leaf_read_result *l)
{
    struct documents d;
    ilab_err e = { 0 };
    if (!r->a->documents && document_is_remote(l->leaf)) {
        r->n_away++;
        return;
    }
    if (documents_load(l->leaf, r->single ? "." : r->a->path, &d, &e)) {
        r->n_errors++;
        if (!r->a->quiet && !r->a->json) printf("%s\n", e.msg);
        json_array_append_new(r->all, json_pack("{s:o,s:b,s:o}", "file", text_json(l->file), "error", 1, "message", text_json(e.msg)));
        return;
    }
    documents_release(&d);
}

static int report_leaf(void *ud, struct leaf_read_result *l, ilab_err *e)
{
    (void)e;
    struct report *r = ud;
    if (!r->a->quiet && !r->a->json) printf("%s\n", l->path);
    if (l->rc) add_problem(r, l->file, l->err.msg);
    for (size_t k = 0; k < l->findings.n; k++) {
        if (!r->a->quiet && !r->a->json) print_finding(l->file, &l->findings.v[k]);
        json_array_append_new(r->all, finding_json(l->file, &l->findings.v[k]));
    }
    r->n_errors += l->findings.n_errors;
    if (!l->rc && l->leaf && l->leaf->is_knowledge && !l->findings.n_errors) check_documents(r, l);
    return 0;
}

static void conclude(const struct report *r, size_t n_files)
{
    const struct diff_args *a = r->a;
    if (a->json) {
        struct sb b;
        json_t *o = json_pack("{s:b,s:i,s:i,s:i,s:O}", "valid", !r->n_errors, "files", (int)n_files, "errors", r->n_errors, "documents_not_at_hand", r->n_away, "findings", r->all);
        sb_init(&b, (size_t)1 << 30);
        sb_add_json(&b, o);
        printf("%s\n", b.p ? b.p : "{}");
        sb_release(&b);
        json_decref(o);
        return;
    }
    if (a->quiet) return;
    if (r->n_away)
        printf("%d document%s in a repository elsewhere %s not checked: `ilab taxonomy diff --documents` fetches and checks.\n", r->n_away, r->n_away == 1 ? "" : "s",
               r->n_away == 1 ? "was" : "were");
    const size_t skip = a->path[0] == '/', len = strlen(a->path + skip), slash = len && a->path[skip + len - 1] == '/';
    if (!r->n_errors && r->single) printf("Taxonomy in %s is valid :)\n", a->path);
    else if (!r->n_errors) printf("Taxonomy in /%.*s/ is valid :)\n", (int)(len - slash), a->path + skip);
    else if (r->single) printf("Reading taxonomy failed with the following error: Taxonomy file with errors! Exiting.\n");
    else printf("Reading taxonomy failed with the following error: %d taxonomy files with errors! Exiting.\n", r->n_errors);
}

static int run(struct cli *c, void *args)
{
    const struct diff_args *a = args;
    const unsigned flags = c->compat == 26 ? TAXONOMY_QNA_ONLY | TAXONOMY_REFERENCE_BASE : c->compat ? TAXONOMY_REFERENCE_BASE : 0;
    struct report r = { .a = a };
    struct leaf_list l;
    ilab_err e = { 0 };
    if (taxonomy_leaves(a->path, a->base, flags, &l, &e)) return a->quiet ? EXIT_FAILED : fail(&e, "Reading taxonomy failed with the following error: ");
    r.all = json_array();
    r.single = file_exists(a->path) == 1;
    const int rc = leaves_each(a->path, &l, report_leaf, &r, &e);
    for (size_t i = 0; !rc && i < l.n_problem; i++) add_problem(&r, l.problem[i].path, l.problem[i].text);
    if (!rc) conclude(&r, l.n);
    json_decref(r.all);
    leaf_list_release(&l);
    if (rc) return fail(&e, "Reading taxonomy failed with the following error: ");
    return r.n_errors ? EXIT_FAILED : EXIT_DONE;
}

const struct cmd CMD_DIFF = {
    .name = "diff", .group = "taxonomy", .args_bytes = sizeof(struct diff_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .needs_config = 1,
    .summary = "List what changed in the taxonomy and check it, with a remedy for every problem.",
    .help = "Lists untracked leaves and those that differ from the base: a branch (the commit where this one left it), or a tag\nor commit. \"empty\" takes every leaf and needs no git. Nothing is fetched without --documents.\n\n"
            "Examples:\n  ilab diff\n  ilab diff --taxonomy-base empty\n  ilab diff --taxonomy-base main --documents\n  ilab diff --taxonomy-path taxonomy/knowledge/x/qna.yaml\n  ilab diff --quiet && echo valid\n",
};
