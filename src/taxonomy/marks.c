/* marks.c — texts that `ilab taxonomy new` left to its user: each that is still there is an error, in attribution.txt a warning.
 * SPDX-License-Identifier: Apache-2.0 */
#include "taxonomy/internal.h"

#include <string.h>

enum { ATTRIBUTION_MAX = 1 << 20, WHERE_MAX = 512 };

int leaf_text_is_mark(const char *text)
{
    while (text && *text == ' ') text++;
    return text && !strncmp(text, LEAF_MARK, strlen(LEAF_MARK));
}

/* node at where[0..n), which is written on; of a pair whose question is still to be written the answer is not named, too. */
static void find_marks(const struct yaml_node *node, char where[WHERE_MAX], size_t n, struct findings *f)
{
    if (node->kind == YAML_STR && leaf_text_is_mark(node->text.p)) {
        char first[120];
        const size_t shown = strcspn(node->text.p, "\n");
        snprintf(first, sizeof first, "not filled in yet: '%.*s'", (int)(shown < 90 ? shown : 90), node->text.p);
        findings_add(f, (struct finding){ .line = node->line, .col = node->col, .error = 1, .rule = "not-filled-in", .where = n ? where : ".", .text = first,
                                          .remedy = "write your own text in place of the mark" });
    }
    if (node->kind != YAML_SEQ && node->kind != YAML_MAP) return;
    const struct yaml_node *question = yaml_get(node, "question");
    const int open = question && question->kind == YAML_STR && leaf_text_is_mark(question->text.p);
    for (int i = 0; i < node->n; i++) {
        if (open && sv_eq_c(node->key[i]->text, "answer")) continue;
        if (node->kind == YAML_SEQ) snprintf(where + n, WHERE_MAX - n, "[%d]", i);
        else snprintf(where + n, WHERE_MAX - n, ".%.*s", SV_ARG(node->key[i]->text));
        find_marks(node->item[i], where, n + strlen(where + n), f);
        where[n] = 0;
    }
}

void marks_check(const struct yaml_node *root, struct findings *f)
{
    char where[WHERE_MAX] = "";
    find_marks(root, where, 0, f);
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
