// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "kernels/attention_tiles.hpp"

// A block of four warps on the host, lane by lane: the Machine of attention_tiles.hpp, from the
// description of ldmatrix and mma.m16n8k16 in the Parallel Thread Execution ISA. One thread of the
// host takes every part of the program in turn, so that a value which a lane would read before
// another has written it is found out only where that other comes later.
namespace polyphase::test {

struct EmulatedWarps {
  template <class T>
  using PerLane = std::array<T, 32>;
  template <class T>
  using PerWarp = std::array<T, attention_tiles::kWarps>;
  using Sums = attention_tiles::Sums;
  using Registers = attention_tiles::Registers;

  template <class Body>
  void threads(const Body& body) {
    for (int thread = 0; thread < attention_tiles::kThreads; ++thread) body(thread);
  }
  template <class Body>
  void warps(const Body& body) {
    for (int warp = 0; warp < attention_tiles::kWarps; ++warp) body(warp);
  }
  template <class Body>
  void lanes(const Body& body) {
    for (int lane = 0; lane < 32; ++lane) body(lane);
  }
  void sync() {}

  template <class T>
  T shuffle(const PerLane<T>& x, int, int source) {
    return x[source];
  }

  // Lanes 8m to 8m + 7 give the addresses of matrix m's rows. Of every matrix lane 4·g + t gets
  // the elements (g, 2t) and (g, 2t + 1), transposed (2t, g) and (2t + 1, g).
  template <bool kDown, class Address>
  void load(PerLane<Registers>& to, const Address& address) {
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4;
      for (int matrix = 0; matrix < 4; ++matrix) {
        const auto element = [&](int row, int column) -> std::uint32_t {
          return address(8 * matrix + row)[column].bits;
        };
        const std::uint32_t low = kDown ? element(2 * t, g) : element(g, 2 * t);
        const std::uint32_t high = kDown ? element(2 * t + 1, g) : element(g, 2 * t + 1);
        to[lane].r[matrix] = high << 16 | low;
      }
    }
  }

  void multiply(PerLane<Sums>& sums, const PerLane<Registers>& left,
                const PerLane<Registers>& right, int half) {
    float a[16][16], b[16][8];
    const auto unpack = [](std::uint32_t pair, int e) {
      return to_float(bf16{static_cast<std::uint16_t>(e == 0 ? pair & 0xFFFFU : pair >> 16)});
    };
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4;
      for (int e = 0; e < 2; ++e) {
        a[g][2 * t + e] = unpack(left[lane].r[0], e);
        a[g + 8][2 * t + e] = unpack(left[lane].r[1], e);
        a[g][2 * t + 8 + e] = unpack(left[lane].r[2], e);
        a[g + 8][2 * t + 8 + e] = unpack(left[lane].r[3], e);
        b[2 * t + e][g] = unpack(right[lane].r[2 * half], e);
        b[2 * t + 8 + e][g] = unpack(right[lane].r[2 * half + 1], e);
      }
    }
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
        for (int k = 0; k < 16; ++k) sums[lane].v[i] += a[row][k] * b[k][column];
      }
    }
  }
};

}  // namespace polyphase::test
