/* hf_arch.c — the table of model families: their names in Hugging Face's files and in GGUF.
 *
 * To add a family: a row of HF_ARCHS and the groups of names that are new. Names of tensors and configuration keys are facts of
 * the two formats: transformers' configuration_*.py and modeling_*.py on one side, llama.cpp's gguf-py/gguf/constants.py and
 * docs on the other. Order matters where two patterns match: groups of a row are tried in turn, and all rows that match count
 * (a fused matrix becomes two tensors).  SPDX-License-Identifier: Apache-2.0 */
#include "model/hf.h"

#include <string.h>

#define NAMES(name) static const struct hf_name name[]
#define END { NULL, NULL, HF_COPY }

/* ---- groups of tensors ---- */
NAMES(EMBEDDING) = { { "embed_tokens", "token_embd", HF_COPY }, { "norm", "output_norm", HF_COPY }, { "lm_head", "output", HF_COPY }, END };
NAMES(EMBEDDING_PLUS_ONE) = { { "embed_tokens", "token_embd", HF_COPY }, { "norm", "output_norm", HF_PLUS_ONE }, { "lm_head", "output", HF_COPY }, END };
NAMES(ROTARY_ATTENTION) = { { "layers.#.self_attn.q_proj", "blk.#.attn_q", HF_ROTARY_Q }, { "layers.#.self_attn.k_proj", "blk.#.attn_k", HF_ROTARY_K },
                            { "layers.#.self_attn.v_proj", "blk.#.attn_v", HF_COPY }, { "layers.#.self_attn.o_proj", "blk.#.attn_output", HF_COPY },
                            { "layers.#.self_attn.rotary_emb.inv_freq", NULL, HF_DROP }, END };
NAMES(ATTENTION) = { { "layers.#.self_attn.q_proj", "blk.#.attn_q", HF_COPY }, { "layers.#.self_attn.k_proj", "blk.#.attn_k", HF_COPY },
                     { "layers.#.self_attn.v_proj", "blk.#.attn_v", HF_COPY }, { "layers.#.self_attn.o_proj", "blk.#.attn_output", HF_COPY },
                     { "layers.#.self_attn.rotary_emb.inv_freq", NULL, HF_DROP }, END };
NAMES(QK_NORMS) = { { "layers.#.self_attn.q_norm", "blk.#.attn_q_norm", HF_COPY }, { "layers.#.self_attn.k_norm", "blk.#.attn_k_norm", HF_COPY }, END };
NAMES(QK_NORMS_PLUS_ONE) = { { "layers.#.self_attn.q_norm", "blk.#.attn_q_norm", HF_PLUS_ONE }, { "layers.#.self_attn.k_norm", "blk.#.attn_k_norm", HF_PLUS_ONE }, END };
NAMES(FUSED_ATTENTION) = { { "layers.#.self_attn.qkv_proj", "blk.#.attn_qkv", HF_COPY }, { "layers.#.self_attn.o_proj", "blk.#.attn_output", HF_COPY }, END };
NAMES(PRE_NORMS) = { { "layers.#.input_layernorm", "blk.#.attn_norm", HF_COPY }, { "layers.#.post_attention_layernorm", "blk.#.ffn_norm", HF_COPY }, END };
NAMES(PRE_NORMS_PLUS_ONE) = { { "layers.#.input_layernorm", "blk.#.attn_norm", HF_PLUS_ONE }, { "layers.#.post_attention_layernorm", "blk.#.ffn_norm", HF_PLUS_ONE }, END };
NAMES(POST_NORMS) = { { "layers.#.post_attention_layernorm", "blk.#.post_attention_norm", HF_COPY },
                      { "layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", HF_COPY }, END };
NAMES(FOUR_NORMS_PLUS_ONE) = { { "layers.#.input_layernorm", "blk.#.attn_norm", HF_PLUS_ONE },
                               { "layers.#.post_attention_layernorm", "blk.#.post_attention_norm", HF_PLUS_ONE },
                               { "layers.#.pre_feedforward_layernorm", "blk.#.ffn_norm", HF_PLUS_ONE },
                               { "layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", HF_PLUS_ONE }, END };
