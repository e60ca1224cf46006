/* adapter_peft_read.c — a folder that PEFT wrote, as an adapter of ours (adapter_peft.c has the names).
 *
 * Everything that would change the maths and that this program does not do is refused by name: other kinds of adapters, DoRA, biases,
 * trained whole modules, patterns that are regular expressions. Ranks come from the tensors, alphas from the configuration.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/peft.h"

#include <string.h>

enum { HALF_A = 1, HALF_B = 2, MAX_PEFT_CONFIG = 1 << 22 };

struct reader {
    struct model *m; const struct hf_arch *arch; const json_t *config;
    struct lora *plan;                    /* [n_layer · ADAPT_COUNT] */
    uint8_t *seen;                        /* [n_layer · ADAPT_COUNT · max(E, 1)] HALF_A, HALF_B */
    float alpha; int rslora;
};

int adapter_is_dir(const char *path)
{
    char *p = path_join(path, PEFT_CONFIG);
    const int yes = p && file_exists(path) == 2 && file_exists(p) == 1;
    mem_free(p);
    return yes;
}

static int none(const json_t *v) { return !v || json_is_null(v) || json_is_false(v) || ((json_is_array(v) || json_is_object(v)) && !json_array_size(v) && !json_object_size(v)); }

static int check_config(struct reader *x, ilab_err *e)
{
    static const char *const REFUSED[] = { "use_dora", "modules_to_save", "layer_replication", "megatron_config", "trainable_token_indices", "lora_bias",
                                           "target_parameters", "use_qalora", "arrow_config" };
    const char *type = json_str(x->config, "peft_type"), *bias = json_str(x->config, "bias");
    if (!type || strcmp(type, "LORA")) return err_set(e, ILAB_E_FORMAT, "unsupported kind of adapter '%s': only LORA", type ? type : "?");
    if (bias && strcmp(bias, "none")) return err_set(e, ILAB_E_FORMAT, "unsupported: bias is '%s'", bias);
    for (size_t i = 0; i < ARRAY_LEN(REFUSED); i++)
        if (!none(json_object_get(x->config, REFUSED[i]))) return err_set(e, ILAB_E_FORMAT, "unsupported feature of the adapter: %s", REFUSED[i]);
    x->alpha = (float)json_num(x->config, "lora_alpha", 8); /* PEFT's default */
    x->rslora = json_is_true(json_object_get(x->config, "use_rslora"));
    return isfinite(x->alpha) && x->alpha > 0 ? 0 : err_set(e, ILAB_E_FORMAT, "lora_alpha is %g", (double)x->alpha);
}

/* lora_alpha of a module: a name in alpha_pattern is the module's or the end of it. */
static int alpha_of(const struct reader *x, struct sv module, float *alpha, ilab_err *e)
{
    json_t *patterns = json_object_get(x->config, "alpha_pattern"), *v;
    const char *key;
    *alpha = x->alpha;
    json_object_foreach(patterns, key, v) {
        const size_t n = strlen(key);
        if (strpbrk(key, "*^$[(|\\+?{")) return err_set(e, ILAB_E_FORMAT, "unsupported: alpha_pattern '%s' is a regular expression", key);
        if (n <= module.n && sv_ends(module, key) && (n == module.n || module.p[module.n - n - 1] == '.')) *alpha = (float)json_number_value(v);
    }
    return isfinite(*alpha) && *alpha > 0 ? 0 : err_set(e, ILAB_E_FORMAT, "alpha_pattern has %g", (double)*alpha);
}

