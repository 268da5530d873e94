// SPDX-License-Identifier: Apache-2.0
#include "corpus/order.hpp"

#include <algorithm>
#include <bit>

#include "base/error.hpp"
#include "base/philox.hpp"

namespace polyphase {
namespace {

// Domains are at least this wide: a Feistel network over fewer bits has too few different
// permutations.
constexpr int kMinBits = 6;

// A 64-bit finaliser by two multiplications and shifts, enough for the round function of a shuffle.
std::uint64_t scramble(std::uint64_t value) {
  value = (value ^ (value >> 32)) * 0xD6E8FEB86659FD93ULL;
  value = (value ^ (value >> 29)) * 0xA0761D6478BD642FULL;
  return value ^ (value >> 32);
}

std::uint64_t low_mask(int bits) { return (std::uint64_t{1} << bits) - 1; }

}  // namespace

KeyedPermutation::KeyedPermutation(std::uint64_t size, std::uint64_t key) : size_(size) {
  POLYPHASE_PROMISE(size >= 1 && size <= (std::uint64_t{1} << 62), "permutation of {} values",
                    size);
  const int bits = std::max(kMinBits, static_cast<int>(std::bit_width(size - 1)));
  low_bits_ = bits / 2;
  high_bits_ = bits - low_bits_;
  for (int round = 0; round < kNumRounds; ++round) {
    const PhiloxWords words = philox(key, static_cast<std::uint64_t>(round), size);
    round_keys_[round] = (std::uint64_t{words.word[1]} << 32) | words.word[0];
  }
}

std::uint64_t KeyedPermutation::encrypt(std::uint64_t value) const {
  std::uint64_t low = value & low_mask(low_bits_);
  std::uint64_t high = value >> low_bits_;
  // Each round changes one half by a function of the other, so each can be undone whatever the
  // function is.
  for (int round = 0; round < kNumRounds; round += 2) {
    low ^= scramble(high + round_keys_[round]) & low_mask(low_bits_);
    high ^= scramble(low + round_keys_[round + 1]) & low_mask(high_bits_);
  }
  return (high << low_bits_) | low;
}

std::uint64_t KeyedPermutation::at(std::uint64_t index) const {
  POLYPHASE_PROMISE(index < size_, "place {} of a permutation of {} values", index, size_);
  std::uint64_t value = encrypt(index);
  while (value >= size_) value = encrypt(value);
  return value;
}

}  // namespace polyphase
