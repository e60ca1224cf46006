/* export.c — generated samples and a ready configuration for trainers that run on GPUs.
 *
 * Three forms of a conversation (messages, sharegpt, alpaca) and three trainers (InstructLab's training library, axolotl,
 * LLaMA-Factory); each is a row of a table. Only what those trainers read is written: sample weights and a teacher's
 * distributions are not, and what a form cannot hold is left out and counted. Strings in YAML are written as JSON writes them,
 * which YAML 1.2 reads alike.  SPDX-License-Identifier: Apache-2.0 */
#include "data/data.h"
#include "text/text.h"

#include <string.h>

enum { EXPORT_LINE_MAX = 64 << 20, CONFIG_MAX = 1 << 16 };
#define EXPORT_MAX_BYTES ((size_t)16 << 30)

/* ---- forms ---- */

struct turn { const char *role; json_t *content; /* borrowed */ };
enum { MAX_TURNS = 1000 };
struct talk { struct turn v[MAX_TURNS]; int n; const char *id; };

static json_t *object2(const char *k1, const char *v1, const char *k2, json_t *v2)
{
    json_t *o = json_object();
    json_object_set_new(o, k1, json_string(v1));
    json_object_set(o, k2, v2);
    return o;
}

static json_t *as_messages(const struct talk *t)
{
    json_t *o = json_object(), *list = json_array();
    for (int i = 0; i < t->n; i++) json_array_append_new(list, object2("role", t->v[i].role, "content", t->v[i].content));
    json_object_set_new(o, "messages", list);
    return o;
}

/* InstructLab's library wants these beside the messages. */
static json_t *as_instructlab(const struct talk *t)
{
    json_t *o = as_messages(t);
    json_object_set_new(o, "metadata", json_string("{}"));
    json_object_set_new(o, "id", json_string(t->id));
    json_object_set_new(o, "unmask", json_false());
    return o;
}

static json_t *as_sharegpt(const struct talk *t)
{
    static const char *const FROM[][2] = { { "system", "system" }, { "user", "human" }, { "assistant", "gpt" } };
    json_t *o = json_object(), *list = json_array();
    for (int i = 0; i < t->n; i++)
        for (size_t k = 0; k < ARRAY_LEN(FROM); k++)
            if (!strcmp(t->v[i].role, FROM[k][0])) json_array_append_new(list, object2("from", FROM[k][1], "value", t->v[i].content));
    json_object_set_new(o, "conversations", list);
    return o;
}

/* The last question and answer, earlier ones as history; both keys in every row, since LLaMA-Factory asks each for them. NULL: turns that do not alternate. */
static json_t *as_alpaca(const struct talk *t)
{
    const int first = t->n && !strcmp(t->v[0].role, "system");
    if (t->n - first < 2 || (t->n - first) % 2) return NULL;
    for (int i = first; i < t->n; i++)
        if (strcmp(t->v[i].role, (i - first) % 2 ? "assistant" : "user")) return NULL;
    json_t *o = json_object(), *history = json_array();
    json_object_set(o, "instruction", t->v[t->n - 2].content);
    json_object_set_new(o, "input", json_string(""));
    json_object_set(o, "output", t->v[t->n - 1].content);
    if (first) json_object_set(o, "system", t->v[0].content);
    else json_object_set_new(o, "system", json_string(""));
    for (int i = first; i + 2 < t->n; i += 2) {
        json_t *pair = json_array();
        json_array_append(pair, t->v[i].content);
        json_array_append(pair, t->v[i + 1].content);
        json_array_append_new(history, pair);
    }
    json_object_set_new(o, "history", history);
    return o;
}

static const struct form { const char *name; json_t *(*write)(const struct talk *t); } FORMS[] = {
    { "messages", as_messages }, { "sharegpt", as_sharegpt }, { "alpaca", as_alpaca },
};
enum { MESSAGES, SHAREGPT, ALPACA };

/* The turns of a line; 0: there are none that can be exported. */
static int talk_of(const json_t *v, struct talk *t)
{
    static const char *const ROLE[] = { "system", "user", "assistant" };
    const json_t *list = json_object_get(v, "messages");
    int answers = 0;
    t->n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        const char *role = json_str(m, "role");
        json_t *content = json_object_get(m, "content");
        int known = 0;
        for (int k = 0; role && k < 3; k++) known |= !strcmp(role, ROLE[k]);
        if (!known || !json_is_string(content) || t->n == MAX_TURNS) return 0;
        if (!strcmp(role, "system") && !json_string_length(content)) continue;
        t->v[t->n++] = (struct turn){ role, content };
        answers += !strcmp(role, "assistant");
    }
    for (int k = 0; !list && k < 3; k++) {
        json_t *content = json_object_get(v, ROLE[k]);
        if (!json_is_string(content) || (k == 0 && !json_string_length(content))) continue;
        t->v[t->n++] = (struct turn){ ROLE[k], content };
        answers += k == 2;
    }
    return answers && !strcmp(t->v[t->n - 1].role, "assistant");
}

