/* config_keys.c — the table of configuration keys: see config.h. A new setting is a row here and its name in the option's row.
 *
 * Defaults that start with @ are the current directory's in the early layout; the late layout then takes its own column.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"

#include <ctype.h>
#include <string.h>

#define SECTION(name, doc) { name, KEY_SECTION, NULL, NULL, NULL, 0, 0, NULL, NULL, 0, doc }
/* Most rows are one of these: a key of 0.26 alone, without and with a range; one of ours alone. */
#define LATE_IN(name, type, value, lo, hi, doc) { name, type, NULL, value, NULL, lo, hi, NULL, NULL, 0, doc }
#define LATE(name, type, value, doc) LATE_IN(name, type, value, 0, 0, doc)
#define OURS(name, type, value, lo, hi, choices, doc) { name, type, NULL, NULL, value, lo, hi, choices, NULL, 0, doc }
/* Groups that stand in several places. */
#define VLLM(at) SECTION(at, "Serving on GPUs."), \
    LATE_IN(at ".gpus", KEY_INT, "null", 0, 1024, "Number of GPUs."), \
    LATE(at ".llm_family", KEY_STR, "''", "Family of the model: granite or mixtral."), \
    LATE_IN(at ".max_startup_attempts", KEY_INT, "120", 1, 100000, "How often its start is awaited."), \
    LATE(at ".vllm_args", KEY_LIST, "[]", "Further arguments of vLLM.")
#define PHASE(n, epochs, samples, rate, batch) \
    LATE_IN("train.phased_phase" n "_num_epochs", KEY_INT, epochs, 1, 10000, "Passes of phase" n " of the phased training."), \
    LATE_IN("train.phased_phase" n "_samples_per_save", KEY_INT, samples, 0, 1073741824, "Samples between checkpoints of phase" n "."), \
    LATE_IN("train.phased_phase" n "_learning_rate", KEY_FLOAT, rate, 0, 10, "Learning rate of phase" n "."), \
    LATE_IN("train.phased_phase" n "_effective_batch_size", KEY_INT, batch, 1, 16777216, "Samples of one step of phase" n ".")

