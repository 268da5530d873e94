// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/attention_tiles.hpp"

// Which probabilities dropout keeps. One call of the random function decides on eight keys of a
// query, which lie in several lanes: each lane makes other calls, and takes what it needs from
// those that made them.
namespace polyphase::attention_tiles {

// Bits of Kept: sum v[2 · half + e] of tile i has bit 4i + 2 · half + e. All are set without
// dropout.
template <class M>
using Kept = typename M::template PerLane<std::uint32_t>;

// The four words that decide on key block `block(lane)` of the query in row `row(lane)`.
template <class M, class Row, class Block>
KOKKOS_INLINE_FUNCTION void draw(M& m, typename M::template PerLane<std::uint32_t> (&words)[4],
                                 const Call<bf16>& call, std::int64_t head, const Row& row,
                                 const Block& block) {
  const auto high = static_cast<std::uint64_t>(call.first_head + head) << 32;
  m.lanes([&](int lane) {
    const PhiloxWords drawn = philox(call.dropout_key, call.row_ids[row(lane)],
                                     high | static_cast<std::uint64_t>(block(lane)));
    POLYPHASE_UNROLL
    for (int w = 0; w < 4; ++w) words[w][lane] = drawn.word[w];
  });
}

// Word `number` of those that lane `source` has drawn.
template <class M>
KOKKOS_INLINE_FUNCTION std::uint32_t fetch(M& m,
                                           typename M::template PerLane<std::uint32_t> (&words)[4],
                                           int lane, int source, int number) {
  std::uint32_t fetched = 0;
  POLYPHASE_UNROLL
  for (int w = 0; w < 4; ++w) {
    const std::uint32_t word = m.shuffle(words[w], lane, source);
    fetched = w == number ? word : fetched;
  }
  return fetched;
}

// Rows of sums are queries from `first` on, columns keys from j0 on.
template <int kTiles, class M>
KOKKOS_INLINE_FUNCTION void keep_by_query(M& m, Kept<M>& kept, const Call<bf16>& call,
                                          const SequenceSpan& span, std::int64_t first,
                                          std::int64_t j0, std::int64_t head) {
  const bool all = call.rate == 0.0F;
  m.lanes([&](int lane) { kept[lane] = all ? 0xFFFFFFFFU : 0U; });
  if (all) return;
  typename M::template PerLane<std::uint32_t> words[4];
  POLYPHASE_UNROLL
  for (int half = 0; half < 2; ++half) {
    POLYPHASE_UNROLL
    for (int begin = 0; begin < kTiles; begin += 4) {
      draw(
          m, words, call, head,
          [&](int lane) {
            const std::int64_t r = first + lane / 4 + 8 * half;
            return span.first_query + (r < span.num_queries ? r : 0);
          },
          [&](int lane) { return j0 / 8 + begin + lane % 4; });
      POLYPHASE_UNROLL
      for (int i = 0; i < 4; ++i) {
        m.lanes([&](int lane) {
          const std::uint32_t word = fetch(m, words, lane, lane / 4 * 4 + i, lane % 4);
          const std::uint32_t bit = 1U << (4 * (begin + i) + 2 * half);
          if ((word & 0xFFFFU) >= call.threshold) kept[lane] |= bit;
          if (word >> 16 >= call.threshold) kept[lane] |= bit << 1;
        });
      }
    }
  }
}

// Rows of sums are keys from `first` on, a multiple of 8, columns queries from r0 on.
template <int kTiles, class M>
KOKKOS_INLINE_FUNCTION void keep_by_key(M& m, Kept<M>& kept, const Call<bf16>& call,
                                        const SequenceSpan& span, std::int64_t first,
                                        std::int64_t r0, std::int64_t head) {
  const bool all = call.rate == 0.0F;
  m.lanes([&](int lane) { kept[lane] = all ? 0xFFFFFFFFU : 0U; });
  if (all) return;
  typename M::template PerLane<std::uint32_t> words[4];
  POLYPHASE_UNROLL
  for (int begin = 0; begin < kTiles; begin += 2) {
    draw(
        m, words, call, head,
        [&](int lane) {
          const std::int64_t r = r0 + 8 * (begin + lane / 16) + lane % 8;
          return span.first_query + (r < span.num_queries ? r : 0);
        },
        [&](int lane) { return first / 8 + lane / 8 % 2; });
    POLYPHASE_UNROLL
    for (int number = 0; number < 8; ++number) {  // of 2 tiles, 2 halves and 2 columns
      const int i = number / 4, half = number / 2 % 2, e = number % 2;
      m.lanes([&](int lane) {
        const int key = lane / 4, source = 16 * i + 8 * half + lane % 4 * 2 + e;
        const std::uint32_t word = fetch(m, words, lane, source, key / 2);
        const std::uint32_t bits = key % 2 != 0 ? word >> 16 : word & 0xFFFFU;
        if (bits >= call.threshold) kept[lane] |= 1U << (4 * (begin + i) + 2 * half + e);
      });
    }
  }
}

// What a probability is multiplied by.
KOKKOS_INLINE_FUNCTION float mask_of(const Call<bf16>& call, std::uint32_t kept, int number) {
  return (kept >> number & 1U) != 0 ? call.keep_scale : 0.0F;
}

}  // namespace polyphase::attention_tiles
