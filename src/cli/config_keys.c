/* config_keys.c — the table of configuration keys: see config.h. A new setting is a row here and its name in the option's row.
 *
 * Defaults that start with @ are the current directory's in the early layout; the late layout then takes its own column.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"

#include <ctype.h>
#include <string.h>

#define SECTION(name, doc) { name, KEY_SECTION, NULL, NULL, NULL, 0, 0, NULL, NULL, 0, doc }

/* name, type, default in 0.14, in 0.26, ours where it differs, lowest, highest, choices, key of the same meaning, flags, text */
const struct config_key CONFIG_KEYS[] = {
    SECTION("general", "Logging and what concerns all commands."),
    { "general.log_level", KEY_STR, "INFO", "INFO", NULL, 0, 0, "DEBUG INFO WARNING WARN ERROR CRITICAL FATAL NOTSET", NULL, KEY_READ | KEY_ANY_CASE, "Least severe messages that are shown." },
    { "general.debug_level", KEY_INT, NULL, "0", NULL, 0, 10, NULL, NULL, KEY_READ, "1 or more: as log_level DEBUG." },
    { "general.log_format", KEY_STR, NULL, "'%(levelname)s %(asctime)s %(name)s:%(lineno)d: %(message)s'", NULL, 0, 0, NULL, NULL, 0, "Form of log lines." },
    { "general.student_model_id", KEY_STR, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "Name in `models` of the model that is taught." },
    { "general.teacher_model_id", KEY_STR, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "Name in `models` of the model that writes the data." },
    { "general.use_legacy_tmpl", KEY_BOOL, NULL, "false", NULL, 0, 0, NULL, NULL, 0, "The old chat template of Granite." },
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
    { "generate.pipeline", KEY_STR, NULL, "full", NULL, 0, 0, NULL, NULL, 0, "Pipeline of InstructLab: simple, full, or a folder of its own." },
    { "generate.batch_size", KEY_INT, NULL, "8", NULL, 0, 100000, NULL, NULL, 0, "Requests in one batch of InstructLab." },
    { "generate.max_num_tokens", KEY_INT, NULL, "4096", NULL, 512, 1048576, NULL, NULL, 0, "Longest piece of text from the teacher." },
    { "generate.sdg_scale_factor", KEY_INT, NULL, "30", NULL, 1, 100000, NULL, NULL, 0, "Samples for each seed example of InstructLab." },
    { "generate.teacher.model_path", KEY_PATH, NULL, "%C/models/mistral-7b-instruct-v0.2.Q4_K_M.gguf", NULL, 0, 0, NULL, NULL, 0, "Model file of the teacher; this program takes generate.model." },
    SECTION("generate.teacher", "Server of the teacher."),
    { "generate.teacher.backend", KEY_STR, NULL, "null", NULL, 0, 0, "vllm llama-cpp", NULL, 0, "Program that serves: vllm or llama-cpp." },
    { "generate.teacher.chat_template", KEY_STR, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "auto, tokenizer, or a file; this program takes what the model file says." },
    SECTION("generate.teacher.llama_cpp", "Serving on the processor."),
    { "generate.teacher.llama_cpp.gpu_layers", KEY_INT, NULL, "-1", NULL, -1, 100000, NULL, NULL, 0, "Layers on a GPU; this program computes on the processor." },
    { "generate.teacher.llama_cpp.llm_family", KEY_STR, NULL, "''", NULL, 0, 0, NULL, NULL, 0, "Family of the model: granite or mixtral; empty: by its name." },
    { "generate.teacher.llama_cpp.max_ctx_size", KEY_INT, NULL, "4096", NULL, 16, 1048576, NULL, NULL, 0, "Longest conversation in tokens." },
    SECTION("generate.teacher.server", "Address of the server."),
    { "generate.teacher.server.host", KEY_STR, NULL, "127.0.0.1", NULL, 0, 0, NULL, NULL, 0, "Address to listen on." },
    { "generate.teacher.server.port", KEY_INT, NULL, "8000", NULL, 0, 65535, NULL, NULL, 0, "Port to listen on; 0: a free one." },
    { "generate.teacher.server.backend_type", KEY_STR, NULL, "''", NULL, 0, 0, NULL, NULL, 0, "Kind of the server that runs." },
    { "generate.teacher.server.current_max_ctx_size", KEY_INT, NULL, "4096", NULL, 1, 16777216, NULL, NULL, 0, "Context of the model that is served now." },
    SECTION("generate.teacher.vllm", "Serving on GPUs."),
    { "generate.teacher.vllm.gpus", KEY_INT, NULL, "null", NULL, 0, 1024, NULL, NULL, 0, "Number of GPUs." },
    { "generate.teacher.vllm.llm_family", KEY_STR, NULL, "''", NULL, 0, 0, NULL, NULL, 0, "Family of the model: granite or mixtral." },
    { "generate.teacher.vllm.max_startup_attempts", KEY_INT, NULL, "120", NULL, 1, 100000, NULL, NULL, 0, "How often its start is awaited." },
    { "generate.teacher.vllm.vllm_args", KEY_LIST, NULL, "[]", NULL, 0, 0, NULL, NULL, 0, "Further arguments of vLLM." },
    SECTION("serve", "Serving a model: `ilab serve`."),
    { "serve.model_path", KEY_PATH, "models/merlinite-7b-lab-Q4_K_M.gguf", "%C/models/granite-7b-lab-Q4_K_M.gguf", "%M", 0, 0, NULL, NULL, KEY_REQUIRED, "GGUF file that is served." },
    { "serve.host_port", KEY_STR, "127.0.0.1:8000", NULL, NULL, 0, 0, NULL, NULL, KEY_READ | KEY_ADDRESS, "Address of the server; commands also look here for one that runs." },
    { "serve.gpu_layers", KEY_INT, "-1", NULL, NULL, -1, 100000, NULL, NULL, 0, "Layers on a GPU; this program computes on the processor." },
    { "serve.max_ctx_size", KEY_INT, "4096", NULL, NULL, 16, 1048576, NULL, NULL, 0, "Longest conversation in tokens." },
    { "serve.backend", KEY_STR, NULL, "null", NULL, 0, 0, "vllm llama-cpp", NULL, 0, "Program that serves: vllm or llama-cpp." },
    { "serve.chat_template", KEY_STR, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "auto, tokenizer, or a file; this program takes what the model file says." },
    SECTION("serve.llama_cpp", "Serving on the processor."),
    { "serve.llama_cpp.gpu_layers", KEY_INT, NULL, "-1", NULL, -1, 100000, NULL, "serve.gpu_layers", KEY_TWIN, "Layers on a GPU; this program computes on the processor." },
    { "serve.llama_cpp.llm_family", KEY_STR, NULL, "''", NULL, 0, 0, NULL, NULL, 0, "Family of the model: granite or mixtral; empty: by its name." },
    { "serve.llama_cpp.max_ctx_size", KEY_INT, NULL, "4096", NULL, 16, 1048576, NULL, "serve.max_ctx_size", KEY_TWIN, "Longest conversation in tokens." },
    SECTION("serve.server", "Address of the server."),
    { "serve.server.host", KEY_STR, NULL, "127.0.0.1", NULL, 0, 0, NULL, NULL, KEY_READ, "Address to listen on." },
    { "serve.server.port", KEY_INT, NULL, "8000", NULL, 0, 65535, NULL, NULL, KEY_READ, "Port to listen on; 0: a free one." },
    { "serve.server.backend_type", KEY_STR, NULL, "''", NULL, 0, 0, NULL, NULL, 0, "Kind of the server that runs." },
    { "serve.server.current_max_ctx_size", KEY_INT, NULL, "4096", NULL, 1, 16777216, NULL, NULL, 0, "Context of the model that is served now." },
    SECTION("serve.vllm", "Serving on GPUs."),
    { "serve.vllm.gpus", KEY_INT, NULL, "null", NULL, 0, 1024, NULL, NULL, 0, "Number of GPUs." },
    { "serve.vllm.llm_family", KEY_STR, NULL, "''", NULL, 0, 0, NULL, NULL, 0, "Family of the model: granite or mixtral." },
    { "serve.vllm.max_startup_attempts", KEY_INT, NULL, "120", NULL, 1, 100000, NULL, NULL, 0, "How often its start is awaited." },
    { "serve.vllm.vllm_args", KEY_LIST, NULL, "[]", NULL, 0, 0, NULL, NULL, 0, "Further arguments of vLLM." },
    SECTION("train", "Teaching a model: `ilab train`."),
    { "train.pipeline", KEY_STR, NULL, "full", "lora", 0, 0, "lora simple full accelerated", NULL, KEY_PLACEHOLDER, "lora: an adapter beside the frozen base; full: all weights of a small model." },
    { "train.model_path", KEY_PATH, NULL, "instructlab/granite-7b-lab", "%m", 0, 0, NULL, "generate.model", 0, "Model that is taught; when missing, generate.model." },
    { "train.device", KEY_STR, NULL, "cpu", NULL, 0, 0, NULL, NULL, 0, "Where to compute; this program computes on the processor: cpu." },
    { "train.data_path", KEY_PATH, NULL, "%D/datasets", "null", 0, 0, NULL, NULL, 0, "Training data: a JSONL file, or a folder whose newest is taken; null: generate.output_dir." },
    { "train.ckpt_output_dir", KEY_PATH, NULL, "%D/checkpoints", "@training_results", 0, 0, NULL, NULL, 0, "Checkpoints, adapter.gguf, metrics.jsonl, manifest.json." },
    { "train.data_output_dir", KEY_PATH, NULL, "%D/internal", "@taxonomy_data", 0, 0, NULL, NULL, 0, "Where the data of a training is copied." },
    { "train.save_path", KEY_PATH, NULL, NULL, "%C/models/ggml-model-f16.gguf", 0, 0, NULL, NULL, 0, "The merged model." },
    { "train.num_epochs", KEY_INT, NULL, "10", "4", 1, 10000, NULL, NULL, KEY_PLACEHOLDER, "Passes over the data." },
    { "train.max_seq_len", KEY_INT, NULL, "4096", "1024", 8, 1048576, NULL, NULL, KEY_PLACEHOLDER, "Longer samples are left out and counted, in tokens." },
    { "train.max_batch_len", KEY_INT, NULL, "5000", "1024", 16, 16777216, NULL, NULL, KEY_PLACEHOLDER, "Tokens that are in memory together; does not change the result." },
    { "train.effective_batch_size", KEY_INT, NULL, "64", NULL, 1, 16777216, NULL, NULL, 0, "Samples of one step of InstructLab; this program counts tokens, see effective_batch_tokens." },
    { "train.effective_batch_tokens", KEY_INT, NULL, NULL, "1024", 16, 16777216, NULL, NULL, 0, "Tokens of one step." },
    { "train.learning_rate", KEY_FLOAT, NULL, NULL, "0.001", 1e-09, 10, NULL, NULL, 0, "Highest learning rate; smaller for larger models: 2e-4 at 7B." },
    { "train.lora_rank", KEY_INT, NULL, "0", "16", 0, 1024, NULL, NULL, KEY_PLACEHOLDER, "Rank of the adapter." },
    { "train.lora_alpha", KEY_FLOAT, NULL, NULL, "32", 0.001, 1e+06, NULL, NULL, 0, "Scale of the adapter is this over its rank." },
    { "train.lora_target_modules", KEY_STR, NULL, NULL, "all", 0, 0, NULL, NULL, 0, "all, or names of linear layers with commas." },
    { "train.lora_quantize_dtype", KEY_STR, NULL, "nf4", NULL, 0, 0, NULL, NULL, 0, "Type of the frozen weights on a GPU; here they stay as the file has them." },
    { "train.save_samples", KEY_INT, NULL, "250000", NULL, 0, 1073741824, NULL, NULL, 0, "Samples between two checkpoints of InstructLab; this program saves every minute." },
    { "train.checkpoint_at_epoch", KEY_BOOL, NULL, "true", NULL, 0, 0, NULL, NULL, 0, "A checkpoint after each pass." },
    { "train.deepspeed_cpu_offload_optimizer", KEY_BOOL, NULL, "false", NULL, 0, 0, NULL, NULL, 0, "DeepSpeed on GPUs: optimizer in main memory." },
    { "train.fsdp_cpu_offload_optimizer", KEY_BOOL, NULL, "false", NULL, 0, 0, NULL, NULL, 0, "FSDP on GPUs: optimizer in main memory." },
    { "train.distributed_backend", KEY_STR, NULL, "fsdp", NULL, 0, 0, "fsdp deepspeed", NULL, 0, "Training on several GPUs: fsdp or deepspeed." },
    { "train.is_padding_free", KEY_BOOL, NULL, "false", NULL, 0, 0, NULL, NULL, 0, "Samples without padding on GPUs; here they are always packed." },
    { "train.nproc_per_node", KEY_INT, NULL, "1", NULL, 0, 1024, NULL, NULL, 0, "GPUs of a training." },
    { "train.disable_flash_attn", KEY_BOOL, NULL, "false", NULL, 0, 0, NULL, NULL, 0, "Training on old GPUs." },
    { "train.additional_args", KEY_MAP, NULL, "{}", NULL, 0, 0, NULL, NULL, 0, "Further arguments of the training script of InstructLab." },
    { "train.phased_phase1_num_epochs", KEY_INT, NULL, "7", NULL, 1, 10000, NULL, NULL, 0, "Passes of phase1 of the phased training." },
    { "train.phased_phase1_samples_per_save", KEY_INT, NULL, "0", NULL, 0, 1073741824, NULL, NULL, 0, "Samples between checkpoints of phase1." },
    { "train.phased_phase1_learning_rate", KEY_FLOAT, NULL, "2e-05", NULL, 0, 10, NULL, NULL, 0, "Learning rate of phase1." },
    { "train.phased_phase1_effective_batch_size", KEY_INT, NULL, "128", NULL, 1, 16777216, NULL, NULL, 0, "Samples of one step of phase1." },
    { "train.phased_phase2_num_epochs", KEY_INT, NULL, "10", NULL, 1, 10000, NULL, NULL, 0, "Passes of phase2 of the phased training." },
    { "train.phased_phase2_samples_per_save", KEY_INT, NULL, "0", NULL, 0, 1073741824, NULL, NULL, 0, "Samples between checkpoints of phase2." },
    { "train.phased_phase2_learning_rate", KEY_FLOAT, NULL, "6e-06", NULL, 0, 10, NULL, NULL, 0, "Learning rate of phase2." },
    { "train.phased_phase2_effective_batch_size", KEY_INT, NULL, "3840", NULL, 1, 16777216, NULL, NULL, 0, "Samples of one step of phase2." },
    { "train.phased_base_dir", KEY_PATH, NULL, "%D/phased", NULL, 0, 0, NULL, NULL, 0, "Folder of the phased training." },
    { "train.phased_mt_bench_judge", KEY_PATH, NULL, "%C/models/prometheus-eval/prometheus-8x7b-v2.0", NULL, 0, 0, NULL, NULL, 0, "Judge of the phased training." },
    { "train.training_journal", KEY_PATH, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "Progress file of the phased training." },
    SECTION("evaluate", "Measuring a model: `ilab model evaluate`."),
    { "evaluate.model", KEY_PATH, NULL, "null", NULL, 0, 0, NULL, "chat.model", 0, "Model that is measured; when missing, chat.model." },
    { "evaluate.base_model", KEY_PATH, NULL, "instructlab/granite-7b-lab", NULL, 0, 0, NULL, NULL, 0, "Model to compare with." },
    { "evaluate.branch", KEY_STR, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "Branch of the taxonomy for the branch benchmarks." },
    { "evaluate.base_branch", KEY_STR, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "Branch of the taxonomy for the branch benchmarks." },
    { "evaluate.gpus", KEY_INT, NULL, "null", NULL, 0, 1024, NULL, NULL, 0, "GPUs of an evaluation." },
    { "evaluate.system_prompt", KEY_STR, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "System prompt of DK-Bench." },
    { "evaluate.temperature", KEY_FLOAT, NULL, "0.0", NULL, 0, 2, NULL, NULL, 0, "Temperature of DK-Bench." },
    SECTION("evaluate.mmlu", "The MMLU benchmark."),
    { "evaluate.mmlu.few_shots", KEY_INT, NULL, "5", NULL, 0, 100, NULL, NULL, 0, "Examples in front of each question." },
    { "evaluate.mmlu.batch_size", KEY_STR, NULL, "auto", NULL, 0, 0, NULL, NULL, 0, "Questions at once, or auto." },
    SECTION("evaluate.mmlu_branch", "MMLU with questions from the taxonomy."),
    { "evaluate.mmlu_branch.tasks_dir", KEY_PATH, NULL, "%D/datasets", NULL, 0, 0, NULL, NULL, 0, "Folder of its tasks." },
    SECTION("evaluate.mt_bench", "The MT-Bench benchmark."),
    { "evaluate.mt_bench.judge_model", KEY_PATH, NULL, "prometheus-eval/prometheus-8x7b-v2.0", NULL, 0, 0, NULL, NULL, 0, "Model that judges." },
    { "evaluate.mt_bench.max_workers", KEY_STR, NULL, "auto", NULL, 0, 0, NULL, NULL, 0, "Workers, or auto." },
    { "evaluate.mt_bench.output_dir", KEY_PATH, NULL, "%D/internal/eval_data/mt_bench", NULL, 0, 0, NULL, NULL, 0, "Where results go." },
    SECTION("evaluate.mt_bench_branch", "MT-Bench with questions from the taxonomy."),
    { "evaluate.mt_bench_branch.judge_model", KEY_PATH, NULL, "prometheus-eval/prometheus-8x7b-v2.0", NULL, 0, 0, NULL, NULL, 0, "Model that judges." },
    { "evaluate.mt_bench_branch.taxonomy_path", KEY_PATH, NULL, "%D/taxonomy", NULL, 0, 0, NULL, NULL, 0, "Folder of the taxonomy." },
    { "evaluate.mt_bench_branch.output_dir", KEY_PATH, NULL, "%D/internal/eval_data/mt_bench_branch", NULL, 0, 0, NULL, NULL, 0, "Where results go." },
    SECTION("evaluate.dk_bench", "The DK-Bench benchmark."),
    { "evaluate.dk_bench.judge_model", KEY_PATH, NULL, "gpt-4o", NULL, 0, 0, NULL, NULL, 0, "Model that judges." },
    { "evaluate.dk_bench.input_questions", KEY_PATH, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "JSONL with user_input and reference." },
    { "evaluate.dk_bench.output_file_formats", KEY_STR, NULL, "jsonl", NULL, 0, 0, NULL, NULL, 0, "csv, jsonl, xlsx, with commas." },
    { "evaluate.dk_bench.output_dir", KEY_PATH, NULL, "%D/internal/eval_data/dk_bench", NULL, 0, 0, NULL, NULL, 0, "Where results go." },
    SECTION("rag", "Retrieval of InstructLab."),
    { "rag.enabled", KEY_BOOL, NULL, "false", NULL, 0, 0, NULL, NULL, 0, "Retrieval in the chat." },
    SECTION("rag.document_store", "Store of the document pieces."),
    { "rag.document_store.uri", KEY_PATH, NULL, "%D/embeddings.db", NULL, 0, 0, NULL, NULL, 0, "File or address of the store." },
    { "rag.document_store.collection_name", KEY_STR, NULL, "ilab", NULL, 0, 0, NULL, NULL, 0, "Name of the collection." },
    SECTION("rag.embedding_model", "Model of the embeddings."),
    { "rag.embedding_model.embedding_model_path", KEY_PATH, NULL, "%C/models/ibm-granite/granite-embedding-125m-english", NULL, 0, 0, NULL, NULL, 0, "Folder of the model." },
    SECTION("rag.retriever", "Search."),
    { "rag.retriever.top_k", KEY_INT, NULL, "3", NULL, 1, 1000, NULL, NULL, 0, "Passages for a question." },
    SECTION("rag.convert", "Conversion of documents."),
    { "rag.convert.output_dir", KEY_PATH, NULL, "%D/converted_documents", NULL, 0, 0, NULL, NULL, 0, "Where results go." },
    { "rag.convert.taxonomy_path", KEY_PATH, NULL, "%D/taxonomy", NULL, 0, 0, NULL, NULL, 0, "Folder of the taxonomy." },
    { "rag.convert.taxonomy_base", KEY_STR, NULL, "origin/main", NULL, 0, 0, NULL, NULL, 0, "Git reference that changes are counted from." },
    SECTION("metadata", "The machine that the settings are for."),
    { "metadata.cpu_info", KEY_STR, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "Filled in by profiles." },
    { "metadata.gpu_manufacturer", KEY_STR, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "Filled in by profiles." },
    { "metadata.gpu_family", KEY_STR, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "Filled in by profiles." },
    { "metadata.gpu_sku", KEY_STR, NULL, "null", NULL, 0, 0, NULL, NULL, 0, "Filled in by profiles." },
    { "metadata.gpu_count", KEY_INT, NULL, "null", NULL, 0, 1024, NULL, NULL, 0, "Filled in by profiles." },
    { "models", KEY_LIST, NULL, "[]", NULL, 0, 0, NULL, NULL, 0, "Models with a name of their own: id, family, path, system_prompt." },
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
