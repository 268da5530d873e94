// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace polyphase {

// A row-major box of a tensor: where its first corner lies in the whole, and its extents.
struct TensorBox {
  std::vector<std::int64_t> corner;
  std::vector<std::int64_t> shape;
  bool operator==(const TensorBox&) const = default;
};

// What of a tensor begins at `begin` along the dimension, and is of that shape; of dimension -1 the
// whole. Empty where a tensor has no such slice.
std::optional<TensorBox> slice_of(const std::vector<std::int64_t>& whole, int split_dimension,
                                  std::int64_t begin, const std::vector<std::int64_t>& shape);

// Of two boxes of one tensor.
bool share_elements(const TensorBox& a, const TensorBox& b);
// Copies what they share, in the longest runs that are contiguous in both.
void copy_shared(float* out, const TensorBox& to, const float* in, const TensorBox& from);

}  // namespace polyphase
