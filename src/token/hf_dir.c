/* hf_dir.c — a Hugging Face directory: finds the files, reads what stands beside the vocabulary.
 *
 * A missing file is no error as long as there is a vocabulary. Where files disagree: tokenizer_config.json, then
 * special_tokens_map.json, then config.json. The chat template is a file of its own (chat_template.jinja) or part of
 * tokenizer_config.json.  SPDX-License-Identifier: Apache-2.0 */
#include "token/hf.h"

#include <string.h>

/* Python writes whole numbers of any length ("model_max_length": 1000000000000000019884624838656). What does not fit 64 bits
 * becomes its first digit and exponent, in place. */
static void shorten_numbers(char *p, size_t n)
{
    enum { FITS = 18 };
    int in_string = 0;

    for (size_t i = 0; i < n; i++) {
        size_t end = i;
        if (in_string && p[i] == '\\')
            i++;
        else if (p[i] == '"')
            in_string = !in_string;
        while (!in_string && end < n && p[end] >= '0' && p[end] <= '9')
            end++;
        if (end > i + FITS && (end == n || !strchr(".eE", p[end]))) {
            char exponent[32];
            int used = snprintf(exponent, sizeof exponent, "e%zu", end - i - 1);
            memcpy(p + i + 1, exponent, (size_t)used);
            memset(p + i + 1 + used, ' ', end - i - 1 - (size_t)used);
        }
        i = end > i ? end - 1 : i;
    }
}

static json_t *read_file(const char *path, size_t max, ilab_err *e)
{
    char *text;
    size_t n;

    if (file_read(path, max, &text, &n, e))
        return NULL;
    shorten_numbers(text, n);
    json_t *v = json_parse_unique((struct sv){ text, n }, path, e);
    mem_free(text);
    return v;
}

/* Reads dir/name when it is there; *out stays NULL otherwise. */
static int read_json(const char *dir, const char *name, size_t max, json_t **out, ilab_err *e)
{
    char *path = path_join(dir, name);
    int rc = 0;

    *out = NULL;
    if (file_exists(path) == 1) {
        ilab_err local = { 0 };
        *out = read_file(path, max, &local);
        if (!*out)
            rc = err_set(e, local.code ? local.code : ILAB_E_FORMAT, "%s", local.msg);
    }
    mem_free(path);
    return rc;
}

/* "token": "text" or {"content": "text"} */
static const char *token_name(const struct hf_facts *f, const char *key)
{
    const json_t *const from[] = { f->tokenizer_config, f->special_map };

    for (size_t k = 0; k < ARRAY_LEN(from); k++) {
        const json_t *v = json_object_get(from[k], key);
        const char *s = json_is_string(v) ? json_string_value(v) : json_str(v, "content");
        if (s)
            return s;
    }
    return NULL;
}

static int flag(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_boolean(v) ? json_is_true(v) : -1;
}

static void gather(struct hf_facts *f)
{
    const json_t *text = json_object_get(f->config, "text_config");

    f->bos = token_name(f, "bos_token");
    f->eos = token_name(f, "eos_token");
    f->unknown = token_name(f, "unk_token");
    f->padding = token_name(f, "pad_token");
    f->mask = token_name(f, "mask_token");
    f->cls = token_name(f, "cls_token");
    f->sep = token_name(f, "sep_token");
    f->add_bos = flag(f->tokenizer_config, "add_bos_token");
    f->add_eos = flag(f->tokenizer_config, "add_eos_token");
    f->n_vocab = json_int(f->config, "vocab_size", json_int(text, "vocab_size", -1));
}

static int put_added(struct draft *d, int64_t id, const json_t *o, const char *content, ilab_err *e)
{
    int special = flag(o, "special") != 0;

    if (id >= 0 && id < d->n && d->text[id].p && sv_eq_c(d->text[id], content) && d->kind[id] != TOKEN_NORMAL)
        special = d->kind[id] != TOKEN_USER;
    int32_t kind = id >= 0 && id < d->n && d->kind[id] == TOKEN_UNKNOWN ? TOKEN_UNKNOWN : special ? TOKEN_CONTROL : TOKEN_USER;
    int rc = draft_put(d, id, sv_of(content), kind, 0, 0, e);
    if (!rc)
        d->strip[id] = (uint8_t)((flag(o, "lstrip") == 1 ? STRIP_LEFT : 0) | (flag(o, "rstrip") == 1 ? STRIP_RIGHT : 0));
    return rc;
}

int hf_add_tokens(struct draft *d, const struct hf_facts *f, ilab_err *e)
{
    const char *key, *content;
    json_t *v;
    int rc = 0;

    json_object_foreach((json_t *)f->added, key, v) {
        if (!json_is_integer(v))
            return err_set(e, ILAB_E_FORMAT, "added_tokens.json: '%.60s' has no whole number", key);
        if ((rc = put_added(d, json_integer_value(v), NULL, key, e)))
            return rc;
    }
    json_object_foreach(json_object_get(f->tokenizer_config, "added_tokens_decoder"), key, v) {
        int64_t id;
        if (parse_i64(key, 0, TOKEN_MAX_VOCAB - 1, &id) || !(content = json_str(v, "content")))
            return err_set(e, ILAB_E_FORMAT, "tokenizer_config.json: added token '%.60s' is no id with content", key);
        if ((rc = put_added(d, id, v, content, e)))
            return rc;
    }
    return 0;
}

static void name_to_id(const struct tokenizer *t, const char *name, int *id)
{
    int found = name ? tokenizer_find(t, name) : -1;

    if (found >= 0)
        *id = found;
}

