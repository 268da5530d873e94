// SPDX-License-Identifier: Apache-2.0
#include "io/tensor_box.hpp"

#include <algorithm>

namespace polyphase {

using Shape = std::vector<std::int64_t>;

std::optional<TensorBox> slice_of(const Shape& whole, int split_dimension, std::int64_t begin,
                                  const Shape& shape) {
  if (shape.size() != whole.size() || split_dimension >= static_cast<int>(whole.size()))
    return std::nullopt;
  TensorBox slice = {.corner = Shape(whole.size(), 0), .shape = whole};
  if (split_dimension >= 0) {
    const auto d = static_cast<std::size_t>(split_dimension);
    if (begin < 0 || shape[d] < 0 || shape[d] > whole[d] - begin) return std::nullopt;
    slice.corner[d] = begin;
    slice.shape[d] = shape[d];
  }
  return slice.shape == shape ? std::optional(slice) : std::nullopt;
}

bool share_elements(const TensorBox& a, const TensorBox& b) {
  for (std::size_t d = 0; d < a.shape.size(); ++d) {
    if (a.corner[d] >= b.corner[d] + b.shape[d] || b.corner[d] >= a.corner[d] + a.shape[d])
      return false;
  }
  return true;
}

void copy_shared(float* out, const TensorBox& to, const float* in, const TensorBox& from) {
  const std::size_t rank = to.shape.size();
  Shape low(rank), extent(rank), index(rank, 0);
  for (std::size_t d = 0; d < rank; ++d) {
    low[d] = std::max(to.corner[d], from.corner[d]);
    extent[d] = std::min(to.corner[d] + to.shape[d], from.corner[d] + from.shape[d]) - low[d];
    if (extent[d] <= 0) return;
  }
  std::size_t outer = rank - 1;
  std::int64_t run = extent[outer];
  while (outer > 0 && extent[outer] == to.shape[outer] && extent[outer] == from.shape[outer]) {
    run *= extent[--outer];
  }
  for (;;) {
    std::int64_t out_at = 0;
    std::int64_t in_at = 0;
    for (std::size_t d = 0; d < rank; ++d) {
      out_at = out_at * to.shape[d] + low[d] + index[d] - to.corner[d];
      in_at = in_at * from.shape[d] + low[d] + index[d] - from.corner[d];
    }
    std::copy(in + in_at, in + in_at + run, out + out_at);
    std::size_t d = outer;
    while (d > 0 && ++index[d - 1] == extent[d - 1]) index[--d] = 0;
    if (d == 0) return;
  }
}

}  // namespace polyphase
