/* describe.c — everything about a model's file that can be told without computing: what `ilab model info` shows, as JSON.
 *
 * Works for files that this program cannot run, too; then `runs` is false and `runs_why` names the reason. Memory is counted by
 * the planners that the engine itself uses. A Hugging Face directory is described by its shapes alone: nothing is reordered.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"
#include "model/hf.h"

#include <string.h>

enum { SHOWN_TEXT = 160, SHOWN_ITEMS = 4, STEP_ROWS = 512 /* of a prompt that are computed at once */, DEFAULT_CONTEXT = 4096 };

/* ---- metadata ---- */

/* The start of a text, cut between characters; what is no UTF-8 is told by its length. */
static json_t *short_text(struct sv s)
{
    struct sv t = { s.p, s.n > SHOWN_TEXT ? SHOWN_TEXT : s.n };
    while (t.n && t.n < s.n && ((unsigned char)s.p[t.n] & 0xC0) == 0x80) t.n--;
    if (!utf8_valid(t, NULL)) return json_sprintf("%zu bytes", s.n);
    json_t *v = t.n < s.n ? json_sprintf("%.*s… (%zu bytes)", SV_ARG(t), s.n) : json_stringn(t.p, t.n);
    return v ? v : json_sprintf("%zu bytes", s.n);
}

static json_t *item(const struct gguf_array *a, uint64_t i)
{
    if (a->kind == GGUF_STR) return short_text(a->str[i]);
    if (a->kind == GGUF_BOOL) return json_boolean(gguf_array_int(a, i));
    return a->kind == GGUF_F32 || a->kind == GGUF_F64 ? json_real(gguf_array_num(a, i)) : json_integer(gguf_array_int(a, i));
}

static json_t *value(const struct gguf_kv *kv)
{
    json_t *v;
    switch (kv->kind) {
    case GGUF_STR: return short_text(kv->s);
    case GGUF_BOOL: return json_boolean(kv->v.u);
    case GGUF_F32: case GGUF_F64: v = json_real(kv->v.f); return v ? v : json_string("not finite");
    case GGUF_I8: case GGUF_I16: case GGUF_I32: case GGUF_I64: return json_integer(kv->v.i);
    case GGUF_ARR: break;
    default: return json_integer((json_int_t)kv->v.u);
    }
    json_t *list = json_array();
    for (uint64_t i = 0; i < kv->arr.n && i < SHOWN_ITEMS; i++) {
        json_t *one = item(&kv->arr, i);
        json_array_append_new(list, one ? one : json_string("not finite"));
    }
    if (kv->arr.n > SHOWN_ITEMS) json_array_append_new(list, json_sprintf("… (%llu)", (unsigned long long)kv->arr.n));
    return list;
}

static json_t *metadata(const struct gguf *g)
{
    json_t *o = json_object();
    for (int i = 0; i < gguf_n_kv(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        char *key = utf8_valid(kv->key, NULL) ? mem_strndup(kv->key.p, kv->key.n) : NULL;
        if (key) json_object_set_new(o, key, value(kv));
        mem_free(key);
    }
    return o;
}

/* ---- tensors ---- */

static void put_tensors(const struct gguf *g, json_t *o)
{
    int64_t count[QT_COUNT] = { 0 }, elems[QT_COUNT] = { 0 }, bytes[QT_COUNT] = { 0 }, all_elems = 0, all_bytes = 0;
    json_t *types = json_object();
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        if (t->type < 0 || t->type >= QT_COUNT) continue;
        count[t->type]++;
        elems[t->type] += tensor_elems(t);
        bytes[t->type] += (int64_t)t->n_bytes;
        all_elems += tensor_elems(t);
        all_bytes += (int64_t)t->n_bytes;
    }
    for (int i = 0; i < QT_COUNT; i++)
        if (count[i])
            json_object_set_new(types, qtype_name((uint32_t)i), json_pack("{s:I,s:I,s:I}", "tensors", (json_int_t)count[i], "parameters", (json_int_t)elems[i], "bytes", (json_int_t)bytes[i]));
    json_object_set_new(o, "tensors", json_integer(gguf_n_tensor(g)));
    json_object_set_new(o, "parameters", json_integer(all_elems));
    json_object_set_new(o, "tensor_bytes", json_integer(all_bytes));
    json_object_set_new(o, "bits_per_weight", json_real(all_elems ? 8.0 * (double)all_bytes / (double)all_elems : 0));
    json_object_set_new(o, "types", types);
}

/* ---- memory and limits of a model that runs ---- */

static void put_memory(const struct model *m, int n_ctx, json_t *o)
{
    static const struct { const char *name; int type; } KV[] = { { "F32", QT_F32 }, { "F16", QT_F16 }, { "Q8_0", QT_Q8_0 }, { "Q4_0", QT_Q4_0 } };
    const struct hparams *hp = &m->hp;
    const int n_row = n_ctx < STEP_ROWS ? n_ctx : STEP_ROWS;
    struct layer_acts acts;
    struct arena count;
    arena_init_counting(&count);
    layer_acts_plan_forward(&acts, hp, n_row, 0, &count);
    const double rows = 2.0 * n_row * hp->n_embd * sizeof(float), logits = (double)hp->n_vocab * sizeof(float), buffers = (double)count.used + rows + logits;
    json_t *kv = json_object();
    for (size_t i = 0; i < ARRAY_LEN(KV) && !hp->encoder; i++) {
        const struct attn_shape shape = { .n_head = hp->n_head, .n_kv_head = hp->n_kv_head, .head_dim = hp->head_dim, .kv_type = KV[i].type };
        json_object_set_new(kv, KV[i].name, json_integer((json_int_t)((double)attn_page_bytes(&shape) / KERN_PANEL * hp->n_layer * n_ctx)));
    }
    const double weights = json_num(o, "tensor_bytes", 0);
    json_object_set_new(o, "memory", json_pack("{s:i,s:I,s:o,s:I,s:I,s:I}", "context", n_ctx, "weights", (json_int_t)weights, "kv_cache", kv, "buffers", (json_int_t)buffers, "total",
                                               (json_int_t)(weights + buffers + json_num(kv, "F16", 0)), "free", (json_int_t)mem_available()));
    arena_release(&count);
}

