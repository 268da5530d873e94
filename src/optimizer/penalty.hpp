// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/parameters.hpp"
#include "optimizer/shards.hpp"

namespace polyphase {

struct RankGrid;

// l1 · Σ|w| + l2/2 · Σw² over the trained parameters that weight decay applies to: not biases and
// norms. Part of what is minimised, unlike an optimizer's decoupled decay.
struct Penalty {
  double l1 = 0, l2 = 0;

  bool on() const { return l1 > 0 || l2 > 0; }
};

// Adds the penalty's gradient to what this rank has of the step's, summed over micro-batches and
// data ranks, and returns the penalty of the whole model, the same on every rank. Collective over
// the tensor group and the pipeline.
double add_penalty(const Exec& exec, const ParameterSet& parameters, Tensor1<float> gradients,
                   const Penalty& penalty, const Shards& shards, const RankGrid& grid);

}  // namespace polyphase