static int convert_file(const char *from, const char *dir, const char *name, json_t *(*write)(const struct talk *), int flat, int64_t *n,
                        struct export_report *r, ilab_err *e)
{
    struct file_map map;
    struct file_out out;
    char *path = path_join(dir, name);
    struct talk *t = mem_alloc(sizeof *t);
    int rc = path && t ? file_map_open(&map, from, e) : err_set(e, ILAB_E_NOMEM, "no memory to export");
    if (rc) goto none;
    if (map.n > EXPORT_MAX_BYTES) rc = err_set(e, ILAB_E_LIMIT, "'%s' is too large to export", from);
    if (!rc) rc = file_create(&out, path, e);
    if (rc) goto unmap;
    struct sv rest = { (const char *)map.p, map.n }, line;
    struct sb b;
    sb_init(&b, EXPORT_LINE_MAX);
    for (int64_t n_line = 1; !rc && sv_split(&rest, '\n', &line); n_line++) {
        char id[32];
        ilab_err why = { 0 };
        if (!sv_trim(line).n) continue;
        json_t *v = line.n <= EXPORT_LINE_MAX ? json_parse(line, from, &why) : NULL;
        if (!json_is_object(v)) {
            rc = err_set(e, ILAB_E_FORMAT, "%s:%lld: not a JSON object", from, (long long)n_line);
            json_decref(v);
            break;
        }
        snprintf(id, sizeof id, "ilab-%lld", (long long)n_line);
        t->id = id;
        json_t *o = talk_of(v, t) ? write(t) : NULL;
        if (o && flat && (json_array_size(json_object_get(o, "history")) || json_str(o, "system")[0])) {
            json_decref(o);
            o = NULL;
        } else if (o && flat) {
            json_object_del(o, "history");
            json_object_del(o, "system");
        }
        r->n_weighted += o && json_num(v, "weight", 1) != 1;
        if (o) {
            sb_reset(&b);
            sb_add_json(&b, o);
            sb_addc(&b, "\n");
            if (b.failed) rc = err_set(e, ILAB_E_NOMEM, "no memory to export");
            file_put(&out, b.p, b.n);
            ++*n;
        } else {
            r->n_left_out++;
        }
        json_decref(o);
        json_decref(v);
    }
    sb_release(&b);
    if (rc || !*n) file_abandon(&out);
    else rc = file_commit(&out, e);
unmap:
    file_map_close(&map);
none:
    mem_free(path);
    mem_free(t);
    return rc;
}

/* ---- configurations ---- */

static void yaml_str(struct sb *b, const char *key, const char *value)
{
    sb_addf(b, "%s: ", key);
    sb_add_json_str(b, sv_of(value));
    sb_addc(b, "\n");
}

static void axolotl_data(struct sb *b, const char *file, int form)
{
    sb_addf(b, "  - path: %s\n    ds_type: json\n%s", file, strcmp(file, "train.jsonl") ? "    split: train\n" : "");
    if (form == ALPACA) {
        sb_addc(b, "    type: alpaca\n");
        return;
    }
    sb_addf(b, "    type: chat_template\n    field_messages: %s\n", form == SHAREGPT ? "conversations" : "messages");
    if (form == SHAREGPT) sb_addc(b, "    message_property_mappings:\n      role: from\n      content: value\n");
    sb_addc(b, "    roles_to_train: [assistant]\n    train_on_eos: turn\n");
}

/* Without one of the attentions that it knows to cut between samples, packing lets them see each other; PyTorch's own needs no further package. */
static void axolotl_config(struct sb *b, const struct export_opts *o, int form, const struct export_report *r)
{
    yaml_str(b, "base_model", o->base);
    sb_addc(b, "datasets:\n");
    axolotl_data(b, "train.jsonl", form);
    if (r->n_test) {
        sb_addc(b, "test_datasets:\n");
        axolotl_data(b, "test.jsonl", form);
    } else {
        sb_addc(b, "val_set_size: 0.0\n");
    }
    sb_addc(b, "dataset_prepared_path: prepared\noutput_dir: output\n");
    if (!o->full) sb_addf(b, "adapter: lora\nlora_r: %d\nlora_alpha: %d\nlora_dropout: 0.0\nlora_target_linear: true\n", o->rank, o->alpha);
    sb_addf(b, "sequence_len: %d\nsample_packing: true\nsdp_attention: true\neval_sample_packing: false\nmicro_batch_size: 2\ngradient_accumulation_steps: 4\nnum_epochs: %d\n"
               "optimizer: adamw_torch\nlr_scheduler: cosine\nlearning_rate: %.6f\nwarmup_ratio: 0.05\nweight_decay: 0.01\nbf16: auto\n"
               "gradient_checkpointing: true\nlogging_steps: 1\nsaves_per_epoch: 1\nseed: 42\n", o->max_seq, o->epochs, o->lr);
}

