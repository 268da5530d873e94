// SPDX-License-Identifier: Apache-2.0
#include "optimizer/penalty.hpp"

#include <vector>

#include "comm/session.hpp"
#include "kernels/combine.hpp"
#include "kernels/elementwise.hpp"

namespace polyphase {

double add_penalty(const Exec& exec, const ParameterSet& parameters, Tensor1<float> gradients,
                   const Penalty& penalty, const Shards& shards, const RankGrid& grid) {
  if (!penalty.on()) return 0.0;
  std::vector<double> penalties(parameters.all().size());
  for (std::size_t number = 0; number < penalties.size(); ++number) {
    const Parameter& parameter = parameters.at(number);
    if (!parameter.is_trained_here() || !parameter.spec.decays) continue;
    const Tensor1<const float> value(parameters.values().data() + parameter.offset,
                                     parameter.count);
    for (const Piece& piece : shards.own_pieces_of(parameter)) {
      add_penalty_gradient(
          exec, Tensor1<float>(gradients.data() + parameter.sum_offset + piece.begin, piece.count),
          Tensor1<const float>(value.data() + piece.begin, piece.count),
          static_cast<float>(penalty.l1), static_cast<float>(penalty.l2));
    }
    penalties[number] =
        penalty.l1 * sum_of_magnitudes(exec, value) + penalty.l2 / 2 * sum_of_squares(exec, value);
  }
  grid.pipeline.combine(penalties);
  double whole = 0, split = 0;  // parameters that every tensor-parallel rank holds count once
  for (std::size_t number = 0; number < penalties.size(); ++number)
    (parameters.at(number).spec.split_dimension < 0 ? whole : split) += penalties[number];
  if (grid.tensor.size() > 1) {
    double sum = 0;
    for (const double part : grid.tensor.gather(std::vector<double>{split})) sum += part;
    split = sum;
  }
  return whole + split;
}

}  // namespace polyphase
