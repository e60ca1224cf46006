/* adapter_peft.c — LoRA adapters as a folder that PEFT and vLLM read: adapter_model.safetensors and adapter_config.json.
 *
 * Names follow PEFT's save_pretrained: base_model.model.<module>.lora_A.weight [R, in], .lora_B.weight [out, R], F32. A module whose
 * parts have an A each (made before the base was fused, or split in GGUF) gets them below each other and its B along a diagonal, so
 * that nothing is lost; its rank then stands in rank_pattern. Experts that the family keeps in one tensor are no modules: refused by name.
 * Source: huggingface/peft, src/peft/tuners/lora/config.py and utils/save_and_load.py.  SPDX-License-Identifier: Apache-2.0 */
#include "model/peft.h"

#include <string.h>

/* ---- modules ---- */

int peft_family(const struct hf_arch **out, const struct model *m, ilab_err *e)
{
    struct gguf *made = NULL;
    if (!m->gguf) { /* a model without a file: its keys are enough */
        struct gguf_writer *w = gguf_writer_new();
        model_put_gguf(m, w);
        const int rc = gguf_from_writer(&made, w, "model", e);
        gguf_writer_free(w);
        if (rc) return rc;
    }
    *out = hf_arch_of_gguf(m->gguf ? m->gguf : made, sv_of(m->arch->name));
    if (made) gguf_close(made);
    return *out ? 0 : err_set(e, ILAB_E_INVALID, "no Hugging Face names are known for the architecture '%s'", m->arch->name);
}

int peft_kinds(const struct model *m, const struct hf_name *rule, int layer, int kind[3])
{
    const char *what = rule->gguf ? rule->gguf + strlen("blk.#.") : "";
    int n = 0, first = 0;
    if (!rule->gguf || strncmp(rule->gguf, "blk.#.", 6) || rule->op == HF_UP || rule->op == HF_DROP) return 0;
    if (!strcmp(what, "attn_qkv")) {
        n = 3;
    } else {
        while (first < ADAPT_COUNT && strcmp(what, LINEAR_NAME[first])) first++;
        const int pair = first == LIN_UP && m->arch->use[W_GATE_UP];
        n = first == ADAPT_COUNT ? 0 : rule->op == HF_GATE || pair ? 2 : 1; /* up follows gate in each of our lists */
        first -= pair;
    }
    for (int i = 0; i < n; i++) {
        const struct tensor *t = adapted_tensor(m, layer, kind[i] = first + i);
        if (!t || (t->n_dim > 2) != (rule->op == HF_EXPERTS)) return 0;
    }
    return n;
}

void peft_name(char out[SAFETENSORS_MAX_NAME], const struct peft_module *p)
{
    const int n = snprintf(out, SAFETENSORS_MAX_NAME / 2, "%s", p->arch->prefix);
    hf_fill_name(out + n, SAFETENSORS_MAX_NAME / 2, p->rule->hf, p->layer, p->expert);
}

int peft_each(const struct model *m, const struct hf_arch *arch, int (*fn)(void *ud, const struct peft_module *p, ilab_err *e), void *ud, ilab_err *e)
{
    int rc = 0;
    for (int l = 0; l < m->hp.n_layer; l++) {
        unsigned seen = 0; /* some tensors have two names, of older and newer classes: the first counts */
        for (const struct hf_name *const *group = arch->names; *group; group++)
            for (const struct hf_name *r = *group; r->hf; r++) {
                struct peft_module p = { .arch = arch, .rule = r, .layer = l, .expert = -1 };
                p.n = peft_kinds(m, r, l, p.kind);
                if (!p.n || (seen >> p.kind[0]) & 1) continue;
                for (int i = 0; i < p.n; i++) seen |= 1u << p.kind[i];
                const int n = r->op == HF_EXPERTS ? m->hp.n_expert : 1;
                for (int x = 0; x < n; x++) {
                    if (r->op == HF_EXPERTS) p.expert = x;
                    if ((rc = fn(ud, &p, e))) return rc;
                }
            }
    }
    return 0;
}

