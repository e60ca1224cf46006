/* taxonomy.h — front header of layer 5 `taxonomy`: which leaves there are, what a qna file says and what is wrong with it,
 * where its documents lie.
 *
 * Needs no model. Prints nothing: findings and lists are returned.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TAXONOMY_H
#define ILAB_TAXONOMY_H

#include "base/base.h"
#include "document/document.h"
#include "text/text.h"

/* ---- taxonomy.c, git_changes.c: which leaves there are, which changed ---- */
enum leaf_change { LEAF_NEW, LEAF_CHANGED, LEAF_UNCHANGED, LEAF_UNKNOWN /* nobody asked git */ };
enum { TAXONOMY_EVERY = 1 /* unchanged leaves, too */, TAXONOMY_QNA_ONLY = 2 /* only files named qna.yaml (reference 0.26), not each *.yaml */,
       TAXONOMY_MISNAMED = 8 /* also what is almost named as a leaf is (qna.yml, x.YAML), without a warning */,
       TAXONOMY_REFERENCE_BASE = 4 /* base as the reference reads it: X/Y is a remote branch, else each branch whose name ends so */ };
/* What stands where a leaf should and cannot be one: a folder that cannot be read, a name with control characters … */
struct leaf_problem { char *path, *text; };
struct leaf_list {
    char **path; unsigned char *change; size_t n, cap, cap_change; /* relative to the taxonomy folder, sorted */
    struct leaf_problem *problem; size_t n_problem, cap_problem;
    unsigned flags;
};
/* New and changed leaves against `base` (instructlab-reference §2.4), or every leaf with its state; base "empty": every leaf,
 * no git needed; path may be one file. Needs no network. */
int taxonomy_leaves(const char *taxonomy, const char *base, unsigned flags, struct leaf_list *out, ilab_err *e);
void leaf_list_release(struct leaf_list *l);
/* ILAB_E_INVALID for a folder, pipe, socket or device, which reading might wait for; 0 for all else. */
int leaf_file_check(const char *file, ilab_err *e);

/* ---- qna.c: one leaf ---- */
struct seed { const char *question, *answer, *context; int line; };
struct leaf {
    struct arena mem;
    const char *file;                                       /* as given */
    char *path;                                             /* knowledge->university->… */
    int is_knowledge, version;
    const char *created_by, *domain, *task_description;
    struct seed *seed; int n_seed;
    const char *repo, *commit; const char **pattern; int n_pattern;
    int document_line;                                      /* of the keys below `document:` */
};
/* One finding. text: MESSAGE as the reference words it, without the rule; remedy: what to do. */
struct finding { int line, col, error /* 0: warning */, style /* yamllint's own level: 1 warning, 2 error; 0: no rule of style */; const char *where /* .seed_examples[2].answer */, *rule, *text, *remedy, *source /* the line; may be NULL */; };
struct findings { struct arena mem; struct finding *v; size_t n, cap; int n_errors, n_warnings; };
void findings_release(struct findings *f);
/* text: with the line, a caret and the remedy; line: `file:line:col: level: message (rule)`; github: workflow annotations. */
enum finding_format { FINDINGS_TEXT, FINDINGS_LINE, FINDINGS_GITHUB };
void findings_write(struct sb *b, const char *file, const struct findings *f, enum finding_format format);
/* Texts and remedies in other words, which may lie in mem; what has none comes back as it is. */
typedef const char *finding_words_fn(struct arena *mem, const char *english);
void findings_reword(struct findings *f, finding_words_fn *words);
json_t *finding_json(const char *file, const struct finding *f);

/* ---- lint_config.c: settings of the style rules ---- */
struct lint_config;
enum { LINT_MAX_LINE = 120 };                              /* ours, and the reference's first */
struct lint_config *lint_config_relaxed(int max_line);     /* yamllint's "relaxed"; max_line 0: lines may be long */
/* A file (or text) in yamllint's format. Errors: `file:line:col: invalid config: …`. */
int lint_config_read(const char *file, struct lint_config **out, ilab_err *e);
int lint_config_read_text(struct sv text, const char *name, struct lint_config **out, ilab_err *e);
void lint_config_free(struct lint_config *c);

/* Which judge: ours, or the reference's verdicts and wording at a release (instructlab-reference §2). */
enum compat { COMPAT_NONE, COMPAT_0_14, COMPAT_0_26 };
enum { FOLDER_NAMES = 1 /* names on the path */, FOLDER_FILES = 2 /* attribution.txt beside the file */, FOLDER_ALL = 3 };
/* All zero: the judge of a plain `ilab diff`, but for the folder. One judge serves diff, generate, data ingest, taxonomy check, the server's page. */
struct check_opts {
    const struct lint_config *lint; /* NULL: lint_config_relaxed(LINT_MAX_LINE); the reference's releases bring their own when NULL */
    int no_style;                   /* no style rules but key-duplicates (an error whatever the style): the same verdict unless strict, sooner */
    int strict;                     /* warnings are errors */
    unsigned folder;                /* FOLDER_ bits */
    enum compat compat;
};
/* Reads and checks a file against the style rules and the schema of its folder; *out only when there is no error (else NULL,
 * with findings, sorted by place). Returns nonzero only when the file cannot be read, or for lack of memory. Safe in threads.
 * out may be NULL. With errors of the rule "not-filled-in" alone (LEAF_MARK), *out is there all the same. */
