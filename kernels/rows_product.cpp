// SPDX-License-Identifier: Apache-2.0
#include "kernels/rows_product.hpp"

#include <Kokkos_Core.hpp>
#include <algorithm>
#include <cstring>
#include <utility>

// The loops of Goto and van de Geijn (2008, "Anatomy of high-performance matrix multiplication"): a
// block of b is packed once for all of a thread's rows of y; a block of a, small enough for the
// second cache, for all columns of that block; and a panel of b stays in the first cache while the
// panels of a pass by.
namespace polyphase::tile {
namespace {

constexpr std::int64_t kPanelM = kMaxRows<kPanelVectors>, kPanelN = kPanelVectors * kLanes;
// Of a block. Depths from 128, 60 rows and 256 columns on differ by less than the measurements do.
constexpr std::int64_t kBlockK = 256, kBlockM = 20 * kPanelM, kBlockN = 512;
// A line between panels, so that they do not all begin on the same line of a cache.
constexpr std::int64_t kGap = Arena::kAlignment / sizeof(float);
constexpr std::int64_t kPanelSizeA = kBlockK * kPanelM + kGap;
constexpr std::int64_t kPanelSizeB = kBlockK * kPanelN + kGap;

std::int64_t num_panels(std::int64_t extent, std::int64_t panel) {
  return (extent + panel - 1) / panel;
}

// A thread's packed blocks of an m × n product: panel after panel, each [k][row] or [k][column].
struct Buffers {
  Buffers(Arena& arena, std::int64_t m, std::int64_t n)
      : a(arena.take1<float>(num_panels(std::min(m, kBlockM), kPanelM) * kPanelSizeA).data()),
        b(arena.take1<float>(num_panels(std::min(n, kBlockN), kPanelN) * kPanelSizeB).data()) {}
  float *a, *b;
};

struct Range {
  std::int64_t begin, end;

  std::int64_t size() const { return end - begin; }
};

// Calls body(range) for the blocks of a range.
template <class Body>
void for_each_block(Range all, std::int64_t block, const Body& body) {
  for (std::int64_t begin = all.begin; begin < all.end; begin += block) {
    body(Range{begin, std::min(begin + block, all.end)});
  }
}

// Part `index` of `count`, in whole panels.
Range part_of(std::int64_t extent, std::int64_t panel, std::int64_t index, std::int64_t count) {
  const std::int64_t panels = num_panels(extent, panel);
  return {std::min(extent, panels * index / count * panel),
          std::min(extent, panels * (index + 1) / count * panel)};
}

struct RowsProduct {
  std::int64_t m, n, k;
  const float *a_KM, *b_KN;
  float* y_MN;
  bool accumulate;

  void pack_a(float* to, Range rows, Range ks) const;
  void pack_b(float* to, Range columns, Range ks) const;
  void multiply_block(const Buffers& buffers, Range rows, Range columns, Range ks) const;
  void multiply(const Buffers& buffers, Range rows, Range columns) const;
};

// A few k of every panel in turn: the rows of a, pages apart, are each read along, once. Rows of y
// behind the last are left out of the last panel.
void RowsProduct::pack_a(float* to, Range rows, Range ks) const {
  constexpr std::int64_t kTogether = 8;
  for_each_block(ks, kTogether, [&](Range few) {
    float* panel = to + (few.begin - ks.begin) * kPanelM;
    for (std::int64_t i = rows.begin; i < rows.end; i += kPanelM, panel += kPanelSizeA) {
      const std::int64_t size = std::min(kPanelM, rows.end - i);
      float* row = panel;
      for (std::int64_t kk = few.begin; kk < few.end; ++kk, row += kPanelM) {
        const float* const from = a_KM + kk * m + i;
        if (size == kPanelM) {
          std::memcpy(row, from, kPanelM * sizeof(float));
        } else {
          std::copy_n(from, size, row);
        }
      }
    }
  });
}

void RowsProduct::pack_b(float* to, Range columns, Range ks) const {
  for (std::int64_t kk = ks.begin; kk < ks.end; ++kk, to += kPanelN) {
    float* row = to;
    for (std::int64_t j = columns.begin; j < columns.end; j += kPanelN, row += kPanelSizeB) {
      std::memcpy(row, b_KN + kk * n + j, kPanelN * sizeof(float));
    }
  }
}

// Operands are packed.
void RowsProduct::multiply_block(const Buffers& buffers, Range rows, Range columns,
                                 Range ks) const {
  const bool adds = accumulate || ks.begin > 0;
  const float* b = buffers.b;
  for (std::int64_t j = columns.begin; j < columns.end; j += kPanelN, b += kPanelSizeB) {
    const float* a = buffers.a;
    for (std::int64_t i = rows.begin; i < rows.end; i += kPanelM, a += kPanelSizeA) {
      tile_column<float, kPanelVectors>(y_MN + i * n + j, n, {a, 1, kPanelM}, b, kPanelN,
                                        std::min(kPanelM, rows.end - i), ks.size(), adds);
    }
  }
}

void RowsProduct::multiply(const Buffers& buffers, Range all_rows, Range all_columns) const {
  for_each_block(all_columns, kBlockN, [&](Range columns) {
    for_each_block({0, k}, kBlockK, [&](Range ks) {
      pack_b(buffers.b, columns, ks);
      for_each_block(all_rows, kBlockM, [&](Range rows) {
        pack_a(buffers.a, rows, ks);
        multiply_block(buffers, rows, columns, ks);
      });
    });
  });
}

// Into how many parts the rows of y go; the columns go into num_threads over that. Of all such
// grids the one in which a thread packs least.
std::int64_t num_row_parts(std::int64_t m, std::int64_t n, std::int64_t num_threads) {
  std::int64_t best = 1, least = m + n / num_threads;
  for (std::int64_t parts = 2; parts <= num_threads; ++parts) {
    const std::int64_t packed = m / parts + n / (num_threads / parts);
    if (num_threads % parts == 0 && packed < least) best = parts, least = packed;
  }
  return best;
}

}  // namespace

void multiply_rows(const Exec& exec, Tensor2<float> y_MN, Tensor2<const float> a_KM,
                   Tensor2<const float> b_KN, Write write, int num_threads) {
  const RowsProduct product{.m = static_cast<std::int64_t>(y_MN.extent(0)),
                            .n = static_cast<std::int64_t>(y_MN.extent(1)),
                            .k = static_cast<std::int64_t>(a_KM.extent(0)),
                            .a_KM = a_KM.data(),
                            .b_KN = b_KN.data(),
                            .y_MN = y_MN.data(),
                            .accumulate = write == Write::kAccumulate};
  Arena counting;
  const Buffers counted(counting, product.m, product.n);
  const auto num_bytes = static_cast<std::int64_t>(counting.peak_bytes());
  const ArenaScope scope(*exec.arena);
  const auto memory = exec.arena->take1<std::byte>(num_threads * num_bytes);
  if (exec.counting()) return;
  const std::int64_t row_parts = num_row_parts(product.m, product.n, num_threads);
  const std::int64_t column_parts = num_threads / row_parts;
  const auto multiply_part = [&](std::int64_t part) {
    Arena arena(memory.data() + part * num_bytes, num_bytes);
    product.multiply(Buffers(arena, product.m, product.n),
                     part_of(product.m, kPanelM, part / column_parts, row_parts),
                     part_of(product.n, kPanelN, part % column_parts, column_parts));
  };
  if (num_threads == 1) return multiply_part(0);
  Kokkos::parallel_for(
      "multiply_rows",
      Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t>>(exec.space, 0, num_threads),
      multiply_part);
}

}  // namespace polyphase::tile
