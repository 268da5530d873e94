// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "kernels/attention_host.hpp"

// With P the probabilities, M the dropout mask (0 or 1 / (1 - rate)) and ∘ the product of elements:
//   dV = (P∘M)ᵀ·dO,  dP = (dO·Vᵀ)∘M,  dS = P∘(dP - Δ)·scale with Δ = rowsum(dO∘O),  dQ = dS·K,  dK
//   = dSᵀ·Q.
// Δ is the row's Σ P∘dP (Dao et al., 2022, appendix B.2); the scale of the scores is folded into
// dS, and taken out again of what relative positions get.
namespace polyphase {
namespace attention_host {
namespace {

// A thread's memory: T the most keys, D width of a head, both padded. R rows of a block. In
// float32 paired rows and rows are the same thing, and share memory.
template <class Real>
struct Buffers {
  Buffers(Arena& arena, const Extents& extents) {
    const std::int64_t t = padded(extents.num_keys), d = padded_width<Real>(extents.head_width);
    constexpr std::int64_t r = kBlockRows, e = kPerWord<Real>;
    const auto reals = [&](std::int64_t count) { return arena.take1<Real>(count).data(); };
    const auto words = [&](std::int64_t count) {
      return arena.take1<Word<Real>>(count / e).data();
    };
    const auto floats = [&](std::int64_t count) { return arena.take1<float>(count).data(); };
    rows_TD = reals(t * d), keys_DT = words(d * t), values_DT = words(d * t),
    keys_TD = words(t * d);
    dkeys_TD = floats(t * d), dvalues_TD = floats(t * d);
    queries_RD = reals(r * d), dout_RD = reals(r * d);
    query_pairs_RD = words(r * d), dout_pairs_RD = words(r * d);
    masked_RT = floats(r * t), dscores_RT = floats(r * t), masks_T = floats(e * t);
    if constexpr (e == 1) {
      masked_pairs_RT = masked_RT, dscore_pairs_RT = dscore_rows_RT = dscores_RT;
    } else {
      masked_pairs_RT = words(r * t), dscore_pairs_RT = words(r * t), dscore_rows_RT = reals(r * t);
    }
    dqueries_RD = floats(r * d);
    line = floats(extents.line_length), dline = floats(extents.line_length);
  }
  Real* rows_TD;                                 // keys or values while they are packed
  Word<Real>*keys_DT, *values_DT;                // transposed
  Word<Real>* keys_TD;                           // paired along T
  float *dkeys_TD, *dvalues_TD;                  // sums over blocks
  Real *queries_RD, *dout_RD;                    // rows of a block
  Word<Real>*query_pairs_RD, *dout_pairs_RD;     // the same, paired along R
  float *masked_RT, *dscores_RT;                 // scores, then P∘M; dO·Vᵀ, then dS
  float* masks_T;                                // of a pair of rows
  Word<Real>*masked_pairs_RT, *dscore_pairs_RT;  // P∘M and dS, paired along R
  Real* dscore_rows_RT;
  float* dqueries_RD;
  float *line, *dline;  // relative positions of one head; sums of dS by offset
};

// Where the rows of x go on as a right operand of a sum over rows.
template <class Real>
const Word<Real>* paired(Word<Real>* pairs, const Real* x, std::int64_t stride,
                         std::int64_t num_rows, std::int64_t num_columns) {
  if constexpr (kPerWord<Real> == 1) {
    return x;
  } else {
    tile::pair_rows(pairs, stride, x, stride, padded(num_rows), num_columns);
    return pairs;
  }
}

// What makes P∘M and dS of a row: P = 2^(score · scale_2 - log_sum_2).
struct RowFactors {
  const float* mask;  // null: ones
  float scale_2, log_sum_2, delta;
};

template <class Real>
struct Backward {
  Call<Real> call;
  HeadColumns<Real> dquery, dkey, dvalue;
  Tensor2<float> dpositions_BUH;  // of each sequence, times the scale of the scores; or empty
  Tensor2<const Real> dout_NC, out_NC;
  Tensor2<const float> log_sum_NH;

