// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/attention.hpp"
#include "kernels/work.hpp"

// What every implementation of attention knows about one sequence, and asks of its input.
namespace polyphase {

// The rows of one sequence among the queries and among the keys, and what is seen of it.
struct SequenceSpan {
  std::int64_t first_query, num_queries, first_key, num_keys;
  std::int64_t num_seen_by_all;  // of the keys

  // Query r of the sequence sees keys [0, visible(r)).
  KOKKOS_INLINE_FUNCTION std::int64_t visible(std::int64_t r) const {
    const std::int64_t up_to_itself = num_keys - num_queries + r + 1;
    const std::int64_t seen = up_to_itself > num_seen_by_all ? up_to_itself : num_seen_by_all;
    return seen < num_keys ? seen : num_keys;
  }
};

// Sequence b of a call, on the host or on a device; key_lengths and prefix may be null.
KOKKOS_INLINE_FUNCTION SequenceSpan sequence_span(const std::int32_t* query_starts,
                                                  const std::int32_t* key_starts,
                                                  const std::int32_t* key_lengths,
                                                  const std::int32_t* prefix, bool causal,
                                                  std::int64_t b) {
  const std::int64_t num_keys =
      key_lengths == nullptr ? key_starts[b + 1] - key_starts[b] : key_lengths[b];
  const std::int64_t num_prefix = prefix == nullptr ? 0 : prefix[b];
  return {query_starts[b], query_starts[b + 1] - query_starts[b], key_starts[b], num_keys,
          causal ? num_prefix : num_keys};
}

// Breaks off unless the tensors of a call fit one another.
template <class Real>
void check_attention(const Exec& exec, const AttentionInput<Real>& input, bool backward = false) {
  POLYPHASE_PROMISE(!backward || input.keys.lengths_host.empty(),
                    "attention has no backward pass for keys with room between {} sequences",
                    input.keys.num_sequences());
  const AttentionShape& shape = input.shape;
  POLYPHASE_PROMISE(exec.arena != nullptr, "attention needs an arena for its workspace");
  POLYPHASE_PROMISE(shape.num_key_heads > 0 && shape.num_heads % shape.num_key_heads == 0,
                    "{} query heads cannot share {} key heads", shape.num_heads,
                    shape.num_key_heads);
  POLYPHASE_PROMISE(shape.score_scale > 0.0F, "attention's scale of scores is {}",
                    shape.score_scale);
  POLYPHASE_PROMISE(input.queries.num_sequences() == input.keys.num_sequences(),
                    "attention of {} sequences of queries to {} of keys",
                    input.queries.num_sequences(), input.keys.num_sequences());
  const auto check_list = [&](const char* name, const std::vector<std::int32_t>& on_host,
                              const Tensor1<const std::int32_t>& in_space) {
    POLYPHASE_PROMISE(in_space.extent(0) == on_host.size() &&
                          (on_host.empty() || on_host.size() + 1 == input.keys.starts_host.size()),
                      "{} {} on the host and {} in the execution space for {} sequences",
                      on_host.size(), name, in_space.extent(0), input.keys.num_sequences());
  };
  check_list("prefixes", input.keys.prefix_host, input.keys.prefix);
  check_list("lengths", input.keys.lengths_host, input.keys.lengths);
  const auto check = [&](const HeadColumns<const Real>& x, std::int64_t num_heads,
                         const Sequences& sequences) {
    POLYPHASE_PROMISE(
        x.first_column + num_heads * shape.head_width <= x.row_stride() &&
            sequences.starts_host.back() <= static_cast<std::int64_t>(x.rows.extent(0)),
        "{} heads of width {} from column {} over {} rows do not fit a {}x{} tensor", num_heads,
        shape.head_width, x.first_column, sequences.starts_host.back(), x.rows.extent(0),
        x.rows.extent(1));
  };
  check(input.query, shape.num_heads, input.queries);
  check(input.key, shape.num_key_heads, input.keys);
  check(input.value, shape.num_key_heads, input.keys);
  const Tensor2<const float>& table_UH = input.positions.table_UH;
  if (table_UH.extent(0) == 0) return;
  const auto num_buckets = static_cast<std::int64_t>(table_UH.extent(0));
  const std::int64_t num_exact = num_buckets / (input.positions.bidirectional ? 4 : 2);
  POLYPHASE_PROMISE(static_cast<std::int64_t>(table_UH.extent(1)) == shape.num_heads &&
                        num_exact > 0 && input.positions.max_distance > num_exact,
                    "a table of {}x{} relative positions up to {} does not fit {} heads",
                    num_buckets, table_UH.extent(1), input.positions.max_distance, shape.num_heads);
}

// Notes so many products of queries with keys, or of their probabilities with values.
template <class Real>
void note_attention(const Exec& exec, const AttentionInput<Real>& input, int num_products) {
  Work* const work = WorkCount::of(exec);
  if (work == nullptr) return;
  const std::int32_t* const lengths =
      input.keys.lengths_host.empty() ? nullptr : input.keys.lengths_host.data();
  const std::int32_t* const prefix =
      input.keys.prefix_host.empty() ? nullptr : input.keys.prefix_host.data();
  double pairs = 0, all_pairs = 0;
  for (std::int64_t b = 0; b < input.queries.num_sequences(); ++b) {
    const SequenceSpan span =
        sequence_span(input.queries.starts_host.data(), input.keys.starts_host.data(), lengths,
                      prefix, input.shape.causal, b);
    for (std::int64_t r = 0; r < span.num_queries; ++r)
      pairs += static_cast<double>(span.visible(r));
    all_pairs += static_cast<double>(span.num_queries) * static_cast<double>(span.num_keys);
  }
  const double flops_of_a_pair =
      2.0 * num_products * static_cast<double>(input.shape.num_heads * input.shape.head_width);
  work->attention_flops += flops_of_a_pair * pairs;
  work->whole_attention_flops += flops_of_a_pair * all_pairs;
}

}  // namespace polyphase
