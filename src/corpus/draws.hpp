// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/philox.hpp"

namespace polyphase {

// Random numbers drawn one after the other from the stream (key, stream number): a new object of
// the same two numbers gives the same ones again.
class Draws {
 public:
  Draws(std::uint64_t key, std::uint64_t stream) : key_(key), stream_(stream) {}

  std::uint64_t word() {
    if (half_ == 0) words_ = philox(key_, block_++, stream_);
    const std::uint64_t value =
        (std::uint64_t{words_.word[2 * half_ + 1]} << 32) | words_.word[2 * half_];
    half_ ^= 1;
    return value;
  }

  // Uniform over [0, count): the high half of a 128-bit product, whose bias is below count / 2^64.
  std::int64_t below(std::int64_t count) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::int64_t>((static_cast<Wide>(word()) * static_cast<Wide>(count)) >> 64);
  }

  // Uniform over [0, 1).
  double fraction() { return static_cast<double>(word() >> 11) * 0x1p-53; }

 private:
  std::uint64_t key_, stream_, block_ = 0;
  PhiloxWords words_{};
  int half_ = 0;
};

}  // namespace polyphase
