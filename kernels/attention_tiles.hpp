// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/attention_rows.hpp"
#include "kernels/unroll.hpp"

// Attention in bf16 on tensor cores, in tiles that never leave a multiprocessor (Dao et al., 2022;
// Dao, 2023), as a program for a block of four warps. It is written for any Machine: the device
// (attention_tiles_cuda.cpp), or its emulation, lane by lane, with which the tests run this very
// code on the host (tests/kernels/emulated_warps.hpp). A Machine has
//
//   PerLane<T>, PerWarp<T>    something that every lane, every warp has; x[lane], x[warp]
//   threads(f), warps(f), lanes(f)   f(number) for each thread of the block, warp of it, lane of a
//                                    warp: on the device once, with the own number
//   sync()                    waits for all threads of the block
//   shuffle(x, lane, source)  what lane `source` has in x
//   load<kDown>(to, address)  ldmatrix, of four 8×8 matrices whose rows begin at address(lane);
//                             transposed (kDown)
//   multiply(acc, a, b, half) mma.m16n8k16; b's registers 2·half and 2·half + 1
//
// Lanes hold registers as PTX lays them out (Parallel Thread Execution ISA, mma.m16n8k16): of 16×8
// sums, lane 4·g + t has columns 2t and 2t + 1 of row g (v[0], v[1]) and of row g + 8 (v[2], v[3]).
// Two neighbouring 16×8 sums, rounded, are the 16×16 left operand of the next product.
namespace polyphase::attention_tiles {

using attention_rows::Call;
using attention_rows::Heads;

inline constexpr int kWarps = 4, kThreads = 32 * kWarps;
inline constexpr int kRows = 16 * kWarps;  // of a block: queries, or keys of the gradients by key

struct Sums {
  float v[4];
};
struct Registers {
  std::uint32_t r[4];
};

// Rows of one head, padded with zeros to kWidth columns and to the next full tile. The 8 columns
// between rows spread these over the banks of shared memory.
template <int kWidth>
struct Tile {
  static constexpr int kStride = kWidth + 8;
  // Rows that stream past a block at a time, as many as its registers have room for: keys past
  // queries, and queries past keys.
  static constexpr int kStep = kWidth > 64 ? 32 : 64, kKeyStep = 32;
  bf16* data;

