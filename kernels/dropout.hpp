// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/philox.hpp"
#include "kernels/exec.hpp"

namespace polyphase {

// Keyed dropout: whether an element is dropped is a function of (key, row id, column), never of
// layout, rank or order. The key stands for (seed, purpose, phase, step, layer); the row id for
// (global sample, position in it). Kept elements are scaled by 1 / (1 - rate). A rate of 0 does
// nothing.
struct Dropout {
  std::uint64_t key = 0;
  float rate = 0.0F;
  Tensor1<const std::uint64_t> row_ids_N;
};

// An element is kept when its 16 random bits are not below this.
KOKKOS_INLINE_FUNCTION std::uint32_t dropout_threshold(float rate) {
  return static_cast<std::uint32_t>(rate * 65536.0F + 0.5F);
}

// What an element is multiplied by: 0, or keep_scale where kept. One Philox call gives eight lanes
// of 16 bits for eight neighbouring elements: word 0's lower half, word 0's upper half, word 1's
// lower half, … The counter is (row id, column / 8); for attention's probabilities (row id of the
// query, head of the whole model << 32 | key position / 8). Changing this changes every run with
// dropout: resumed runs would differ.
KOKKOS_INLINE_FUNCTION std::uint32_t dropout_word(std::uint64_t key, std::uint64_t row_id,
                                                  std::uint64_t column_block,
                                                  std::uint32_t number) {
  const PhiloxWords words = philox(key, row_id, column_block);
  // By comparisons: an array that is indexed at run time lies in a device's memory instead of its
  // registers.
  const std::uint32_t low = (number & 1U) != 0 ? words.word[1] : words.word[0];
  const std::uint32_t high = (number & 1U) != 0 ? words.word[3] : words.word[2];
  return (number & 2U) != 0 ? high : low;
}
KOKKOS_INLINE_FUNCTION float dropout_scale(std::uint64_t key, std::uint64_t row_id,
                                           std::uint64_t column_block, std::uint32_t lane,
                                           std::uint32_t threshold, float keep_scale) {
  const std::uint32_t word = dropout_word(key, row_id, column_block, lane / 2);
  const std::uint32_t bits = (lane & 1U) != 0 ? word >> 16 : word & 0xFFFFU;
  return bits >= threshold ? keep_scale : 0.0F;
}

// philox() with each 32-bit word in a 64-bit lane, whose upper half may hold anything: a
// multiplication then leaves both halves of its product where the next round wants them, which is
// what vector registers like.
inline PhiloxWords philox_in_wide_lanes(std::uint64_t key, std::uint64_t counter_low,
                                        std::uint64_t counter_high) {
  constexpr std::uint64_t kWord = 0xFFFFFFFFU;
  std::uint64_t x0 = counter_low, x1 = counter_low >> 32;
  std::uint64_t x2 = counter_high, x3 = counter_high >> 32;
  std::uint64_t k0 = key & kWord, k1 = key >> 32;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = (x0 & kWord) * 0xD2511F53U;
    const std::uint64_t p1 = (x2 & kWord) * 0xCD9E8D57U;
    x0 = (p1 >> 32) ^ x1 ^ k0;
    x1 = p1;
    x2 = (p0 >> 32) ^ x3 ^ k1;
    x3 = p0;
    k0 = (k0 + 0x9E3779B9U) & kWord;
    k1 = (k1 + 0xBB67AE85U) & kWord;
  }
  return {{static_cast<std::uint32_t>(x0), static_cast<std::uint32_t>(x1),
           static_cast<std::uint32_t>(x2), static_cast<std::uint32_t>(x3)}};
}

// The same for the elements of blocks [first_block, first_block + num_blocks) of one row, on the
// host: many counters at once fill the vector registers. out has 8 · num_blocks values.
inline void dropout_scale_row(std::uint64_t key, std::uint64_t row_id, std::uint64_t first_block,
                              std::int64_t num_blocks, std::uint32_t threshold, float keep_scale,
                              float* out) {
  static_assert(std::endian::native == std::endian::little, "lanes are read in memory order");
  constexpr std::int64_t kChunk = 16;
  for (std::int64_t begin = 0; begin < num_blocks; begin += kChunk) {
    std::uint32_t words[4 * kChunk];
#pragma omp simd
    for (std::int64_t i = 0; i < kChunk; ++i) {
      const PhiloxWords drawn = philox_in_wide_lanes(key, row_id, first_block + begin + i);
      for (int k = 0; k < 4; ++k) words[4 * i + k] = drawn.word[k];
    }
    std::uint16_t lanes[8 * kChunk];
    std::memcpy(lanes, words, sizeof lanes);
    const std::int64_t count = 8 * std::min(kChunk, num_blocks - begin);
    float* chunk = out + 8 * begin;
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) {
      chunk[i] = lanes[i] >= threshold ? keep_scale : 0.0F;
    }
  }
}

// x_NC ← mask(x_NC). The backward pass is the same call on the gradient.
template <class Real>
void dropout_apply(const Exec& exec, Tensor2<Real> x_NC, const Dropout& dropout);

}  // namespace polyphase