/* name, type, default in 0.14, in 0.26, ours where it differs, lowest, highest, choices, key of the same meaning, flags, text */
const struct config_key CONFIG_KEYS[] = {
    SECTION("general", "Logging and what concerns all commands."),
    { "general.log_level", KEY_STR, "INFO", "INFO", NULL, 0, 0, "DEBUG INFO WARNING WARN ERROR CRITICAL FATAL NOTSET", NULL, KEY_READ | KEY_ANY_CASE, "Least severe messages that are shown." },
    { "general.debug_level", KEY_INT, NULL, "0", NULL, 0, 10, NULL, NULL, KEY_READ, "1 or more: as log_level DEBUG." },
    LATE("general.log_format", KEY_STR, "'%(levelname)s %(asctime)s %(name)s:%(lineno)d: %(message)s'", "Form of log lines."),
    LATE("general.student_model_id", KEY_STR, "null", "Name in `models` of the model that is taught."),
    LATE("general.teacher_model_id", KEY_STR, "null", "Name in `models` of the model that writes the data."),
    LATE("general.use_legacy_tmpl", KEY_BOOL, "false", "The old chat template of Granite."),
    { "general.models_dir", KEY_PATH, NULL, NULL, "%C/models", 0, 0, NULL, NULL, KEY_READ, "Folder of the models." },
    { "general.defaults", KEY_STR, NULL, NULL, "ilab", 0, 0, "ilab instructlab", NULL, KEY_READ, "ilab: every value counts as it stands. instructlab (also when this key is missing): a value that equals an InstructLab default with which training teaches next to nothing counts as not chosen." },
    SECTION("chat", "Talking to a model: `ilab chat`."),
    { "chat.model", KEY_PATH, "%m", "%C/models/granite-7b-lab-Q4_K_M.gguf", "%m", 0, 0, NULL, NULL, KEY_REQUIRED, "Model that answers: a name below the models folder, or a file." },
    { "chat.vi_mode", KEY_BOOL, "false", "false", NULL, 0, 0, NULL, NULL, 0, "vi keys in the prompt." },
    { "chat.visible_overflow", KEY_BOOL, "true", "true", NULL, 0, 0, NULL, NULL, 0, "Long answers may leave the screen; answers are streamed whole here." },
    { "chat.context", KEY_STR, "default", "default", NULL, 0, 0, NULL, NULL, 0, "Named system prompt: default or cli_helper." },
    { "chat.session", KEY_PATH, "null", "null", NULL, 0, 0, NULL, NULL, 0, "Session file that every chat starts from." },
    { "chat.logs_dir", KEY_PATH, "data/chatlogs", "%D/chatlogs", NULL, 0, 0, NULL, NULL, KEY_READ, "Where chats are written down; '': nowhere." },
    { "chat.greedy_mode", KEY_BOOL, "false", NULL, NULL, 0, 0, NULL, NULL, 0, "Always the most likely answer." },
    { "chat.temperature", KEY_FLOAT, NULL, "1.0", "0", 0, 2, NULL, NULL, KEY_PLACEHOLDER, "0: always the most likely answer; higher: more varied ones." },
    { "chat.max_tokens", KEY_INT, "null", "null", NULL, 0, 1048576, NULL, NULL, 0, "Longest answer in tokens; null: as long as the context allows." },
    { "chat.system_prompt", KEY_STR, NULL, NULL, "null", 0, 0, NULL, NULL, KEY_READ, "First message of every chat, of the training samples and of the quiz." },
    SECTION("generate", "Writing training data: `ilab generate`."),
    { "generate.model", KEY_PATH, "%m", "%C/models/mistral-7b-instruct-v0.2.Q4_K_M.gguf", "%m", 0, 0, NULL, NULL, KEY_REQUIRED, "Model that writes the training data." },
    { "generate.taxonomy_path", KEY_PATH, "taxonomy", "%D/taxonomy", "%T", 0, 0, NULL, NULL, KEY_REQUIRED, "Folder of the taxonomy." },
    { "generate.taxonomy_base", KEY_STR, "origin/main", "origin/main", "%B", 0, 0, NULL, NULL, KEY_REQUIRED, "Git reference that changes are counted from; empty: every leaf counts as new." },
    { "generate.num_cpus", KEY_INT, "10", "10", NULL, 0, 1024, NULL, NULL, 0, "Processes of the similarity check." },
    { "generate.chunk_word_count", KEY_INT, "1000", "1000", NULL, 10, 100000, NULL, NULL, 0, "Most words of a document shown with a question." },
    { "generate.num_instructions", KEY_INT, "100", "-1", "0", -1, 1000000, NULL, NULL, KEY_PLACEHOLDER, "Samples about facts in all; 0: as many as the facts need." },
    { "generate.output_dir", KEY_PATH, "generated", "%D/datasets", NULL, 0, 0, NULL, NULL, 0, "Where the training data goes; `ilab train` looks here." },
    { "generate.prompt_file", KEY_PATH, "prompt.txt", NULL, NULL, 0, 0, NULL, NULL, 0, "Prompt of the early generator." },
    { "generate.seed_file", KEY_PATH, "seed_tasks.json", NULL, NULL, 0, 0, NULL, NULL, 0, "Not used by any release." },
    LATE("generate.pipeline", KEY_STR, "full", "Pipeline of InstructLab: simple, full, or a folder of its own."),
    LATE_IN("generate.batch_size", KEY_INT, "8", 0, 100000, "Requests in one batch of InstructLab."),
    LATE_IN("generate.max_num_tokens", KEY_INT, "4096", 512, 1048576, "Longest piece of text from the teacher."),
    LATE_IN("generate.sdg_scale_factor", KEY_INT, "30", 1, 100000, "Samples for each seed example of InstructLab."),
    LATE("generate.teacher.model_path", KEY_PATH, "%C/models/mistral-7b-instruct-v0.2.Q4_K_M.gguf", "Model file of the teacher; this program takes generate.model."),
    SECTION("generate.teacher", "Server of the teacher."),
    { "generate.teacher.backend", KEY_STR, NULL, "null", NULL, 0, 0, "vllm llama-cpp", NULL, 0, "Program that serves: vllm or llama-cpp." },
    LATE("generate.teacher.chat_template", KEY_STR, "null", "auto, tokenizer, or a file; this program takes what the model file says."),
    SECTION("generate.teacher.llama_cpp", "Serving on the processor."),
    LATE_IN("generate.teacher.llama_cpp.gpu_layers", KEY_INT, "-1", -1, 100000, "Layers on a GPU; this program computes on the processor."),
    LATE("generate.teacher.llama_cpp.llm_family", KEY_STR, "''", "Family of the model: granite or mixtral; empty: by its name."),
    LATE_IN("generate.teacher.llama_cpp.max_ctx_size", KEY_INT, "4096", 16, 1048576, "Longest conversation in tokens."),
    SECTION("generate.teacher.server", "Address of the server."),
    LATE("generate.teacher.server.host", KEY_STR, "127.0.0.1", "Address to listen on."),
    LATE_IN("generate.teacher.server.port", KEY_INT, "8000", 0, 65535, "Port to listen on; 0: a free one."),
    LATE("generate.teacher.server.backend_type", KEY_STR, "''", "Kind of the server that runs."),
    LATE_IN("generate.teacher.server.current_max_ctx_size", KEY_INT, "4096", 1, 16777216, "Context of the model that is served now."),
    VLLM("generate.teacher.vllm"),
    SECTION("serve", "Serving a model: `ilab serve`."),
    { "serve.model_path", KEY_PATH, "models/merlinite-7b-lab-Q4_K_M.gguf", "%C/models/granite-7b-lab-Q4_K_M.gguf", "%M", 0, 0, NULL, NULL, KEY_REQUIRED, "GGUF file that is served." },
    { "serve.host_port", KEY_STR, "127.0.0.1:8000", NULL, NULL, 0, 0, NULL, NULL, KEY_READ | KEY_ADDRESS, "Address of the server; commands also look here for one that runs." },
    { "serve.gpu_layers", KEY_INT, "-1", NULL, NULL, -1, 100000, NULL, NULL, 0, "Layers on a GPU; this program computes on the processor." },
    { "serve.max_ctx_size", KEY_INT, "4096", NULL, NULL, 16, 1048576, NULL, NULL, 0, "Longest conversation in tokens." },
    { "serve.backend", KEY_STR, NULL, "null", NULL, 0, 0, "vllm llama-cpp", NULL, 0, "Program that serves: vllm or llama-cpp." },
    LATE("serve.chat_template", KEY_STR, "null", "auto, tokenizer, or a file; this program takes what the model file says."),
    SECTION("serve.llama_cpp", "Serving on the processor."),
    { "serve.llama_cpp.gpu_layers", KEY_INT, NULL, "-1", NULL, -1, 100000, NULL, "serve.gpu_layers", KEY_TWIN, "Layers on a GPU; this program computes on the processor." },
    LATE("serve.llama_cpp.llm_family", KEY_STR, "''", "Family of the model: granite or mixtral; empty: by its name."),
    { "serve.llama_cpp.max_ctx_size", KEY_INT, NULL, "4096", NULL, 16, 1048576, NULL, "serve.max_ctx_size", KEY_TWIN, "Longest conversation in tokens." },
    SECTION("serve.server", "Address of the server."),
    { "serve.server.host", KEY_STR, NULL, "127.0.0.1", NULL, 0, 0, NULL, NULL, KEY_READ, "Address to listen on." },
    { "serve.server.port", KEY_INT, NULL, "8000", NULL, 0, 65535, NULL, NULL, KEY_READ, "Port to listen on; 0: a free one." },
    LATE("serve.server.backend_type", KEY_STR, "''", "Kind of the server that runs."),
    LATE_IN("serve.server.current_max_ctx_size", KEY_INT, "4096", 1, 16777216, "Context of the model that is served now."),
    VLLM("serve.vllm"),
    SECTION("train", "Teaching a model: `ilab train`."),
    { "train.pipeline", KEY_STR, NULL, "full", "lora", 0, 0, "lora simple full accelerated", NULL, KEY_PLACEHOLDER, "lora: an adapter beside the frozen base; full: all weights of a small model." },
    { "train.model_path", KEY_PATH, NULL, "instructlab/granite-7b-lab", "%m", 0, 0, NULL, "generate.model", 0, "Model that is taught; when missing, generate.model." },
    LATE("train.device", KEY_STR, "cpu", "Where to compute; this program computes on the processor: cpu."),
    { "train.data_path", KEY_PATH, NULL, "%D/datasets", "null", 0, 0, NULL, NULL, 0, "Training data: a JSONL file, or a folder whose newest is taken; null: generate.output_dir." },
    { "train.ckpt_output_dir", KEY_PATH, NULL, "%D/checkpoints", "@training_results", 0, 0, NULL, NULL, 0, "Checkpoints, adapter.gguf, metrics.jsonl, manifest.json." },
    { "train.data_output_dir", KEY_PATH, NULL, "%D/internal", "@taxonomy_data", 0, 0, NULL, NULL, 0, "Where the data of a training is copied." },
    OURS("train.save_path", KEY_PATH, "%C/models/ggml-model-f16.gguf", 0, 0, NULL, "The merged model."),
    { "train.num_epochs", KEY_INT, NULL, "10", "4", 1, 10000, NULL, NULL, KEY_PLACEHOLDER, "Passes over the data." },
    { "train.max_seq_len", KEY_INT, NULL, "4096", "1024", 8, 1048576, NULL, NULL, KEY_PLACEHOLDER, "Longer samples are left out and counted, in tokens." },
    { "train.max_batch_len", KEY_INT, NULL, "5000", "1024", 16, 16777216, NULL, NULL, KEY_PLACEHOLDER, "Tokens that are in memory together; does not change the result." },
    LATE_IN("train.effective_batch_size", KEY_INT, "64", 1, 16777216, "Samples of one step of InstructLab; this program counts tokens, see effective_batch_tokens."),
    OURS("train.effective_batch_tokens", KEY_INT, "1024", 16, 16777216, NULL, "Tokens of one step."),
    OURS("train.learning_rate", KEY_FLOAT, "0.001", 1e-09, 10, NULL, "Highest learning rate; smaller for larger models: 2e-4 at 7B."),
    { "train.lora_rank", KEY_INT, NULL, "0", "16", 0, 1024, NULL, NULL, KEY_PLACEHOLDER, "Rank of the adapter." },
    OURS("train.lora_alpha", KEY_FLOAT, "32", 0.001, 1e+06, NULL, "Scale of the adapter is this over its rank."),
    OURS("train.lora_target_modules", KEY_STR, "all", 0, 0, NULL, "all, or names of linear layers with commas."),
    OURS("train.lora_dropout", KEY_FLOAT, "0", 0, 0.99, NULL, "Share of an adapter's input that falls out in training."),
    OURS("train.use_rslora", KEY_BOOL, "false", 0, 0, NULL, "Scale lora_alpha/sqrt(lora_rank) instead, for large ranks."),
    OURS("train.lora_first_layer", KEY_INT, "0", 0, 1000, NULL, "Layers below this one get no adapter (less work)."),
    OURS("train.warmup", KEY_FLOAT, "0.05", 0, 0.9, NULL, "Share of the steps with a rising learning rate."),
    OURS("train.optimizer", KEY_STR, "adamw", 0, 0, "adamw adafactor", "adamw, or adafactor, which needs hardly any memory beside weights and gradients."),
    OURS("train.moments_storage", KEY_STR, "f32", 0, 0, "f32 bf16", "AdamW's two moments in F32, or in half the memory in BF16."),
    OURS("train.weight_decay", KEY_FLOAT, "0.01", 0, 1, NULL, "Weight decay of AdamW."),
    OURS("train.distill", KEY_FLOAT, "0.5", 0, 1, NULL, "Weight of the stored teacher distribution where the data has one."),
    OURS("train.long_samples", KEY_STR, "skip", 0, 0, "skip cut", "Samples longer than max_seq_len: skip leaves them out, cut drops their end."),
    OURS("train.precision", KEY_STR, "auto", 0, 0, "auto exact mixed fast", "Products with the frozen weights: exact (F32), mixed (8 bits forward), fast (8 bits both ways), auto: what the gradients on your data allow."),
    OURS("train.memory", KEY_STR, "null", 0, 0, NULL, "Most memory of a training, such as 6G; null: what is free."),
    OURS("train.recompute", KEY_STR, "auto", 0, 0, "auto on off", "Compute layers a second time instead of keeping their activations."),
    OURS("train.cache_states", KEY_STR, "auto", 0, 0, "auto off ram disk", "Where hidden states below the lowest adapted layer are kept from the first epoch on."),
    OURS("train.share_prefix", KEY_STR, "auto", 0, 0, "auto on off", "Tokens that samples of a step begin with are computed once; on: samples that begin alike come into the same steps."),
    OURS("train.skip_learnt", KEY_FLOAT, "0", 0, 10, NULL, "Samples that lose at most so many nats a token rest for some epochs; 0: none."),
    OURS("train.seed", KEY_INT, "1", 0, 2147483647, NULL, "Order of the samples and first weights of the adapter."),
    OURS("train.num_threads", KEY_INT, "0", 0, 1024, NULL, "Threads of a training; 0: one a core."),
    OURS("train.save_type", KEY_STR, "F16", 0, 0, NULL, "Element type of the merged model: F16, BF16, Q8_0, or any that `ilab model quantize` knows."),
    OURS("train.checkpoint_seconds", KEY_FLOAT, "60", 0, 1000000000, NULL, "The state is saved so often; 0: not by time."),
    OURS("train.checkpoint_steps", KEY_INT, "0", 0, 1000000000, NULL, "The state is saved every so many steps; 0: not by steps."),
    LATE("train.lora_quantize_dtype", KEY_STR, "nf4", "Type of the frozen weights on a GPU; here they stay as the file has them."),
    LATE_IN("train.save_samples", KEY_INT, "250000", 0, 1073741824, "Samples between two checkpoints of InstructLab; this program saves every minute."),
    LATE("train.checkpoint_at_epoch", KEY_BOOL, "true", "A checkpoint after each pass."),
    LATE("train.deepspeed_cpu_offload_optimizer", KEY_BOOL, "false", "DeepSpeed on GPUs: optimizer in main memory."),
    LATE("train.fsdp_cpu_offload_optimizer", KEY_BOOL, "false", "FSDP on GPUs: optimizer in main memory."),
    { "train.distributed_backend", KEY_STR, NULL, "fsdp", NULL, 0, 0, "fsdp deepspeed", NULL, 0, "Training on several GPUs: fsdp or deepspeed." },
    LATE("train.is_padding_free", KEY_BOOL, "false", "Samples without padding on GPUs; here they are always packed."),
    LATE_IN("train.nproc_per_node", KEY_INT, "1", 0, 1024, "GPUs of a training."),
    LATE("train.disable_flash_attn", KEY_BOOL, "false", "Training on old GPUs."),
    LATE("train.additional_args", KEY_MAP, "{}", "Further arguments of the training script of InstructLab."),
    PHASE("1", "7", "0", "2e-05", "128"),
    PHASE("2", "10", "0", "6e-06", "3840"),
    LATE("train.phased_base_dir", KEY_PATH, "%D/phased", "Folder of the phased training."),
    LATE("train.phased_mt_bench_judge", KEY_PATH, "%C/models/prometheus-eval/prometheus-8x7b-v2.0", "Judge of the phased training."),
    LATE("train.training_journal", KEY_PATH, "null", "Progress file of the phased training."),
    SECTION("evaluate", "Measuring a model: `ilab model evaluate`."),
    { "evaluate.model", KEY_PATH, NULL, "null", NULL, 0, 0, NULL, "chat.model", 0, "Model that is measured; when missing, chat.model." },
    LATE("evaluate.base_model", KEY_PATH, "instructlab/granite-7b-lab", "Model to compare with."),
    LATE("evaluate.branch", KEY_STR, "null", "Branch of the taxonomy for the branch benchmarks."),
    LATE("evaluate.base_branch", KEY_STR, "null", "Branch of the taxonomy for the branch benchmarks."),
    LATE_IN("evaluate.gpus", KEY_INT, "null", 0, 1024, "GPUs of an evaluation."),
    LATE("evaluate.system_prompt", KEY_STR, "null", "System prompt of DK-Bench."),
    LATE_IN("evaluate.temperature", KEY_FLOAT, "0.0", 0, 2, "Temperature of DK-Bench."),
    SECTION("evaluate.mmlu", "The MMLU benchmark."),
    LATE_IN("evaluate.mmlu.few_shots", KEY_INT, "5", 0, 100, "Examples in front of each question."),
    LATE("evaluate.mmlu.batch_size", KEY_STR, "auto", "Questions at once, or auto."),
    SECTION("evaluate.mmlu_branch", "MMLU with questions from the taxonomy."),
    LATE("evaluate.mmlu_branch.tasks_dir", KEY_PATH, "%D/datasets", "Folder of its tasks."),
    SECTION("evaluate.mt_bench", "The MT-Bench benchmark."),
    LATE("evaluate.mt_bench.judge_model", KEY_PATH, "prometheus-eval/prometheus-8x7b-v2.0", "Model that judges."),
    LATE("evaluate.mt_bench.max_workers", KEY_STR, "auto", "Workers, or auto."),
    LATE("evaluate.mt_bench.output_dir", KEY_PATH, "%D/internal/eval_data/mt_bench", "Where results go."),
    SECTION("evaluate.mt_bench_branch", "MT-Bench with questions from the taxonomy."),
    LATE("evaluate.mt_bench_branch.judge_model", KEY_PATH, "prometheus-eval/prometheus-8x7b-v2.0", "Model that judges."),
    LATE("evaluate.mt_bench_branch.taxonomy_path", KEY_PATH, "%D/taxonomy", "Folder of the taxonomy."),
    LATE("evaluate.mt_bench_branch.output_dir", KEY_PATH, "%D/internal/eval_data/mt_bench_branch", "Where results go."),
    SECTION("evaluate.dk_bench", "The DK-Bench benchmark."),
    LATE("evaluate.dk_bench.judge_model", KEY_PATH, "gpt-4o", "Model that judges."),
    LATE("evaluate.dk_bench.input_questions", KEY_PATH, "null", "JSONL with user_input and reference."),
    LATE("evaluate.dk_bench.output_file_formats", KEY_STR, "jsonl", "csv, jsonl, xlsx, with commas."),
    LATE("evaluate.dk_bench.output_dir", KEY_PATH, "%D/internal/eval_data/dk_bench", "Where results go."),
    SECTION("rag", "Retrieval of InstructLab."),
    LATE("rag.enabled", KEY_BOOL, "false", "Retrieval in the chat."),
    SECTION("rag.document_store", "Store of the document pieces."),
    LATE("rag.document_store.uri", KEY_PATH, "%D/embeddings.db", "File or address of the store."),
    LATE("rag.document_store.collection_name", KEY_STR, "ilab", "Name of the collection."),
    SECTION("rag.embedding_model", "Model of the embeddings."),
    LATE("rag.embedding_model.embedding_model_path", KEY_PATH, "%C/models/ibm-granite/granite-embedding-125m-english", "Folder of the model."),
    SECTION("rag.retriever", "Search."),
    LATE_IN("rag.retriever.top_k", KEY_INT, "3", 1, 1000, "Passages for a question."),
    SECTION("rag.convert", "Conversion of documents."),
    LATE("rag.convert.output_dir", KEY_PATH, "%D/converted_documents", "Where results go."),
    LATE("rag.convert.taxonomy_path", KEY_PATH, "%D/taxonomy", "Folder of the taxonomy."),
    LATE("rag.convert.taxonomy_base", KEY_STR, "origin/main", "Git reference that changes are counted from."),
    SECTION("metadata", "The machine that the settings are for."),
    LATE("metadata.cpu_info", KEY_STR, "null", "Filled in by profiles."),
    LATE("metadata.gpu_manufacturer", KEY_STR, "null", "Filled in by profiles."),
    LATE("metadata.gpu_family", KEY_STR, "null", "Filled in by profiles."),
    LATE("metadata.gpu_sku", KEY_STR, "null", "Filled in by profiles."),
    LATE_IN("metadata.gpu_count", KEY_INT, "null", 0, 1024, "Filled in by profiles."),
    LATE("models", KEY_LIST, "[]", "Models with a name of their own: id, family, path, system_prompt."),
    { "version", KEY_STR, NULL, "1.0.0", NULL, 0, 0, NULL, NULL, KEY_READ, "Layout of this file." },
};
const int N_CONFIG_KEYS = ARRAY_LEN(CONFIG_KEYS);
_Static_assert(ARRAY_LEN(CONFIG_KEYS) <= CONFIG_MAX_KEYS, "raise CONFIG_MAX_KEYS");

