// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/attention_tiles_dropout.hpp"

namespace polyphase::attention_tiles {

struct Forward {
  Call<bf16> call;
  Blocks blocks;
  Heads<bf16> out;
  float* log_sum;
  bool wide;
};

// What a warp knows of its 16 queries while keys pass by: each lane has its part of rows g and g +
// 8, and the largest score so far of both.
template <class M, int kWidth>
struct Softmax {
  typename M::template PerLane<Sums> out[kWidth / 8];
  typename M::template PerLane<float> largest[2], sum[2];
};

// Scores, in place, and what they make the largest; keys that a query does not see have minus
// infinity.
template <int kTiles, class M>
KOKKOS_INLINE_FUNCTION void mask_scores(M& m, typename M::template PerLane<Sums> (&scores)[kTiles],
                                        typename M::template PerLane<float> (&most)[2],
                                        const Call<bf16>& call, const SequenceSpan& span,
                                        std::int64_t first, std::int64_t j0, std::int64_t head) {
  m.lanes([&](int lane) {
    POLYPHASE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const std::int64_t r = first + lane / 4 + 8 * half;
      const std::int64_t visible = r < span.num_queries ? span.visible(r) : 0;
      float largest = -INFINITY;
      POLYPHASE_UNROLL
      for (int i = 0; i < kTiles; ++i) {
        POLYPHASE_UNROLL
        for (int e = 0; e < 2; ++e) {
          float& x = scores[i][lane].v[2 * half + e];
          const std::int64_t j = j0 + 8 * i + lane % 4 * 2 + e;
          x = j < visible ? x * call.scale + call.position_score(span, r, j, head) : -INFINITY;
          largest = x > largest ? x : largest;
        }
      }
      most[half][lane] = largest;
    }
  });
}

// What rows g and g + 8 multiply their earlier sums with, once the largest scores of four lanes are
// those of the row.
template <class M, int kWidth>
KOKKOS_INLINE_FUNCTION void raise_largest(M& m, Softmax<M, kWidth>& row,
                                          typename M::template PerLane<float> (&most)[2]) {
  POLYPHASE_UNROLL
  for (int half = 0; half < 2; ++half) {
    POLYPHASE_UNROLL
    for (int distance = 1; distance < 4; distance *= 2) {
      typename M::template PerLane<float> other;
      m.lanes([&](int lane) { other[lane] = m.shuffle(most[half], lane, lane ^ distance); });
      m.lanes([&](int lane) {
        most[half][lane] = other[lane] > most[half][lane] ? other[lane] : most[half][lane];
      });
    }
    m.lanes([&](int lane) {
      const float before = row.largest[half][lane];
      const float now = most[half][lane] > before ? most[half][lane] : before;
      // Where nothing was seen yet, differences to the largest would be NaN.
      const bool none = now == -INFINITY;
      const float factor = none ? 1.0F : fast_exp(before - now);
      row.largest[half][lane] = now;
      row.sum[half][lane] *= factor;
      POLYPHASE_UNROLL
      for (int i = 0; i < kWidth / 8; ++i) {
        row.out[i][lane].v[2 * half] *= factor;
        row.out[i][lane].v[2 * half + 1] *= factor;
      }
    });
  }
}

// One tile of keys and values: scores, probabilities and what they add to the output.
template <int kWidth, class M>
KOKKOS_INLINE_FUNCTION void forward_step(M& m, const Call<bf16>& call, const SequenceSpan& span,
                                         Softmax<M, kWidth>& row, const Tile<kWidth>& query,
                                         const Tile<kWidth>& key, const Tile<kWidth>& value,
                                         int warp, std::int64_t r0, std::int64_t j0,
                                         std::int64_t head) {
  constexpr int kTiles = Tile<kWidth>::kStep / 8;
  typename M::template PerLane<Sums> scores[kTiles];
  typename M::template PerLane<Registers> probabilities[kTiles / 2];
  typename M::template PerLane<float> most[2];
  clear(m, scores);
  multiply_rows<kTiles>(m, scores, query, 16 * warp, key);
  const std::int64_t first = r0 + 16 * warp;
  mask_scores<kTiles>(m, scores, most, call, span, first, j0, head);
  raise_largest(m, row, most);
  Kept<M> kept;
  keep_by_query<kTiles>(m, kept, call, span, first, j0, head);
  m.lanes([&](int lane) {
    POLYPHASE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const float largest = row.largest[half][lane];
      const float origin = largest == -INFINITY ? 0.0F : largest;
      float sum = 0.0F;
      POLYPHASE_UNROLL
      for (int i = 0; i < kTiles; ++i) {
        Sums& x = scores[i][lane];
        const float p[2] = {fast_exp(x.v[2 * half] - origin), fast_exp(x.v[2 * half + 1] - origin)};
        sum += p[0] + p[1];
        const int number = 4 * i + 2 * half;
        probabilities[i / 2][lane].r[half + i % 2 * 2] = rounded_pair(
            p[0] * mask_of(call, kept[lane], number), p[1] * mask_of(call, kept[lane], number + 1));
      }
      row.sum[half][lane] += sum;
    }
  });
  multiply_columns<kTiles, kWidth>(m, row.out, probabilities, value);
}

