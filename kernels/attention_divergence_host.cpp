// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention_divergence.hpp"
#include "kernels/attention_host.hpp"

// With s and t the student's and the teacher's probabilities: dS = (s - t)·scale, dQ = dS·K, dK =
// dSᵀ·Q; relative positions get s - t.
namespace polyphase {
namespace attention_host {
namespace {

// One of the two attentions in a thread's memory: T the most keys, D width of its heads, padded.
template <class Real>
struct Side {
  Side(Arena& arena, const Extents& extents) {
    const std::int64_t t = padded(extents.num_keys), d = padded_width<Real>(extents.head_width);
    rows_TD = arena.take1<Real>(t * d).data();
    keys_DT = arena.take1<Word<Real>>(d / kPerWord<Real> * t).data();
    queries_RD = arena.take1<Real>(kBlockRows * d).data();
    logs_RT = arena.take1<float>(kBlockRows * t).data();
    line = arena.take1<float>(extents.line_length).data();
  }
  Real* rows_TD;           // keys
  Word<Real>* keys_DT;     // transposed
  Real* queries_RD;        // rows of a block
  float* logs_RT;          // scores, then logarithms of probabilities
  float* line;             // relative positions of one head
  std::int64_t held = -1;  // the key head whose keys these are
};

// What a thread works in; dX is only for a backward pass.
template <class Real>
struct Buffers {
  Buffers(Arena& arena, const AttentionInput<Real>& student_input,
          const AttentionInput<Real>& teacher_input, bool backward)
      : student(arena, extents_of(student_input)), teacher(arena, extents_of(teacher_input)) {
    if (!backward) return;
    const Extents extents = extents_of(student_input);
    const std::int64_t t = padded(extents.num_keys), d = padded_width<Real>(extents.head_width);
    constexpr std::int64_t r = kBlockRows, e = kPerWord<Real>;
    const auto floats = [&](std::int64_t count) { return arena.take1<float>(count).data(); };
    const auto words = [&](std::int64_t count) {
      return arena.take1<Word<Real>>(count / e).data();
    };
    dkeys_TD = floats(t * d), dqueries_RD = floats(r * d), dline = floats(extents.line_length);
    if constexpr (e == 2) {
      keys_TD = words(t * d), query_pairs_RD = words(r * d), dscore_pairs_RT = words(r * t);
      dscore_rows_RT = arena.take1<Real>(r * t).data();
    }
  }
  Side<Real> student, teacher;
  float *dkeys_TD = nullptr, *dqueries_RD = nullptr, *dline = nullptr;
  // Of bf16: paired along the summed rows, and dS as rows.
  Word<Real>*keys_TD = nullptr, *query_pairs_RD = nullptr, *dscore_pairs_RT = nullptr;
  Real* dscore_rows_RT = nullptr;
};

template <class Real>
struct Divergence {
  Call<Real> student, teacher;
  Tensor2<const float> student_log_sum_NH, teacher_log_sum_NH;

  // Packs the keys that a query head reads, unless they are there, and its relative positions.
  static void begin_head(Side<Real>& side, const Call<Real>& call, const Pair& pair,
                         std::int64_t head) {
    const std::int64_t width = call.shape.head_width, key_head = head / call.group();
    const std::int64_t t = padded(pair.span.num_keys), d = padded_width<Real>(width);
    draw_line(side.line, call, pair.span, head);
    if (side.held == key_head) return;
    side.held = key_head;
    tile::pack_rows(side.rows_TD, d, call.input.key.at(pair.span.first_key, key_head, width),
                    call.input.key.row_stride(), pair.span.num_keys, width);
    const std::int64_t num_words = d / kPerWord<Real>;
    tile::transpose_words(side.keys_DT, t, side.rows_TD, num_words, t, num_words);
  }

