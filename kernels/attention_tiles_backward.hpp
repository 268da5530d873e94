// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/attention_tiles_dropout.hpp"

// The gradients, each gathered by who gets it, so that no sum depends on the order of blocks:
// probabilities are made again from the scores and log_sum, once by query for dQ and once by key
// for dK and dV.
namespace polyphase::attention_tiles {

struct Backward {
  Call<bf16> call;
  Blocks query_blocks, key_blocks;
  Heads<const bf16> dout;
  const float *log_sum, *delta;  // delta: make_deltas()
  Heads<bf16> dquery, dkey, dvalue;
  bool wide;

  // exp(score - log_sum) from the product of a query and a key; 0 where the query does not see it.
  KOKKOS_INLINE_FUNCTION float probability(const SequenceSpan& span, std::int64_t r, std::int64_t j,
                                           std::int64_t head, float product) const {
    if (r >= span.num_queries || j >= span.visible(r)) return 0.0F;
    const float score = product * call.scale + call.position_score(span, r, j, head);
    return fast_exp(score - log_sum[(span.first_query + r) * call.num_heads + head]);
  }
  KOKKOS_INLINE_FUNCTION float delta_of(const SequenceSpan& span, std::int64_t r,
                                        std::int64_t head) const {
    return r < span.num_queries ? delta[(span.first_query + r) * call.num_heads + head] : 0.0F;
  }
};

// dS of a warp's 16 queries and a tile of keys, rounded to be multiplied with the keys.
template <int kTiles, class M>
KOKKOS_INLINE_FUNCTION void query_dscores(
    M& m, const Backward& pass, const SequenceSpan& span,
    typename M::template PerLane<Registers> (&rounded)[kTiles / 2],
    typename M::template PerLane<Sums> (&products)[kTiles],
    typename M::template PerLane<Sums> (&dprobabilities)[kTiles], std::int64_t first,
    std::int64_t j0, std::int64_t head) {
  const Call<bf16>& call = pass.call;
  Kept<M> kept;
  keep_by_query<kTiles>(m, kept, call, span, first, j0, head);
  m.lanes([&](int lane) {
    POLYPHASE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const std::int64_t r = first + lane / 4 + 8 * half;
      const float delta = pass.delta_of(span, r, head);
      POLYPHASE_UNROLL
      for (int i = 0; i < kTiles; ++i) {
        const std::int64_t j = j0 + 8 * i + lane % 4 * 2;
        float ds[2];
        POLYPHASE_UNROLL
        for (int e = 0; e < 2; ++e) {
          const int number = 2 * half + e;
          const float p = pass.probability(span, r, j + e, head, products[i][lane].v[number]);
          const float dp =
              dprobabilities[i][lane].v[number] * mask_of(call, kept[lane], 4 * i + number);
          ds[e] = p * (dp - delta) * call.scale;
        }
        rounded[i / 2][lane].r[half + i % 2 * 2] = rounded_pair(ds[0], ds[1]);
      }
    }
  });
}

// One block: dQ of up to 64 queries of a sequence, of one head.
template <int kWidth, class M>
KOKKOS_INLINE_FUNCTION void query_block(M& m, const Backward& pass, bf16* shared,
                                        std::int64_t block, std::int64_t head) {
  const Call<bf16>& call = pass.call;
  if (clear_padding(m, pass.query_blocks, pass.dquery, block, head)) return;
  const SequenceSpan span = call.span(block / pass.query_blocks.tiles_of_sequence);
  const std::int64_t r0 = block % pass.query_blocks.tiles_of_sequence * kRows;
  if (r0 >= span.num_queries) return;
  constexpr int kStep = Tile<kWidth>::kStep, kTiles = kStep / 8;
  const Tile<kWidth> query{shared}, dout{query.at(kRows, 0)}, key{dout.at(kRows, 0)},
      value{key.at(kStep, 0)};
  const std::int64_t key_head = head / call.group(), last = span.num_queries - 1;
  const std::int64_t end = span.visible(r0 + kRows - 1 < last ? r0 + kRows - 1 : last);
  const std::int64_t first = span.first_query + r0, count = span.num_queries - r0;
  load_tile(m, query, kRows, call.query, first, count, head, pass.wide);
  load_tile(m, dout, kRows, pass.dout, first, count, head, pass.wide);
  struct Rows {
    typename M::template PerLane<Sums> sums[kWidth / 8];
  };
  typename M::template PerWarp<Rows> rows;
  m.warps([&](int warp) { clear(m, rows[warp].sums); });
  for (std::int64_t j0 = 0; j0 < end; j0 += kStep) {
    if (j0 != 0) m.sync();
    load_tile(m, key, kStep, call.key, span.first_key + j0, span.num_keys - j0, key_head,
              pass.wide);
    load_tile(m, value, kStep, call.value, span.first_key + j0, span.num_keys - j0, key_head,
              pass.wide);
    m.sync();
    m.warps([&](int warp) {
      typename M::template PerLane<Sums> products[kTiles], dprobabilities[kTiles];
      typename M::template PerLane<Registers> rounded[kTiles / 2];
      clear(m, products);
      clear(m, dprobabilities);
      multiply_rows<kTiles>(m, products, query, 16 * warp, key);
      multiply_rows<kTiles>(m, dprobabilities, dout, 16 * warp, value);
      query_dscores<kTiles>(m, pass, span, rounded, products, dprobabilities, r0 + 16 * warp, j0,
                            head);
      multiply_columns<kTiles, kWidth>(m, rows[warp].sums, rounded, key);
    });
  }
  m.warps([&](int warp) {
    store_rows<kWidth>(m, pass.dquery, first + 16 * warp, count - 16 * warp, head, rows[warp].sums,
                       [](int, int) { return 1.0F; });
  });
}

