// SPDX-License-Identifier: Apache-2.0
#include "optimizer/state_tensor.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kAlignedFloats = 16;  // tensors start at multiples of 64 bytes

// Only tensors of a parameter's own shape are cut, and only between rows.
void cut(StateTensor& tensor, const StateSpec& spec, const Piece& piece) {
  const std::int64_t columns = num_elements(tensor.local_shape) / tensor.local_shape[0];
  POLYPHASE_PROMISE(spec.extent == StateExtent::kWhole && tensor.split_dimension <= 0 &&
                        piece.begin % columns == 0 && piece.count % columns == 0,
                    "{} is cut", tensor.name);
  tensor.split_dimension = 0;
  tensor.begin += piece.begin / columns;
  tensor.local_shape[0] = piece.count / columns;
}

}  // namespace

// A state of one number a row is split as the rows are, and so for columns.
StateTensor state_tensor(const StateSpec& spec, std::size_t number, const Parameter& parameter,
                         const Piece& piece, const Shards& shards) {
  const ParameterSpec& whole = parameter.spec;
  StateTensor tensor = {.name = std::string(spec.name) + "/" + whole.name,
                        .parameter = number,
                        .global_shape = whole.global_shape,
                        .local_shape = parameter.local_shape,
                        .split_dimension = whole.split_dimension,
                        .begin = whole.split_dimension < 0 ? 0 : whole.split.begin,
                        .owner = piece.owner,
                        .is_here = shards.has(piece.owner)};
  if (spec.extent != StateExtent::kWhole) {
    const int kept = spec.extent == StateExtent::kRows ? 0 : 1;
    tensor.global_shape = {whole.global_shape[static_cast<std::size_t>(kept)]};
    tensor.local_shape = {parameter.local_shape[static_cast<std::size_t>(kept)]};
    tensor.split_dimension = whole.split_dimension == kept ? 0 : -1;
    if (tensor.split_dimension < 0) tensor.begin = 0;
  }
  tensor.is_split = tensor.split_dimension >= 0;
  if (piece.count != parameter.count) cut(tensor, spec, piece);
  tensor.count = num_elements(tensor.local_shape);
  return tensor;
}

StateLayout::StateLayout(const Shards& shards)
    : counts_(std::max<std::size_t>(1, shards.ranges.size())) {}

void StateLayout::place(StateTensor& tensor) {
  std::int64_t& count = counts_[static_cast<std::size_t>(std::max(tensor.owner, 0))];
  tensor.offset = count;
  count += (tensor.count + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats;
}

std::int64_t StateLayout::bytes(int data_rank) const {
  return count(data_rank) * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace polyphase