  void pack(Buffers<Real>& b, const Pair& pair) const;
  void run(Buffers<Real>& b, const Pair& pair) const;
  void run_block(Buffers<Real>& b, const Pair& pair, const Block& block) const;
  void make_scores(Buffers<Real>& b, const Pair& pair, const Block& block) const;
  RowFactors begin_row(Buffers<Real>& b, const Pair& pair, const Block& block,
                       std::int64_t r) const;
  void rows_of_a_word(Buffers<Real>& b, const Pair& pair, const Block& block, std::int64_t r) const;
  void add_block(Buffers<Real>& b, const Pair& pair, const Block& block) const;
  void store_positions(const float* dline, const Pair& pair, std::int64_t head) const;
  void store_rows(const HeadColumns<Real>& to, std::int64_t first_row, std::int64_t head,
                  const float* from, std::int64_t num_rows) const;
};

template <class Real>
void Backward<Real>::pack(Buffers<Real>& b, const Pair& pair) const {
  const std::int64_t width = call.shape.head_width, num_keys = pair.span.num_keys;
  const std::int64_t t = padded(num_keys), d = padded_width<Real>(width);
  const std::int64_t d_words = d / kPerWord<Real>;
  const auto pack_head = [&](const HeadColumns<const Real>& x) {
    tile::pack_rows(b.rows_TD, d, x.at(pair.span.first_key, pair.key_head, width), x.row_stride(),
                    num_keys, width);
  };
  pack_head(call.input.value);
  tile::transpose_words(b.values_DT, t, b.rows_TD, d_words, t, d_words);
  // In float32 the rows of the keys stay in rows_TD: they are their own pairs.
  pack_head(call.input.key);
  tile::transpose_words(b.keys_DT, t, b.rows_TD, d_words, t, d_words);
  paired<Real>(b.keys_TD, b.rows_TD, d, t, d);
  std::fill(b.dkeys_TD, b.dkeys_TD + t * d, 0.0F);
  std::fill(b.dvalues_TD, b.dvalues_TD + t * d, 0.0F);
}

// Scores of the block into masked_RT, dO·Vᵀ into dscores_RT.
template <class Real>
void Backward<Real>::make_scores(Buffers<Real>& b, const Pair& pair, const Block& block) const {
  const std::int64_t width = call.shape.head_width;
  const std::int64_t first_row = pair.span.first_query + block.first;
  const std::int64_t t = padded(pair.span.num_keys), d = padded_width<Real>(width);
  const std::int64_t d_words = d / kPerWord<Real>;
  tile::pack_rows(b.queries_RD, d, call.input.query.at(first_row, block.head, width),
                  call.input.query.row_stride(), block.num_rows, width);
  tile::pack_rows(b.dout_RD, d, &dout_NC(first_row, block.head * width),
                  static_cast<std::int64_t>(dout_NC.extent(1)), block.num_rows, width);
  tile::product<Real>(b.masked_RT, t, {words(b.queries_RD), d_words, 1}, b.keys_DT, t,
                      block.num_rows, block.num_keys, d_words);
  tile::product<Real>(b.dscores_RT, t, {words(b.dout_RD), d_words, 1}, b.values_DT, t,
                      block.num_rows, block.num_keys, d_words);
}

// Row r of the block: completes its scores. Its dO·Vᵀ is in dscores_RT already.
template <class Real>
RowFactors Backward<Real>::begin_row(Buffers<Real>& b, const Pair& pair, const Block& block,
                                     std::int64_t r) const {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  const std::int64_t width = call.shape.head_width, t = padded(pair.span.num_keys);
  float* const scores = b.masked_RT + r * t;
  if (r == block.num_rows) {  // only fills up the last word, and adds nothing
    std::fill_n(scores, block.num_keys, kLowest);
    std::fill_n(b.dscores_RT + r * t, block.num_keys, 0.0F);
    return {.mask = nullptr, .scale_2 = 1.0F, .log_sum_2 = 0.0F, .delta = 0.0F};
  }
  const std::int64_t n = pair.span.first_query + block.first + r;
  const std::int64_t columns = block.head * width, out_stride = out_NC.extent(1);
  const Real* const out = out_NC.data() + n * out_stride + columns;
  tile::prefetch_row(out + tile::kRowsAhead * out_stride, width);
  const std::int64_t visible = pair.span.visible(block.first + r);
  float score_scale = call.shape.score_scale;
  if (call.buckets != nullptr) {
    add_positions(scores, b.line + line_start(pair.span, block.first + r), score_scale, visible);
    score_scale = 1.0F;
  }
  // What is not seen gets a probability of exp(-inf) = 0, so that loops run over whole vectors.
  std::fill(scores + visible, scores + block.num_keys, kLowest);
  return {.mask = draw_mask(b.masks_T + r % kPerWord<Real> * t, call, pair, block, r),
          .scale_2 = score_scale * tile::kLog2E,
          .log_sum_2 = log_sum_NH(n, block.head) * tile::kLog2E,
          .delta = tile::dot(out, &dout_NC(n, columns), width)};
}

// The rows of the block that begin at r and share words: scores and dO·Vᵀ become P∘M and dS.
template <class Real>
void Backward<Real>::rows_of_a_word(Buffers<Real>& b, const Pair& pair, const Block& block,
                                    std::int64_t r) const {
  constexpr int e = kPerWord<Real>;
  const std::int64_t t = padded(pair.span.num_keys), at = r * t, at_word = r / e * t;
  const bool has_positions = dpositions_BUH.extent(0) > 0;
  const float scale = call.shape.score_scale;
  RowFactors row[e];
  for (int i = 0; i < e; ++i) row[i] = begin_row(b, pair, block, r + i);
  for (std::int64_t j = 0; j < block.num_keys; j += kLanes) {
    Vector masked[e], dscores[e];
    for (int i = 0; i < e; ++i) {
      float* const dscore = b.dscores_RT + at + i * t + j;
      const Vector score = load(b.masked_RT + at + i * t + j);
      const Vector p = tile::exp2(score * row[i].scale_2 - row[i].log_sum_2);
      const Vector mask = row[i].mask == nullptr ? tile::spread(1.0F) : load(row[i].mask + j);
      masked[i] = p * mask;
      dscores[i] = p * (load(dscore) * mask - row[i].delta) * scale;
      if (has_positions) store(dscore, dscores[i]);
      store(b.dscore_rows_RT + at + i * t + j, dscores[i]);
    }
    tile::store_word(b.masked_pairs_RT + at_word + j, masked);
    tile::store_word(b.dscore_pairs_RT + at_word + j, dscores);
  }
}

// dV, dK and dQ of the block.
template <class Real>
void Backward<Real>::add_block(Buffers<Real>& b, const Pair& pair, const Block& block) const {
  constexpr std::int64_t e = kPerWord<Real>;
  const std::int64_t t = padded(pair.span.num_keys);
  const std::int64_t d = padded_width<Real>(call.shape.head_width);
  const std::int64_t keys = block.num_keys, r_words = (block.num_rows + e - 1) / e;
  const auto* const dout = paired<Real>(b.dout_pairs_RD, b.dout_RD, d, block.num_rows, d);
  const auto* const queries = paired<Real>(b.query_pairs_RD, b.queries_RD, d, block.num_rows, d);
  tile::product<Real>(b.dvalues_TD, d, {b.masked_pairs_RT, 1, t}, dout, d, keys, d, r_words, true);
  tile::product<Real>(b.dkeys_TD, d, {b.dscore_pairs_RT, 1, t}, queries, d, keys, d, r_words, true);
  const Word<Real>* const key_pairs = e == 1 ? words(b.rows_TD) : b.keys_TD;
  tile::product<Real>(b.dqueries_RD, d, {words(b.dscore_rows_RT), t / e, 1}, key_pairs, d,
                      block.num_rows, d, keys / e);
  store_rows(dquery, pair.span.first_query + block.first, block.head, b.dqueries_RD,
             block.num_rows);
}

template <class Real>
void Backward<Real>::store_rows(const HeadColumns<Real>& to, std::int64_t first_row,
                                std::int64_t head, const float* from, std::int64_t num_rows) const {
  const std::int64_t width = call.shape.head_width, d = padded_width<Real>(width);
  for (std::int64_t r = 0; r < num_rows; ++r) {
    tile::store_row(to.at(first_row + r, head, width), from + r * d, 1.0F, width);
  }
}

template <class Real>
void Backward<Real>::store_positions(const float* dline, const Pair& pair,
                                     std::int64_t head) const {
  const std::int64_t num_heads = call.shape.num_heads;
  float* const column = &dpositions_BUH(pair.sequence, head);
  const auto num_buckets = static_cast<std::int64_t>(dpositions_BUH.extent(1)) / num_heads;
  for (std::int64_t u = 0; u < num_buckets; ++u) column[u * num_heads] = 0.0F;
  const std::int32_t* const buckets = line_buckets(call, pair.span);
  const std::int64_t count = line_length(pair.span.num_queries, pair.span.num_keys);
  for (std::int64_t i = 0; i < count; ++i) column[buckets[i] * num_heads] += dline[i];
}

template <class Real>
void Backward<Real>::run_block(Buffers<Real>& b, const Pair& pair, const Block& block) const {
  make_scores(b, pair, block);
  for (std::int64_t r = 0; r < block.num_rows; r += kPerWord<Real>)
    rows_of_a_word(b, pair, block, r);
  for (std::int64_t r = 0; r < block.num_rows && dpositions_BUH.extent(0) > 0; ++r) {
    add_to_line(b.dline + line_start(pair.span, block.first + r),
                b.dscores_RT + r * padded(pair.span.num_keys), pair.span.visible(block.first + r));
  }
  add_block(b, pair, block);
}

template <class Real>
void Backward<Real>::run(Buffers<Real>& b, const Pair& pair) const {
  const SequenceSpan& span = pair.span;
  const bool has_positions = dpositions_BUH.extent(0) > 0;
  pack(b, pair);
  const std::int64_t first_head = pair.key_head * call.group();
  for (std::int64_t head = first_head; head < first_head + call.group(); ++head) {
    draw_line(b.line, call, span, head);
    if (has_positions) std::fill_n(b.dline, line_length(span.num_queries, span.num_keys), 0.0F);
    for_each_block(span, head, [&](const Block& block) { run_block(b, pair, block); });
    if (has_positions) store_positions(b.dline, pair, head);
  }
  store_rows(dkey, span.first_key, pair.key_head, b.dkeys_TD, span.num_keys);
  store_rows(dvalue, span.first_key, pair.key_head, b.dvalues_TD, span.num_keys);
}

}  // namespace
}  // namespace attention_host

template <class Real>
void attention_backward(const Exec& exec, HeadColumns<Real> dquery, HeadColumns<Real> dkey,
                        HeadColumns<Real> dvalue, Tensor2<float> dpositions_UH,
                        Write positions_write, Tensor2<const Real> dout_NC,
                        Tensor2<const Real> out_NC, Tensor2<const float> log_sum_NH,
                        const AttentionInput<Real>& input, const Dropout& dropout) {
  const KernelRegion region("attention_backward");
  using namespace attention_host;
  check_attention(exec, input, true);
  // Scores once more, then the gradients of probabilities, values, queries and keys.
  note_attention(exec, input, 5);
  const ArenaScope scope(*exec.arena);
  const Call<Real> call = make_call(exec, input, dropout);
  const Tensor2<float> dpositions_BUH = take_position_gradients(exec, dpositions_UH, input);
  const Backward<Real> backward{call,           dquery,  dkey,   dvalue,
                                dpositions_BUH, dout_NC, out_NC, log_sum_NH};
  for_each_pair<Buffers<Real>>(
      exec, "attention_backward", call,
      [&](const Pair& pair, Buffers<Real>& buffers) { backward.run(buffers, pair); });
  const AttentionShape& shape = input.shape;
  const std::int64_t key_width = shape.num_key_heads * shape.head_width;
  clear_padding(exec, dquery, shape.num_heads * shape.head_width, input.queries);
  clear_padding(exec, dkey, key_width, input.keys);
  clear_padding(exec, dvalue, key_width, input.keys);
  add_position_gradients(exec, dpositions_UH, positions_write, dpositions_BUH,
                         1.0F / shape.score_scale);
}

#define POLYPHASE_ATTENTION_BACKWARD(Real)                                                         \
  template void attention_backward<Real>(                                                          \
      const Exec&, HeadColumns<Real>, HeadColumns<Real>, HeadColumns<Real>, Tensor2<float>, Write, \
      Tensor2<const Real>, Tensor2<const Real>, Tensor2<const float>, const AttentionInput<Real>&, \
      const Dropout&);
POLYPHASE_ATTENTION_BACKWARD(float)
POLYPHASE_ATTENTION_BACKWARD(bf16)
#undef POLYPHASE_ATTENTION_BACKWARD

}  // namespace polyphase