// Masked probabilities and dS of a warp's 16 keys (rows) and a tile of queries (columns), rounded
// to be multiplied with dO and with the queries.
template <int kTiles, class M>
KOKKOS_INLINE_FUNCTION void key_dscores(
    M& m, const Backward& pass, const SequenceSpan& span,
    typename M::template PerLane<Registers> (&masked)[kTiles / 2],
    typename M::template PerLane<Registers> (&rounded)[kTiles / 2],
    typename M::template PerLane<Sums> (&products)[kTiles],
    typename M::template PerLane<Sums> (&dprobabilities)[kTiles], std::int64_t first,
    std::int64_t r0, std::int64_t head) {
  const Call<bf16>& call = pass.call;
  Kept<M> kept;
  keep_by_key<kTiles>(m, kept, call, span, first, r0, head);
  m.lanes([&](int lane) {
    POLYPHASE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const std::int64_t j = first + lane / 4 + 8 * half;
      POLYPHASE_UNROLL
      for (int i = 0; i < kTiles; ++i) {
        float p[2], ds[2];
        POLYPHASE_UNROLL
        for (int e = 0; e < 2; ++e) {
          const std::int64_t r = r0 + 8 * i + lane % 4 * 2 + e;
          const int number = 2 * half + e;
          const float mask = mask_of(call, kept[lane], 4 * i + number);
          const float own = pass.probability(span, r, j, head, products[i][lane].v[number]);
          const float dp = dprobabilities[i][lane].v[number] * mask;
          ds[e] = own * (dp - pass.delta_of(span, r, head)) * call.scale;
          p[e] = own * mask;
        }
        masked[i / 2][lane].r[half + i % 2 * 2] = rounded_pair(p[0], p[1]);
        rounded[i / 2][lane].r[half + i % 2 * 2] = rounded_pair(ds[0], ds[1]);
      }
    }
  });
}

// dK and dV of a warp's 16 keys.
template <class M, int kWidth>
struct KeySums {
  typename M::template PerLane<Sums> dkey[kWidth / 8], dvalue[kWidth / 8];
};

// One block: dK and dV of up to 64 keys of a sequence, of one key head, over the query heads that
// read it.
template <int kWidth, class M>
KOKKOS_INLINE_FUNCTION void key_block(M& m, const Backward& pass, bf16* shared, std::int64_t block,
                                      std::int64_t key_head) {
  const Call<bf16>& call = pass.call;
  if (clear_padding(m, pass.key_blocks, pass.dkey, block, key_head)) {
    clear_padding(m, pass.key_blocks, pass.dvalue, block, key_head);
    return;
  }
  const SequenceSpan span = call.span(block / pass.key_blocks.tiles_of_sequence);
  const std::int64_t j0 = block % pass.key_blocks.tiles_of_sequence * kRows;
  if (j0 >= span.num_keys) return;
  constexpr int kStep = Tile<kWidth>::kKeyStep, kTiles = kStep / 8;
  const Tile<kWidth> key{shared}, value{key.at(kRows, 0)}, query{value.at(kRows, 0)},
      dout{query.at(kStep, 0)};
  const std::int64_t first = span.first_key + j0, count = span.num_keys - j0;
  load_tile(m, key, kRows, call.key, first, count, key_head, pass.wide);
  load_tile(m, value, kRows, call.value, first, count, key_head, pass.wide);
  typename M::template PerWarp<KeySums<M, kWidth>> sums;
  m.warps([&](int warp) {
    clear(m, sums[warp].dkey);
    clear(m, sums[warp].dvalue);
  });
  for (std::int64_t head = key_head * call.group(); head < (key_head + 1) * call.group(); ++head) {
    for (std::int64_t r0 = 0; r0 < span.num_queries; r0 += kStep) {
      const std::int64_t last =
          r0 + kStep < span.num_queries ? r0 + kStep - 1 : span.num_queries - 1;
      if (span.visible(last) <= j0) continue;  // no query of this tile sees a key of the block
      const std::int64_t from = span.first_query + r0;
      m.sync();
      load_tile(m, query, kStep, call.query, from, span.num_queries - r0, head, pass.wide);
      load_tile(m, dout, kStep, pass.dout, from, span.num_queries - r0, head, pass.wide);
      m.sync();
      m.warps([&](int warp) {
        typename M::template PerLane<Sums> products[kTiles], dprobabilities[kTiles];
        typename M::template PerLane<Registers> masked[kTiles / 2], rounded[kTiles / 2];
        clear(m, products);
        clear(m, dprobabilities);
        multiply_rows<kTiles>(m, products, key, 16 * warp, query);
        multiply_rows<kTiles>(m, dprobabilities, value, 16 * warp, dout);
        key_dscores<kTiles>(m, pass, span, masked, rounded, products, dprobabilities,
                            j0 + 16 * warp, r0, head);
        multiply_columns<kTiles, kWidth>(m, sums[warp].dvalue, masked, dout);
        multiply_columns<kTiles, kWidth>(m, sums[warp].dkey, rounded, query);
      });
    }
  }
  m.warps([&](int warp) {
    const auto one = [](int, int) { return 1.0F; };
    const std::int64_t rest = count - 16 * warp;
    store_rows<kWidth>(m, pass.dkey, first + 16 * warp, rest, key_head, sums[warp].dkey, one);
    store_rows<kWidth>(m, pass.dvalue, first + 16 * warp, rest, key_head, sums[warp].dvalue, one);
  });
}

}  // namespace polyphase::attention_tiles