/* The module that a tensor's name means: "…layers.0.self_attn.q_proj.lora_A.weight". 0: none. */
static int find_module(const struct reader *x, const char *name, struct peft_module *p, struct sv *module, int *half)
{
    static const struct { const char *end; int half; } END[] = { { ".lora_A.weight", HALF_A }, { ".lora_B.weight", HALF_B },
                                                                 { ".lora_A.default.weight", HALF_A }, { ".lora_B.default.weight", HALF_B } };
    struct sv s = sv_of(name);
    size_t i = 0;
    while (i < ARRAY_LEN(END) && !sv_ends(s, END[i].end)) i++;
    if (i == ARRAY_LEN(END)) return 0;
    *half = END[i].half;
    s.n -= strlen(END[i].end);
    if (sv_starts(s, PEFT_PREFIX)) s.p += strlen(PEFT_PREFIX), s.n -= strlen(PEFT_PREFIX);
    *module = s;
    for (const char *dot = s.p - 1; dot && dot < s.p + s.n; dot = memchr(dot + 1, '.', (size_t)(s.p + s.n - dot - 1))) {
        const struct sv rest = { dot + 1, (size_t)(s.p + s.n - dot - 1) }; /* behind "model.", "language_model.model." … */
        for (const struct hf_name *const *group = x->arch->names; *group; group++)
            for (const struct hf_name *r = *group; r->hf; r++) {
                int layer, expert;
                if (!hf_match(r->hf, rest, &layer, &expert) || layer < 0 || layer >= x->m->hp.n_layer || expert >= x->m->hp.n_expert) continue;
                *p = (struct peft_module){ .arch = x->arch, .rule = r, .layer = layer, .expert = expert };
                if ((p->n = peft_kinds(x->m, r, layer, p->kind))) return 1;
            }
    }
    return 0;
}

/* Checks a tensor and notes it in the plan. */
static int scan_tensor(struct reader *x, const struct safetensor *t, ilab_err *e)
{
    struct peft_module p;
    struct sv module;
    int half, rc;
    float alpha;
    if (!find_module(x, t->name, &p, &module, &half)) return err_set(e, ILAB_E_FORMAT, "unsupported adapter tensor '%s'", t->name);
    if (t->type != QT_F32 && t->type != QT_F16 && t->type != QT_BF16) return err_set(e, ILAB_E_FORMAT, "adapter tensor '%s' has the unsupported element type %s", t->name, t->dtype);
    int64_t in = 0, out = 0;
    for (int i = 0; i < p.n; i++) {
        const struct tensor *w = adapted_tensor(x->m, p.layer, p.kind[i]);
        in = w->dim[0];
        out += w->dim[1];
    }
    const int64_t rank = t->n_dim == 2 ? t->dim[half == HALF_A ? 0 : 1] : 0;
    if (t->n_dim != 2 || t->dim[half == HALF_A ? 1 : 0] != (half == HALF_A ? in : out)) return err_set(e, ILAB_E_FORMAT, "adapter tensor '%s' does not fit the model", t->name);
    if (rank < 1 || rank > MAX_RANK) return err_set(e, ILAB_E_FORMAT, "adapter tensor '%s' has rank %lld, must be 1 to %d", t->name, (long long)rank, MAX_RANK);
    if ((rc = alpha_of(x, module, &alpha, e))) return rc;
    for (int i = 0; i < p.n; i++) {
        const size_t at = (size_t)(p.layer * ADAPT_COUNT + p.kind[i]);
        uint8_t *seen = &x->seen[at * (size_t)(x->m->hp.n_expert > 0 ? x->m->hp.n_expert : 1) + (size_t)(p.expert > 0 ? p.expert : 0)];
        struct lora *l = &x->plan[at];
        if ((*seen & half) || (l->rank && l->rank != rank)) return err_set(e, ILAB_E_FORMAT, "adapter tensor '%s' has rank %lld and contradicts another tensor", t->name, (long long)rank);
        *seen |= (uint8_t)half;
        *l = (struct lora){ .on = l->on | (*seen == (HALF_A | HALF_B)), .rank = (int)rank, .a_of = p.kind[0], .scale = lora_scale(alpha, (int)rank, x->rslora) };
    }
    return 0;
}

