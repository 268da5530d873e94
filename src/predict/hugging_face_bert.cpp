// SPDX-License-Identifier: Apache-2.0
#include "predict/hugging_face_names.hpp"
#include "recipe/load.hpp"

namespace polyphase {

using nlohmann::json;
using recipe::Model;

// BertForPreTraining, BertForMaskedLM (Devlin et al., 2019); a tagging phase's softmax head is
// BertForTokenClassification's.
HuggingFaceModel bert_model(const Model& model, HuggingFaceNames names, std::int64_t num_tokens,
                            const std::vector<std::string>& label_names) {
  ClassDemands bert("BertModel");
  bert.need(model.norm == recipe::NormPlacement::kPost, "norm: post");
  bert.need(model.norm_kind == recipe::NormalisationKind::kLayer, "norm_kind: layer");
  bert.need(model.positions == recipe::Positions::kLearned, "positions: learned");
  bert.need(model.activation == "gelu", "activation: gelu");
  bert.need(model.biases, "biases: true");
  bert.need(model.tied_output, "tied_output: true");
  bert.need(!model.matches, "matches: false");
  bert.need(model.scaled_scores, "scaled_scores: true");
  bert.need(recipe::num_key_heads_of(model) == model.num_heads, "num_key_heads: num_heads");
  bert.need(recipe::head_width_of(model) * model.num_heads == model.width,
            "head_width: width / num_heads");
  bert.check();
  constexpr std::int64_t kSegments = 2;
  const std::string embeddings = "bert.embeddings.";
  names.add(embeddings + "word_embeddings.weight", {"embedding.token.weight"});
  names.add(embeddings + "position_embeddings.weight", {"embedding.position.weight"});
  const std::string segments = embeddings + "token_type_embeddings.weight";
  if (model.segments) {
    names.add(segments, {"embedding.segment.weight"});
  } else {
    names.add_zeros(segments, {kSegments, model.width});
  }
  names.norm(embeddings + "LayerNorm", "embedding.norm");
  for (std::int64_t i = 0; i < model.num_layers; ++i) {
    const std::string theirs = fmt::format("bert.encoder.layer.{}.", i),
                      ours = fmt::format("layers.{}.", i);
    for (const char* part : {"query", "key", "value"})
      names.product(theirs + "attention.self." + part, ours + "attention." + part);
    names.product(theirs + "attention.output.dense", ours + "attention.output");
    names.norm(theirs + "attention.output.LayerNorm", ours + "attention.norm");
    names.product(theirs + "intermediate.dense", ours + "feed_forward.in");
    names.product(theirs + "output.dense", ours + "feed_forward.out");
    names.norm(theirs + "output.LayerNorm", ours + "feed_forward.norm");
  }
  const bool predicts_tokens = names.has("head.mlm.bias"),
             orders = names.has("head.nsp.pool.weight"),
             tags = names.has("head.tagging.output.weight") && !names.has("head.crf.transitions");
  if (predicts_tokens) {
    names.product("cls.predictions.transform.dense", "head.mlm.transform");
    names.norm("cls.predictions.transform.LayerNorm", "head.mlm.norm");
    names.add("cls.predictions.bias", {"head.mlm.bias"});
  }
  if (orders) {
    names.product("bert.pooler.dense", "head.nsp.pool");
    names.product("cls.seq_relationship", "head.nsp.output");
  }
  if (tags) names.product("classifier", "head.tagging.output");
  json config = common_config();
  config.update({{"model_type", "bert"},
                 {"architectures",
                  {predicts_tokens && orders ? "BertForPreTraining"
                   : predicts_tokens         ? "BertForMaskedLM"
                   : tags                    ? "BertForTokenClassification"
                                             : "BertModel"}},
                 {"vocab_size", num_tokens},
                 {"hidden_size", model.width},
                 {"num_hidden_layers", model.num_layers},
                 {"num_attention_heads", model.num_heads},
                 {"intermediate_size", recipe::feed_forward_of(model)},
                 {"hidden_act", "gelu"},
                 {"hidden_dropout_prob", model.dropout},
                 {"attention_probs_dropout_prob", model.attention_dropout},
                 {"max_position_embeddings", model.max_tokens},
                 {"type_vocab_size", kSegments},
                 {"layer_norm_eps", model.norm_epsilon}});
  for (std::size_t i = 0; tags && i < label_names.size(); ++i) {
    config["id2label"][std::to_string(i)] = label_names[i];
    config["label2id"][label_names[i]] = i;
  }
  return std::move(names).finish(std::move(config));
}

}  // namespace polyphase