  static void make_scores(Side<Real>& side, const Call<Real>& call, const Pair& pair,
                          const Block& block) {
    const std::int64_t width = call.shape.head_width;
    const std::int64_t first_row = pair.span.first_query + block.first;
    const std::int64_t t = padded(pair.span.num_keys), d = padded_width<Real>(width);
    const std::int64_t d_words = d / kPerWord<Real>;
    tile::pack_rows(side.queries_RD, d, call.input.query.at(first_row, block.head, width),
                    call.input.query.row_stride(), block.num_rows, width);
    tile::product<Real>(side.logs_RT, t, {words(side.queries_RD), d_words, 1}, side.keys_DT, t,
                        block.num_rows, block.num_keys, d_words);
  }

  // Scores of row r become logarithms of probabilities.
  static float* logs_of_row(Side<Real>& side, const Call<Real>& call, const Pair& pair,
                            const Block& block, std::int64_t r, float log_sum) {
    const std::int64_t visible = pair.span.visible(block.first + r);
    float* const logs = side.logs_RT + r * padded(pair.span.num_keys);
    float scale = call.shape.score_scale;
    if (call.buckets != nullptr) {
      add_positions(logs, side.line + line_start(pair.span, block.first + r), scale, visible);
      scale = 1.0F;
    }
#pragma omp simd
    for (std::int64_t j = 0; j < visible; ++j) logs[j] = logs[j] * scale - log_sum;
    return logs;
  }

  // Calls body(row of the block, its visible keys, logs of student and teacher).
  template <class Body>
  void each_row(Buffers<Real>& b, const Pair& pair, const Block& block, const Body& body) const {
    make_scores(b.student, student, pair, block);
    make_scores(b.teacher, teacher, pair, block);
    for (std::int64_t r = 0; r < block.num_rows; ++r) {
      const std::int64_t n = pair.span.first_query + block.first + r;
      float* const s =
          logs_of_row(b.student, student, pair, block, r, student_log_sum_NH(n, block.head));
      const float* const t =
          logs_of_row(b.teacher, teacher, pair, block, r, teacher_log_sum_NH(n, block.head));
      body(r, pair.span.visible(block.first + r), s, t);
    }
  }

  // Calls begin(head) and body(block) for the query heads that read the pair's key head.
  template <class Begin, class Body>
  void each_block(Buffers<Real>& b, const Pair& pair, const Begin& begin, const Body& body) const {
    const std::int64_t first_head = pair.key_head * student.group();
    for (std::int64_t head = first_head; head < first_head + student.group(); ++head) {
      begin_head(b.student, student, pair, head);
      begin_head(b.teacher, teacher, pair, head);
      begin(head);
      for_each_block(pair.span, head, body);
    }
  }

  void forward(Buffers<Real>& b, const Pair& pair, const Tensor2<float>& divergence_NH) const {
    each_block(
        b, pair, [](std::int64_t) {},
        [&](const Block& block) {
          each_row(b, pair, block,
                   [&](std::int64_t r, std::int64_t visible, const float* s, const float* t) {
                     float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
                     for (std::int64_t j = 0; j < visible; ++j)
                       sum += fast_exp(t[j]) * (t[j] - s[j]);
                     divergence_NH(pair.span.first_query + block.first + r, block.head) = sum;
                   });
        });
  }
};

template <class Real>
struct DivergenceBackward {
  Divergence<Real> both;
  HeadColumns<Real> dquery, dkey;
  Tensor2<float> dpositions_BUH;  // of each sequence, in units of the scale; or empty
  float scale;

