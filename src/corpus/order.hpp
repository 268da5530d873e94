// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace polyphase {

// A keyed bijection of [0, size): order as a function, so that any position of an epoch is known
// without memory and without replay. A Feistel network over the smallest power of two that holds
// `size`; values that fall outside walk on along their cycle until they fall inside (Black &
// Rogaway, 2002, "cycle-walking cipher"), under two rounds on average. Not a cipher: it is for
// shuffling only.
class KeyedPermutation {
 public:
  // `size` from 1 to 2^62.
  KeyedPermutation(std::uint64_t size, std::uint64_t key);

  // The place of `index`, which is below size().
  std::uint64_t at(std::uint64_t index) const;
  std::uint64_t size() const { return size_; }

 private:
  std::uint64_t encrypt(std::uint64_t value) const;

  static constexpr int kNumRounds = 8;
  std::uint64_t size_;
  int low_bits_, high_bits_;  // the two halves; their widths differ by at most one
  std::array<std::uint64_t, kNumRounds> round_keys_;
};

}  // namespace polyphase
