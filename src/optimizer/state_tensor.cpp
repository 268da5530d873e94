// SPDX-License-Identifier: Apache-2.0
#include "optimizer/state_tensor.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kAligned = 16;  // tensors start at multiples of as many elements

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

void copy_state_to_host(float* to, const StateTensor& tensor) {
  if (tensor.rounded.extent(0) == 0) return copy_to_host<float>(Exec{}, to, tensor.values);
  std::vector<bf16> rounded(static_cast<std::size_t>(tensor.count));
  copy_to_host<bf16>(Exec{}, rounded.data(), tensor.rounded);
  std::ranges::transform(rounded, to, [](bf16 value) { return to_float(value); });
}

void copy_state_from_host(const StateTensor& tensor, const float* from) {
  if (tensor.rounded.extent(0) == 0) return copy_to_device(Exec{}, tensor.values, from);
  std::vector<bf16> rounded(static_cast<std::size_t>(tensor.count));
  std::transform(from, from + tensor.count, rounded.begin(), from_float<bf16>);
  copy_to_device(Exec{}, tensor.rounded, rounded.data());
}

StateLayout::StateLayout(const Shards& shards, std::int64_t element_bytes)
    : counts_(std::max<std::size_t>(1, shards.ranges.size())), element_bytes_(element_bytes) {}

void StateLayout::place(StateTensor& tensor) {
  std::int64_t& count = counts_[static_cast<std::size_t>(std::max(tensor.owner, 0))];
  tensor.offset = count;
  count += (tensor.count + kAligned - 1) / kAligned * kAligned;
}

std::int64_t StateLayout::bytes(int data_rank) const { return count(data_rank) * element_bytes_; }

}  // namespace polyphase