  // The student's logarithms become dS; dline grows by what relative positions get.
  void make_dscores(Buffers<Real>& b, const Pair& pair, const Block& block) const {
    const bool has_positions = dpositions_BUH.extent(0) > 0;
    const std::int64_t stride = padded(pair.span.num_keys);
    const float factor = scale * both.student.shape.score_scale;
    both.each_row(b, pair, block,
                  [&](std::int64_t r, std::int64_t visible, float* s, const float* t) {
#pragma omp simd
                    for (std::int64_t j = 0; j < visible; ++j)
                      s[j] = fast_exp(s[j]) - fast_exp(t[j]);
                    if (has_positions)
                      add_to_line(b.dline + line_start(pair.span, block.first + r), s, visible);
#pragma omp simd
                    for (std::int64_t j = 0; j < visible; ++j) s[j] *= factor;
                    std::fill(s + visible, s + block.num_keys, 0.0F);
                  });
    // Rows that only fill up the last pair add nothing.
    std::fill_n(b.student.logs_RT + block.num_rows * stride,
                (padded(block.num_rows) - block.num_rows) * stride, 0.0F);
  }

  void add_block(Buffers<Real>& b, const Pair& pair, const Block& block) const {
    constexpr std::int64_t e = kPerWord<Real>;
    const std::int64_t width = both.student.shape.head_width;
    const std::int64_t t = padded(pair.span.num_keys), d = padded_width<Real>(width);
    const std::int64_t keys = block.num_keys, r_words = (block.num_rows + e - 1) / e;
    const float* const dscores = b.student.logs_RT;
    const Word<Real>*pairs, *rows, *queries, *key_pairs;
    if constexpr (e == 1) {
      pairs = rows = dscores, queries = b.student.queries_RD, key_pairs = b.student.rows_TD;
    } else {
      tile::pair_rows(b.dscore_pairs_RT, t, dscores, t, padded(block.num_rows), keys);
      tile::pair_rows(b.query_pairs_RD, d, b.student.queries_RD, d, padded(block.num_rows), d);
      for (std::int64_t i = 0; i < block.num_rows * t; ++i)
        b.dscore_rows_RT[i] = from_float<Real>(dscores[i]);
      pairs = b.dscore_pairs_RT, rows = words(b.dscore_rows_RT);
      queries = b.query_pairs_RD, key_pairs = b.keys_TD;
    }
    tile::product<Real>(b.dkeys_TD, d, {pairs, 1, t}, queries, d, keys, d, r_words, true);
    tile::product<Real>(b.dqueries_RD, d, {rows, t / e, 1}, key_pairs, d, block.num_rows, d,
                        keys / e);
    add(dquery, pair.span.first_query + block.first, block.head, b.dqueries_RD, block.num_rows);
  }

  void add(const HeadColumns<Real>& to, std::int64_t first_row, std::int64_t head,
           const float* from, std::int64_t num_rows) const {
    const std::int64_t width = both.student.shape.head_width, d = padded_width<Real>(width);
    for (std::int64_t r = 0; r < num_rows; ++r) {
      Real* const row = to.at(first_row + r, head, width);
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c)
        row[c] = from_float<Real>(to_float(row[c]) + from[r * d + c]);
    }
  }

  void begin_head(Buffers<Real>& b, const Pair& pair, std::int64_t head, bool first) const {
    const SequenceSpan& span = pair.span;
    const std::int64_t t = padded(span.num_keys);
    const std::int64_t d = padded_width<Real>(both.student.shape.head_width);
    if (first) {
      std::fill_n(b.dkeys_TD, t * d, 0.0F);
      if constexpr (kPerWord<Real> == 2) tile::pair_rows(b.keys_TD, d, b.student.rows_TD, d, t, d);
    } else {
      end_head(b, pair, head - 1);
    }
    if (dpositions_BUH.extent(0) > 0)
      std::fill_n(b.dline, line_length(span.num_queries, span.num_keys), 0.0F);
  }

  void end_head(Buffers<Real>& b, const Pair& pair, std::int64_t head) const {
    if (dpositions_BUH.extent(0) == 0) return;
    const std::int64_t num_heads = both.student.shape.num_heads;
    float* const column = &dpositions_BUH(pair.sequence, head);
    const auto num_buckets = static_cast<std::int64_t>(dpositions_BUH.extent(1)) / num_heads;
    for (std::int64_t u = 0; u < num_buckets; ++u) column[u * num_heads] = 0.0F;
    const std::int32_t* const buckets = line_buckets(both.student, pair.span);
    const std::int64_t count = line_length(pair.span.num_queries, pair.span.num_keys);
    for (std::int64_t i = 0; i < count; ++i) column[buckets[i] * num_heads] += b.dline[i];
  }

