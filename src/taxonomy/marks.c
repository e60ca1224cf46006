/* marks.c — texts that `ilab taxonomy new` left to its user: each that is still there is an error, in attribution.txt a warning.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/internal.h"

#include <string.h>

enum { ATTRIBUTION_MAX = 1 << 20 };

int leaf_text_is_mark(const char *text)
{
    while (text && *text == ' ') text++;
    return text && !strncmp(text, LEAF_MARK, strlen(LEAF_MARK));
}

static void mark(struct findings *f, const char *text, int line, const char *where)
{
    char first[120];
    if (!leaf_text_is_mark(text)) return;
    const size_t n = strcspn(text, "\n");
    snprintf(first, sizeof first, "not filled in yet: '%.*s'", (int)(n < 90 ? n : 90), text);
    findings_add(f, (struct finding){ .line = line > 0 ? line : 1, .col = 1, .error = 1, .rule = "not-filled-in", .where = where, .text = first, .remedy = "write your own text in place of the mark" });
}

/* Line of a key at the top of the file. */
static int line_of(const struct yaml_node *root, const char *key)
{
    const struct yaml_node *v = yaml_get(root, key);
    return v ? v->line : 1;
}

void marks_check(const struct leaf *l, const struct yaml_node *root, struct findings *f)
{
    char where[96];
    int example = -1, pair = 0;
    const char *about = l->version > 2 && l->is_knowledge ? ".document_outline" : ".task_description";
    mark(f, l->created_by, line_of(root, "created_by"), ".created_by");
    mark(f, l->domain, line_of(root, "domain"), ".domain");
    mark(f, l->task_description, line_of(root, about + 1), about);
    for (int i = 0; i < l->n_seed; i++) {
        const struct seed *s = &l->seed[i];
        const int nested = l->is_knowledge && l->version > 2, same = nested && i && s->context && l->seed[i - 1].context && !strcmp(s->context, l->seed[i - 1].context);
        pair = same ? pair + 1 : 0;
        example += !same;
        snprintf(where, sizeof where, ".seed_examples[%d]", example);
        if (!same) mark(f, s->context, s->line, where);
        if (nested) snprintf(where, sizeof where, ".seed_examples[%d].questions_and_answers[%d]", example, pair);
        mark(f, leaf_text_is_mark(s->question) ? s->question : s->answer, s->line, where); /* one of the two says it */
    }
    mark(f, l->repo, l->document_line, ".document.repo");
    mark(f, l->commit, l->document_line, ".document.commit");
}

void marks_check_attribution(const char *qna, struct findings *f)
{
    const char *slash = strrchr(qna, '/');
    char *dir = slash ? mem_strndup(qna, (size_t)(slash - qna)) : NULL, *file = path_join(dir ? dir : ".", "attribution.txt"), *text = NULL;
    size_t n = 0;
    struct sb b;
    sb_init(&b, 500);
    if (file && file_exists(file) == 1 && !leaf_file_check(file, NULL) && !file_read(file, ATTRIBUTION_MAX, &text, &n, NULL) && strstr(text, LEAF_MARK)) {
        struct sv rest = { text, n }, line;
        char whole[560];
        while (sv_split(&rest, '\n', &line)) {
            const ptrdiff_t colon = sv_find(line, SV(": " LEAF_MARK), 0);
            if (colon > 0) sb_addf(&b, "%s%.*s", b.n ? ", " : "", (int)(colon < 60 ? colon : 60), line.p);
        }
        snprintf(whole, sizeof whole, "not filled in yet in attribution.txt: %s", b.p ? b.p : "");
        findings_add(f, (struct finding){ .line = 1, .col = 1, .rule = "not-filled-in", .where = "", .text = whole, .remedy = "say in attribution.txt whose work the document is" });
    }
    sb_release(&b);
    mem_free(text);
    mem_free(file);
    mem_free(dir);
}
