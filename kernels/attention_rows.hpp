// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include "kernels/attention_portable.hpp"
#include "kernels/attention_sequence.hpp"
#include "kernels/math.hpp"
#include "kernels/relative_positions.hpp"
#include "kernels/team_policy.hpp"

// What the portable forward and backward attention share: a team of threads on one (row, head).
namespace polyphase::attention_rows {

using Team = TeamPolicy::member_type;

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
inline TeamPolicy policy(const Exec& exec, std::int64_t num_teams, std::int64_t num_scores) {
  TeamPolicy teams(exec.space, static_cast<int>(num_teams), kTeamSize);
  return teams.set_scratch_size(scratch_level(num_scores),
                                Kokkos::PerTeam(scratch_bytes(num_scores)));
}

// Launches body(team, row, head, scratch of num_floats) for every row and head.
template <class Body>
void for_each_row(const Exec& exec, const char* name, std::int64_t num_rows, std::int64_t num_heads,
                  std::int64_t num_floats, const Body& body) {
  if (num_rows * num_heads == 0) return;
  if (exec.counting()) return note_start(exec);
  const int level = scratch_level(num_floats);
  Kokkos::parallel_for(
      name, policy(exec, num_rows * num_heads, num_floats), KOKKOS_LAMBDA(const Team& team) {
        auto* const scratch =
            static_cast<float*>(team.team_scratch(level).get_shmem(num_floats * sizeof(float)));
        body(team, team.league_rank() / num_heads, team.league_rank() % num_heads, scratch);
      });
}

// HeadColumns as kernels see them.
template <class Real>
struct Heads {
  Real* data;
  std::int64_t row_stride, head_width;

  KOKKOS_INLINE_FUNCTION Real* at(std::int64_t row, std::int64_t head) const {
    return data + row * row_stride + head * head_width;
  }
};
template <class Real>
Heads<Real> heads_of(const HeadColumns<Real>& x, const AttentionShape& shape) {
  return {x.at(0, 0, shape.head_width), x.row_stride(), shape.head_width};
}

// What all rows of a call have in common; copied into kernels.
template <class Real>
struct Call {
  Heads<const Real> query, key, value;
  const std::int32_t *query_starts, *key_starts, *key_lengths, *prefix;
  std::int64_t num_sequences, num_heads, num_key_heads, head_width, first_head;
  bool causal;
  float scale;
  const float* table_UH;
  const std::int32_t* buckets;  // of offsets from 1 - max_keys; null: no positions
  std::int64_t max_keys;
  float rate, keep_scale;
  std::uint32_t threshold;
  std::uint64_t dropout_key;
  const std::uint64_t* row_ids;