  void run(Buffers<Real>& b, const Pair& pair) const {
    const std::int64_t first_head = pair.key_head * both.student.group();
    both.each_block(
        b, pair, [&](std::int64_t head) { begin_head(b, pair, head, head == first_head); },
        [&](const Block& block) {
          make_dscores(b, pair, block);
          add_block(b, pair, block);
        });
    end_head(b, pair, first_head + both.student.group() - 1);
    add(dkey, pair.span.first_key, pair.key_head, b.dkeys_TD, pair.span.num_keys);
  }
};

template <class Real>
Divergence<Real> make_divergence(const Exec& exec, const DoneAttention<Real>& student,
                                 const DoneAttention<Real>& teacher, const Dropout& none) {
  check_attention(exec, student.input, true);
  check_attention(exec, teacher.input, true);
  check_divergence(student, teacher);
  return {make_call(exec, student.input, none), make_call(exec, teacher.input, none),
          student.log_sum_NH, teacher.log_sum_NH};
}

}  // namespace
}  // namespace attention_host

template <class Real>
void attention_divergence(const Exec& exec, Tensor2<float> divergence_NH,
                          const DoneAttention<Real>& student, const DoneAttention<Real>& teacher) {
  const KernelRegion region("attention_divergence");
  using namespace attention_host;
  const ArenaScope scope(*exec.arena);
  const Dropout none;
  const Divergence<Real> both = make_divergence(exec, student, teacher, none);
  const auto buffers = [&](Arena& arena) {
    return Buffers<Real>(arena, student.input, teacher.input, false);
  };
  for_each_pair(exec, "attention_divergence", both.student, buffers,
                [&](const Pair& pair, Buffers<Real>& b) { both.forward(b, pair, divergence_NH); });
  clear_padding<float>(exec, {divergence_NH}, student.input.shape.num_heads, student.input.queries);
}

template <class Real>
void attention_divergence_backward(const Exec& exec, HeadColumns<Real> dquery,
                                   HeadColumns<Real> dkey, Tensor2<float> dpositions_UH,
                                   const DoneAttention<Real>& student,
                                   const DoneAttention<Real>& teacher, float scale) {
  const KernelRegion region("attention_divergence_backward");
  using namespace attention_host;
  const ArenaScope scope(*exec.arena);
  const Dropout none;
  const Divergence<Real> both = make_divergence(exec, student, teacher, none);
  const Tensor2<float> dpositions_BUH = take_position_gradients(exec, dpositions_UH, student.input);
  const DivergenceBackward<Real> backward{both, dquery, dkey, dpositions_BUH, scale};
  const auto buffers = [&](Arena& arena) {
    return Buffers<Real>(arena, student.input, teacher.input, true);
  };
  for_each_pair(exec, "attention_divergence_backward", both.student, buffers,
                [&](const Pair& pair, Buffers<Real>& b) { backward.run(b, pair); });
  add_position_gradients(exec, dpositions_UH, Write::kAccumulate, dpositions_BUH, scale);
}

#define POLYPHASE_DIVERGENCE(Real)                                                          \
  template void attention_divergence<Real>(                                                 \
      const Exec&, Tensor2<float>, const DoneAttention<Real>&, const DoneAttention<Real>&); \
  template void attention_divergence_backward<Real>(                                        \
      const Exec&, HeadColumns<Real>, HeadColumns<Real>, Tensor2<float>,                    \
      const DoneAttention<Real>&, const DoneAttention<Real>&, float);
POLYPHASE_DIVERGENCE(float)
POLYPHASE_DIVERGENCE(bf16)
#undef POLYPHASE_DIVERGENCE

}  // namespace polyphase
