// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "recipe/load.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// Standard deviations of a product's initial weights; 0: the model's init_std.

// A product of `fan_in` inputs inside a sublayer.
inline double deviation_inside(const recipe::Model& model, double fan_in) {
  return model.initialisation == recipe::Initialisation::kFanIn ? 1.0 / std::sqrt(fan_in) : 0.0;
}

// A product that writes to the residual stream, of which a stack of num_layers has two a layer
// (Radford et al., 2019, section 2.3).
inline double deviation_to_residual(const recipe::Model& model, double fan_in) {
  if (model.initialisation == recipe::Initialisation::kScaledResidual)
    return model.init_std / std::sqrt(2.0 * static_cast<double>(model.num_layers));
  return deviation_inside(model, fan_in);
}

}  // namespace polyphase
