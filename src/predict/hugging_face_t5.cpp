// SPDX-License-Identifier: Apache-2.0
#include "predict/hugging_face_names.hpp"
#include "recipe/load.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {

namespace {

using nlohmann::json;
using recipe::Model;

void t5_stack(HuggingFaceNames& names, const std::string& theirs, const std::string& ours,
              std::int64_t num_layers, bool crosses) {
  for (std::int64_t i = 0; i < num_layers; ++i) {
    const std::string block = fmt::format("{}block.{}.layer.", theirs, i),
                      own = ours + fmt::format("layers.{}.", i);
    const auto attention = [&](int place, const char* name, const std::string& part) {
      for (const auto& [letter, word] :
           {std::pair{"q", "query"}, {"k", "key"}, {"v", "value"}, {"o", "output"}})
        names.product(fmt::format("{}{}.{}.{}", block, place, name, letter), part + "." + word);
      names.norm(fmt::format("{}{}.layer_norm", block, place), part + ".norm");
    };
    attention(0, "SelfAttention", own + "attention");
    if (crosses) attention(1, "EncDecAttention", own + "cross_attention");
    const std::string feed = fmt::format("{}{}.", block, crosses ? 2 : 1);
    const bool gated = names.has(own + "feed_forward.gate.weight");
    if (gated) names.product(feed + "DenseReluDense.wi_0", own + "feed_forward.gate");
    names.product(feed + (gated ? "DenseReluDense.wi_1" : "DenseReluDense.wi"),
                  own + "feed_forward.in");
    names.product(feed + "DenseReluDense.wo", own + "feed_forward.out");
    names.norm(feed + "layer_norm", own + "feed_forward.norm");
  }
  names.add(theirs + "block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            {ours + "relative_positions.weight"});
  names.norm(theirs + "final_layer_norm", ours + "final.norm");
}

}  // namespace

// T5ForConditionalGeneration, 1.0 and 1.1 (Raffel et al., 2020); its encoder alone where a phase
// labels texts.
HuggingFaceModel t5_model(const Model& model, const recipe::Phase& phase, HuggingFaceNames names,
                          std::int64_t num_tokens) {
  const bool gated = model.activation == "geglu", decodes = recipe::has_decoder(model, phase);
  ClassDemands t5("T5ForConditionalGeneration");
  t5.need(model.norm == recipe::NormPlacement::kPre, "norm: pre");
  t5.need(model.norm_kind == recipe::NormalisationKind::kRms, "norm_kind: rms");
  t5.need(model.positions == recipe::Positions::kRelative, "positions: relative");
  t5.need(gated || model.activation == "relu", "activation: relu or geglu");
  t5.need(!model.biases, "biases: false");
  t5.need(!model.segments, "segments: false");
  t5.need(!model.scaled_scores, "scaled_scores: false");
  t5.need(recipe::num_key_heads_of(model) == model.num_heads, "num_key_heads: num_heads");
  t5.check();
  names.add("shared.weight", {"embedding.token.weight"});
  t5_stack(names, "encoder.", "", model.num_layers, false);
  if (decodes) t5_stack(names, "decoder.", "decoder.", recipe::num_decoder_layers_of(model), true);
  if (decodes && !model.tied_output) names.product("lm_head", "head.lm");
  json config = common_config();
  config.update({{"model_type", "t5"},
                 {"architectures", {decodes ? "T5ForConditionalGeneration" : "T5EncoderModel"}},
                 {"vocab_size", num_tokens},
                 {"d_model", model.width},
                 {"d_kv", recipe::head_width_of(model)},
                 {"d_ff", recipe::feed_forward_of(model)},
                 {"num_layers", model.num_layers},
                 {"num_decoder_layers", recipe::num_decoder_layers_of(model)},
                 {"num_heads", model.num_heads},
                 {"relative_attention_num_buckets", model.relative_buckets},
                 {"relative_attention_max_distance", model.relative_max_distance},
                 {"feed_forward_proj", gated ? "gated-gelu" : "relu"},
                 {"layer_norm_epsilon", model.norm_epsilon},
                 {"dropout_rate", model.dropout},
                 {"tie_word_embeddings", model.tied_output},
                 {"is_encoder_decoder", decodes},
                 {"decoder_start_token_id", text::kClsId}});
  return std::move(names).finish(std::move(config));
}

}  // namespace polyphase
