// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "kernels/attention_host.hpp"

namespace polyphase {
namespace attention_host {
namespace {

// A thread's memory: T the most keys, D width of a head, both padded.
template <class Real>
struct Buffers {
  Buffers(Arena& arena, const Extents& extents) {
    const std::int64_t t = padded(extents.num_keys), d = padded_width<Real>(extents.head_width);
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
    line = arena.take1<float>(extents.line_length).data();
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
  float* line;    // relative positions of one head
};

template <class Real>
void pack_keys_and_values(Buffers<Real>& to, const Call<Real>& call, const Pair& pair) {
  const std::int64_t width = call.shape.head_width, num_keys = pair.span.num_keys;
  const std::int64_t t = padded(num_keys), d = padded_width<Real>(width);
  const HeadColumns<const Real>&key = call.input.key, &value = call.input.value;
  tile::pack_rows(to.rows_TD, d, key.at(pair.span.first_key, pair.key_head, width),
                  key.row_stride(), num_keys, width);
  const std::int64_t num_words = d / kPerWord<Real>;
  tile::transpose_words(to.keys_DT, t, to.rows_TD, num_words, t, num_words);
  Real* const values = kPerWord<Real> == 1 ? reinterpret_cast<Real*>(to.values_TD) : to.rows_TD;
  tile::pack_rows(values, d, value.at(pair.span.first_key, pair.key_head, width),
                  value.row_stride(), num_keys, width);
  if constexpr (kPerWord<Real> == 2) tile::pair_rows(to.values_TD, d, to.rows_TD, d, t, d);
}

// Turns scores into exp(scale · (score - max)), masks (null: nothing) and rounds them; gives back
// the sum (before the mask) and the log of the softmax denominator. Keys from num_visible to
// num_keys get 0.
struct RowSum {
  float sum, log_sum;
};
template <class Real>
RowSum softmax_row(Real* probabilities, float* scores, const float* mask, float scale,
                   std::int64_t num_visible, std::int64_t num_keys) {
  // What is not seen gets exp(-inf) = 0, so that loops run over whole vectors.
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  std::fill(scores + num_visible, scores + num_keys, kLowest);
  Vector max = tile::spread(kLowest), sum{};
  for (std::int64_t j = 0; j < num_keys; j += kLanes) max = larger(load(scores + j), max);
  const float largest = tile::largest_of(max);
  const float scale_2 = scale * tile::kLog2E, offset_2 = largest * scale_2;
  for (std::int64_t j = 0; j < num_keys; j += kLanes) {
    const Vector p = tile::exp2(load(scores + j) * scale_2 - offset_2);
    sum += p;
    store(probabilities + j, mask == nullptr ? p : p * load(mask + j));
  }
  const float total = tile::sum_of(sum);
  return {total, largest * scale + std::log(total)};
}

// Row r of the block: its scores become probabilities, not yet divided by their sum.
template <class Real>
RowSum forward_row(const Call<Real>& call, const Pair& pair, const Block& block, Buffers<Real>& b,
                   std::int64_t r) {
  const std::int64_t t = padded(pair.span.num_keys);
  const std::int64_t visible = pair.span.visible(block.first + r);
  float* const scores = b.scores_T + r * t;
  Real* const probabilities = b.probabilities_T + r * t;
  if (visible == 0) {
    std::fill_n(probabilities, block.num_keys, Real{});
    return {std::numeric_limits<float>::infinity(), 0.0F};
  }
  float scale = call.shape.score_scale;
  if (call.buckets != nullptr) {
    add_positions(scores, b.line + line_start(pair.span, block.first + r), scale, visible);
    scale = 1.0F;
  }
  const float* const mask = draw_mask(b.mask_T, call, pair, block, r);
  return softmax_row(probabilities, scores, mask, scale, visible, block.num_keys);
}

template <class Real>
void forward_block(const Call<Real>& call, const Pair& pair, const Block& block, Buffers<Real>& b,
                   const Tensor2<Real>& out_NC, const Tensor2<float>& log_sum_NH) {
  const std::int64_t width = call.shape.head_width, d = padded_width<Real>(width);
  const std::int64_t t = padded(pair.span.num_keys);
  const std::int64_t first_row = pair.span.first_query + block.first;
  tile::pack_rows(b.queries_D, d, call.input.query.at(first_row, block.head, width),
                  call.input.query.row_stride(), block.num_rows, width);
  const std::int64_t d_words = d / kPerWord<Real>, t_words = t / kPerWord<Real>;
  tile::product<Real>(b.scores_T, t, {words(b.queries_D), d_words, 1}, b.keys_DT, t, block.num_rows,
                      block.num_keys, d_words);
  for (std::int64_t r = 0; r < block.num_rows; ++r) {
    const RowSum row = forward_row(call, pair, block, b, r);
    b.inverse_sum[r] = 1.0F / row.sum;
    log_sum_NH(first_row + r, block.head) = row.log_sum;
  }
  tile::product<Real>(b.out_D, d, {words(b.probabilities_T), t_words, 1}, b.values_TD, d,
                      block.num_rows, d, block.num_keys / kPerWord<Real>);
  for (std::int64_t r = 0; r < block.num_rows; ++r) {
    tile::store_row(&out_NC(first_row + r, block.head * width), b.out_D + r * d, b.inverse_sum[r],
                    width);
  }
}

// The only query of a sequence, a generation's next token: keys and values are read where they lie,
// once, which takes less time than to pack them.
template <class Real>
void forward_one_query(const Call<Real>& call, const Pair& pair, std::int64_t head,
                       Buffers<Real>& b, const Tensor2<Real>& out_NC,
                       const Tensor2<float>& log_sum_NH) {
  const std::int64_t width = call.shape.head_width, row = pair.span.first_query;
  const std::int64_t visible = pair.span.visible(0), first_key = pair.span.first_key;
  const HeadColumns<const Real>&key = call.input.key, &value = call.input.value;
  const Real* const query = call.input.query.at(row, head, width);
  const Real* const keys = key.at(first_key, pair.key_head, width);
  for (std::int64_t j = 0; j < visible; ++j)
    b.scores_T[j] = tile::dot(query, keys + j * key.row_stride(), width);
  const Block block{.head = head, .first = 0, .num_rows = 1, .num_keys = padded(visible)};
  const RowSum sum = forward_row(call, pair, block, b, 0);
  log_sum_NH(row, head) = sum.log_sum;
  std::fill_n(b.out_D, width, 0.0F);
  const Real* const values = value.at(first_key, pair.key_head, width);
  for (std::int64_t j = 0; j < visible; ++j) {
    const float probability = to_float(b.probabilities_T[j]);
    const Real* const row_of_values = values + j * value.row_stride();
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) b.out_D[c] += probability * to_float(row_of_values[c]);
  }
  Real* const out = &out_NC(row, head * width);
#pragma omp simd
  for (std::int64_t c = 0; c < width; ++c) out[c] = from_float<Real>(b.out_D[c] / sum.sum);
}

}  // namespace
}  // namespace attention_host

template <class Real>
void attention_forward(const Exec& exec, Tensor2<Real> out_NC, Tensor2<float> log_sum_NH,
                       const AttentionInput<Real>& input, const Dropout& dropout) {
  const KernelRegion region("attention_forward");
  using namespace attention_host;
  check_attention(exec, input);
  note_attention(exec, input, 2);
  const ArenaScope scope(*exec.arena);
  const Call<Real> call = make_call(exec, input, dropout);
  for_each_pair<Buffers<Real>>(
      exec, "attention_forward", call, [&](const Pair& pair, Buffers<Real>& buffers) {
        const bool is_one_query = pair.span.num_queries == 1;
        if (!is_one_query) pack_keys_and_values(buffers, call, pair);
        const std::int64_t first_head = pair.key_head * call.group();
        for (std::int64_t head = first_head; head < first_head + call.group(); ++head) {
          draw_line(buffers.line, call, pair.span, head);
          if (is_one_query) {
            forward_one_query(call, pair, head, buffers, out_NC, log_sum_NH);
            continue;
          }
          for_each_block(pair.span, head, [&](const Block& block) {
            forward_block(call, pair, block, buffers, out_NC, log_sum_NH);
          });
        }
      });
  clear_padding<Real>(exec, {out_NC}, input.shape.num_heads * input.shape.head_width,
                      input.queries);
  clear_padding<float>(exec, {log_sum_NH}, input.shape.num_heads, input.queries);
}

template void attention_forward<float>(const Exec&, Tensor2<float>, Tensor2<float>,
                                       const AttentionInput<float>&, const Dropout&);
template void attention_forward<bf16>(const Exec&, Tensor2<bf16>, Tensor2<float>,
                                      const AttentionInput<bf16>&, const Dropout&);

}  // namespace polyphase
