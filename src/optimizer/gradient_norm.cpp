// SPDX-License-Identifier: Apache-2.0
#include "optimizer/gradient_norm.hpp"

#include <algorithm>
#include <cmath>

#include "comm/session.hpp"
#include "kernels/combine.hpp"
#include "kernels/range_sums.hpp"

namespace polyphase {
namespace {

// Every part of every trained parameter: its elements among the step's sums, none where another
// data rank has them.
std::vector<ElementRange> own_parts(const ParameterSet& parameters, const Shards& shards) {
  std::vector<ElementRange> ranges;
  for (const Parameter& parameter : parameters.all()) {
    if (!parameter.is_trained_here()) continue;
    const std::vector<Piece> own = shards.own_pieces_of(parameter);
    for (const StorageRange& part : parts_of(parameter)) {
      const bool is_here = std::any_of(own.begin(), own.end(), [&part](const Piece& piece) {
        return piece.begin <= part.begin && part.end <= piece.begin + piece.count;
      });
      ranges.push_back(is_here ? ElementRange{.begin = parameter.sum_offset + part.begin,
                                              .end = parameter.sum_offset + part.end}
                               : ElementRange{});
    }
  }
  return ranges;
}

// Sums of the squares of each parameter's gradients; 0 of what is not trained, or elsewhere.
std::vector<double> squares_of(const ParameterSet& parameters,
                               const std::vector<double>& squares_of_parts) {
  std::vector<double> squares;
  auto next = squares_of_parts.begin();
  for (const Parameter& parameter : parameters.all()) {
    squares.push_back(0.0);
    if (!parameter.is_trained_here()) continue;
    const std::size_t num_parts = parts_of(parameter).size();
    for (std::size_t part = 0; part < num_parts; ++part) squares.back() += *next++;
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
                     Tensor1<const float> gradients, const Shards& shards, const RankGrid& grid) {
  std::vector<double> parts = sums_of_squares(exec, gradients, own_parts(parameters, shards));
  if (shards.divided()) grid.data.combine(parts);
  std::vector<double> squares = squares_of(parameters, parts);
  grid.pipeline.combine(squares);
  return norm_of(parameters, squares, grid.tensor);
}

void count_gradient_norm(const Exec& exec, const ParameterSet& parameters) {
  sums_of_squares(exec, Tensor1<const float>(), own_parts(parameters, {}));
}

void clamp_gradients(const Exec& exec, const ParameterSet& parameters, Tensor1<float> gradients,
                     const Shards& shards, double max_value) {
  for (const Parameter& parameter : parameters.all()) {
    if (!parameter.is_trained_here()) continue;
    for (const Piece& piece : shards.own_pieces_of(parameter)) {
      clamp(exec,
            Tensor1<float>(gradients.data() + parameter.sum_offset + piece.begin, piece.count),
            static_cast<float>(max_value));
    }
  }
}

double clip_scale(double norm, double max_norm) {
  return max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0;
}

}  // namespace polyphase