NAMES(GATED_FFN) = { { "layers.#.mlp.gate_proj", "blk.#.ffn_gate", HF_COPY }, { "layers.#.mlp.up_proj", "blk.#.ffn_up", HF_COPY },
                     { "layers.#.mlp.down_proj", "blk.#.ffn_down", HF_COPY }, END };
NAMES(FUSED_FFN) = { { "layers.#.mlp.gate_up_proj", "blk.#.ffn_up", HF_COPY }, { "layers.#.mlp.down_proj", "blk.#.ffn_down", HF_COPY }, END };
NAMES(MIXTRAL_EXPERTS) = { { "layers.#.block_sparse_moe.gate", "blk.#.ffn_gate_inp", HF_COPY },
                           { "layers.#.block_sparse_moe.experts.@.w1", "blk.#.ffn_gate_exps", HF_EXPERTS },
                           { "layers.#.block_sparse_moe.experts.@.w3", "blk.#.ffn_up_exps", HF_EXPERTS },
                           { "layers.#.block_sparse_moe.experts.@.w2", "blk.#.ffn_down_exps", HF_EXPERTS }, END };
NAMES(QWEN_EXPERTS) = { { "layers.#.mlp.gate", "blk.#.ffn_gate_inp", HF_COPY },
                        { "layers.#.mlp.experts.@.gate_proj", "blk.#.ffn_gate_exps", HF_EXPERTS },
                        { "layers.#.mlp.experts.@.up_proj", "blk.#.ffn_up_exps", HF_EXPERTS },
                        { "layers.#.mlp.experts.@.down_proj", "blk.#.ffn_down_exps", HF_EXPERTS },
                        { "layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_gate_exps", HF_GATE }, /* transformers 5 */
                        { "layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_up_exps", HF_UP },
                        { "layers.#.mlp.experts.down_proj", "blk.#.ffn_down_exps", HF_COPY }, END };
NAMES(QWEN_SHARED) = { { "layers.#.mlp.shared_expert_gate", "blk.#.ffn_gate_inp_shexp", HF_ROW },
                       { "layers.#.mlp.shared_expert.gate_proj", "blk.#.ffn_gate_shexp", HF_COPY },
                       { "layers.#.mlp.shared_expert.up_proj", "blk.#.ffn_up_shexp", HF_COPY },
                       { "layers.#.mlp.shared_expert.down_proj", "blk.#.ffn_down_shexp", HF_COPY }, END };
NAMES(GRANITE_EXPERTS) = { { "layers.#.block_sparse_moe.router.layer", "blk.#.ffn_gate_inp", HF_COPY },
                           { "layers.#.block_sparse_moe.input_linear", "blk.#.ffn_gate_exps", HF_GATE },
                           { "layers.#.block_sparse_moe.input_linear", "blk.#.ffn_up_exps", HF_UP },
                           { "layers.#.block_sparse_moe.output_linear", "blk.#.ffn_down_exps", HF_COPY },
                           { "layers.#.shared_mlp.input_linear", "blk.#.ffn_gate_shexp", HF_GATE },
                           { "layers.#.shared_mlp.input_linear", "blk.#.ffn_up_shexp", HF_UP },
                           { "layers.#.shared_mlp.output_linear", "blk.#.ffn_down_shexp", HF_COPY }, END };