/* LLaMA-Factory's name for a family's chat format, by a part of the model's name. */
static const char *factory_template(const struct export_opts *o)
{
    static const char *const FAMILY[][2] = {
        { "granite-3", "granite3" }, { "mixtral", "mistral" }, { "mistral", "mistral" }, { "qwen3", "qwen3" }, { "qwen", "qwen" }, { "llama-3", "llama3" },
        { "llama3", "llama3" }, { "llama-2", "llama2" }, { "gemma", "gemma" }, { "phi-3", "phi" },
    };
    char low[256];
    size_t n = 0;
    if (o->chat_template) return o->chat_template;
    for (const char *p = o->base; *p && n + 1 < sizeof low; p++) low[n++] = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
    low[n] = 0;
    for (size_t i = 0; i < ARRAY_LEN(FAMILY); i++)
        if (strstr(low, FAMILY[i][0])) return FAMILY[i][1];
    return "default";
}

static void factory_config(struct sb *b, const struct export_opts *o, int form, const struct export_report *r)
{
    (void)form;
    yaml_str(b, "model_name_or_path", o->base);
    sb_addf(b, "stage: sft\ndo_train: true\nfinetuning_type: %s\n", o->full ? "full" : "lora");
    if (!o->full) sb_addf(b, "lora_rank: %d\nlora_alpha: %d\nlora_target: all\n", o->rank, o->alpha);
    sb_addc(b, "dataset: ilab_train\ndataset_dir: .\n");
    yaml_str(b, "template", factory_template(o));
    sb_addf(b, "cutoff_len: %d\noutput_dir: output\nlogging_steps: 1\nsave_strategy: epoch\nplot_loss: true\nper_device_train_batch_size: 2\n"
               "gradient_accumulation_steps: 4\nlearning_rate: %.6f\nnum_train_epochs: %d\nlr_scheduler_type: cosine\nwarmup_ratio: 0.05\n"
               "bf16: true\nseed: 42\n", o->max_seq, o->lr, o->epochs);
    if (r->n_test) sb_addc(b, "eval_dataset: ilab_test\nper_device_eval_batch_size: 2\neval_strategy: epoch\n");
}

static void factory_set(struct sb *b, const char *name, const char *file, int form)
{
    sb_addf(b, "  \"%s\": {\n    \"file_name\": \"%s\",\n", name, file);
    if (form == ALPACA)
        sb_addc(b, "    \"formatting\": \"alpaca\",\n    \"columns\": {\"prompt\": \"instruction\", \"query\": \"input\", \"response\": \"output\", \"system\": \"system\", \"history\": \"history\"}\n  }");
    else if (form == SHAREGPT)
        sb_addc(b, "    \"formatting\": \"sharegpt\",\n    \"columns\": {\"messages\": \"conversations\"},\n    \"tags\": {\"role_tag\": \"from\", \"content_tag\": \"value\", "
                   "\"user_tag\": \"human\", \"assistant_tag\": \"gpt\", \"system_tag\": \"system\"}\n  }");
    else
        sb_addc(b, "    \"formatting\": \"sharegpt\",\n    \"columns\": {\"messages\": \"messages\"},\n    \"tags\": {\"role_tag\": \"role\", \"content_tag\": \"content\", "
                   "\"user_tag\": \"user\", \"assistant_tag\": \"assistant\", \"system_tag\": \"system\"}\n  }");
}

static void factory_index(struct sb *b, const struct export_opts *o, int form, const struct export_report *r)
{
    (void)o;
    sb_addc(b, "{\n");
    factory_set(b, "ilab_train", "train.jsonl", form);
    if (r->n_test) {
        sb_addc(b, ",\n");
        factory_set(b, "ilab_test", "test.jsonl", form);
    }
    sb_addc(b, "\n}\n");
}

