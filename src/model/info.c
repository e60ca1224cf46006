/* info.c — what `ilab model info` prints, as JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

struct info_walk { size_t params, bytes; int count[QT_COUNT]; };
static int count_tensor(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e)
{
    (void)name, (void)is_norm, (void)e;
    struct info_walk *w = ud;
    w->params += (size_t)tensor_elems(t);
    w->bytes += t->n_bytes;
    if (t->type >= 0 && t->type < QT_COUNT) w->count[t->type]++;
    return 0;
}

json_t *model_info(const struct model *m)
{
    const struct hparams *hp = &m->hp;
    struct info_walk w = { 0 };
    model_each_tensor((struct model *)m, count_tensor, &w, NULL); /* the callback changes nothing */
    const struct { const char *key; int64_t v; } num[] = {
        { "parameters", (int64_t)w.params }, { "file_bytes", m->gguf ? (int64_t)gguf_file_bytes(m->gguf) : 0 },
        { "tensor_bytes", (int64_t)w.bytes }, { "context_length", hp->n_ctx }, { "layers", hp->n_layer },
        { "embedding_length", hp->n_embd }, { "feed_forward_length", hp->n_ff }, { "heads", hp->n_head },
        { "kv_heads", hp->n_kv_head }, { "head_dim", hp->head_dim }, { "vocabulary", hp->n_vocab },
        { "kv_bytes_per_token", (int64_t)hp->n_layer * 2 * hp->n_kv_head * hp->head_dim * (int64_t)sizeof(float) },
        { "packed_bytes", (int64_t)(w.params * sizeof(float)) },
    };
    json_t *o = json_object(), *types = json_object();
    json_object_set_new(o, "architecture", json_string(m->arch->name));
    json_object_set_new(o, "name", json_string(m->name));
    for (size_t i = 0; i < ARRAY_LEN(num); i++) json_object_set_new(o, num[i].key, json_integer(num[i].v));
    json_object_set_new(o, "rope_base", json_real((double)hp->rope_base));
    json_object_set_new(o, "norm_eps", json_real((double)hp->norm_eps));
    json_object_set_new(o, "tied_output", json_boolean(hp->tied));
    for (int i = 0; i < QT_COUNT; i++)
        if (w.count[i]) json_object_set_new(types, qtype_info(i)->name, json_integer(w.count[i]));
    json_object_set_new(o, "tensor_types", types);
    return o;
}