NAMES(VISION) = { { "vision_tower.*", NULL, HF_DROP }, { "multi_modal_projector.*", NULL, HF_DROP }, END };
NAMES(GPT2_NAMES) = {
    { "wte", "token_embd", HF_COPY },                          { "wpe", "position_embd", HF_COPY },
    { "h.#.ln_1", "blk.#.attn_norm", HF_COPY },                { "h.#.ln_2", "blk.#.ffn_norm", HF_COPY },
    { "h.#.attn.c_attn", "blk.#.attn_qkv", HF_TRANSPOSE },     { "h.#.attn.c_proj", "blk.#.attn_output", HF_TRANSPOSE },
    { "h.#.mlp.c_fc", "blk.#.ffn_up", HF_TRANSPOSE },          { "h.#.mlp.c_proj", "blk.#.ffn_down", HF_TRANSPOSE },
    { "ln_f", "output_norm", HF_COPY },                        { "lm_head", "output", HF_COPY },
    { "h.#.attn", NULL, HF_DROP },                             { "h.#.attn.masked_bias", NULL, HF_DROP }, END
};
NAMES(BERT_NAMES) = {
    { "embeddings.word_embeddings", "token_embd", HF_COPY },
    { "embeddings.position_embeddings", "position_embd", HF_COPY },
    { "embeddings.token_type_embeddings", "token_types", HF_COPY },
    { "embeddings.LayerNorm", "token_embd_norm", HF_COPY },
    { "encoder.layer.#.attention.self.query", "blk.#.attn_q", HF_COPY },
    { "encoder.layer.#.attention.self.key", "blk.#.attn_k", HF_COPY },
    { "encoder.layer.#.attention.self.value", "blk.#.attn_v", HF_COPY },
    { "encoder.layer.#.attention.output.dense", "blk.#.attn_output", HF_COPY },
    { "encoder.layer.#.attention.output.LayerNorm", "blk.#.attn_output_norm", HF_COPY },
    { "encoder.layer.#.intermediate.dense", "blk.#.ffn_up", HF_COPY },
    { "encoder.layer.#.output.dense", "blk.#.ffn_down", HF_COPY },
    { "encoder.layer.#.output.LayerNorm", "blk.#.layer_output_norm", HF_COPY },
    { "embeddings.position_ids", NULL, HF_DROP }, { "pooler.*", NULL, HF_DROP }, { "cls.*", NULL, HF_DROP }, END
};
NAMES(NOMIC_NAMES) = {
    { "embeddings.word_embeddings", "token_embd", HF_COPY },
    { "embeddings.token_type_embeddings", "token_types", HF_COPY },
    { "emb_ln", "token_embd_norm", HF_COPY },
    { "encoder.layers.#.attn.Wqkv", "blk.#.attn_qkv", HF_COPY },
    { "encoder.layers.#.attn.out_proj", "blk.#.attn_output", HF_COPY },
    { "encoder.layers.#.norm1", "blk.#.attn_output_norm", HF_COPY },
    { "encoder.layers.#.mlp.fc11", "blk.#.ffn_up", HF_COPY },
    { "encoder.layers.#.mlp.fc12", "blk.#.ffn_gate", HF_COPY },
    { "encoder.layers.#.mlp.fc2", "blk.#.ffn_down", HF_COPY },
    { "encoder.layers.#.norm2", "blk.#.layer_output_norm", HF_COPY }, END
};

#define LIST(name, ...) static const struct hf_name *const name[] = { __VA_ARGS__, NULL }
LIST(LLAMA_NAMES, EMBEDDING, ROTARY_ATTENTION, PRE_NORMS, GATED_FFN);
LIST(MIXTRAL_NAMES, EMBEDDING, ROTARY_ATTENTION, PRE_NORMS, MIXTRAL_EXPERTS);
LIST(GRANITE_MOE_NAMES, EMBEDDING, ROTARY_ATTENTION, PRE_NORMS, GRANITE_EXPERTS);
LIST(QWEN2_NAMES, EMBEDDING, ATTENTION, PRE_NORMS, GATED_FFN);
LIST(QWEN2_MOE_NAMES, EMBEDDING, ATTENTION, PRE_NORMS, QWEN_EXPERTS, QWEN_SHARED);
LIST(QWEN3_NAMES, EMBEDDING, ATTENTION, QK_NORMS, PRE_NORMS, GATED_FFN);
LIST(QWEN3_MOE_NAMES, EMBEDDING, ATTENTION, QK_NORMS, PRE_NORMS, QWEN_EXPERTS);
LIST(PHI3_NAMES, EMBEDDING, FUSED_ATTENTION, PRE_NORMS, FUSED_FFN);
LIST(GEMMA_NAMES, EMBEDDING_PLUS_ONE, ATTENTION, PRE_NORMS_PLUS_ONE, GATED_FFN);
LIST(GEMMA2_NAMES, EMBEDDING_PLUS_ONE, ATTENTION, FOUR_NORMS_PLUS_ONE, GATED_FFN);
LIST(GEMMA3_NAMES, EMBEDDING_PLUS_ONE, ATTENTION, QK_NORMS_PLUS_ONE, FOUR_NORMS_PLUS_ONE, GATED_FFN, VISION);
LIST(OLMO2_NAMES, EMBEDDING, ATTENTION, QK_NORMS, POST_NORMS, GATED_FFN);
LIST(GPT2_LIST, GPT2_NAMES);
LIST(BERT_LIST, BERT_NAMES);
LIST(NOMIC_LIST, NOMIC_NAMES);

