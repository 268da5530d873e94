// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include "kernels/attention_portable.hpp"
#include "kernels/math.hpp"

// What the portable forward and backward attention share: a team of threads on one (row, head).
namespace polyphase::attention_rows {

using Policy = Kokkos::TeamPolicy<Space>;
using Team = Policy::member_type;

// A fixed number, so that sums inside a team have a fixed order. A host's team is one thread.
inline constexpr int kTeamSize =
    Kokkos::SpaceAccessibility<Kokkos::HostSpace, Memory>::accessible ? 1 : 128;

// One team for every (row, head), with scratch memory for num_scores floats, from the slower level
// when there are many.
inline constexpr std::size_t kFastScratchBytes = 32 << 10;
inline std::size_t scratch_bytes(std::int64_t num_scores) {
  return num_scores * sizeof(float) + 64;
}
inline int scratch_level(std::int64_t num_scores) {
  return scratch_bytes(num_scores) <= kFastScratchBytes ? 0 : 1;
}
inline Policy policy(const Exec& exec, std::int64_t num_teams, std::int64_t num_scores) {
  Policy teams(exec.space, static_cast<int>(num_teams), kTeamSize);
  return teams.set_scratch_size(scratch_level(num_scores),
                                Kokkos::PerTeam(scratch_bytes(num_scores)));
}

// What all rows of a call have in common; copied into kernels.
template <class Real>
struct Call {
  const Real* qkv;
  const std::int32_t* starts;
  std::int64_t num_sequences, num_heads, head_width, first_head;
  bool causal;
  float scale, rate, keep_scale;
  std::uint32_t threshold;
  std::uint64_t key;
  const std::uint64_t* row_ids;

  // part 0: queries, 1: keys, 2: values.
  KOKKOS_INLINE_FUNCTION std::int64_t offset(std::int64_t row, int part, std::int64_t head) const {
    return (row * 3 + part) * num_heads * head_width + head * head_width;
  }
  KOKKOS_INLINE_FUNCTION const Real* at(std::int64_t row, int part, std::int64_t head) const {
    return qkv + offset(row, part, head);
  }
  KOKKOS_INLINE_FUNCTION float dot(const Real* a, const Real* b) const {
    float sum = 0.0F;
    for (std::int64_t c = 0; c < head_width; ++c) sum += to_float(a[c]) * to_float(b[c]);
    return sum;
  }
  // What the probability of key j (counted in its sequence) is multiplied by for the query in
  // `row`.
  KOKKOS_INLINE_FUNCTION float mask(std::int64_t row, std::int64_t j, std::int64_t head) const {
    if (rate == 0.0F) return 1.0F;
    float factors[8];
    dropout_scale8(key, row_ids[row], static_cast<std::uint64_t>(first_head + head) << 32 | j / 8,
                   threshold, keep_scale, factors);
    return factors[j % 8];
  }
};

// The sequence that a row belongs to; an empty one for padding rows.
struct Span {
  std::int64_t first, num_tokens;
};
template <class Real>
KOKKOS_INLINE_FUNCTION Span span_of(const Call<Real>& call, std::int64_t row) {
  if (row >= call.starts[call.num_sequences]) return {row, 0};
  std::int64_t low = 0, high = call.num_sequences;  // starts[low] <= row < starts[high]
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    (call.starts[middle] <= row ? low : high) = middle;
  }
  return {call.starts[low], call.starts[low + 1] - call.starts[low]};
}

template <class Real>
Call<Real> make_call(const Tensor2<const Real>& qkv_N3C, const Sequences& sequences,
                     const AttentionShape& shape, const Dropout& dropout) {
  return {.qkv = qkv_N3C.data(),
          .starts = sequences.starts.data(),
          .num_sequences = sequences.num_sequences(),
          .num_heads = shape.num_heads,
          .head_width = shape.head_width,
          .first_head = shape.first_head,
          .causal = shape.causal,
          .scale = 1.0F / std::sqrt(static_cast<float>(shape.head_width)),
          .rate = dropout.rate,
          .keep_scale = 1.0F / (1.0F - dropout.rate),
          .threshold = dropout_threshold(dropout.rate),
          .key = dropout.key,
          .row_ids = dropout.row_ids_N.data()};
}

}  // namespace polyphase::attention_rows
