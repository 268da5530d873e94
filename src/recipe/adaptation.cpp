// SPDX-License-Identifier: Apache-2.0
#include "recipe/adaptation.hpp"

#include "base/error.hpp"
#include "recipe/load.hpp"

namespace polyphase::recipe {

Model model_of(const Recipe& recipe, const Phase& phase) {
  Model model = recipe.model;
  const Adaptation& own = phase.adaptation;
  model.num_layers = own.num_layers.value_or(model.num_layers);
  model.num_decoder_layers = own.num_decoder_layers.value_or(model.num_decoder_layers);
  return model;
}

std::int64_t layer_source(Growth growth, std::int64_t i, std::int64_t k, std::int64_t n) {
  switch (growth) {
    case Growth::kStack:
    case Growth::kIdentity:
      return i % k;
    case Growth::kInterpose:
    case Growth::kSkip:
      return i * k / n;
    case Growth::kNone:
      break;
  }
  broken_promise(__FILE__, __LINE__, "layers are mapped without a rule");
}

const char* growth_name(Growth growth) {
  switch (growth) {
    case Growth::kStack:
      return "stack";
    case Growth::kInterpose:
      return "interpose";
    case Growth::kIdentity:
      return "identity";
    case Growth::kSkip:
      return "skip";
    case Growth::kNone:
      return "";
  }
  return "";
}

std::vector<std::string> needed_phases(const Phase& phase) {
  std::vector<std::string> names;
  if (!phase.from.empty()) names.push_back(phase.from);
  const auto& distil = phase.adaptation.distil;
  if (distil && !distil->teacher.empty()) names.push_back(distil->teacher);
  return names;
}

}  // namespace polyphase::recipe
