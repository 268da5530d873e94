// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

// The part of a phase that keeps a model from learning its training data by heart.
namespace polyphase::recipe {

// A running mean of the parameters, which is what the phase is judged by and hands over.
struct Average {
  double decay = 0.999;  // share that the mean keeps of itself at a step
};

// What a phase leaves out is the model's, or off.
struct Regularisation {
  std::optional<double> embedding_dropout, head_dropout;  // rates
  std::optional<double> layer_drop;  // probability with which a step passes over a layer
  std::optional<double> l1, l2;      // penalties: l1 · Σ|w| + l2/2 · Σw² join the loss
  std::optional<double> r_drop;      // weight of the divergence between two passes
  std::optional<Average> average;
};

}  // namespace polyphase::recipe