/* ---- keys ---- */
const struct hf_key HF_COMMON_KEYS[] = {
    { "context_length", 'u', { "max_position_embeddings", "max_trained_positions", "n_positions", "n_ctx" } },
    { "embedding_length", 'u', { "hidden_size", "n_embd" } },
    { "block_count", 'u', { "num_hidden_layers", "n_layer" } },
    { "feed_forward_length", 'u', { "intermediate_size", "n_inner" } },
    { "attention.head_count", 'u', { "num_attention_heads", "n_head" } },
    { "attention.head_count_kv", 'u', { "num_key_value_heads" } },
    { "attention.layer_norm_rms_epsilon", 'f', { "rms_norm_eps" } },
    { "attention.layer_norm_epsilon", 'f', { "layer_norm_eps", "layer_norm_epsilon" } },
    { "expert_count", 'u', { "num_local_experts", "num_experts" } },
    { "expert_used_count", 'u', { "num_experts_per_tok" } },
    { "vocab_size", 'u', { "vocab_size" } },
    { NULL, 0, { NULL } },
};
#define KEYS(name) static const struct hf_key name[]
#define END_KEYS { NULL, 0, { NULL } }
KEYS(MISTRAL_KEYS) = { { "attention.sliding_window", 'w', { "sliding_window" } }, END_KEYS };
KEYS(PHI3_KEYS) = { { "attention.sliding_window", 'z', { "sliding_window" } }, /* both are demanded by readers of this architecture */
                    { "rope.scaling.original_context_length", 'u', { "original_max_position_embeddings" } }, END_KEYS };
KEYS(GRANITE_KEYS) = { { "attention.scale", 'f', { "attention_multiplier" } }, { "embedding_scale", 'f', { "embedding_multiplier" } },
                       { "residual_scale", 'f', { "residual_multiplier" } }, { "logit_scale", 'f', { "logits_scaling" } },
                       { "expert_shared_feed_forward_length", 'u', { "shared_intermediate_size" } }, END_KEYS };
KEYS(QWEN_MOE_KEYS) = { { "expert_feed_forward_length", 'u', { "moe_intermediate_size" } },
                        { "expert_shared_feed_forward_length", 'u', { "shared_expert_intermediate_size" } }, END_KEYS };
KEYS(GEMMA2_KEYS) = { { "attn_logit_softcapping", 'f', { "attn_logit_softcapping" } }, { "final_logit_softcapping", 'f', { "final_logit_softcapping" } },
                      { "attention.sliding_window", 'u', { "sliding_window" } }, END_KEYS };
KEYS(GEMMA3_KEYS) = { { "final_logit_softcapping", 'f', { "final_logit_softcapping" } }, { "attention.sliding_window", 'u', { "sliding_window" } },
                      { "rope.freq_base_swa", 'f', { "rope_local_base_freq" } }, END_KEYS };

/* ---- demands and defaults ---- */
#define DEMANDS(name) static const struct hf_demand name[]
#define END_DEMANDS { NULL, NULL }
#define SILU { "hidden_act", "\"silu\"|\"swish\"" }, { "hidden_activation", "\"silu\"|\"swish\"" }
#define TANH_GELU { "hidden_act", "\"gelu_pytorch_tanh\"|\"gelu\"" }, { "hidden_activation", "\"gelu_pytorch_tanh\"" }
DEMANDS(LLAMA_DEMANDS) = { SILU, END_DEMANDS };
DEMANDS(QWEN_DEMANDS) = { SILU, { "use_sliding_window", "false" }, END_DEMANDS };
DEMANDS(QWEN2_MOE_DEMANDS) = { SILU, { "use_sliding_window", "false" }, { "decoder_sparse_step", "1" }, { "mlp_only_layers", "[]" },
                               { "norm_topk_prob", "false" }, END_DEMANDS };