int64_t peft_row(const struct model *m, const struct hf_name *rule, int64_t r)
{
    const int64_t d = m->hp.head_dim;
    return rule->op == HF_ROTARY_Q || rule->op == HF_ROTARY_K ? r / d * d + r % d % 2 * (d / 2) + r % d / 2 : r;
}

/* ---- writing ---- */

struct short_name { char text[64]; int on, all; };
struct peft_writer {
    const struct adapter *a; const struct model *m; struct safetensors_writer *w;
    struct piece { struct peft_writer *of; struct peft_module p; const struct lora *part[3]; int64_t row0[3], rows; int n, rank; } *piece;
    size_t n, cap;
    uint8_t *kind_on, *layer_on;          /* [n_layer · ADAPT_COUNT] has a module; [n_layer] */
    struct short_name name[32]; int n_name;
    json_t *rank_pattern, *alpha_pattern, *full_names;
};

static int fill_a(void *ud, void *buf, size_t n_bytes, ilab_err *e)
{
    const struct piece *s = ud;
    float *to = buf;
    (void)n_bytes, (void)e;
    for (int i = 0; i < s->n; i++) {
        const struct lora *l = s->part[i];
        const size_t n = (size_t)l->rank * (size_t)l->n_in;
        if (i && l->a == s->part[i - 1]->a) continue;
        memcpy(to, l->a + (s->p.expert > 0 ? (size_t)s->p.expert * n : 0), n * sizeof *to);
        to += n;
    }
    return 0;
}

static int fill_b(void *ud, void *buf, size_t n_bytes, ilab_err *e)
{
    const struct piece *s = ud;
    float *to = buf;
    int column = 0;
    (void)e;
    memset(to, 0, n_bytes);
    for (int i = 0; i < s->n; i++) {
        const struct lora *l = s->part[i];
        const float *b = l->b + (s->p.expert > 0 ? (int64_t)s->p.expert * l->n_out * l->rank : 0);
        if (i && l->a != s->part[i - 1]->a) column += s->part[i - 1]->rank;
        for (int64_t r = 0; r < l->n_out; r++)
            memcpy(to + (s->row0[i] + peft_row(s->of->m, s->p.rule, r)) * s->rank + column, b + r * l->rank, (size_t)l->rank * sizeof *to);
    }
    return 0;
}

/* What of the module is adapted. */
static struct piece piece_of(struct peft_writer *x, const struct peft_module *p)
{
    struct piece s = { .of = x, .p = *p };
    for (int i = 0; i < p->n; i++) {
        const struct lora *l = &x->a->lora[p->layer * ADAPT_COUNT + p->kind[i]];
        const int64_t at = s.rows;
        s.rows += adapted_tensor(x->m, p->layer, p->kind[i])->dim[1];
        if (!l->on) continue;
        if (!s.n || l->a != s.part[s.n - 1]->a) s.rank += l->rank;
        s.row0[s.n] = at;
        s.part[s.n++] = l;
    }
    return s;
}

static int count_module(void *ud, const struct peft_module *p, ilab_err *e)
{
    struct peft_writer *x = ud;
    const struct piece s = piece_of(x, p);
    (void)e;
    for (int i = 0; i < p->n; i++) x->kind_on[p->layer * ADAPT_COUNT + p->kind[i]] = 1;
    if (s.n) x->cap++, x->layer_on[p->layer] = 1;
    return 0;
}

/* The end of a module's name that target_modules needs: the last part, or two where that alone names something else, too, that is no
 * linear layer (granitemoeshared: experts in one tensor beside the shared one). */