/* "eos_token_id": 2, or [2, 32000] */
static void add_ends(struct tokenizer *t, const json_t *o)
{
    const json_t *v = json_object_get(o, "eos_token_id");

    if (json_is_integer(v))
        tokenizer_add_end(t, json_integer_value(v) >= 0 && json_integer_value(v) < t->n ? (int)json_integer_value(v) : -1);
    for (size_t k = 0; k < json_array_size(v) && k < HF_MAX_ENDS; k++) {
        json_int_t id = json_is_integer(json_array_get(v, k)) ? json_integer_value(json_array_get(v, k)) : -1;
        tokenizer_add_end(t, id >= 0 && id < t->n ? (int)id : -1);
    }
}

int hf_finish(struct tokenizer *t, const struct hf_facts *f, ilab_err *e)
{
    int64_t id;

    if (!f->bos && t->bos < 0 && (id = json_int(f->config, "bos_token_id", -1)) >= 0 && id < t->n)
        t->bos = (int)id;
    if (!f->eos && t->eos < 0 && (id = json_int(f->config, "eos_token_id", -1)) >= 0 && id < t->n)
        t->eos = (int)id;
    name_to_id(t, f->bos, &t->bos);
    name_to_id(t, f->eos, &t->eos);
    name_to_id(t, f->unknown, &t->unknown);
    name_to_id(t, f->padding, &t->padding);
    name_to_id(t, f->mask, &t->mask);
    if (t->model == VOCAB_WORDPIECE) {
        name_to_id(t, f->cls, &t->bos);
        name_to_id(t, f->sep, &t->eos);
    }
    if (t->unknown >= 0 && t->unknown < t->n && t->model != VOCAB_BPE)
        t->kind[t->unknown] = TOKEN_UNKNOWN;
    t->adds_bos = f->add_bos >= 0 ? f->add_bos : t->adds_bos;
    t->adds_eos = f->add_eos >= 0 ? f->add_eos : t->adds_eos;
    add_ends(t, f->generation);
    return tokenizer_finish(t, e);
}

/* A string, or a list of {"name": …, "template": …} of which "default" counts. */
static const char *template_of(const json_t *o)
{
    const json_t *v = json_object_get(o, "chat_template");

    for (size_t k = 0; k < json_array_size(v); k++) {
        const char *name = json_str(json_array_get(v, k), "name");
        if (name && !strcmp(name, "default"))
            return json_str(json_array_get(v, k), "template");
    }
    return json_string_value(v);
}

static int read_template(struct tokenizer *t, const char *dir, const struct hf_facts *f, ilab_err *e)
{
    char *path = path_join(dir, "chat_template.jinja"), *text = NULL;
    const char *inner = template_of(f->tokenizer_config);
    size_t n;
    int rc = 0;

    if (file_exists(path) == 1)
        rc = file_read(path, TOKEN_MAX_TEMPLATE_BYTES, &text, &n, e);
    if (!rc && (text || (inner && strlen(inner) <= TOKEN_MAX_TEMPLATE_BYTES)))
        tokenizer_set_chat_template(t, text ? text : inner);
    mem_free(text);
    mem_free(path);
    return rc;
}

static int open_vocabulary(struct tokenizer **out, const char *dir, const struct hf_facts *f, ilab_err *e)
{
    json_t *root = NULL;
    char *path = path_join(dir, "tokenizer.model"), *bytes = NULL;
    size_t n = 0;
    int rc = read_json(dir, "tokenizer.json", HF_MAX_JSON_BYTES, &root, e);

    if (!rc && root) {
        rc = tokenizer_from_hf_json(out, root, f, e);
        json_decref(root);
        if (rc)
            err_prefix(e, "%s/tokenizer.json: ", dir);
    } else if (!rc && file_exists(path) == 1) {
        if (!(rc = file_read(path, HF_MAX_MODEL_BYTES, &bytes, &n, e)) &&
            (rc = tokenizer_from_spm_model(out, (const uint8_t *)bytes, n, f, e)))
            err_prefix(e, "%s: ", path);
        mem_free(bytes);
    } else if (!rc)
        rc = err_set(e, ILAB_E_NOTFOUND, "'%s' has no vocabulary: neither tokenizer.json nor tokenizer.model is there", dir);
    mem_free(path);
    return rc;
}

int tokenizer_open_hf(struct tokenizer **out, const char *dir, ilab_err *e)
{
    struct hf_facts f = { .add_bos = -1, .add_eos = -1, .n_vocab = -1 };
    const struct { const char *name; json_t **out; } file[] = { { "config.json", &f.config }, { "tokenizer_config.json", &f.tokenizer_config },
        { "special_tokens_map.json", &f.special_map }, { "added_tokens.json", &f.added }, { "generation_config.json", &f.generation } };
    int rc = 0;

    *out = NULL;
    if (file_exists(dir) != 2)
        return err_set(e, ILAB_E_NOTFOUND, "'%s' is no directory", dir);
    for (size_t k = 0; k < ARRAY_LEN(file) && !rc; k++)
        rc = read_json(dir, file[k].name, HF_MAX_CONFIG_BYTES, file[k].out, e);
    if (!rc) {
        gather(&f);
        rc = open_vocabulary(out, dir, &f, e);
    }
    if (!rc)
        rc = read_template(*out, dir, &f, e);
    if (!rc)
        tokenizer_set_name(*out, sv_of(path_base(dir)));
    else {
        tokenizer_free(*out);
        *out = NULL;
    }
    for (size_t k = 0; k < ARRAY_LEN(file); k++)
        json_decref(*file[k].out);
    return rc;
}
