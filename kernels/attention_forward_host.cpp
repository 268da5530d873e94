// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "kernels/attention_host.hpp"

namespace polyphase {
namespace attention_host {
namespace {

// A thread's memory: T longest sequence, D width of a head, both padded.
template <class Real>
struct Buffers {
  Buffers(Arena& arena, std::int64_t max_tokens, std::int64_t head_width) {
    const std::int64_t t = padded(max_tokens), d = padded_width<Real>(head_width);
    rows_TD = arena.take1<Real>(t * d).data();
    keys_DT = arena.take1<Word<Real>>(d / kPerWord<Real> * t).data();
    values_TD = arena.take1<Word<Real>>(t / kPerWord<Real> * d).data();
    queries_D = arena.take1<Real>(kBlockRows * d).data();
    scores_T = arena.take1<float>(kBlockRows * t).data();
    if constexpr (kPerWord<Real> == 1) {
      probabilities_T = scores_T;
    } else {
      probabilities_T = arena.take1<Real>(kBlockRows * t).data();
    }
    out_D = arena.take1<float>(kBlockRows * d).data();
    inverse_sum = arena.take1<float>(kBlockRows).data();
    mask_T = arena.take1<float>(t).data();
  }
  Real* rows_TD;          // keys or values while they are packed
  Word<Real>* keys_DT;    // transposed
  Word<Real>* values_TD;  // paired along T
  Real* queries_D;        // of the block, as are those that follow
  float* scores_T;
  Real* probabilities_T;  // not yet divided by their sum
  float* out_D;
  float* inverse_sum;
  float* mask_T;  // of one row
};

template <class Real>
void pack_keys_and_values(Buffers<Real>& to, const Call<Real>& call, const Pair& pair) {
  const std::int64_t stride = call.row_stride(), width = call.shape.head_width;
  const std::int64_t t = padded(pair.num_tokens), d = padded_width<Real>(width);
  tile::pack_rows(to.rows_TD, d, head_rows(call, pair, 1), stride, pair.num_tokens, width);
  const std::int64_t num_words = d / kPerWord<Real>;
  tile::transpose_words(to.keys_DT, t, to.rows_TD, num_words, t, num_words);
  Real* const values = kPerWord<Real> == 1 ? reinterpret_cast<Real*>(to.values_TD) : to.rows_TD;
  tile::pack_rows(values, d, head_rows(call, pair, 2), stride, pair.num_tokens, width);
  if constexpr (kPerWord<Real> == 2) tile::pair_rows(to.values_TD, d, to.rows_TD, d, t, d);
}

// Turns scores into exp(scale · (score - max)), masks and rounds them; gives back the sum (before
// the mask) and the log of the softmax denominator. Keys from num_visible to num_keys get 0.
struct RowSum {
  float sum, log_sum;
};
template <class Real>
RowSum softmax_row(Real* probabilities, float* scores, const float* mask, float scale,
                   std::int64_t num_visible, std::int64_t num_keys) {
  // What is not seen gets exp(-inf) = 0, so that loops run over whole vectors.
  float max = -std::numeric_limits<float>::infinity();
  std::fill(scores + num_visible, scores + num_keys, max);
#pragma omp simd reduction(max : max)
  for (std::int64_t j = 0; j < num_keys; ++j) max = scores[j] > max ? scores[j] : max;
  const float offset = max * scale;
  float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t j = 0; j < num_keys; ++j) {
    const float p = fast_exp(scores[j] * scale - offset);
    sum += p;
    scores[j] = p * mask[j];
  }
  if constexpr (kPerWord<Real> == 2) {
#pragma omp simd
    for (std::int64_t j = 0; j < num_keys; ++j) probabilities[j] = from_float<Real>(scores[j]);
  }
  return {sum, offset + std::log(sum)};
}

template <class Real>
void forward_block(const Call<Real>& call, const Pair& pair, const Block& block, Buffers<Real>& b,
                   const Tensor2<Real>& out_NC, const Tensor2<float>& log_sum_NH) {
  const std::int64_t width = call.shape.head_width, d = padded_width<Real>(width);
  const std::int64_t t = padded(pair.num_tokens);
  const std::int64_t stride = call.row_stride();
  tile::pack_rows(b.queries_D, d, head_rows(call, pair, 0) + block.first * stride, stride,
                  block.num_rows, width);
  const std::int64_t d_words = d / kPerWord<Real>, t_words = t / kPerWord<Real>;
  tile::product<Real>(b.scores_T, t, {words(b.queries_D), d_words, 1}, b.keys_DT, t, block.num_rows,
                      block.num_keys, d_words);
  for (std::int64_t r = 0; r < block.num_rows; ++r) {
    draw_mask(b.mask_T, call, pair, block, r);
    const RowSum row =
        softmax_row(b.probabilities_T + r * t, b.scores_T + r * t, b.mask_T, call.scale,
                    block.visible(r, call.shape.causal, pair.num_tokens), block.num_keys);
    b.inverse_sum[r] = 1.0F / row.sum;
    log_sum_NH(pair.first_row + block.first + r, pair.head) = row.log_sum;
  }
  tile::product<Real>(b.out_D, d, {words(b.probabilities_T), t_words, 1}, b.values_TD, d,
                      block.num_rows, d, block.num_keys / kPerWord<Real>);
  for (std::int64_t r = 0; r < block.num_rows; ++r) {
    Real* const out = &out_NC(pair.first_row + block.first + r, pair.head * width);
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) {
      out[c] = from_float<Real>(b.out_D[r * d + c] * b.inverse_sum[r]);
    }
  }
}

}  // namespace
}  // namespace attention_host

template <class Real>
void attention_forward(const Exec& exec, Tensor2<Real> out_NC, Tensor2<float> log_sum_NH,
                       Tensor2<const Real> qkv_N3C, const Sequences& sequences,
                       const AttentionShape& shape, const Dropout& dropout) {
  const KernelRegion region("attention_forward");
  using namespace attention_host;
  const Call<Real> call = make_call(exec, qkv_N3C, sequences, shape, dropout);
  for_each_pair<Buffers<Real>>(
      exec, "attention_forward", sequences, shape, [&](std::int64_t index, Buffers<Real>& buffers) {
        const Pair pair = pair_of(call, index);
        if (pair.num_tokens == 0) return;
        std::fill(buffers.mask_T, buffers.mask_T + padded(pair.num_tokens), 1.0F);
        pack_keys_and_values(buffers, call, pair);
        for (std::int64_t first = 0; first < pair.num_tokens; first += kBlockRows) {
          forward_block(call, pair, block_at(first, pair, shape.causal), buffers, out_NC,
                        log_sum_NH);
        }
      });
  clear_padding(exec, out_NC, sequences);
  clear_padding(exec, log_sum_NH, sequences);
}

template void attention_forward<float>(const Exec&, Tensor2<float>, Tensor2<float>,
                                       Tensor2<const float>, const Sequences&,
                                       const AttentionShape&, const Dropout&);
template void attention_forward<bf16>(const Exec&, Tensor2<bf16>, Tensor2<float>,
                                      Tensor2<const bf16>, const Sequences&, const AttentionShape&,
                                      const Dropout&);

}  // namespace polyphase
