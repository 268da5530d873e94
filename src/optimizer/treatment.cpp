// SPDX-License-Identifier: Apache-2.0
#include "optimizer/treatment.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "model/layer_name.hpp"
#include "optimizer/name_pattern.hpp"

namespace polyphase {
namespace {

bool lies_below_layers(const std::string& name) {
  return name.starts_with("embedding.") || matches("*relative_positions.weight", name);
}

bool matches_any(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&name](const std::string& pattern) { return matches(pattern, name); });
}

std::int64_t first_step(const recipe::Phase& phase, const std::string& name, std::int64_t depth) {
  if (matches_any(phase.freeze, name)) return Treatment::kNever;
  // Beside low-rank additions, only the heads are trained.
  if (phase.adaptation.lora && !is_adapter(name) && !name.starts_with("head."))
    return Treatment::kNever;
  if (!phase.unfreeze) return 0;
  const std::int64_t from_top = phase.unfreeze->from_top;
  return (depth + from_top - 1) / from_top * phase.unfreeze->every_steps;
}

}  // namespace

static std::vector<std::string> names_of(const ParameterSet& parameters) {
  std::vector<std::string> names;
  for (const Parameter& parameter : parameters.all()) names.push_back(parameter.spec.name);
  return names;
}

static std::vector<std::int64_t> depths_of(const std::vector<std::string>& names) {
  std::map<std::string, std::int64_t> num_layers;  // by stack
  std::int64_t deepest = 0;
  for (const std::string& name : names) {
    const std::optional<LayerName> layer = layer_name(name);
    if (!layer) continue;
    std::int64_t& layers = num_layers[layer->stack];
    layers = std::max(layers, layer->number + 1);
    deepest = std::max(deepest, layers);
  }
  std::vector<std::int64_t> depths;
  for (const std::string& name : names) {
    const std::optional<LayerName> layer = layer_name(name);
    const std::int64_t outside = lies_below_layers(name) ? deepest + 1 : 0;
    depths.push_back(layer ? num_layers[layer->stack] - layer->number : outside);
  }
  return depths;
}

std::vector<std::int64_t> depths(const ParameterSet& parameters) {
  return depths_of(names_of(parameters));
}

std::map<std::string, std::int64_t> first_steps(const std::vector<std::string>& names,
                                                const recipe::Phase& phase) {
  const std::vector<std::int64_t> depth = depths_of(names);
  std::map<std::string, std::int64_t> steps;
  for (std::size_t i = 0; i < names.size(); ++i)
    steps[names[i]] = first_step(phase, names[i], depth[i]);
  return steps;
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