DEMANDS(QWEN3_MOE_DEMANDS) = { SILU, { "use_sliding_window", "false" }, { "decoder_sparse_step", "1" }, { "mlp_only_layers", "[]" },
                               { "norm_topk_prob", "true" }, END_DEMANDS };
DEMANDS(SMOLLM3_DEMANDS) = { SILU, { "use_sliding_window", "false" }, { "no_rope_layer_interval", "4" }, END_DEMANDS };
DEMANDS(GEMMA_DEMANDS) = { TANH_GELU, { "use_bidirectional_attention", "false" }, END_DEMANDS };
DEMANDS(GEMMA3_DEMANDS) = { TANH_GELU, { "use_bidirectional_attention", "false" }, { "attn_logit_softcapping", "" }, { "sliding_window_pattern", "6" },
                            { "_sliding_window_pattern", "6" }, END_DEMANDS };
DEMANDS(GPT2_DEMANDS) = { { "activation_function", "\"gelu_new\"|\"gelu\"" }, { "scale_attn_weights", "true" },
                          { "scale_attn_by_inverse_layer_idx", "false" }, { "add_cross_attention", "false" }, END_DEMANDS };
DEMANDS(BERT_DEMANDS) = { { "hidden_act", "\"gelu\"" }, { "position_embedding_type", "\"absolute\"" }, { "is_decoder", "false" }, END_DEMANDS };
DEMANDS(NOMIC_DEMANDS) = { { "activation_function", "\"swiglu\"" }, { "causal", "false" }, { "qkv_proj_bias", "false" }, { "mlp_fc1_bias", "false" },
                           { "mlp_fc2_bias", "false" }, { "prenorm", "false" }, { "rotary_emb_fraction", "1|1.0" }, { "rotary_emb_interleaved", "false" },
                           { "moe_every_n_layers", "0" }, END_DEMANDS };

#define DEFAULTS(name) static const struct hf_default name[]
#define END_DEFAULTS { NULL, 0 }
DEFAULTS(LLAMA_DEFAULTS) = { { "max_position_embeddings", 2048 }, { "rms_norm_eps", 1e-6 }, { "rope_theta", 10000 }, END_DEFAULTS };
DEFAULTS(MISTRAL_DEFAULTS) = { { "max_position_embeddings", 131072 }, { "rms_norm_eps", 1e-6 }, { "rope_theta", 10000 }, { "num_key_value_heads", 8 },
                               { "sliding_window", 4096 }, END_DEFAULTS };
DEFAULTS(PHI3_DEFAULTS) = { { "max_position_embeddings", 4096 }, { "original_max_position_embeddings", 4096 }, { "rms_norm_eps", 1e-5 },
                            { "rope_theta", 10000 }, END_DEFAULTS };
DEFAULTS(MIXTRAL_DEFAULTS) = { { "max_position_embeddings", 131072 }, { "rms_norm_eps", 1e-5 }, { "rope_theta", 1e6 }, { "num_key_value_heads", 8 },
                               { "num_local_experts", 8 }, { "num_experts_per_tok", 2 }, END_DEFAULTS };
DEFAULTS(GEMMA_DEFAULTS) = { { "max_position_embeddings", 8192 }, { "rms_norm_eps", 1e-6 }, { "rope_theta", 10000 }, { "head_dim", 256 },
                             { "vocab_size", 256000 }, END_DEFAULTS };
DEFAULTS(GEMMA2_DEFAULTS) = { { "max_position_embeddings", 8192 }, { "rms_norm_eps", 1e-6 }, { "rope_theta", 10000 }, { "head_dim", 256 },
                              { "num_key_value_heads", 4 }, { "sliding_window", 4096 }, { "attn_logit_softcapping", 50 }, { "final_logit_softcapping", 30 },
                              { "query_pre_attn_scalar", 256 }, { "vocab_size", 256000 }, END_DEFAULTS };
