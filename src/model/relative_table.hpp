// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "comm/communicator.hpp"
#include "kernels/attention.hpp"
#include "model/parameters.hpp"
#include "model/pass.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// The table of T5's relative positions that all self-attentions of a stack share (Raffel et al.,
// 2020, section 2.1): a score for every bucket of distances and every head, which are split over
// the tensor-parallel ranks. Empty for models with other positions. `chunks`: of a pipeline, those
// of the stack.
class RelativeTable {
 public:
  RelativeTable(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
                const std::string& prefix, bool bidirectional, const std::vector<int>& chunks);

  // Makes the buckets that all attentions of the pass share, in its arena. In a generation, whose
  // keys become more, each makes its own.
  void begin(const Pass& pass);
  RelativePositions positions() const;
  Tensor2<float> gradient() const;
  Write write() const;
  // Zeros, where no attention has written a gradient in this micro-batch.
  void end_backward() const;

 private:
  ParameterSet& parameters_;
  std::optional<std::size_t> table_;
  bool bidirectional_;
  std::int64_t max_distance_;
  Tensor1<const std::int32_t> buckets_;
};

}  // namespace polyphase
