// SPDX-License-Identifier: Apache-2.0
#include "predict/hugging_face_names.hpp"
#include "recipe/load.hpp"

namespace polyphase {

namespace {

using nlohmann::json;
using recipe::Model;

// GPT2LMHeadModel, whose products keep their weights as [in, out].
HuggingFaceModel gpt_2(const Model& model, HuggingFaceNames names, std::int64_t num_tokens) {
  ClassDemands gpt("GPT2LMHeadModel");
  gpt.need(model.norm == recipe::NormPlacement::kPre, "norm: pre");
  gpt.need(model.norm_kind == recipe::NormalisationKind::kLayer, "norm_kind: layer");
  gpt.need(model.activation == "gelu_tanh", "activation: gelu_tanh");
  gpt.need(model.biases, "biases: true");
  gpt.need(model.tied_output, "tied_output: true");
  gpt.need(!model.segments, "segments: false");
  gpt.need(model.scaled_scores, "scaled_scores: true");
  gpt.need(recipe::num_key_heads_of(model) == model.num_heads, "num_key_heads: num_heads");
  gpt.need(recipe::head_width_of(model) * model.num_heads == model.width,
           "head_width: width / num_heads");
  gpt.check();
  names.add("transformer.wte.weight", {"embedding.token.weight"});
  names.add("transformer.wpe.weight", {"embedding.position.weight"});
  const auto product = [&](const std::string& theirs, const std::vector<std::string>& ours) {
    std::vector<std::string> weights, biases;
    for (const std::string& part : ours) {
      weights.push_back(part + ".weight");
      biases.push_back(part + ".bias");
    }
    names.add(theirs + ".weight", weights, true);
    names.add(theirs + ".bias", biases);
  };
  for (std::int64_t i = 0; i < model.num_layers; ++i) {
    const std::string theirs = fmt::format("transformer.h.{}.", i),
                      ours = fmt::format("layers.{}.", i);
    names.norm(theirs + "ln_1", ours + "attention.norm");
    product(theirs + "attn.c_attn",
            {ours + "attention.query", ours + "attention.key", ours + "attention.value"});
    product(theirs + "attn.c_proj", {ours + "attention.output"});
    names.norm(theirs + "ln_2", ours + "feed_forward.norm");
    product(theirs + "mlp.c_fc", {ours + "feed_forward.in"});
    product(theirs + "mlp.c_proj", {ours + "feed_forward.out"});
  }
  names.norm("transformer.ln_f", "final.norm");
  json config = common_config();
  config.update({{"model_type", "gpt2"},
                 {"architectures", {"GPT2LMHeadModel"}},
                 {"vocab_size", num_tokens},
                 {"n_embd", model.width},
                 {"n_layer", model.num_layers},
                 {"n_head", model.num_heads},
                 {"n_inner", recipe::feed_forward_of(model)},
                 {"n_positions", model.max_tokens},
                 {"activation_function", "gelu_new"},
                 {"resid_pdrop", model.dropout},
                 {"embd_pdrop", model.embedding_dropout.value_or(model.dropout)},
                 {"attn_pdrop", model.attention_dropout},
                 {"layer_norm_epsilon", model.norm_epsilon}});
  return std::move(names).finish(std::move(config));
}

// LlamaForCausalLM (Touvron et al., 2023), of any size and with grouped heads.
HuggingFaceModel llama(const Model& model, HuggingFaceNames names, std::int64_t num_tokens) {
  ClassDemands llama("LlamaForCausalLM");
  llama.need(model.norm == recipe::NormPlacement::kPre, "norm: pre");
  llama.need(model.norm_kind == recipe::NormalisationKind::kRms, "norm_kind: rms");
  llama.need(model.positions == recipe::Positions::kRotary, "positions: rotary");
  llama.need(model.activation == "swiglu", "activation: swiglu");
  llama.need(!model.biases, "biases: false");
  llama.need(!model.segments, "segments: false");
  llama.need(model.scaled_scores, "scaled_scores: true");
  llama.check();
  names.add("model.embed_tokens.weight", {"embedding.token.weight"});
  for (std::int64_t i = 0; i < model.num_layers; ++i) {
    const std::string theirs = fmt::format("model.layers.{}.", i),
                      ours = fmt::format("layers.{}.", i);
    names.norm(theirs + "input_layernorm", ours + "attention.norm");
    names.product(theirs + "self_attn.q_proj", ours + "attention.query");
    names.product(theirs + "self_attn.k_proj", ours + "attention.key");
    names.product(theirs + "self_attn.v_proj", ours + "attention.value");
    names.product(theirs + "self_attn.o_proj", ours + "attention.output");
    names.norm(theirs + "post_attention_layernorm", ours + "feed_forward.norm");
    names.product(theirs + "mlp.gate_proj", ours + "feed_forward.gate");
    names.product(theirs + "mlp.up_proj", ours + "feed_forward.in");
    names.product(theirs + "mlp.down_proj", ours + "feed_forward.out");
  }
  names.norm("model.norm", "final.norm");
  // A task's phase has no use for an output that is not the token table.
  const bool predicts_tokens = model.tied_output || names.has("head.lm.weight");
  if (!model.tied_output && predicts_tokens) names.product("lm_head", "head.lm");
  json config = common_config();
  config.update({{"model_type", "llama"},
                 {"architectures", {predicts_tokens ? "LlamaForCausalLM" : "LlamaModel"}},
                 {"vocab_size", num_tokens},
                 {"hidden_size", model.width},
                 {"num_hidden_layers", model.num_layers},
                 {"num_attention_heads", model.num_heads},
                 {"num_key_value_heads", recipe::num_key_heads_of(model)},
                 {"head_dim", recipe::head_width_of(model)},
                 {"intermediate_size", recipe::feed_forward_of(model)},
                 {"hidden_act", "silu"},
                 {"max_position_embeddings", model.max_tokens},
                 {"rope_theta", model.rotary_theta},
                 {"rms_norm_eps", model.norm_epsilon},
                 {"attention_dropout", model.attention_dropout},
                 {"tie_word_embeddings", model.tied_output}});
  return std::move(names).finish(std::move(config));
}

}  // namespace

// Positions tell the two apart.
HuggingFaceModel gpt_model(const Model& model, HuggingFaceNames names, std::int64_t num_tokens) {
  return model.positions == recipe::Positions::kLearned
             ? gpt_2(model, std::move(names), num_tokens)
             : llama(model, std::move(names), num_tokens);
}

}  // namespace polyphase