DEFAULTS(GEMMA3_DEFAULTS) = { { "max_position_embeddings", 131072 }, { "rms_norm_eps", 1e-6 }, { "rope_theta", 1e6 }, { "rope_local_base_freq", 10000 },
                              { "head_dim", 256 }, { "num_attention_heads", 8 }, { "num_key_value_heads", 4 }, { "sliding_window", 4096 },
                              { "query_pre_attn_scalar", 256 }, { "vocab_size", 262208 }, END_DEFAULTS };
DEFAULTS(GPT2_DEFAULTS) = { { "n_positions", 1024 }, { "layer_norm_epsilon", 1e-5 }, END_DEFAULTS };
DEFAULTS(BERT_DEFAULTS) = { { "max_position_embeddings", 512 }, { "layer_norm_eps", 1e-12 }, END_DEFAULTS };
DEFAULTS(NOMIC_DEFAULTS) = { { "max_trained_positions", 2048 }, { "rotary_emb_base", 10000 }, { "layer_norm_epsilon", 1e-12 }, END_DEFAULTS };

const struct hf_arch HF_ARCHS[] = { /* of rows with the same GGUF name, those with back_when first */
    { "MixtralForCausalLM", "mixtral", "llama", MIXTRAL_NAMES, MISTRAL_KEYS, LLAMA_DEMANDS, MIXTRAL_DEFAULTS, HF_ROPE, "model.", 0, 0, "expert_count" },
    { "MistralForCausalLM", "mistral", "llama", LLAMA_NAMES, MISTRAL_KEYS, LLAMA_DEMANDS, MISTRAL_DEFAULTS, HF_ROPE, "model.", 0, 0, "attention.sliding_window" },
    { "LlamaForCausalLM", "llama", "llama", LLAMA_NAMES, NULL, LLAMA_DEMANDS, LLAMA_DEFAULTS, HF_ROPE, "model.", 0, 0, NULL },
    { "GraniteForCausalLM", "granite", "granite", LLAMA_NAMES, GRANITE_KEYS, LLAMA_DEMANDS, LLAMA_DEFAULTS, HF_ROPE, "model.", 0, 0, NULL },
    { "GraniteMoeForCausalLM", "granitemoe", "granitemoe", GRANITE_MOE_NAMES, GRANITE_KEYS, LLAMA_DEMANDS, LLAMA_DEFAULTS, HF_ROPE, "model.", 0, 0, NULL },
    { "GraniteMoeSharedForCausalLM", "granitemoeshared", "granitemoe", GRANITE_MOE_NAMES, GRANITE_KEYS, LLAMA_DEMANDS, LLAMA_DEFAULTS, HF_ROPE, "model.", 0, 0, NULL },
    { "Qwen2ForCausalLM", "qwen2", "qwen2", QWEN2_NAMES, NULL, QWEN_DEMANDS, LLAMA_DEFAULTS, HF_ROPE, "model.", 0, 0, NULL },
    { "Qwen2MoeForCausalLM", "qwen2_moe", "qwen2moe", QWEN2_MOE_NAMES, QWEN_MOE_KEYS, QWEN2_MOE_DEMANDS, LLAMA_DEFAULTS, HF_ROPE, "model.", 0, 0, NULL },
    { "Qwen3ForCausalLM", "qwen3", "qwen3", QWEN3_NAMES, NULL, QWEN_DEMANDS, LLAMA_DEFAULTS, HF_ROPE, "model.", 0, 0, NULL },
    { "Qwen3MoeForCausalLM", "qwen3_moe", "qwen3moe", QWEN3_MOE_NAMES, QWEN_MOE_KEYS, QWEN3_MOE_DEMANDS, LLAMA_DEFAULTS, HF_ROPE, "model.", 0, 0, NULL },
    { "Phi3ForCausalLM", "phi3", "phi3", PHI3_NAMES, PHI3_KEYS, LLAMA_DEMANDS, PHI3_DEFAULTS, HF_ROPE, "model.", 0, 0, NULL },
    { "GemmaForCausalLM", "gemma", "gemma", GEMMA_NAMES, NULL, GEMMA_DEMANDS, GEMMA_DEFAULTS, HF_ROPE | HF_TIED, "model.", 0, 0, NULL },
    { "Gemma2ForCausalLM", "gemma2", "gemma2", GEMMA2_NAMES, GEMMA2_KEYS, GEMMA_DEMANDS, GEMMA2_DEFAULTS, HF_ROPE | HF_TIED, "model.", 2, 46, NULL },
    { "Gemma3ForCausalLM", "gemma3_text", "gemma3", GEMMA3_NAMES, GEMMA3_KEYS, GEMMA3_DEMANDS, GEMMA3_DEFAULTS, HF_ROPE | HF_TIED, "model.", 6, 62, NULL },
    { "Gemma3ForConditionalGeneration", "gemma3", "gemma3", GEMMA3_NAMES, GEMMA3_KEYS, GEMMA3_DEMANDS, GEMMA3_DEFAULTS, HF_ROPE | HF_TIED, "model.", 6, 62, "" },
    { "SmolLM3ForCausalLM", "smollm3", "smollm3", LLAMA_NAMES, NULL, SMOLLM3_DEMANDS, LLAMA_DEFAULTS, HF_ROPE | HF_TIED, "model.", 0, 0, NULL },
    { "Olmo2ForCausalLM", "olmo2", "olmo2", OLMO2_NAMES, NULL, LLAMA_DEMANDS, LLAMA_DEFAULTS, HF_ROPE, "model.", 0, 0, NULL },
    { "GPT2LMHeadModel", "gpt2", "gpt2", GPT2_LIST, NULL, GPT2_DEMANDS, GPT2_DEFAULTS, HF_TIED | HF_N_NAMES, "transformer.", 0, 0, NULL },
    { "BertModel", "bert", "bert", BERT_LIST, NULL, BERT_DEMANDS, BERT_DEFAULTS, HF_ENCODER, "", 0, 0, NULL },
    { "NomicBertModel", "nomic_bert", "nomic-bert", NOMIC_LIST, NULL, NOMIC_DEMANDS, NOMIC_DEFAULTS, HF_ROPE | HF_N_NAMES | HF_ENCODER, "", 0, 0, NULL },
};
const int N_HF_ARCHS = (int)ARRAY_LEN(HF_ARCHS);

