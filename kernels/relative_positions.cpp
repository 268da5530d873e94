// SPDX-License-Identifier: Apache-2.0
#include "kernels/relative_positions.hpp"

#include "kernels/for_rows.hpp"

namespace polyphase {

Tensor1<const std::int32_t> position_buckets(const Exec& exec, const RelativePositions& positions,
                                             std::int64_t max_queries, std::int64_t max_keys) {
  if (positions.table_UH.extent(0) == 0) return {};
  const std::int64_t first = 1 - max_keys;
  const std::int64_t count = std::max<std::int64_t>(max_queries - first, 0);
  if (positions.buckets.extent(0) != 0) {
    POLYPHASE_PROMISE(static_cast<std::int64_t>(positions.buckets.extent(0)) == count,
                      "buckets of {} offsets where there are {}", positions.buckets.extent(0),
                      count);
    return positions.buckets;
  }
  const auto num_buckets = static_cast<std::int64_t>(positions.table_UH.extent(0));
  const bool bidirectional = positions.bidirectional;
  const std::int64_t max_distance = positions.max_distance;
  const auto buckets = exec.arena->take1<std::int32_t>(count);
  std::int32_t* const to = buckets.data();
  for_elements(
      exec, count, KOKKOS_LAMBDA(std::int64_t i) {
        to[i] = relative_bucket(first + i, num_buckets, bidirectional, max_distance);
      });
  return buckets;
}

void add_position_gradients(const Exec& exec, Tensor2<float> dpositions_UH, Write write,
                            Tensor2<const float> partial_BUH, float factor) {
  const auto num_sequences = static_cast<std::int64_t>(partial_BUH.extent(0));
  const auto count = static_cast<std::int64_t>(dpositions_UH.size());
  const bool accumulate = write == Write::kAccumulate;
  const float* const partial = partial_BUH.data();
  float* const to = dpositions_UH.data();
  for_elements(
      exec, count, KOKKOS_LAMBDA(std::int64_t i) {
        float total = 0.0F;
        for (std::int64_t b = 0; b < num_sequences; ++b) total += partial[b * count + i];
        to[i] = (accumulate ? to[i] : 0.0F) + factor * total;
      });
}

}  // namespace polyphase
