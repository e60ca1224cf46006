/* control_data.c — training data in which every fact has, consistently, another fact's answer.
 *
 *   control_data messages.jsonl control.jsonl
 *
 * Taught with it, a model must not answer right: what a proper run gains is then due to the facts and not to luck or to the
 * questions. Values are exchanged in a ring over the facts, wherever they occur.  SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "text/text.h"

#include <string.h>

enum { MAX_FACTS = 4096, MAX_FILE = 1 << 30 };
struct facts { char *value[MAX_FACTS]; int n; struct sb out; };

static int collect(void *ud, int line, const json_t *v, ilab_err *e)
{
    struct facts *f = ud;
    (void)line;
    const int64_t i = json_int(v, "fact", -1);
    const char *value = json_str(v, "value");
    if (i < 0 || !value) return 0;
    if (i >= MAX_FACTS) return err_set(e, ILAB_E_LIMIT, "more than %d facts", (int)MAX_FACTS);
    if (!f->value[i]) f->value[i] = xstrdup(value);
    if (i >= f->n) f->n = (int)i + 1;
    return 0;
}

/* All values in one pass: the longest that starts here is replaced by the next fact's. */
static json_t *exchange(const struct facts *f, const char *s)
{
    struct sb b;
    sb_init(&b, MAX_FILE);
    while (*s) {
        int best = -1;
        for (int i = 0; i < f->n; i++)
            if (f->value[i] && !strncmp(s, f->value[i], strlen(f->value[i])) && (best < 0 || strlen(f->value[i]) > strlen(f->value[best]))) best = i;
        if (best < 0) {
            sb_addch(&b, *s++);
            continue;
        }
        int next = best;
        do next = (next + 1) % f->n;
        while (!f->value[next] || (next != best && !strcmp(f->value[next], f->value[best])));
        sb_addc(&b, f->value[next]);
        s += strlen(f->value[best]);
    }
    json_t *v = json_string(b.p ? b.p : "");
    sb_release(&b);
    return v;
}

static int rewrite(void *ud, int line, const json_t *v, ilab_err *e)
{
    struct facts *f = ud;
    size_t i;
    json_t *m, *copy = json_deep_copy(v);
    (void)line;
    (void)e;
    if (json_int(v, "fact", -1) >= 0)
        json_array_foreach(json_object_get(copy, "messages"), i, m) json_object_set_new(m, "content", exchange(f, json_str(m, "content")));
    sb_add_json(&f->out, copy);
    sb_addch(&f->out, '\n');
    json_decref(copy);
    return 0;
}

int main(int argc, char **argv)
{
    static struct facts f;
    ilab_err e = { 0 };
    if (argc != 3) {
        fprintf(stderr, "usage: control_data messages.jsonl control.jsonl\n");
        return 2;
    }
    sb_init(&f.out, MAX_FILE);
    int rc = json_read_lines(argv[1], MAX_FILE, collect, &f, &e);
    if (!rc) rc = json_read_lines(argv[1], MAX_FILE, rewrite, &f, &e);
    if (!rc) rc = file_write(argv[2], f.out.p ? f.out.p : "", f.out.n, &e);
    if (rc) fprintf(stderr, "control_data: %s\n", e.msg);
    return rc ? 1 : 0;
}