/* Experts that the folder does not mention stay as they are (zero matrices); a lone half is refused. */
static int check_halves(const struct reader *x, ilab_err *e)
{
    const int each = x->m->hp.n_expert > 0 ? x->m->hp.n_expert : 1;
    int n = 0;
    for (int i = 0; i < x->m->hp.n_layer * ADAPT_COUNT; i++) {
        n += x->plan[i].on;
        for (int k = 0; k < each; k++)
            if (x->seen[i * each + k] == HALF_A || x->seen[i * each + k] == HALF_B)
                return err_set(e, ILAB_E_FORMAT, "adapter lacks one half of 'blk.%d.%s'", i / ADAPT_COUNT, LINEAR_NAME[i % ADAPT_COUNT]);
    }
    return n ? 0 : err_set(e, ILAB_E_FORMAT, "adapter holds no tensors");
}

static void copy_tensor(const struct reader *x, const struct adapter *a, const struct safetensor *t)
{
    struct peft_module p;
    struct sv module;
    int half;
    find_module(x, t->name, &p, &module, &half);
    struct tensor from = { .data = t->data, .type = t->type, .n_dim = 2, .dim = { t->dim[1], t->dim[0], 1, 1 },
                           .row_bytes = (size_t)t->dim[1] * (t->type == QT_F32 ? 4 : 2), .n_bytes = t->n_bytes };
    const int64_t expert = p.expert > 0 ? p.expert : 0;
    const struct lora *l = &a->lora[p.layer * ADAPT_COUNT + p.kind[0]];
    for (int64_t r = 0; half == HALF_A && r < l->rank; r++) tensor_row_f32(&from, r, l->a + (expert * l->rank + r) * l->n_in);
    int64_t row0 = 0;
    for (int i = 0; half == HALF_B && i < p.n; i++, row0 += l->n_out) {
        if (i) l = &a->lora[p.layer * ADAPT_COUNT + p.kind[i]];
        for (int64_t r = 0; r < l->n_out; r++) tensor_row_f32(&from, row0 + peft_row(x->m, p.rule, r), l->b + (expert * l->n_out + r) * l->rank);
    }
}

static int read_weights(struct adapter **out, struct reader *x, const char *dir, ilab_err *e)
{
    char *path = path_join(dir, PEFT_WEIGHTS);
    struct safetensors *s;
    int rc = file_exists(path) == 1 ? 0 : err_set(e, ILAB_E_NOTFOUND, "there is no " PEFT_WEIGHTS " (other formats, as adapter_model.bin, must be saved as safetensors first)");
    if (!rc) rc = safetensors_open(&s, path, e);
    mem_free(path);
    if (rc) return rc;
    for (int i = 0; !rc && i < safetensors_count(s); i++) rc = scan_tensor(x, safetensors_at(s, i), e);
    if (!rc) rc = check_halves(x, e);
    if (!rc) rc = adapter_alloc(out, x->m, x->alpha, x->rslora, x->plan, e);
    for (int i = 0; !rc && i < safetensors_count(s); i++) copy_tensor(x, *out, safetensors_at(s, i));
    if (!rc && (rc = safetensors_check(s, e))) adapter_free(*out), *out = NULL;
    safetensors_close(s);
    return rc;
}

int adapter_open_peft(struct adapter **out, const char *dir, struct model *m, ilab_err *e)
{
    struct reader x = { .m = m };
    char *path = path_join(dir, PEFT_CONFIG);
    json_t *config = json_read_file(path, MAX_PEFT_CONFIG, e);
    mem_free(path);
    *out = NULL;
    if (!config) return e && e->code ? e->code : ILAB_E_FORMAT;
    const size_t n = (size_t)m->hp.n_layer * ADAPT_COUNT;
    x.config = config;
    x.plan = mem_calloc(n, sizeof *x.plan);
    x.seen = mem_calloc(n * (size_t)(m->hp.n_expert > 0 ? m->hp.n_expert : 1), 1);
    int rc = x.plan && x.seen ? peft_family(&x.arch, m, e) : err_set(e, ILAB_E_NOMEM, "no memory for an adapter");
    if (!rc) rc = check_config(&x, e);
    if (!rc) rc = read_weights(out, &x, dir, e);
    mem_free(x.plan);
    mem_free(x.seen);
    json_decref(config);
    return rc;
}
