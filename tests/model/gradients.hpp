// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/copies.hpp"
#include "model/gradient_layout.hpp"

namespace polyphase::test {

// Every parameter's gradient at the offset of its value.
inline GradientLayout layout_of_values(const ParameterSet& parameters) {
  GradientLayout layout = {.count = parameters.total_count()};
  for (const Parameter& parameter : parameters.all()) layout.offsets.push_back(parameter.offset);
  return layout;
}

inline Tensor1<float> value_of(const ParameterSet& parameters, const Parameter& parameter) {
  return Tensor1<float>(parameters.values().data() + parameter.offset, parameter.count);
}

inline Tensor1<float> gradient_of(const ParameterSet& parameters, const Parameter& parameter,
                                  std::size_t set = 0) {
  return Tensor1<float>(parameters.gradients(set).data() + parameter.gradient_offset,
                        parameter.count);
}

// A copy of the gradients of one set, each at the offset of its value; zeros where nothing is
// trained.
inline std::vector<float> gradients_by_value(const ParameterSet& parameters, std::size_t set = 0) {
  std::vector<float> all(static_cast<std::size_t>(parameters.total_count()), 0.0F);
  for (const Parameter& parameter : parameters.all()) {
    if (!parameter.trained) continue;
    std::ranges::copy(read_tensor(gradient_of(parameters, parameter, set)),
                      all.begin() + parameter.offset);
  }
  return all;
}

}  // namespace polyphase::test
