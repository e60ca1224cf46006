/* probe.c — what a starter can do, task by task: probe MODEL.gguf PROBE.jsonl [--max N] [--threads N] [--show N].
 *
 * PROBE.jsonl comes from `world probe` (held-out text, each line with its task). Greedy answers are compared word for word;
 * tasks with many right answers are sampled at temperature 1 instead: a question counts when the model, reading the passage,
 * answers it with the span it was written for.  Prints shares for the model card.  SPDX-License-Identifier: Apache-2.0 */
#include "data/prompts.h"
#include "lm/lm.h"
#include "text/text.h"

#include <string.h>

enum { TASKS_MAX = 32, TURNS_MAX = 16, TEXT_MAX = 8192, ANSWER_TOKENS = 64 };
struct task { char name[32]; int n, right, shown; };
struct probe { struct lm *lm; struct task task[TASKS_MAX]; int n_task; int64_t max, show; };

static int ask(struct probe *p, const struct lm_message *m, int n, float temp, uint64_t seed, char out[TEXT_MAX], ilab_err *e) {
    struct lm_request q = { .message = m, .n_message = n, .max_tokens = ANSWER_TOKENS, .temp = temp, .top_p = 1, .seed = seed };
    struct lm_result res = { 0 };
    int rc = lm_complete(p->lm, &q, 1, &res, e);
    snprintf(out, TEXT_MAX, "%s", rc ? "" : res.text);
    lm_result_release(&res);
    return rc;
}

static struct task *task_of(struct probe *p, const char *name) {
    for (int i = 0; i < p->n_task; i++)
        if (strcmp(p->task[i].name, name) == 0)
            return &p->task[i];
    if (p->n_task == TASKS_MAX)
        return NULL;
    snprintf(p->task[p->n_task].name, sizeof p->task[0].name, "%s", name);
    return &p->task[p->n_task++];
}

/* Reads the passage of a PROMPT_ASK prompt with the question that was written for it; right when the span comes back. */
static int round_trip(struct probe *p, const char *prompt, const char *question, char back[TEXT_MAX], int *right, ilab_err *e) {
    static const char before[] = "\n\nWrite a question with this answer: ";
    const char *at = strstr(prompt, before);
    char text[2 * TEXT_MAX], span[256];
    if (!at)
        return 0;
    snprintf(text, sizeof text, "%.*s\n\n%s", (int)(at - prompt), prompt, question);
    snprintf(span, sizeof span, "%s", at + strlen(before));
    size_t n = strlen(span);
    if (n && span[n - 1] == '.')
        span[n - 1] = 0;
    struct lm_message m = { "user", sv_of(text) };
    int rc = ask(p, &m, 1, 0, 1, back, e);
    *right = strcasestr(back, span) != NULL;
    return rc;
}

static int line(void *ud, int no, const json_t *v, ilab_err *e) {
    struct probe *p = ud;
    const json_t *list = json_object_get(v, "messages");
    const char *name = json_str(v, "task");
    struct task *t = list && name ? task_of(p, name) : NULL;
    size_t n = json_array_size(list);
    struct lm_message m[TURNS_MAX];
    char out[TEXT_MAX], back[TEXT_MAX] = "";
    if (!t || t->n >= p->max || n < 2 || n > TURNS_MAX)
        return 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        m[i] = (struct lm_message){ json_str(o, "role"), sv_of(json_str(o, "content")) };
    }
    int is_ask = strcmp(name, "ask") == 0;
    int rc = ask(p, m, (int)n - 1, is_ask || strcmp(name, "rephrase") == 0 ? 1 : 0, (uint64_t)no, out, e);
    int right = strcmp(out, m[n - 1].content.p) == 0;
    if (!rc && is_ask)
        rc = round_trip(p, m[n - 2].content.p, out, back, &right, e);
    t->n++;
    t->right += right;
    if (!rc && !right && t->shown++ < p->show)
        printf("[%s] %s\n  answer:   %s\n  expected: %s\n%s%s%s", name, m[n - 2].content.p, out, m[n - 1].content.p, *back ? "  read as:  " : "", back, *back ? "\n" : "");
    return rc;
}

int main(int argc, char **argv) {
    struct probe p = { .max = 100 };
    const char *plain[2] = { NULL, NULL };
    int64_t n_threads = 0;
    int n_plain = 0, bad = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--max") == 0 && i + 1 < argc)
            bad |= parse_i64(argv[++i], 1, 1000000, &p.max) != 0;
        else if (strcmp(argv[i], "--show") == 0 && i + 1 < argc)
            bad |= parse_i64(argv[++i], 0, 1000000, &p.show) != 0;
        else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            bad |= parse_i64(argv[++i], 1, 1024, &n_threads) != 0;
        else if (n_plain < 2)
            plain[n_plain++] = argv[i];
        else
            bad = 1;
    }
    if (bad || n_plain < 2) {
        fprintf(stderr, "usage: probe MODEL.gguf PROBE.jsonl [--max N] [--threads N] [--show N]\n");
        return 2;
    }
    ilab_err e = { 0 };
    int rc = lm_local_open(&p.lm, plain[0], NULL, (int)n_threads, &e);
    if (!rc)
        rc = json_read_lines(plain[1], (size_t)256 << 20, line, &p, &e);
    for (int i = 0; i < p.n_task; i++)
        printf("%-14s %5d of %5d  %5.1f %%\n", p.task[i].name, p.task[i].right, p.task[i].n, 100.0 * p.task[i].right / p.task[i].n);
    if (rc)
        fprintf(stderr, "probe: %s\n", e.msg);
    if (p.lm)
        lm_close(p.lm);
    return rc ? 1 : 0;
}
