// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "recipe/recipe.hpp"

namespace polyphase {

// A parameter's state, whole tensors by the names that rules give them.
using WholeState = std::map<std::string, std::vector<float>>;

// Updates that a parameter's state has seen: its mean of gradients, and its mean of their squares.
struct UpdateCounts {
  std::int64_t gradients = 0, squares = 0;
};

// What another kind of optimizer makes of a parameter's state. Names that are not in `tensors` have
// no counterpart and begin anew.
struct ConvertedState {
  WholeState tensors;
  std::map<std::string, std::string> sources;  // what each of them was made of
  UpdateCounts counts;                         // that bias corrections go on from
};

// Every state tensor is a weighted sum over the gradients, or their squares, that it has seen. With
// W the sum of the weights after t updates, x / W is the mean itself, free of its bias:
//   moment1 (adam, adamw, lamb, muon)    1 - beta1^t
//   momentum of lion, of muon            1 - beta2^t, 1 - momentum^t
//   velocity (sgd)                       (1 - momentum^t) / (1 - momentum)
//   moment2 (adam, adamw, lamb, muon)    1 - beta2^t
//   square, row_square, column_square    1
// A tensor becomes its counterpart by the factor W there / W here: the other optimizer goes on as
// if it had seen the same mean itself. Means of squares of a matrix of `shape` become their means
// over rows and over columns, and these become row · column / mean of the rows (Shazeer and Stern,
// 2018, algorithm 4). Where a mean of gradients meets a new mean of squares, its own square is
// counted there as one gradient, so that no first step is longer than √2 learning rates.
// `wanted`: the names of the new state. A parameter that was never updated has nothing to convert.
ConvertedState convert_state(const recipe::Optimizer& before, const WholeState& state,
                             const UpdateCounts& counts, const recipe::Optimizer& now,
                             const std::vector<std::string>& wanted,
                             const std::vector<std::int64_t>& shape);

// Names of all state tensors that any rule has.
const std::vector<std::string>& state_names();

}  // namespace polyphase