static void put_limits(const struct model *m, int n_ctx, json_t *o)
{
    const struct hparams *hp = &m->hp;
    json_t *list = json_array();
    if (n_ctx > hp->n_ctx) json_array_append_new(list, json_sprintf("%d tokens are asked for, the model was made for %d", n_ctx, hp->n_ctx));
    json_array_append_new(list, json_sprintf("context: at most %d tokens", hp->n_ctx));
    json_array_append_new(list, json_sprintf("vocabulary: %d tokens", hp->n_vocab));
    const json_t *memory = json_object_get(o, "memory");
    const double free_now = json_num(memory, "free", 0), fixed = json_num(memory, "weights", 0) + json_num(memory, "buffers", 0), cache = json_num(json_object_get(memory, "kv_cache"), "F16", 0);
    if (free_now > 0 && json_num(memory, "weights", 0) > free_now)
        json_array_append_new(list, json_string("memory: the weights are larger than what is free; a part is read from the disk for each step (a smaller type: ilab model quantize)"));
    else if (free_now > 0 && fixed + cache > free_now)
        json_array_append_new(list, json_sprintf("memory: about %lld tokens fit (KV cache in F16)", (long long)(free_now > fixed ? (free_now - fixed) / cache * n_ctx : 0)));
    int sliding = 0;
    for (int l = 0; l < hp->n_layer; l++) sliding += m->layer[l].window > 0;
    if (sliding) json_array_append_new(list, json_sprintf("sliding window: %d of %d layers see the last %d tokens only", sliding, hp->n_layer, hp->window));
    if (hp->rope_scaling != ROPE_SCALING_NONE || m->rope_factor || m->rope_long)
        json_array_append_new(list, json_sprintf("rotary embedding: stretched; trained on %d tokens before", hp->rope_n_ctx));
    if (hp->n_expert) json_array_append_new(list, json_sprintf("experts: %d of %d a token", hp->n_expert_used, hp->n_expert));
    if (hp->encoder) json_array_append_new(list, json_string("embedding model: makes vectors, writes no text"));
    json_object_set_new(o, "limits", list);
}

static void put_ability(json_t *o, const char *what, const char *why_key, int rc, const ilab_err *e)
{
    json_object_set_new(o, what, json_boolean(rc == 0));
    if (rc) json_object_set_new(o, why_key, json_string(e->msg));
}

/* ---- the whole ---- */

/* Shapes of a directory without making anything. */
static int open_shapes(struct gguf **out, const char *path, ilab_err *e)
{
    struct hf *h;
    if (!hf_is_dir(path)) return gguf_open(out, path, e);
    int rc = hf_open(&h, path, e);
    if (!rc && (rc = hf_shapes(out, h, e))) hf_close(h);
    return rc;
}

json_t *model_describe(const char *path, int n_ctx, ilab_err *e)
{
    struct gguf *g = NULL;
    struct model *m = NULL;
    struct sv text;
    ilab_err why = { 0 };
    if (open_shapes(&g, path, e)) return NULL;
    json_t *o = json_object(), *meta = metadata(g);
    json_object_set_new(o, "path", json_string(path));
    json_object_set_new(o, "format", json_string(gguf_is_file(g) ? gguf_n_shard(g) > 1 ? "GGUF, split" : "GGUF" : "Hugging Face directory"));
    json_object_set_new(o, "file_bytes", json_integer((json_int_t)gguf_file_bytes(g)));
    json_object_set_new(o, "architecture", gguf_get_str(g, "general.architecture", &text, NULL) ? json_null() : short_text(text));
    json_object_set_new(o, "name", gguf_get_str(g, "general.name", &text, NULL) ? json_string("") : short_text(text));
    put_tensors(g, o);
    const int rc = model_open_gguf(&m, g, 0, NULL, &why);
    put_ability(o, "runs", "runs_why", rc, &why);
    if (!rc) {
        json_t *info = model_info(m);
        json_object_update_missing(o, info);
        json_decref(info);
        put_ability(o, "trains", "trains_why", model_trainable(m, 0, &why), &why);
        if (!n_ctx) n_ctx = m->hp.n_ctx < DEFAULT_CONTEXT ? m->hp.n_ctx : DEFAULT_CONTEXT;
        put_memory(m, n_ctx, o);
        put_limits(m, n_ctx, o);
    } else {
        json_object_set_new(o, "trains", json_false());
        json_object_set_new(o, "trains_why", json_string("it cannot be run"));
    }
    json_object_set_new(o, "metadata", meta);
    if (m) model_free(m);
    else gguf_close(g);
    return o;
}