/* ---- looking ---- */

const struct hf_arch *hf_arch_of(const char *class_name, const char *model_type)
{
    for (int i = 0; class_name && i < N_HF_ARCHS; i++)
        if (!strcmp(HF_ARCHS[i].class_name, class_name)) return &HF_ARCHS[i];
    for (int i = 0; model_type && i < N_HF_ARCHS; i++)
        if (!strcmp(HF_ARCHS[i].model_type, model_type)) return &HF_ARCHS[i];
    return NULL;
}

const struct hf_arch *hf_arch_of_gguf(const struct gguf *g, struct sv architecture)
{
    for (int i = 0; i < N_HF_ARCHS; i++) {
        const struct hf_arch *a = &HF_ARCHS[i];
        char key[160];
        int64_t v = 0;
        if (!sv_eq_c(architecture, a->gguf)) continue;
        if (!a->back_when) return a;
        snprintf(key, sizeof key, "%s.%s", a->gguf, a->back_when);
        if (*a->back_when && !gguf_get_int(g, key, 1, INT32_MAX, &v, NULL)) return a;
    }
    return NULL;
}

int hf_match(const char *pattern, struct sv name, int *layer, int *expert)
{
    size_t i = 0;
    *layer = *expert = -1;
    for (const char *p = pattern; *p; p++) {
        if (*p == '*') return 1;
        if (*p != '#' && *p != '@') {
            if (i >= name.n || name.p[i++] != *p) return 0;
            continue;
        }
        int v = 0, digits = 0;
        for (; i < name.n && name.p[i] >= '0' && name.p[i] <= '9' && digits < 6; i++, digits++) v = v * 10 + (name.p[i] - '0');
        if (!digits) return 0;
        *(*p == '#' ? layer : expert) = v;
    }
    return i == name.n;
}

void hf_fill_name(char *out, size_t cap, const char *pattern, int layer, int expert)
{
    size_t n = 0;
    for (const char *p = pattern; *p && n + 1 < cap; p++) {
        if (*p == '#' || *p == '@') n += (size_t)snprintf(out + n, cap - n, "%d", *p == '#' ? layer : expert);
        else out[n++] = *p;
    }
    out[n < cap ? n : cap - 1] = 0;
}
