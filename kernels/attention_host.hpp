// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "kernels/attention_sequence.hpp"
#include "kernels/math.hpp"
#include "kernels/relative_positions.hpp"
#include "kernels/tile_pack.hpp"

// What the host's forward and backward attention share. A thread takes one (sequence, key head) at
// a time, packs its keys and values once, and goes through the queries of the heads that read them
// in blocks; nothing depends on other sequences, on where a sequence lies in the micro-batch, or on
// the number of threads.
namespace polyphase::attention_host {

using tile::kLanes;
using tile::larger;
using tile::Left;
using tile::load;
using tile::padded;
using tile::store;
using tile::Vector;
using tile::Word;

// Queries whose scores exist at a time; a multiple of kColumnMultiple.
inline constexpr std::int64_t kBlockRows = 64;

template <class Real>
inline constexpr std::int64_t kPerWord = tile::Words<Real>::kElements;

// The head's width in scratch memory: a multiple of the transposition's square in words.
template <class Real>
std::int64_t padded_width(std::int64_t head_width) {
  return padded(head_width, tile::kColumnMultiple * kPerWord<Real>);
}

// A packed tensor as words, and the other way round.
template <class Real>
const Word<Real>* words(const Real* x) {
  return reinterpret_cast<const Word<Real>*>(x);
}

// What all (sequence, key head) pairs of a call have in common.
template <class Real>
struct Call {
  const AttentionInput<Real>& input;
  const Dropout& dropout;
  const AttentionShape& shape = input.shape;
  std::uint32_t threshold = dropout_threshold(dropout.rate);
  float keep_scale = 1.0F / (1.0F - dropout.rate);
  const std::int32_t* buckets = nullptr;  // of offsets from 1 - (longest keys); null: no positions

