// SPDX-License-Identifier: Apache-2.0
#include "optimizer/gradient_norm.hpp"

#include <cmath>

#include "comm/communicator.hpp"
#include "kernels/combine.hpp"
#include "kernels/elementwise.hpp"

namespace polyphase {

double gradient_norm(const Exec& exec, const ParameterSet& parameters,
                     Tensor1<const float> gradients, const Communicator& tensor) {
  double whole = 0, split = 0;
  for (const Parameter& parameter : parameters.all()) {
    if (!parameter.trained) continue;
    const Tensor1<const float> gradient(gradients.data() + parameter.offset, parameter.count);
    (parameter.spec.split_dimension < 0 ? whole : split) += sum_of_squares(exec, gradient);
  }
  if (tensor.size() > 1) {
    double sum = 0;
    for (const double part : tensor.gather(std::vector<double>{split})) sum += part;
    split = sum;
  }
  return std::sqrt(whole + split);
}

void clamp_gradients(const Exec& exec, const ParameterSet& parameters, Tensor1<float> gradients,
                     double max_value) {
  for (const Parameter& parameter : parameters.all()) {
    if (!parameter.trained) continue;
    clamp(exec, Tensor1<float>(gradients.data() + parameter.offset, parameter.count),
          static_cast<float>(max_value));
  }
}

double clip_scale(double norm, double max_norm) {
  return max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0;
}

}  // namespace polyphase
