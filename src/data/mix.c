/* mix.c — the files of a generation, as the reference names and lays them out, and one in message form.
 *
 *   generated_NAME_DATE.json   array of {instruction, input, output, taxonomy_path, task_description, document}
 *   train_NAME_DATE.jsonl      {system, user, assistant}; one-turn samples
 *   test_NAME_DATE.jsonl       the seed examples in the same form
 *   discarded_NAME_DATE.log    every discard with its reason (only when there was one)
 *   messages_NAME_DATE.jsonl   every sample: {messages, kind, fact, value, source, weight, soft}: what `train` prefers
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"

#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 30 };

static int name_file(const struct gen *g, char *out, size_t cap, const char *kind, const char *date, const char *ext, ilab_err *e)
{
    const int n = snprintf(out, cap, "%s/%s_%s_%s.%s", g->o->out_dir, kind, g->o->model_name, date, ext);
    return n < 0 || (size_t)n >= cap ? err_set(e, ILAB_E_LIMIT, "the path of the output folder '%s' is too long", g->o->out_dir) : 0;
}

static json_t *sv_json(struct sv s) { return json_stringn(s.n ? s.p : "", s.n); }

static void add_message(json_t *list, const char *role, struct sv content)
{
    if (content.n) json_array_append_new(list, json_pack("{s:s,s:o}", "role", role, "content", sv_json(content)));
}

/* What an answer can cite: the passage that states the fact. */
static json_t *source_json(const struct work *w)
{
    const struct cite *c = &w->cite;
    json_t *o = json_object();
    const struct { const char *key; int n; } NUMBER[] = { { "page", c->page }, { "line", c->line }, { "paragraph", c->paragraph } };
    json_object_set_new(o, "document", sv_json(c->document));
    if (c->part.n) json_object_set_new(o, "part", sv_json(c->part));
    for (size_t i = 0; i < ARRAY_LEN(NUMBER); i++)
        if (NUMBER[i].n) json_object_set_new(o, NUMBER[i].key, json_integer(NUMBER[i].n));
    if (c->heading.n) json_object_set_new(o, "heading", sv_json(c->heading));
    if (w->leaf->repo && *w->leaf->repo) json_object_set_new(o, "repo", json_string(w->leaf->repo));
    if (w->leaf->commit && *w->leaf->commit) json_object_set_new(o, "commit", json_string(w->leaf->commit));
    return o;
}

static json_t *messages_json(const struct gen *g, const struct item *it)
{
    json_t *list = json_array(), *o = json_object();
    add_message(list, "system", sv_of(g->o->system_prompt ? g->o->system_prompt : ""));
    add_message(list, "user", it->before_user);
    add_message(list, "assistant", it->before_answer);
    add_message(list, "user", it->user);
    add_message(list, "assistant", it->answer);
    json_object_set_new(o, "messages", list);
    json_object_set_new(o, "kind", json_string(ITEM_NAME[it->kind]));
    json_object_set_new(o, "fact", json_integer(it->fact));
    if (it->fact >= 0) {
        json_object_set_new(o, "value", sv_json(g->work[it->fact].f.value));
        json_object_set_new(o, "source", source_json(&g->work[it->fact]));
    }
    json_object_set_new(o, "weight", json_real((double)it->weight));
    if (it->top) json_object_set(o, "soft", (json_t *)(uintptr_t)it->top);
    return o;
}

static json_t *pair_json(const struct gen *g, struct sv user, struct sv answer)
{
    return json_pack("{s:s,s:o,s:o}", "system", g->o->system_prompt ? g->o->system_prompt : "", "user", sv_json(user), "assistant", sv_json(answer));
}

/* A skill's context belongs to the question, as the reference has it. */
static json_t *seed_json(const struct gen *g, const struct leaf *l, const struct seed *s)
{
    struct sv user = sv_trim(sv_of(s->question));
    struct sb b;
    sb_init(&b, (size_t)1 << 24);
    if (s->context && !l->is_knowledge) {
        sb_add(&b, user);
        sb_addch(&b, '\n');
        sb_addc(&b, s->context);
        if (!b.failed) user = sv_trim((struct sv){ b.p, b.n });
    }
    json_t *o = pair_json(g, user, sv_trim(sv_of(s->answer)));
    sb_release(&b);
    return o;
}

static json_t *generated_json(const struct gen *g, const struct item *it)
{
    return json_pack("{s:o,s:s,s:o,s:s,s:s,s:o}", "instruction", sv_json(it->user), "input", "", "output", sv_json(it->answer), "taxonomy_path",
                     it->leaf->path, "task_description", it->leaf->task_description ? it->leaf->task_description : "", "document",
                     it->fact >= 0 && g->work[it->fact].window.n ? json_pack("[o]", sv_json(g->work[it->fact].window)) : json_null());
}

static void add_line(struct sb *b, json_t *v)
{
    sb_add_json(b, v);
    sb_addch(b, '\n');
    json_decref(v);
}

static int put(const struct sb *b, const char *path, ilab_err *e)
{
    if (b->failed) return err_set(e, ILAB_E_LIMIT, "'%s' would be larger than 1 GB", path);
    return file_write(path, b->p ? b->p : "", b->n, e);
}

int mix_write(struct gen *g, struct leaf *const *leaf, size_t n_leaf, ilab_err *e)
{
    struct generate_report *r = g->r;
    char date[32];
    struct sb b;
    time_local(date, sizeof date, "%Y-%m-%dT%H_%M_%S");
    sb_init(&b, FILE_MAX);
    char *const path[] = { r->generated, r->train, r->test, r->messages, r->discard_log };
    int rc = name_file(g, r->generated, sizeof r->generated, "generated", date, "json", e);
    if (!rc) rc = name_file(g, r->train, sizeof r->train, "train", date, "jsonl", e);
    if (!rc) rc = name_file(g, r->test, sizeof r->test, "test", date, "jsonl", e);
    if (!rc) rc = name_file(g, r->messages, sizeof r->messages, "messages", date, "jsonl", e);
    if (!rc) rc = name_file(g, r->discard_log, sizeof r->discard_log, "discarded", date, "log", e);
    if (!rc) {
        json_t *all = json_array();
        for (size_t i = 0; i < g->n_item; i++) json_array_append_new(all, generated_json(g, &g->item[i]));
        sb_add_json_py(&b, all, 4);
        json_decref(all);
        rc = put(&b, r->generated, e);
    }
    sb_reset(&b);
    for (size_t i = 0; !rc && i < g->n_item; i++)
        if (!g->item[i].before_user.n) add_line(&b, pair_json(g, g->item[i].user, g->item[i].answer));
    if (!rc) rc = put(&b, r->train, e);
    sb_reset(&b);
    for (size_t i = 0; !rc && i < n_leaf; i++)
        for (int k = 0; k < leaf[i]->n_seed; k++) add_line(&b, seed_json(g, leaf[i], &leaf[i]->seed[k]));
    if (!rc) rc = put(&b, r->test, e);
    sb_reset(&b);
    for (size_t i = 0; !rc && i < g->n_item; i++) add_line(&b, messages_json(g, &g->item[i]));
    if (!rc) rc = put(&b, r->messages, e);
    if (!rc && g->discard_log.n) rc = put(&g->discard_log, r->discard_log, e);
    else r->discard_log[0] = 0;
    for (size_t i = 0; rc && i < ARRAY_LEN(path); i++) { /* all or none: `train` must not find a part of a generation */
        if (*path[i]) unlink(path[i]);
        *path[i] = 0;
    }
    sb_release(&b);
    return rc;
}
