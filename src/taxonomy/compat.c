/* compat.c — findings in the words of the reference's releases, quirks included (instructlab-reference §2.3 to §2.5).
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/internal.h"

#include <string.h>

int compat_by_name(const char *name, enum compat *out)
{
    static const struct { const char *name; enum compat compat; } NAMES[] = { { "", COMPAT_NONE }, { "none", COMPAT_NONE }, { "0.14", COMPAT_0_14 }, { "0.26", COMPAT_0_26 } };
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
        if (!strcmp(name ? name : "", NAMES[i].name)) return *out = NAMES[i].compat, 0;
    return ILAB_E_INVALID;
}

/* `file` in front of a leaf's name: its folder, with "->" between the parts, from the root folder on. */
static void leaf_name(const char *file, char *out, size_t cap)
{
    int knowledge;
    const char *from = root_of(file, &knowledge), *slash = strrchr(file, '/');
    size_t n = 0;
    if (!from) from = file;
    for (const char *p = from; slash && p < slash && n + 3 < cap; p++) {
        if (*p == '/') out[n++] = '-', out[n++] = '>';
        else out[n++] = *p;
    }
    out[n] = 0;
}

void compat_report(const char *file, const struct findings *f, enum compat compat, compat_say_fn *say, void *ud)
{
    char leaf[1024], line[2048];
    int styles = 0;
    leaf_name(file, leaf, sizeof leaf);
    for (size_t i = 0; i < f->n; i++) {
        const struct finding *x = &f->v[i];
        if (!strcmp(x->rule, "syntax")) { /* 0.14 passes the parser's exception on: compat_failure */
            if (compat == COMPAT_0_26) snprintf(line, sizeof line, "%s:%d:%d %s", file, x->line, x->col, x->text), say(ud, 1, line);
            continue;
        }
        if (compat == COMPAT_0_14 && x->style) {
            if (!styles++) snprintf(line, sizeof line, "Problems found in file %s", file), say(ud, 1, line);
            snprintf(line, sizeof line, "%s:%d:%d: [%s] %s (%s)", file, x->line, x->col, x->style == 2 ? "error" : "warning", x->text, x->rule);
        } else if (compat == COMPAT_0_14 && x->error) {
            snprintf(line, sizeof line, "Validation error in %s: [%s] %s", leaf, x->where, x->text);
        } else if (compat == COMPAT_0_14) {
            snprintf(line, sizeof line, "%s", x->text);
        } else if (x->style) {
            snprintf(line, sizeof line, "%s:%d:%d %s (%s)", file, x->line, x->col, x->text, x->rule);
        } else {
            snprintf(line, sizeof line, "%s:%d:%d [%s] %s", file, x->line, x->col, x->where, x->text);
        }
        say(ud, x->error, line);
    }
}

const char *compat_failure(const struct findings *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (!strcmp(f->v[i].rule, "syntax")) return f->v[i].text;
    return NULL;
}

void compat_verdict(struct sb *b, enum compat compat, int single, int n_errors, int n_files)
{
    if (compat == COMPAT_0_26 && single) sb_addc(b, "Taxonomy file with errors!");
    else if (compat == COMPAT_0_26) sb_addf(b, "%d total errors found across %d taxonomy files!", n_errors, n_files);
    else if (single) sb_addc(b, "Taxonomy file with errors! Exiting.");
    else sb_addf(b, "%d taxonomy files with errors! Exiting.", n_errors);
}

void compat_total(struct sb *b, enum compat compat, int single, int n_errors, int n_files)
{
    sb_addc(b, "Reading taxonomy failed with the following error: ");
    compat_verdict(b, compat, single, n_errors, n_files);
    if (compat == COMPAT_0_26) sb_addch(b, ']'); /* the bracket is the reference's */
}

unsigned compat_leaf_flags(enum compat compat)
{
    return !compat ? 0 : TAXONOMY_REFERENCE_BASE | (compat == COMPAT_0_26 ? TAXONOMY_QNA_ONLY : 0u);
}
