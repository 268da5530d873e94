// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/attention.hpp"
#include "kernels/math.hpp"

namespace polyphase {

// The bucket of the offset key position - query position (Raffel et al., 2020, section 2.1, and the
// code released with it). Bidirectional: keys behind the query have the upper half of the buckets;
// else they share the bucket of distance 0. Of a direction's buckets the first half hold one
// distance each, the others grow geometrically up to max_distance, and the last holds all beyond.
KOKKOS_INLINE_FUNCTION std::int32_t relative_bucket(std::int64_t offset, std::int64_t num_buckets,
                                                    bool bidirectional, std::int64_t max_distance) {
  std::int64_t first = 0, distance = offset < 0 ? -offset : 0;
  if (bidirectional) {
    num_buckets /= 2;
    if (offset > 0) first = num_buckets, distance = offset;
  }
  const std::int64_t num_exact = num_buckets / 2;
  if (distance < num_exact) return static_cast<std::int32_t>(first + distance);
  const double growth =
      math::log(static_cast<double>(distance) / static_cast<double>(num_exact)) /
      math::log(static_cast<double>(max_distance) / static_cast<double>(num_exact));
  // Powers of two fall on bucket edges: rounding must not push them below.
  const auto bucket = num_exact + static_cast<std::int64_t>(
                                      growth * static_cast<double>(num_buckets - num_exact) + 1e-9);
  return static_cast<std::int32_t>(first + (bucket < num_buckets ? bucket : num_buckets - 1));
}

// The buckets of all offsets that a call can meet, from 1 - (longest keys) to (longest queries) -
// 1, in the arena, unless they are there already. Empty without a table.
Tensor1<const std::int32_t> position_buckets(const Exec& exec, const RelativePositions& positions,
                                             std::int64_t max_queries, std::int64_t max_keys);
template <class Real>
Tensor1<const std::int32_t> position_buckets(const Exec& exec, const AttentionInput<Real>& input) {
  return position_buckets(exec, input.positions, input.queries.max_tokens, input.keys.max_tokens);
}

// Memory from the arena for the gradients of each sequence: B rows of U·H. Empty when
// dpositions_UH is.
template <class Real>
Tensor2<float> take_position_gradients(const Exec& exec, const Tensor2<float>& dpositions_UH,
                                       const AttentionInput<Real>& input) {
  if (dpositions_UH.size() == 0) return {};
  return exec.arena->take2<float>(input.queries.num_sequences(), dpositions_UH.size());
}

// dpositions_UH = (write: 0 or dpositions_UH) + factor · the sum over sequences, in order, of
// partial_BUH.
void add_position_gradients(const Exec& exec, Tensor2<float> dpositions_UH, Write write,
                            Tensor2<const float> partial_BUH, float factor);

}  // namespace polyphase
