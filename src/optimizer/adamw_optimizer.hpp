// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/parameters.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// AdamW over all parameters of a set: the update rule with its two moments, in the layout of the
// set.
class AdamWOptimizer {
 public:
  AdamWOptimizer(const ParameterSet& parameters, const recipe::Optimizer& settings);

  // One step: `step` counts from 1, gradients are multiplied with gradient_scale first.
  void update(const Exec& exec, ParameterSet& parameters, Tensor1<const float> gradients,
              double learning_rate, double gradient_scale, std::int64_t step);

  // The state by name, each tensor in the layout of the parameters: what a checkpoint holds besides
  // them.
  struct State {
    const char* name;
    Tensor1<float> values;
  };
  std::vector<State> state() const;

 private:
  recipe::Optimizer settings_;
  Kokkos::View<float*, Memory> moment1_, moment2_;
};

}  // namespace polyphase