  KOKKOS_INLINE_FUNCTION bf16* at(int row, int column) const {
    return data + row * kStride + column;
  }
};

// A block's shared memory: tiles that stay and two that stream.
template <int kWidth>
constexpr std::size_t shared_bytes(int num_staying, int step) {
  return (num_staying * kRows + 2 * step) * Tile<kWidth>::kStride * sizeof(bf16);
}

KOKKOS_INLINE_FUNCTION std::uint32_t rounded_pair(float low, float high) {
  return static_cast<std::uint32_t>(from_float<bf16>(high).bits) << 16 | from_float<bf16>(low).bits;
}

// Copies `count` rows from row `first` of a head into a tile of num_rows. `wide`: 16 bytes at a
// time can be read.
struct alignas(16) Chunk {
  bf16 x[8];
};
template <int kWidth, class M>
KOKKOS_INLINE_FUNCTION void load_tile(M& m, const Tile<kWidth>& to, int num_rows,
                                      const Heads<const bf16>& from, std::int64_t first,
                                      std::int64_t count, std::int64_t head, bool wide) {
  constexpr int kChunks = kWidth / 8;
  m.threads([&](int thread) {
    for (int i = thread; i < num_rows * kChunks; i += kThreads) {
      const int row = i / kChunks, column = i % kChunks * 8;
      const std::int64_t rest = row < count ? from.head_width - column : 0;
      const bf16* const source = from.at(first + row, head) + column;
      Chunk chunk;
      if (rest >= 8 && wide) {
        chunk = *reinterpret_cast<const Chunk*>(source);
      } else {
        for (int c = 0; c < 8; ++c) chunk.x[c] = c < rest ? source[c] : bf16{0};
      }
      *reinterpret_cast<Chunk*>(to.at(row, column)) = chunk;
    }
  });
}

// sums[i] += a's rows [row, row + 16) · (b's rows [8i, 8i + 8))ᵀ.
template <int kTiles, int kWidth, class M>
KOKKOS_INLINE_FUNCTION void multiply_rows(M& m, typename M::template PerLane<Sums> (&sums)[kTiles],
                                          const Tile<kWidth>& a, int row, const Tile<kWidth>& b) {
  POLYPHASE_UNROLL
  for (int k = 0; k < kWidth; k += 16) {
    typename M::template PerLane<Registers> left, right;
    m.template load<false>(left,
                           [&](int lane) { return a.at(row + lane % 16, k + lane / 16 * 8); });
    POLYPHASE_UNROLL
    for (int i = 0; i < kTiles; i += 2) {
      m.template load<false>(right, [&](int lane) {
        return b.at(8 * i + lane % 8 + lane / 16 * 8, k + lane / 8 % 2 * 8);
      });
      m.multiply(sums[i], left, right, 0);
      m.multiply(sums[i + 1], left, right, 1);
    }
  }
}

// sums += the 16 × (8·kTiles) matrix whose rounded 16×8 parts are `left` · b.
template <int kTiles, int kWidth, class M>
KOKKOS_INLINE_FUNCTION void multiply_columns(
    M& m, typename M::template PerLane<Sums> (&sums)[kWidth / 8],
    const typename M::template PerLane<Registers> (&left)[kTiles / 2], const Tile<kWidth>& b) {
  POLYPHASE_UNROLL
  for (int k = 0; k < kTiles / 2; ++k) {
    POLYPHASE_UNROLL
    for (int i = 0; i < kWidth / 8; i += 2) {
      typename M::template PerLane<Registers> right;
      m.template load<true>(
          right, [&](int lane) { return b.at(16 * k + lane % 16, 8 * i + lane / 16 * 8); });
      m.multiply(sums[i], left[k], right, 0);
      m.multiply(sums[i + 1], left[k], right, 1);
    }
  }
}

template <class M, int kCount>
KOKKOS_INLINE_FUNCTION void clear(M& m, typename M::template PerLane<Sums> (&sums)[kCount]) {
  POLYPHASE_UNROLL
  for (int i = 0; i < kCount; ++i) m.lanes([&](int lane) { sums[i][lane] = {{0, 0, 0, 0}}; });
}

// The blocks of a launch: tiles of each sequence's rows, as many for each as the longest needs,
// then tiles of the padding rows behind them.
struct Blocks {
  std::int64_t num_sequences, tiles_of_sequence, num_rows, end_of_sequences;

  // The first row of a block of padding; negative for other blocks.
  KOKKOS_INLINE_FUNCTION std::int64_t padding_row(std::int64_t block) const {
    const std::int64_t beyond = block - num_sequences * tiles_of_sequence;
    return beyond < 0 ? -1 : end_of_sequences + beyond * kRows;
  }
  std::int64_t count() const {
    return num_sequences * tiles_of_sequence + (num_rows - end_of_sequences + kRows - 1) / kRows;
  }
};

// Writes zeros to the rows of a block of padding; false for other blocks.
template <class M>
KOKKOS_INLINE_FUNCTION bool clear_padding(M& m, const Blocks& blocks, const Heads<bf16>& to,
                                          std::int64_t block, std::int64_t head) {
  const std::int64_t first = blocks.padding_row(block);
  if (first < 0) return false;
  m.threads([&](int thread) {
    for (std::int64_t i = thread; i < kRows * to.head_width; i += kThreads) {
      const std::int64_t row = first + i / to.head_width;
      if (row < blocks.num_rows) to.at(row, head)[i % to.head_width] = bf16{0};
    }
  });
  return true;
}

// Writes a warp's 16 rows of sums, from row `first` of the tensor on, as far as `count` goes.
template <int kWidth, class M, class Factor>
KOKKOS_INLINE_FUNCTION void store_rows(M& m, const Heads<bf16>& to, std::int64_t first,
                                       std::int64_t count, std::int64_t head,
                                       typename M::template PerLane<Sums> (&sums)[kWidth / 8],
                                       const Factor& factor) {
  m.lanes([&](int lane) {
    POLYPHASE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = lane / 4 + 8 * half;
      if (row >= count) continue;
      bf16* const y = to.at(first + row, head);
      const float by = factor(lane, half);
      POLYPHASE_UNROLL
      for (int i = 0; i < kWidth / 8; ++i) {
        POLYPHASE_UNROLL
        for (int e = 0; e < 2; ++e) {
          const int column = 8 * i + lane % 4 * 2 + e;
          if (column < to.head_width)
            y[column] = from_float<bf16>(sums[i][lane].v[2 * half + e] * by);
        }
      }
    }
  });
}

}  // namespace polyphase::attention_tiles
