// SPDX-License-Identifier: Apache-2.0
#include "optimizer/gradient_norm.hpp"

#include <cmath>

#include "comm/communicator.hpp"
#include "kernels/combine.hpp"
#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

// Sums of the squares of each parameter's gradients; 0 where there is nothing to look at.
std::vector<double> squares_of(const Exec& exec, const ParameterSet& parameters,
                               Tensor1<const float> gradients, const Shards& shards) {
  std::vector<double> squares;
  for (const Parameter& parameter : parameters.all()) {
    const bool counts = parameter.trained && shards.has(shards.owner_of(parameter));
    squares.push_back(counts
                          ? sum_of_squares(exec, Tensor1<const float>(
                                                     gradients.data() + parameter.gradient_offset,
                                                     parameter.count))
                          : 0.0);
  }
  return squares;
}

double norm_of(const ParameterSet& parameters, const std::vector<double>& squares,
               const Communicator& tensor) {
  double whole = 0, split = 0;
  for (std::size_t number = 0; number < squares.size(); ++number) {
    const Parameter& parameter = parameters.at(number);
    if (parameter.trained) (parameter.spec.split_dimension < 0 ? whole : split) += squares[number];
  }
  if (tensor.size() > 1) {
    double sum = 0;
    for (const double part : tensor.gather(std::vector<double>{split})) sum += part;
    split = sum;
  }
  return std::sqrt(whole + split);
}

}  // namespace

double gradient_norm(const Exec& exec, const ParameterSet& parameters,
                     Tensor1<const float> gradients, const Shards& shards,
                     const Communicator& tensor, const Communicator& data) {
  std::vector<double> squares = squares_of(exec, parameters, gradients, shards);
  if (shards.divided()) {
    const std::vector<double> all = data.gather(squares);
    for (std::size_t number = 0; number < squares.size(); ++number) {
      const int owner = shards.owner_of(parameters.at(number));
      if (!shards.has(owner))
        squares[number] = all[static_cast<std::size_t>(owner) * squares.size() + number];
    }
  }
  return norm_of(parameters, squares, tensor);
}

void clamp_gradients(const Exec& exec, const ParameterSet& parameters, Tensor1<float> gradients,
                     double max_value) {
  for (const Parameter& parameter : parameters.all()) {
    if (!parameter.trained) continue;
    clamp(exec, Tensor1<float>(gradients.data() + parameter.gradient_offset, parameter.count),
          static_cast<float>(max_value));
  }
}

double clip_scale(double norm, double max_norm) {
  return max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0;
}

}  // namespace polyphase