static const char *last_parts(const struct peft_writer *x, const struct peft_module *p, const char *name)
{
    const char *last = strrchr(name, '.') ? strrchr(name, '.') + 1 : name, *two = last - 1;
    while (two > name && two[-1] != '.') two--;
    for (const struct hf_name *const *group = p->arch->names; *group; group++)
        for (const struct hf_name *r = *group; r->hf && two > name; r++) {
            int kind[3];
            char gguf[SAFETENSORS_MAX_NAME];
            if (!r->gguf || strncmp(r->hf, "layers.#.", 9) || !sv_ends(sv_of(r->hf), last) || r->hf[strlen(r->hf) - strlen(last) - 1] != '.') continue;
            hf_fill_name(gguf, sizeof gguf - 8, r->gguf, p->layer, 0);
            memcpy(gguf + strlen(gguf), ".weight", 8);
            if (x->m->gguf && gguf_tensor(x->m->gguf, gguf) && !peft_kinds(x->m, r, p->layer, kind)) return two;
        }
    return last;
}

static int add_module(void *ud, const struct peft_module *p, ilab_err *e)
{
    struct peft_writer *x = ud;
    const struct adapter *a = x->a;
    struct piece *s = &x->piece[x->n];
    char name[SAFETENSORS_MAX_NAME], full[SAFETENSORS_MAX_NAME + 64];
    int rc, k = 0;
    *s = piece_of(x, p);
    peft_name(name, p);
    const char *last = last_parts(x, p, name);
    if (x->layer_on[p->layer]) {
        while (k < x->n_name && strcmp(x->name[k].text, last)) k++;
        if (k == (int)ARRAY_LEN(x->name)) return err_set(e, ILAB_E_LIMIT, "too many kinds of modules");
        if (k == x->n_name) snprintf(x->name[x->n_name++].text, sizeof x->name[k].text, "%.63s", last);
        x->name[k].all++;
        x->name[k].on += s->n > 0;
    }
    if (!s->n) return 0;
    x->n++;
    const struct lora *l = s->part[0];
    json_array_append_new(x->full_names, json_string(name));
    if (s->rank != a->rank) json_object_set_new(x->rank_pattern, name + strlen(p->arch->prefix), json_integer(s->rank));
    if (a->alpha != 0 && l->scale != lora_scale(a->alpha, s->rank, a->rslora))
        json_object_set_new(x->alpha_pattern, name + strlen(p->arch->prefix), json_real((double)l->scale * (a->rslora ? sqrt(s->rank) : s->rank)));
    const int64_t da[2] = { s->rank, l->n_in }, db[2] = { s->rows, s->rank };
    snprintf(full, sizeof full, PEFT_PREFIX "%s.lora_A.weight", name);
    if ((rc = safetensors_add(x->w, full, QT_F32, 2, da, NULL, fill_a, s, e))) return rc;
    snprintf(full, sizeof full, PEFT_PREFIX "%s.lora_B.weight", name);
    return safetensors_add(x->w, full, QT_F32, 2, db, NULL, fill_b, s, e);
}

/* The last parts of the names, where they say it all in the adapted layers; else the whole names. */
static void put_targets(struct peft_writer *x, json_t *o)
{
    json_t *names = json_array(), *layers = json_array();
    int whole = 0;
    for (int i = 0; i < x->n_name; i++) {
        if (x->name[i].on) json_array_append_new(names, json_string(x->name[i].text));
        whole |= x->name[i].on && x->name[i].on < x->name[i].all;
    }
    for (int l = 0; l < x->m->hp.n_layer; l++)
        if (x->layer_on[l]) json_array_append_new(layers, json_integer(l));
    const int some = !whole && (int)json_array_size(layers) < x->m->hp.n_layer;
    json_object_set(o, "target_modules", whole ? x->full_names : names);
    json_object_set(o, "layers_to_transform", some ? layers : json_null());
    if (some) { /* without it the last number of a name is taken for the layer, which may be an expert's */
        const char *rule = x->piece[0].p.rule->hf, *at = strstr(rule, ".#");
        size_t n = at ? (size_t)(at - rule) : 0, from = n;
        while (from && rule[from - 1] != '.') from--;
        json_object_set_new(o, "layers_pattern", json_stringn(rule + from, n - from));
    }
    json_decref(names);
    json_decref(layers);
}