int config_key_index(const char *name, size_t n)
{
    for (int i = 0; i < N_CONFIG_KEYS; i++)
        if (strlen(CONFIG_KEYS[i].name) == n && !memcmp(CONFIG_KEYS[i].name, name, n)) return i;
    return -1;
}

int config_key_in(const struct config_key *k, int late)
{
    return k->ours || (late ? k->late : k->early);
}

int config_key_works(const struct config_key *k)
{
    if (k->flags & KEY_READ) return 1;
    for (int i = 0; i < N_CMDS; i++)
        for (const struct opt *o = CMDS[i]->opts; o && o->name; o++)
            if (o->config && (!strcmp(o->config, k->name) || ((k->flags & KEY_TWIN) && !strcmp(o->config, k->same_as))) &&
                strncmp(o->help, "accepted for compatibility", 26)) return 1;
    return 0;
}

void config_key_env(const struct config_key *k, char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "ILAB_%s", k->name);
    for (size_t i = 0; i < n && i < cap; i++) out[i] = out[i] == '.' ? '_' : (char)toupper((unsigned char)out[i]);
}

const char *config_key_default(const struct config_key *k, int late, int reference, const struct config_paths *with, struct arena *a)
{
    const char *text = k->ours && !reference ? k->ours : late ? k->late : k->early;
    if (text && *text == '@') text = late ? k->late : text + 1;
    if (!text) text = k->late ? k->late : k->early ? k->early : "null";
    if (*text != '%') return text;
    struct sb b;
    char *dir = NULL;
    sb_init(&b, 1 << 16);
    switch (text[1]) {
    case 'm': case 'M': {
        char *stem = text[1] == 'm' && !late ? path_stem(with->model) : NULL;
        config_add_scalar(&b, stem ? stem : with->model);
        mem_free(stem);
        break;
    }
    case 'T': config_add_scalar(&b, with->taxonomy); break;
    case 'B': config_add_scalar(&b, with->base); break;
    default: /* %D/…, %C/… */
        dir = late ? user_dir(text[1] == 'D' ? "data" : "cache", text + 3, NULL) : NULL;
        config_add_scalar(&b, dir ? dir : text + 3);
        mem_free(dir);
    }
    const char *out = b.failed ? NULL : arena_strndup(a, b.p, b.n);
    sb_release(&b);
    return out ? out : "null";
}

struct config_paths config_standard_paths(int late, struct arena *a)
{
    char *dir = late ? user_dir("data", "taxonomy", NULL) : NULL;
    const char *taxonomy = dir ? arena_strndup(a, dir, strlen(dir)) : NULL;
    mem_free(dir);
    return (struct config_paths){ late ? "starter" : "models/starter.gguf", taxonomy ? taxonomy : "taxonomy", "origin/main" };
}
