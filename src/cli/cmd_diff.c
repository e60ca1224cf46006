/* cmd_diff.c — `ilab diff`: what changed in the taxonomy, and is it valid?  SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "taxonomy/taxonomy.h"

#include <string.h>

struct diff_args { const char *path, *base, *rules; int quiet, json; };
static const struct diff_args DEFAULTS = { .path = "taxonomy", .base = "origin/main" };
#define O(field) offsetof(struct diff_args, field)
static const struct opt OPTS[] = {
    { "taxonomy-path", 0, NULL, OPT_STR, O(path), 0, 0, "PATH", "generate.taxonomy_path", "folder of the taxonomy, or one qna.yaml" },
    { "taxonomy-base", 0, NULL, OPT_STR, O(base), 0, 0, "REF", "generate.taxonomy_base", "git reference that changes are counted from; empty: every leaf" },
    { "yaml-rules", 0, NULL, OPT_STR, O(rules), 0, 0, "FILE", NULL, "accepted for compatibility: the rules are those of docs/FORMATS.md" },
    { "quiet", 0, NULL, OPT_FLAG, O(quiet), 0, 0, NULL, NULL, "no output; the exit code tells (0 valid, 1 not)" },
    { "json", 0, NULL, OPT_FLAG, O(json), 0, 0, NULL, NULL, "findings as JSON" },
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

static int run(struct cli *c, void *args)
{
    (void)c;
    const struct diff_args *a = args;
    ilab_err e = { 0 };
    struct leaf_list l;
    int n_errors = 0, n_files = 0;
    if (taxonomy_changed(a->path, a->base, &l, &e)) return a->quiet ? EXIT_FAILED : fail(&e, "Reading taxonomy failed with the following error: ");
    json_t *all = json_array();
    const int single = file_exists(a->path) == 1;
    for (size_t i = 0; i < l.n; i++) {
        char *file = single ? xstrdup(a->path) : path_join(a->path, l.path[i]);
        struct leaf *leaf = NULL;
        struct findings f = { 0 };
        int rc = leaf_read(file, single ? "" : a->path, &leaf, &f, &e);
        if (!a->quiet && !a->json) printf("%s\n", l.path[i]);
        if (!rc && leaf && leaf->is_knowledge && !f.n_errors) {
            struct documents d;
            rc = documents_load(leaf, single ? "." : a->path, &d, &e);
            if (!rc) documents_release(&d);
        }
        if (rc) {
            f.n_errors++;
            if (!a->quiet && !a->json) printf("%s\n", e.msg);
            json_array_append_new(all, json_pack("{s:o,s:b,s:o}", "file", text_json(file), "error", 1, "message", text_json(e.msg)));
        }
        for (size_t k = 0; k < f.n; k++) {
            if (!a->quiet && !a->json) print_finding(file, &f.v[k]);
            json_array_append_new(all, finding_json(file, &f.v[k]));
        }
        n_errors += f.n_errors;
        n_files += f.n_errors > 0;
        findings_release(&f);
        leaf_free(leaf);
        mem_free(file);
    }
    if (a->json) {
        struct sb b;
        json_t *o = json_pack("{s:b,s:i,s:i,s:o}", "valid", !n_errors, "files", (int)l.n, "errors", n_errors, "findings", all);
        sb_init(&b, (size_t)64 << 20);
        sb_add_json(&b, o);
        printf("%s\n", b.p ? b.p : "{}");
        sb_release(&b);
        json_decref(o);
    } else {
        json_decref(all);
        const size_t skip = a->path[0] == '/', len = strlen(a->path + skip), slash = len && a->path[skip + len - 1] == '/';
        if (!a->quiet && !n_errors && single) printf("Taxonomy in %s is valid :)\n", a->path);
        else if (!a->quiet && !n_errors) printf("Taxonomy in /%.*s/ is valid :)\n", (int)(len - slash), a->path + skip);
        if (!a->quiet && n_errors) {
            if (single) printf("Reading taxonomy failed with the following error: Taxonomy file with errors! Exiting.\n");
            else printf("Reading taxonomy failed with the following error: %d taxonomy files with errors! Exiting.\n", n_errors);
        }
    }
    leaf_list_release(&l);
    return n_errors ? EXIT_FAILED : EXIT_DONE;
}

const struct cmd CMD_DIFF = {
    .name = "diff", .group = "taxonomy", .args_bytes = sizeof(struct diff_args), .defaults = &DEFAULTS, .opts = OPTS, .run = run, .needs_config = 1,
    .summary = "List what changed in the taxonomy and check it, with a remedy for every problem.",
    .help = "Examples:\n  ilab diff\n  ilab diff --taxonomy-path taxonomy/knowledge/x/qna.yaml\n  ilab diff --quiet && echo valid\n",
};
