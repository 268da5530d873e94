// SPDX-License-Identifier: Apache-2.0
// What each family of models is by default, and the sizes that follow from others.
#include "recipe/load.hpp"

namespace polyphase::recipe {
namespace {

// GPT-2 (Radford et al., 2019, section 2.3).
Model gpt() {
  Model model;
  model.family = Family::kGpt;
  model.segments = false;
  model.norm = NormPlacement::kPre;
  model.norm_epsilon = 1e-5;
  model.activation = "gelu_tanh";
  model.initialisation = Initialisation::kScaledResidual;
  return model;
}

// T5 version 1.0 (Raffel et al., 2020, section 2.1, and its released code).
Model t5() {
  Model model;
  model.family = Family::kT5;
  model.positions = Positions::kRelative;
  model.segments = false;
  model.norm = NormPlacement::kPre;
  model.norm_kind = NormalisationKind::kRms;
  model.norm_epsilon = 1e-6;
  model.activation = "relu";
  model.biases = false;
  model.scaled_scores = false;
  model.initialisation = Initialisation::kFanIn;
  return model;
}

}  // namespace

Model family_defaults(Family family) {
  switch (family) {
    case Family::kGpt:
      return gpt();
    case Family::kT5:
      return t5();
    case Family::kBert:
      return {};  // Devlin et al., 2019, section 3
  }
  return {};
}

std::int64_t feed_forward_of(const Model& model) {
  return model.feed_forward > 0 ? model.feed_forward : 4 * model.width;
}

std::int64_t head_width_of(const Model& model) {
  return model.head_width > 0 ? model.head_width : model.width / model.num_heads;
}

std::int64_t num_key_heads_of(const Model& model) {
  return model.num_key_heads > 0 ? model.num_key_heads : model.num_heads;
}

std::int64_t num_decoder_layers_of(const Model& model) {
  if (model.family != Family::kT5) return 0;
  return model.num_decoder_layers > 0 ? model.num_decoder_layers : model.num_layers;
}

bool has_decoder(const Model& model, const Phase& phase) {
  return model.family == Family::kT5 && (!phase.task || phase.task->kind == TaskKind::kGeneration);
}

std::int64_t num_token_ids(const Model& model, std::int64_t vocab_size) {
  return model.family == Family::kT5 ? vocab_size + kNumSentinels : vocab_size;
}

}  // namespace polyphase::recipe
