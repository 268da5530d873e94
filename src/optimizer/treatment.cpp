// SPDX-License-Identifier: Apache-2.0
#include "optimizer/treatment.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "optimizer/name_pattern.hpp"

namespace polyphase {
namespace {

// "decoder." and 3 of "decoder.layers.3.attention.query.weight"; nothing outside of layers.
struct Layer {
  std::string stack;
  std::int64_t number = 0;
};

std::optional<Layer> layer_of(const std::string& name) {
  constexpr const char* kWord = "layers.";
  const std::size_t at = name.find(kWord);
  if (at == std::string::npos) return std::nullopt;
  return Layer{name.substr(0, at), std::stoll(name.substr(at + std::string(kWord).size()))};
}

bool lies_below_layers(const std::string& name) {
  return name.starts_with("embedding.") || matches("*relative_positions.weight", name);
}

bool matches_any(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&name](const std::string& pattern) { return matches(pattern, name); });
}

std::int64_t first_step(const recipe::Phase& phase, const std::string& name, std::int64_t depth) {
  if (matches_any(phase.freeze, name)) return Treatment::kNever;
  if (!phase.unfreeze) return 0;
  const std::int64_t from_top = phase.unfreeze->from_top;
  return (depth + from_top - 1) / from_top * phase.unfreeze->every_steps;
}

}  // namespace

std::vector<std::int64_t> depths(const ParameterSet& parameters) {
  std::map<std::string, std::int64_t> num_layers;  // by stack
  std::int64_t deepest = 0;
  for (const Parameter& parameter : parameters.all()) {
    const std::optional<Layer> layer = layer_of(parameter.spec.name);
    if (!layer) continue;
    std::int64_t& layers = num_layers[layer->stack];
    layers = std::max(layers, layer->number + 1);
    deepest = std::max(deepest, layers);
  }
  std::vector<std::int64_t> depths;
  for (const Parameter& parameter : parameters.all()) {
    const std::optional<Layer> layer = layer_of(parameter.spec.name);
    const std::int64_t outside = lies_below_layers(parameter.spec.name) ? deepest + 1 : 0;
    depths.push_back(layer ? num_layers[layer->stack] - layer->number : outside);
  }
  return depths;
}

std::vector<Treatment> treatments(const ParameterSet& parameters, const recipe::Phase& phase) {
  const recipe::Optimizer& optimizer = phase.optimizer;
  const std::vector<std::int64_t> depth = depths(parameters);
  std::vector<Treatment> all;
  for (std::size_t number = 0; number < parameters.all().size(); ++number) {
    const ParameterSpec& spec = parameters.at(number).spec;
    Treatment treatment = {
        .learning_rate_scale = std::pow(optimizer.layer_decay, static_cast<double>(depth[number])),
        .weight_decay = spec.decays ? optimizer.weight_decay : 0.0,
        .first_step = first_step(phase, spec.name, depth[number])};
    for (const recipe::ParameterGroup& group : optimizer.groups) {
      if (!matches_any(group.match, spec.name)) continue;
      treatment.learning_rate_scale *= group.learning_rate_scale;
      treatment.weight_decay = group.weight_decay.value_or(treatment.weight_decay);
      break;
    }
    all.push_back(treatment);
  }
  return all;
}

}  // namespace polyphase