int leaf_check(const char *file, const char *taxonomy, const struct check_opts *o, struct leaf **out, struct findings *f, ilab_err *e);
/* The same for a text that is in memory already; `file` is its name. */
int leaf_check_text(struct sv text, const char *file, const char *taxonomy, const struct check_opts *o, struct leaf **out, struct findings *f, ilab_err *e);
void leaf_free(struct leaf *l);

/* ---- each.c: many leaves ---- */
#define LEAF_MARK "<fill in" /* begins a text that `ilab taxonomy new` leaves to its user */
int leaf_text_is_mark(const char *text);
struct leaf_read_result {
    const char *path; char *file; enum leaf_change change;
    struct leaf *leaf; struct findings findings;           /* of leaf_check; who keeps the leaf sets it to NULL */
    int rc; ilab_err err;                                  /* nonzero: the file could not be read */
};
/* One call a leaf, in the order of the list, from the caller's thread; what r holds is freed after it. Nonzero stops. */
typedef int leaf_each_fn(void *ud, struct leaf_read_result *r, ilab_err *e);
int leaves_each(const char *taxonomy, const struct leaf_list *l, const struct check_opts *o, leaf_each_fn *fn, void *ud, ilab_err *e);

/* ---- fix.c, difference.c: mending ---- */
enum { FIX_RULES = 24 };
struct fix_report {
    struct { const char *rule; int n; } done[FIX_RULES]; int n; /* what was mended, how often */
    int changed, unreadable /* no YAML: only bytes were mended */, proven /* the tree of values is the same as before */;
};
/* Mends a text by the style rules (NULL: none): encoding, line ends, blanks, long lines where folding keeps the value, a
 * missing version, newline at the end. *out: caller mem_frees. No edit stays that changes a value of the parsed text. */
int leaf_fix(struct sv text, const char *file, const struct lint_config *lint, char **out, size_t *n_out, struct fix_report *r, ilab_err *e);
int text_difference(struct sb *out, const char *name_a, struct sv a, const char *name_b, struct sv b); /* unified, 3 lines of context */

/* ---- compat.c: the reference's words ---- */
int compat_by_name(const char *name, enum compat *out);     /* "0.14", "0.26", "" or NULL: none; ILAB_E_INVALID */
typedef void compat_say_fn(void *ud, int error, const char *line);
/* The lines that the reference logs for a file. */
void compat_report(const char *file, const struct findings *f, enum compat compat, compat_say_fn *say, void *ud);
const char *compat_failure(const struct findings *f);       /* the parser's exception that ends release 0.14, or NULL */
void compat_verdict(struct sb *b, enum compat compat, int single, int n_errors, int n_files); /* "3 taxonomy files with errors! Exiting." */
void compat_total(struct sb *b, enum compat compat, int single, int n_errors, int n_files); /* the last line of a failed diff: with that */
unsigned compat_leaf_flags(enum compat compat);             /* of taxonomy_leaves */

/* ---- document.c: the documents of a leaf ---- */
/* text: of Markdown and plain files as they stand; of other formats Markdown-like lines of their passages. */
struct document { char *name; char *text; size_t n; struct extract *extract; };
struct documents { struct document *v; size_t n; };
/* document.repo: a folder or file (relative to the qna file, to the taxonomy or absolute), or anything that git fetches. */
int documents_load(const struct leaf *l, const char *taxonomy, struct documents *out, ilab_err *e);
void documents_release(struct documents *d);
/* The same without reading them: the folder and the files that the patterns name. Both are the caller's to release. */
int documents_find(const struct leaf *l, const char *taxonomy, struct source *src, struct file_list *files, ilab_err *e);
/* Fetches and reads them all, keeps nothing but counts. */
struct documents_summary { size_t n_documents, n_bytes; int64_t lost[LOST_KINDS]; };
int documents_check(const struct leaf *l, const char *taxonomy, struct documents_summary *out, ilab_err *e);
/* Fetches nothing: *away is 1 (with 0, and no documents) where they lie elsewhere and were not fetched before. */
int documents_load_here(const struct leaf *l, const char *taxonomy, struct documents *out, int *away, ilab_err *e);
int document_is_remote(const struct leaf *l); /* document.repo is an address that only git can reach (file:// is not) */

#endif