/* The fields of the library's TrainingArgs. */
static void instructlab_config(struct sb *b, const struct export_opts *o, int form, const struct export_report *r)
{
    (void)form;
    (void)r;
    yaml_str(b, "model_path", o->base);
    sb_addf(b, "data_path: train.jsonl\nckpt_output_dir: output\ndata_output_dir: prepared\nmax_seq_len: %d\nmax_batch_len: %d\nnum_epochs: %d\n"
               "effective_batch_size: 32\nsave_samples: 0\nlearning_rate: %.6f\nwarmup_steps: 25\nis_padding_free: false\nrandom_seed: 42\ncheckpoint_at_epoch: true\n",
            o->max_seq, o->max_seq < 20000 ? 20000 : o->max_seq, o->epochs, o->lr);
    if (!o->full) sb_addf(b, "lora:\n  rank: %d\n  alpha: %d\n  dropout: 0.0\n  target_modules: [q_proj, k_proj, v_proj, o_proj]\n", o->rank, o->alpha);
}

static void instructlab_start(struct sb *b, const struct export_opts *o, int form, const struct export_report *r)
{
    (void)form;
    (void)r;
    sb_addc(b, "#!/bin/sh\n# Starts InstructLab's own training (Python, a GPU) with what stands in train.yaml.\ncd \"$(dirname \"$0\")\" || exit 1\n"
               "exec python3 -c '\nimport yaml\nfrom instructlab.training import LoraOptions, TorchrunArgs, TrainingArgs, run_training\n"
               "a = yaml.safe_load(open(\"train.yaml\"))\nlora = a.pop(\"lora\", None)\n"
               "args = TrainingArgs(**a, **({\"lora\": LoraOptions(**lora)} if lora else {}))\n"
               "run_training(TorchrunArgs(nproc_per_node=1, nnodes=1, node_rank=0, rdzv_id=123, rdzv_endpoint=\"127.0.0.1:12222\"), args)\n'\n");
    (void)o;
}

typedef void config_fn(struct sb *b, const struct export_opts *o, int form, const struct export_report *r);
struct config_file { const char *name; config_fn *write; };
static const struct trainer { const char *name; int one_form /* -1: any */; struct config_file file[2]; const char *start; } TRAINERS[] = {
    { "instructlab", MESSAGES, { { "train.yaml", instructlab_config }, { "train.sh", instructlab_start } }, "sh train.sh" },
    { "axolotl", -1, { { "axolotl.yaml", axolotl_config } }, "axolotl train axolotl.yaml" },
    { "llamafactory", -1, { { "train.yaml", factory_config }, { "dataset_info.json", factory_index } }, "llamafactory-cli train train.yaml" },
};

int data_export(const struct export_opts *o, struct export_report *r, ilab_err *e)
{
    const struct trainer *t = NULL;
    int form = MESSAGES, rc = 0;
    *r = (struct export_report){ 0 };
    for (size_t i = 0; i < ARRAY_LEN(TRAINERS); i++)
        if (!strcmp(TRAINERS[i].name, o->trainer)) t = &TRAINERS[i];
    if (!t) return err_set(e, ILAB_E_INVALID, "no trainer '%s' is known: instructlab, axolotl, llamafactory", o->trainer);
    if (o->form) {
        for (form = 0; form < (int)ARRAY_LEN(FORMS) && strcmp(FORMS[form].name, o->form); form++) { }
        if (form == (int)ARRAY_LEN(FORMS)) return err_set(e, ILAB_E_INVALID, "no form '%s' is known: messages, sharegpt, alpaca", o->form);
    }
    if (t->one_form >= 0 && form != t->one_form) return err_set(e, ILAB_E_INVALID, "%s reads the form '%s' only", t->name, FORMS[t->one_form].name);
    json_t *(*write)(const struct talk *) = t->one_form >= 0 ? as_instructlab : FORMS[form].write;
    const int flat = form == ALPACA && !strcmp(t->name, "axolotl"); /* it reads neither a history nor a system prompt there */
    if ((rc = dir_make(o->out, e)) || (rc = convert_file(o->train, o->out, "train.jsonl", write, flat, &r->n_train, r, e))) return rc;
    if (!r->n_train) return err_set(e, ILAB_E_FORMAT, "'%s' holds no conversation that can be exported", o->train);
    if (o->test && (rc = convert_file(o->test, o->out, "test.jsonl", write, flat, &r->n_test, r, e))) return rc;
    for (size_t i = 0; i < ARRAY_LEN(t->file) && t->file[i].name && !rc; i++) {
        struct sb b;
        char *path = path_join(o->out, t->file[i].name);
        sb_init(&b, CONFIG_MAX);
        t->file[i].write(&b, o, form, r);
        rc = b.failed || !path ? err_set(e, ILAB_E_NOMEM, "no memory for '%s'", t->file[i].name) : file_write(path, b.p, b.n, e);
        r->file[r->n_file++] = t->file[i].name;
        sb_release(&b);
        mem_free(path);
    }
    r->start = t->start;
    return rc;
}
