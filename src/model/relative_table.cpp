// SPDX-License-Identifier: Apache-2.0
#include "model/relative_table.hpp"

#include "kernels/relative_positions.hpp"
#include "model/initial_deviation.hpp"

namespace polyphase {

RelativeTable::RelativeTable(ParameterSet& parameters, const Communicator& tensor,
                             const recipe::Model& model, const std::string& prefix,
                             bool bidirectional, const std::vector<int>& chunks)
    : parameters_(parameters),
      bidirectional_(bidirectional),
      max_distance_(model.relative_max_distance) {
  if (model.positions != recipe::Positions::kRelative) return;
  parameters.place_on(chunks);
  table_ =
      parameters.declare({.name = prefix + "relative_positions.weight",
                          .global_shape = {model.relative_buckets, model.num_heads},
                          .split_dimension = 1,
                          .split = split_evenly(model.num_heads, tensor.rank(), tensor.size()),
                          .deviation = deviation_inside(model, static_cast<double>(model.width)),
                          .decays = false});
}

void RelativeTable::begin(const Pass& pass) {
  buckets_ = {};
  if (pass.cache != nullptr) return;
  const std::int64_t most = pass.sequences.max_tokens;
  buckets_ = position_buckets(pass.exec, positions(), most, most);
}

RelativePositions RelativeTable::positions() const {
  if (!table_) return {};
  return {.table_UH = parameters_.value2(*table_),
          .bidirectional = bidirectional_,
          .max_distance = max_distance_,
          .buckets = buckets_};
}

Tensor2<float> RelativeTable::gradient() const {
  return table_ ? parameters_.gradient2(*table_) : Tensor2<float>();
}

Write RelativeTable::write() const {
  return table_ ? parameters_.gradient_write(*table_) : Write::kOverwrite;
}

void RelativeTable::end_backward() const {
  if (table_) parameters_.write_zeros(*table_, *table_ + 1);
}

}  // namespace polyphase