// Divides by the sums and writes a warp's rows.
template <int kWidth, class M>
KOKKOS_INLINE_FUNCTION void finish_rows(M& m, const Forward& pass, const SequenceSpan& span,
                                        Softmax<M, kWidth>& row, std::int64_t first,
                                        std::int64_t head) {
  POLYPHASE_UNROLL
  for (int half = 0; half < 2; ++half) {
    POLYPHASE_UNROLL
    for (int distance = 1; distance < 4; distance *= 2) {
      typename M::template PerLane<float> other;
      m.lanes([&](int lane) { other[lane] = m.shuffle(row.sum[half], lane, lane ^ distance); });
      m.lanes([&](int lane) { row.sum[half][lane] += other[lane]; });
    }
  }
  store_rows<kWidth>(m, pass.out, span.first_query + first, span.num_queries - first, head, row.out,
                     [&](int lane, int half) {
                       const float sum = row.sum[half][lane];
                       return sum == 0.0F ? 0.0F : 1.0F / sum;
                     });
  m.lanes([&](int lane) {
    POLYPHASE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const std::int64_t r = first + lane / 4 + 8 * half;
      if (lane % 4 != 0 || r >= span.num_queries) continue;
      const float sum = row.sum[half][lane];
      pass.log_sum[(span.first_query + r) * pass.call.num_heads + head] =
          sum == 0.0F ? 0.0F : row.largest[half][lane] + math::log(sum);
    }
  });
}

// One block: up to 64 queries of a sequence, of one head.
template <int kWidth, class M>
KOKKOS_INLINE_FUNCTION void forward_block(M& m, const Forward& pass, bf16* shared,
                                          std::int64_t block, std::int64_t head) {
  const Call<bf16>& call = pass.call;
  if (clear_padding(m, pass.blocks, pass.out, block, head)) {
    m.threads([&](int thread) {
      const std::int64_t row = pass.blocks.padding_row(block) + thread;
      if (thread < kRows && row < pass.blocks.num_rows)
        pass.log_sum[row * call.num_heads + head] = 0.0F;
    });
    return;
  }
  const SequenceSpan span = call.span(block / pass.blocks.tiles_of_sequence);
  const std::int64_t r0 = block % pass.blocks.tiles_of_sequence * kRows;
  if (r0 >= span.num_queries) return;
  constexpr int kStep = Tile<kWidth>::kStep;
  const Tile<kWidth> query{shared}, key{query.at(kRows, 0)}, value{key.at(kStep, 0)};
  const std::int64_t key_head = head / call.group(), last = span.num_queries - 1;
  const std::int64_t end = span.visible(r0 + kRows - 1 < last ? r0 + kRows - 1 : last);
  load_tile(m, query, kRows, call.query, span.first_query + r0, span.num_queries - r0, head,
            pass.wide);
  typename M::template PerWarp<Softmax<M, kWidth>> rows;
  m.warps([&](int warp) {
    clear(m, rows[warp].out);
    m.lanes([&](int lane) {
      POLYPHASE_UNROLL
      for (int half = 0; half < 2; ++half) {
        rows[warp].largest[half][lane] = -INFINITY;
        rows[warp].sum[half][lane] = 0.0F;
      }
    });
  });
  for (std::int64_t j0 = 0; j0 < end; j0 += kStep) {
    if (j0 != 0) m.sync();
    load_tile(m, key, kStep, call.key, span.first_key + j0, span.num_keys - j0, key_head,
              pass.wide);
    load_tile(m, value, kStep, call.value, span.first_key + j0, span.num_keys - j0, key_head,
              pass.wide);
    m.sync();
    m.warps([&](int warp) {
      forward_step<kWidth>(m, call, span, rows[warp], query, key, value, warp, r0, j0, head);
    });
  }
  m.warps([&](int warp) { finish_rows<kWidth>(m, pass, span, rows[warp], r0 + 16 * warp, head); });
}

}  // namespace polyphase::attention_tiles