  KOKKOS_INLINE_FUNCTION std::int64_t group() const { return num_heads / num_key_heads; }
  KOKKOS_INLINE_FUNCTION float dot(const Real* a, const Real* b) const {
    float sum = 0.0F;
    for (std::int64_t c = 0; c < head_width; ++c) sum += to_float(a[c]) * to_float(b[c]);
    return sum;
  }
  // The sequence that a row of queries (or, with key_starts, of keys) belongs to; an empty one for
  // padding rows.
  KOKKOS_INLINE_FUNCTION SequenceSpan span_of(std::int64_t row, const std::int32_t* starts) const {
    if (row >= starts[num_sequences]) return {row, 0, row, 0, 0};
    std::int64_t low = 0, high = num_sequences;  // starts[low] <= row < starts[high]
    while (high - low > 1) {
      const std::int64_t middle = (low + high) / 2;
      (starts[middle] <= row ? low : high) = middle;
    }
    return span(low);
  }
  KOKKOS_INLINE_FUNCTION SequenceSpan span(std::int64_t b) const {
    return sequence_span(query_starts, key_starts, key_lengths, prefix, causal, b);
  }
  KOKKOS_INLINE_FUNCTION std::int32_t bucket(const SequenceSpan& s, std::int64_t r,
                                             std::int64_t j) const {
    return buckets[j - (s.num_keys - s.num_queries + r) + max_keys - 1];
  }
  // The score of query r and key j of a sequence for a query head, less `shift`.
  KOKKOS_INLINE_FUNCTION float score(const SequenceSpan& s, std::int64_t r, std::int64_t j,
                                     std::int64_t head, float shift) const {
    const float product =
        dot(query.at(s.first_query + r, head), key.at(s.first_key + j, head / group()));
    return product * scale - (shift - position_score(s, r, j, head));
  }
  KOKKOS_INLINE_FUNCTION float position_score(const SequenceSpan& s, std::int64_t r, std::int64_t j,
                                              std::int64_t head) const {
    return buckets == nullptr ? 0.0F : table_UH[bucket(s, r, j) * num_heads + head];
  }
  // What the probability of key j (counted in its sequence) is multiplied by for the query in
  // `row`.
  KOKKOS_INLINE_FUNCTION float mask(std::int64_t row, std::int64_t j, std::int64_t head) const {
    if (rate == 0.0F) return 1.0F;
    return dropout_scale(dropout_key, row_ids[row],
                         static_cast<std::uint64_t>(first_head + head) << 32 | j / 8,
                         static_cast<std::uint32_t>(j % 8), threshold, keep_scale);
  }
};

// Takes the buckets of relative positions from the arena.
template <class Real>
Call<Real> make_call(const Exec& exec, const AttentionInput<Real>& input, const Dropout& dropout) {
  const AttentionShape& shape = input.shape;
  return {.query = heads_of(input.query, shape),
          .key = heads_of(input.key, shape),
          .value = heads_of(input.value, shape),
          .query_starts = input.queries.starts.data(),
          .key_starts = input.keys.starts.data(),
          .key_lengths = input.keys.lengths.extent(0) == 0 ? nullptr : input.keys.lengths.data(),
          .prefix = input.keys.prefix.extent(0) == 0 ? nullptr : input.keys.prefix.data(),
          .num_sequences = input.queries.num_sequences(),
          .num_heads = shape.num_heads,
          .num_key_heads = shape.num_key_heads,
          .head_width = shape.head_width,
          .first_head = shape.first_head,
          .causal = shape.causal,
          .scale = shape.score_scale,
          .table_UH = input.positions.table_UH.data(),
          .buckets = position_buckets(exec, input).data(),
          .max_keys = input.keys.max_tokens,
          .rate = dropout.rate,
          .keep_scale = 1.0F / (1.0F - dropout.rate),
          .threshold = dropout_threshold(dropout.rate),
          .dropout_key = dropout.key,
          .row_ids = dropout.row_ids_N.data()};
}

// What the backward pass reads beside the call.
template <class Real>
struct Backward {
  Call<Real> call;
  const Real* dout;
  const float *log_sum, *delta;

  // Probability times mask, and dS, of query r and key j of a sequence.
  struct Pair {
    float masked, dscore;
  };
  KOKKOS_INLINE_FUNCTION Pair pair(const SequenceSpan& span, std::int64_t r, std::int64_t j,
                                   std::int64_t head) const {
    if (j >= span.visible(r)) return {0.0F, 0.0F};
    const std::int64_t n = span.first_query + r;
    const std::int64_t i = n * call.num_heads + head;
    const float p = fast_exp(call.score(span, r, j, head, log_sum[i])), m = call.mask(n, j, head);
    const float dp = call.dot(dout + i * call.head_width,
                              call.value.at(span.first_key + j, head / call.group())) *
                     m;
    return {p * m, p * (dp - delta[i]) * call.scale};
  }
};

// Δ = Σ_c dO·O of every row and head (Dao et al., 2022, appendix B.2).
template <class Real>
void make_deltas(const Exec& exec, const Call<Real>& call, const Tensor2<float>& delta_NH,
                 const Tensor2<const Real>& dout_NC, const Tensor2<const Real>& out_NC);

// The gradient of the table of relative positions, by way of partial_BUH.
template <class Real>
void gather_position_gradients(const Exec& exec, const Tensor2<float>& dpositions_UH,
                               Write positions_write, const Tensor2<float>& partial_BUH,
                               const Backward<Real>& pass);

// Writes to *to the sum of value(query, key) over a sequence's pairs whose offset falls into one
// bucket. A thread takes an offset at a time.
template <class Real, class Value>
KOKKOS_INLINE_FUNCTION void sum_over_bucket(const Team& team, const Call<Real>& call,
                                            const SequenceSpan& span, std::int64_t bucket,
                                            float* to, const Value& value) {
  const std::int64_t first_position = span.num_keys - span.num_queries;  // of the queries
  const std::int64_t num_rows = span.num_keys + span.num_queries;
  float sum = 0.0F;
  Kokkos::parallel_reduce(
      Kokkos::TeamThreadRange(team, num_rows > 0 ? num_rows - 1 : 0),
      [&](std::int64_t i, float& partial) {
        const std::int64_t offset = i + 1 - span.num_keys;
        if (call.buckets[offset + call.max_keys - 1] != bucket) return;
        for (std::int64_t r = 0; r < span.num_queries; ++r) {
          const std::int64_t j = first_position + r + offset;
          if (j >= 0 && j < span.num_keys) partial += value(r, j);
        }
      },
      sum);
  Kokkos::single(Kokkos::PerTeam(team), [&]() { *to = sum; });
}

}  // namespace polyphase::attention_rows
