// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "recipe/recipe.hpp"

namespace polyphase::recipe {

// Which keys of a recipe's optimizer section a kind has besides those that all have.
struct OptimizerKeys {
  bool betas = false;     // beta1, beta2
  bool epsilon = false;   // epsilon
  bool momentum = false;  // momentum, nesterov
  bool state_precision = false;
};

std::vector<std::string> optimizer_names();

// Of a kind that optimizer_names() has; anything else is a broken promise.
OptimizerKeys optimizer_keys(const std::string& kind);
Optimizer optimizer_defaults(const std::string& kind);

}  // namespace polyphase::recipe
