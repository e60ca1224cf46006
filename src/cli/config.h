/* config.h — internal to src/cli: the table of configuration keys and what reads and writes it.
 *
 * One row a key: it checks the value in a file or in the environment, is the default, and prints itself in `config show`,
 * in the commented config.yaml, in the man page config.yaml(5) and in completions. Two layouts of the same settings: the
 * early one (InstructLab 0.14: config.yaml and everything else in the current directory) and the late one (0.26: version
 * 1.0.0, nested sections, XDG directories). A key may exist in one, in both, or in neither of them (ours: in both files).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_CLI_CONFIG_H
#define ILAB_CLI_CONFIG_H

#include "cli/cli.h"

enum key_type { KEY_STR, KEY_PATH, KEY_INT, KEY_FLOAT, KEY_BOOL, KEY_LIST, KEY_MAP, KEY_SECTION /* only its text */ };
enum {
    KEY_REQUIRED = 1,    /* must stand in an early file */
    KEY_PLACEHOLDER = 2, /* in a file of InstructLab the reference's default counts as not chosen: science.md shows why */
    KEY_READ = 4,        /* has an effect without being an option's */
    KEY_ANY_CASE = 8,    /* of a choice */
    KEY_ADDRESS = 32,    /* HOST:PORT */
    KEY_TWIN = 16,       /* late name of the early key same_as, which options name */
};
/* Defaults are YAML text. %m stem of the model (late: its path), %M path of the model, %T taxonomy, %B its base;
 * %D data directory, %C cache directory (early: the current directory). NULL: that layout has no such key. */
struct config_key {
    const char *name;               /* "serve.llama_cpp.max_ctx_size" */
    enum key_type type;
    const char *early, *late, *ours;/* defaults: 0.14, 0.26, this program's (NULL: the same) */
    double lo, hi;                  /* of numbers */
    const char *choices;            /* "simple full", or NULL */
    const char *same_as;            /* where to look when it is not set; of a KEY_TWIN its early name */
    unsigned flags;
    const char *doc;
};
extern const struct config_key CONFIG_KEYS[];
extern const int N_CONFIG_KEYS;
enum { CONFIG_MAX_KEYS = 256, CONFIG_MAX_FILE = 1 << 20 };

struct config {
    struct arena mem;
    struct yaml_node *root;
    const char *path;               /* NULL: no file */
    int late, foreign;              /* layout; written by or for InstructLab, not by this program */
    struct config_value { const char *text; const struct yaml_node *node; unsigned char set /* has an effect */, from /* enum opt_source */; } value[CONFIG_MAX_KEYS];
};

int config_key_index(const char *name, size_t n);                     /* -1: none */
int config_key_in(const struct config_key *k, int late);              /* does this layout have it? */
int config_key_works(const struct config_key *k);                     /* an option or KEY_READ: it has an effect */
void config_key_env(const struct config_key *k, char *out, size_t cap); /* "ILAB_SERVE_MODEL_PATH" */
/* Where %-templates of defaults point. */
struct config_paths { const char *model, *taxonomy, *base; };
/* What options use without a configuration; in arena. */
struct config_paths config_standard_paths(int late, struct arena *a);
/* The default of a layout as YAML text, templates filled in; in arena. reference: InstructLab's own. */
const char *config_key_default(const struct config_key *k, int late, int reference, const struct config_paths *with, struct arena *a);

/* Reads text (name is for messages). Findings, one line each, go to *found; their number is returned in *n_found.
 * 0 also when there are findings; a code when it does not parse. *out is always set on 0. */
enum { CONFIG_LENIENT = 1 /* --compat: unknown keys are ignored */, CONFIG_PARTIAL = 2 /* a profile: nothing is required */ };
int config_parse(struct config **out, struct sv text, const char *name, unsigned flags, struct sb *found, int *n_found, ilab_err *e);
int config_read_environment(struct config *c, struct sb *found, int *n_found);

/* What config_print writes. */
struct config_print {
    int late, comments;
    int reference;                  /* InstructLab's keys and defaults alone */
    int all;                        /* keys without effect, too */
    int sparse;                     /* for a new file: without what options decide themselves */
    int rewrite;                    /* for a file of this program made from another */
    const char *below;              /* "serve": only this section or key */
    struct config_paths with;       /* model NULL: config_standard_paths */
};
/* c's values (NULL: only defaults). ILAB_E_NOTFOUND: nothing is named `below`. */
int config_print(struct sb *b, const struct config *c, const struct config_print *how, ilab_err *e);
/* Replaces path, under a lock, keeping an old file of other content as path.bak (told on stdout). */
int config_replace(const char *path, struct sv text, ilab_err *e);
void config_add_scalar(struct sb *b, const char *s);                  /* quoted unless plain beyond doubt */

/* dirs.c */
char *user_dir(const char *which /* "config", "data", "cache" */, const char *below, ilab_err *e); /* …/instructlab/BELOW; caller mem_frees */
#endif
