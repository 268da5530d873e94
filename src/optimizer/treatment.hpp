// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "model/parameters.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// How a phase treats one parameter.
struct Treatment {
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  double learning_rate_scale = 1.0;  // of its group, times layer_decay to the power of its depth
  double weight_decay = 0.0;
  std::int64_t first_step = 0;  // of its training, counted from 0; kNever: frozen

  bool is_trained() const { return first_step != kNever; }
};

// One for each parameter, by number. A group's or freeze's pattern without any match is not looked
// for here (train/pattern_check.hpp does).
std::vector<Treatment> treatments(const ParameterSet& parameters, const recipe::Phase& phase);

// From which step on a phase trains those of the parameters of its model that have these names,
// which are all of them.
std::map<std::string, std::int64_t> first_steps(const std::vector<std::string>& names,
                                                const recipe::Phase& phase);

// Where a parameter lies, counted from the top: 0 above the layers (heads, the last norm), 1 in the
// top layer of its stack, and so on; embeddings and tables of relative positions lie one below the
// bottom layer.
std::vector<std::int64_t> depths(const ParameterSet& parameters);

}  // namespace polyphase