  std::int64_t group() const { return shape.num_heads / shape.num_key_heads; }
  std::int64_t num_pairs() const { return input.keys.num_sequences() * shape.num_key_heads; }
};

// One sequence and key head.
struct Pair {
  std::int64_t sequence, key_head;
  SequenceSpan span;
};

template <class Real>
Pair pair_of(const Call<Real>& call, std::int64_t index) {
  const std::int64_t b = index / call.shape.num_key_heads;
  const Sequences &queries = call.input.queries, &keys = call.input.keys;
  return {b, index % call.shape.num_key_heads,
          sequence_span(queries.starts_host.data(), keys.starts_host.data(),
                        keys.lengths_host.empty() ? nullptr : keys.lengths_host.data(),
                        keys.prefix_host.empty() ? nullptr : keys.prefix_host.data(),
                        call.shape.causal, b)};
}

// A block of queries of one head, and the keys that any of them sees.
struct Block {
  std::int64_t head, first, num_rows, num_keys;  // num_keys is padded
};

// Calls body(block) for all queries of one head.
template <class Body>
void for_each_block(const SequenceSpan& span, std::int64_t head, const Body& body) {
  for (std::int64_t first = 0; first < span.num_queries; first += kBlockRows) {
    const std::int64_t num_rows = std::min(kBlockRows, span.num_queries - first);
    body(Block{head, first, num_rows, padded(span.visible(first + num_rows - 1))});
  }
}

// Draws into mask what each probability of row r is multiplied by, for all keys of the block, and
// returns it. Null without dropout.
template <class Real>
const float* draw_mask(float* mask, const Call<Real>& call, const Pair& pair, const Block& block,
                       std::int64_t r) {
  if (call.dropout.rate == 0.0F) return nullptr;
  const auto head = static_cast<std::uint64_t>(call.shape.first_head + block.head);
  dropout_scale_row(call.dropout.key,
                    call.dropout.row_ids_N(pair.span.first_query + block.first + r), head << 32,
                    block.num_keys / 8, call.threshold, call.keep_scale, mask);
  return mask;
}

// Relative positions of a sequence on a line: its offsets from 1 - K to Q - 1, so that a query's
// keys lie side by side.
inline std::int64_t line_length(std::int64_t num_queries, std::int64_t num_keys) {
  return std::max<std::int64_t>(num_queries + num_keys - 1, 0);
}
inline std::int64_t line_start(const SequenceSpan& span, std::int64_t r) {
  return span.num_queries - 1 - r;
}

template <class Real>
const std::int32_t* line_buckets(const Call<Real>& call, const SequenceSpan& span) {
  return call.buckets + (call.input.keys.max_tokens - span.num_keys);
}

// What is added to the scores of a head, by offset.
template <class Real>
void draw_line(float* line, const Call<Real>& call, const SequenceSpan& span, std::int64_t head) {
  if (call.buckets == nullptr) return;
  const std::int32_t* const buckets = line_buckets(call, span);
  const std::int64_t count = line_length(span.num_queries, span.num_keys);
  for (std::int64_t i = 0; i < count; ++i)
    line[i] = call.input.positions.table_UH(buckets[i], head);
}

// Scales a query's scores and adds its relative positions.
inline void add_positions(float* scores, const float* line, float scale, std::int64_t num_visible) {
#pragma omp simd
  for (std::int64_t j = 0; j < num_visible; ++j) scores[j] = scores[j] * scale + line[j];
}

// Adds the gradients of a query's scores to those of its relative positions.
inline void add_to_line(float* dline, const float* dscores, std::int64_t num_visible) {
#pragma omp simd
  for (std::int64_t j = 0; j < num_visible; ++j) dline[j] += dscores[j];
}

// What a thread's memory must hold.
struct Extents {
  std::int64_t num_queries, num_keys, head_width;  // of the longest sequences
  std::int64_t line_length;                        // 0 without relative positions
};

// Calls body(pair, workspace of the thread) for every pair. make(arena) takes a thread's memory;
// the same code counts it.
template <class Real, class Make, class Body>
void for_each_pair(const Exec& exec, const char* name, const Call<Real>& call, const Make& make,
                   const Body& body) {
  Arena counting;
  make(counting);
  const auto thread_bytes = static_cast<std::int64_t>(counting.peak_bytes());
  const Kokkos::Experimental::UniqueToken<Space> threads;
  const ArenaScope scope(*exec.arena);
  const auto memory = exec.arena->take1<std::byte>(threads.size() * thread_bytes);
  if (exec.counting()) return note_start(exec);
  using Policy = Kokkos::RangePolicy<Space, Kokkos::Schedule<Kokkos::Dynamic>,
                                     Kokkos::IndexType<std::int64_t>>;
  Kokkos::parallel_for(name, Policy(exec.space, 0, call.num_pairs(), Kokkos::ChunkSize(1)),
                       [&](std::int64_t index) {
                         const auto thread = threads.acquire();
                         Arena arena(memory.data() + thread * thread_bytes, thread_bytes);
                         auto buffers = make(arena);
                         body(pair_of(call, index), buffers);
                         threads.release(thread);
                       });
}

// What a thread's memory must hold for a call.
template <class Real>
Extents extents_of(const AttentionInput<Real>& input) {
  const std::int64_t num_queries = input.queries.max_tokens, num_keys = input.keys.max_tokens;
  const bool has_positions = input.positions.table_UH.extent(0) > 0;
  return {num_queries, num_keys, input.shape.head_width,
          has_positions ? line_length(num_queries, num_keys) : 0};
}

// The same where Buffers(Arena&, Extents) takes the memory.
template <class Buffers, class Real, class Body>
void for_each_pair(const Exec& exec, const char* name, const Call<Real>& call, const Body& body) {
  const Extents extents = extents_of(call.input);
  for_each_pair(
      exec, name, call, [&](Arena& arena) { return Buffers(arena, extents); }, body);
}

// Zeros in `width` columns of the rows behind the last sequence, which are padding.
template <class T>
void clear_padding(const Exec& exec, const HeadColumns<T>& x, std::int64_t width,
                   const Sequences& sequences) {
  if (exec.counting()) return;
  const auto num_rows = static_cast<std::int64_t>(x.rows.extent(0));
  for (std::int64_t n = sequences.starts_host.back(); n < num_rows; ++n) {
    std::fill_n(x.at(n, 0, 0), width, T{});
  }
}

// Takes the buckets of relative positions from the arena.
template <class Real>
Call<Real> make_call(const Exec& exec, const AttentionInput<Real>& input, const Dropout& dropout) {
  Call<Real> call{.input = input, .dropout = dropout};
  call.buckets = position_buckets(exec, input).data();
  return call;
}

}  // namespace polyphase::attention_host
