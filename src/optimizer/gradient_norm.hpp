// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/parameters.hpp"
#include "optimizer/shards.hpp"

namespace polyphase {

class Communicator;

// Euclidean norm of the gradients of all trained parameters of the whole model, the same on every
// rank: parameters that every tensor-parallel rank holds count once, parts of split ones add up.
// Where the optimizer is divided, this data rank has the sums of those gradients alone that the
// shards give it: the norm is the same to the last bit. Collective over both groups.
double gradient_norm(const Exec& exec, const ParameterSet& parameters,
                     Tensor1<const float> gradients, const Shards& shards,
                     const Communicator& tensor, const Communicator& data);
// Takes from a counting arena what gradient_norm() does.
void count_gradient_norm(const Exec& exec, const ParameterSet& parameters);

// Brings every element that this rank has of trained parameters' gradients into
// [-max_value, max_value].
void clamp_gradients(const Exec& exec, const ParameterSet& parameters, Tensor1<float> gradients,
                     const Shards& shards, double max_value);

// What gradients are multiplied with so that their norm is at most max_norm; 1 when max_norm is 0
// (no clipping).
double clip_scale(double norm, double max_norm);

}  // namespace polyphase