/* Keys that came later stand there only where they say something: a version refuses a key that it does not know. */
static int write_config(struct peft_writer *x, const struct hf_arch *arch, const char *dir, ilab_err *e)
{
    const struct adapter *a = x->a;
    const double alpha = a->alpha != 0 ? (double)a->alpha : a->rslora ? sqrt(a->rank) : a->rank; /* 0: unscaled */
    json_t *o = json_object();
    json_object_set_new(o, "peft_type", json_string("LORA"));
    json_object_set_new(o, "task_type", json_string("CAUSAL_LM"));
    json_object_set_new(o, "base_model_name_or_path", json_string(x->m->name));
    json_object_set_new(o, "r", json_integer(a->rank));
    json_object_set_new(o, "lora_alpha", alpha == floor(alpha) && alpha < 1e9 ? json_integer((json_int_t)alpha) : json_real(alpha));
    json_object_set_new(o, "lora_dropout", json_real((double)a->dropout));
    if (a->rslora) json_object_set_new(o, "use_rslora", json_true());
    json_object_set_new(o, "bias", json_string("none"));
    json_object_set_new(o, "fan_in_fan_out", json_boolean(!strcmp(arch->gguf, "gpt2"))); /* its class keeps [in, out] */
    json_object_set_new(o, "inference_mode", json_true());
    json_object_set_new(o, "init_lora_weights", json_true());
    json_object_set_new(o, "modules_to_save", json_null());
    if (json_object_size(x->rank_pattern)) json_object_set(o, "rank_pattern", x->rank_pattern);
    if (json_object_size(x->alpha_pattern)) json_object_set(o, "alpha_pattern", x->alpha_pattern);
    put_targets(x, o);
    return hf_write_json(dir, PEFT_CONFIG, o, e);
}

static int write_all(struct peft_writer *x, const struct hf_arch *arch, const char *dir, ilab_err *e)
{
    int rc = peft_each(x->m, arch, count_module, x, e);
    if (rc) return rc;
    for (int i = 0; i < x->a->n_layer * ADAPT_COUNT; i++)
        if (x->a->lora[i].on && !x->kind_on[i])
            return err_set(e, ILAB_E_INVALID, "PEFT has no module for 'blk.%d.%s': the family '%s' keeps it in one tensor with others; write GGUF, or leave it out (--lora-target-modules)",
                           i / ADAPT_COUNT, LINEAR_NAME[i % ADAPT_COUNT], arch->model_type);
    if (!(x->piece = mem_calloc(x->cap + 1, sizeof *x->piece))) return err_set(e, ILAB_E_NOMEM, "no memory to write '%s'", dir);
    if ((rc = peft_each(x->m, arch, add_module, x, e)) || (rc = dir_make(dir, e))) return rc;
    char *path = path_join(dir, PEFT_WEIGHTS);
    rc = safetensors_write(x->w, path, e);
    mem_free(path);
    return rc ? rc : write_config(x, arch, dir, e);
}

int adapter_write_peft(const struct adapter *a, const struct model *m, const char *dir, ilab_err *e)
{
    const struct hf_arch *arch;
    int rc = peft_family(&arch, m, e);
    if (rc) return rc;
    struct peft_writer x = { .a = a, .m = m, .w = safetensors_writer_new(), .kind_on = mem_calloc((size_t)a->n_layer * ADAPT_COUNT, 1),
                             .layer_on = mem_calloc((size_t)a->n_layer, 1), .rank_pattern = json_object(), .alpha_pattern = json_object(), .full_names = json_array() };
    rc = x.kind_on && x.layer_on ? write_all(&x, arch, dir, e) : err_set(e, ILAB_E_NOMEM, "no memory to write '%s'", dir);
    safetensors_writer_free(x.w);
    mem_free(x.piece);
    mem_free(x.kind_on);
    mem_free(x.layer_on);
    json_decref(x.rank_pattern);
    json_decref(x.alpha_pattern);
    json_decref(x.full_names);
    return rc;
}
