// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/attention.hpp"
#include "kernels/math.hpp"
#include "kernels/tile_pack.hpp"

// What the host's forward and backward attention share. A thread takes one (sequence, head) at a
// time, packs its keys and values once, and goes through its queries in blocks; nothing depends on
// other sequences, on where a sequence lies in the micro-batch, or on the number of threads.
namespace polyphase::attention_host {

using tile::Left;
using tile::padded;
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

// What all (sequence, head) pairs of a call have in common.
template <class Real>
struct Call {
  Tensor2<const Real> qkv_N3C;
  const std::int32_t* starts;
  AttentionShape shape;
  Dropout dropout;
  float scale = 1.0F / std::sqrt(static_cast<float>(shape.head_width));
  std::uint32_t threshold = dropout_threshold(dropout.rate);
  float keep_scale = 1.0F / (1.0F - dropout.rate);

  std::int64_t row_stride() const { return static_cast<std::int64_t>(qkv_N3C.extent(1)); }
};

// One sequence and head.
struct Pair {
  std::int64_t first_row, num_tokens, head;
};

template <class Real>
Pair pair_of(const Call<Real>& call, std::int64_t index) {
  const std::int64_t sequence = index / call.shape.num_heads;
  const std::int64_t first = call.starts[sequence];
  return {first, call.starts[sequence + 1] - first, index % call.shape.num_heads};
}

// part 0: queries, 1: keys, 2: values.
template <class Real>
const Real* head_rows(const Call<Real>& call, const Pair& pair, int part) {
  const std::int64_t column = (part * call.shape.num_heads + pair.head) * call.shape.head_width;
  return call.qkv_N3C.data() + pair.first_row * call.row_stride() + column;
}

// A block of queries and the keys that any of them sees.
struct Block {
  std::int64_t first, num_rows, num_keys;  // num_keys is padded

  // Keys that the query in row r of the block sees.
  std::int64_t visible(std::int64_t r, bool causal, std::int64_t num_tokens) const {
    return causal ? first + r + 1 : num_tokens;
  }
};

inline Block block_at(std::int64_t first, const Pair& pair, bool causal) {
  const std::int64_t num_rows = std::min(kBlockRows, pair.num_tokens - first);
  return {first, num_rows, padded(causal ? first + num_rows : pair.num_tokens)};
}

// What each probability of row r is multiplied by, for all keys of the block. Without dropout mask
// stays as it was: ones.
template <class Real>
void draw_mask(float* mask, const Call<Real>& call, const Pair& pair, const Block& block,
               std::int64_t r) {
  if (call.dropout.rate == 0.0F) return;
  const auto head = static_cast<std::uint64_t>(call.shape.first_head + pair.head);
  dropout_scale_row(call.dropout.key, call.dropout.row_ids_N(pair.first_row + block.first + r),
                    head << 32, block.num_keys / 8, call.threshold, call.keep_scale, mask);
}

// Calls body(index of the pair, workspace of the thread) for every pair. Buffers(Arena&, longest
// sequence, head width) takes a thread's memory; the same code counts it.
template <class Buffers, class Body>
void for_each_pair(const Exec& exec, const char* name, const Sequences& sequences,
                   const AttentionShape& shape, const Body& body) {
  Arena counting;
  Buffers(counting, sequences.max_tokens, shape.head_width);
  const auto thread_bytes = static_cast<std::int64_t>(counting.peak_bytes());
  const Kokkos::Experimental::UniqueToken<Space> threads;
  const ArenaScope scope(*exec.arena);
  const auto memory = exec.arena->take1<std::byte>(threads.size() * thread_bytes);
  if (exec.counting()) return;
  using Policy = Kokkos::RangePolicy<Space, Kokkos::Schedule<Kokkos::Dynamic>,
                                     Kokkos::IndexType<std::int64_t>>;
  const std::int64_t num_pairs = sequences.num_sequences() * shape.num_heads;
  Kokkos::parallel_for(name, Policy(exec.space, 0, num_pairs, Kokkos::ChunkSize(1)),
                       [&](std::int64_t index) {
                         const auto thread = threads.acquire();
                         Arena arena(memory.data() + thread * thread_bytes, thread_bytes);
                         Buffers buffers(arena, sequences.max_tokens, shape.head_width);
                         body(index, buffers);
                         threads.release(thread);
                       });
}

// Rows behind the last sequence are padding.
template <class T>
void clear_padding(const Exec& exec, const Tensor2<T>& x, const Sequences& sequences) {
  const std::int64_t first = sequences.starts_host.back();
  const auto num_rows = static_cast<std::int64_t>(x.extent(0));
  if (exec.counting() || first == num_rows) return;
  const auto width = static_cast<std::int64_t>(x.extent(1));
  std::memset(static_cast<void*>(x.data() + first * width), 0,
              (num_rows - first) * width * sizeof(T));
}

template <class Real>
Call<Real> make_call(const Exec& exec, Tensor2<const Real> qkv_N3C, const Sequences& sequences,
                     const AttentionShape& shape, const Dropout& dropout) {
  POLYPHASE_PROMISE(exec.arena != nullptr, "attention needs an arena for its workspace");
  POLYPHASE_PROMISE(
      static_cast<std::int64_t>(qkv_N3C.extent(1)) == 3 * shape.num_heads * shape.head_width &&
          sequences.starts_host.back() <= static_cast<std::int64_t>(qkv_N3C.extent(0)),
      "attention with {} heads of width {} over {} rows does not fit a {}x{} tensor",
      shape.num_heads, shape.head_width, sequences.starts_host.back(), qkv_N3C.extent(0),
      qkv_N3C.extent(1));
  return {.qkv_N3C = qkv_N3C,
          .starts = sequences.starts_host.data(),
          .shape = shape,
          .dropout = dropout};
}

}  // namespace polyphase::attention_host
