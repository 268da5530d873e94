// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/parameters.hpp"
#include "optimizer/shards.hpp"

namespace polyphase {

struct RankGrid;

// Euclidean norm of the gradients of all trained parameters of the whole model, the same on every
// rank: parameters that every tensor-parallel rank holds count once, parts of split ones add up.
// Where the optimizer is divided, this data rank has the sums of those gradients alone that the
// shards give it, and a stage of a pipeline those of its own parameters: the norm is the same to
// the last bit. Collective over the whole grid.
double gradient_norm(const Exec& exec, const ParameterSet& parameters,
                     Tensor1<const float> gradients, const Shards& shards, const RankGrid& grid);
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
