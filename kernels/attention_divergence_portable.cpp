// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention_divergence.hpp"
#include "kernels/attention_rows.hpp"

namespace polyphase {
namespace attention_rows {

// Both attentions as kernels see them.
template <class Real>
struct BothCalls {
  Call<Real> student, teacher;
  const float *student_log_sum, *teacher_log_sum;

  // Logarithms of the probabilities of a key that query r of the sequence sees.
  struct LogPair {
    float student, teacher;
  };
  KOKKOS_INLINE_FUNCTION LogPair logs(const SequenceSpan& span, std::int64_t r, std::int64_t j,
                                      std::int64_t head) const {
    const std::int64_t i = (span.first_query + r) * student.num_heads + head;
    return {student.score(span, r, j, head, student_log_sum[i]),
            teacher.score(span, r, j, head, teacher_log_sum[i])};
  }
  // s - t, 0 for a key that is not seen.
  KOKKOS_INLINE_FUNCTION float difference(const SequenceSpan& span, std::int64_t r, std::int64_t j,
                                          std::int64_t head) const {
    if (j >= span.visible(r)) return 0.0F;
    const LogPair log = logs(span, r, j, head);
    return fast_exp(log.student) - fast_exp(log.teacher);
  }
};

template <class Real>
BothCalls<Real> make_calls(const Exec& exec, const DoneAttention<Real>& student,
                           const DoneAttention<Real>& teacher) {
  return {make_call(exec, student.input, {}), make_call(exec, teacher.input, {}),
          student.log_sum_NH.data(), teacher.log_sum_NH.data()};
}

template <class Real>
KOKKOS_INLINE_FUNCTION void divergence_of_row(const Team& team, const BothCalls<Real>& both,
                                              float* to, std::int64_t row, std::int64_t head) {
  const SequenceSpan span = both.student.span_of(row, both.student.query_starts);
  const std::int64_t r = row - span.first_query;
  const std::int64_t num_keys = span.num_queries == 0 ? 0 : span.visible(r);
  float sum = 0.0F;
  Kokkos::parallel_reduce(
      Kokkos::TeamThreadRange(team, num_keys),
      [&](std::int64_t j, float& partial) {
        const auto log = both.logs(span, r, j, head);
        partial += fast_exp(log.teacher) * (log.teacher - log.student);
      },
      sum);
  Kokkos::single(Kokkos::PerTeam(team), [&]() { *to = sum; });
}

// Adds to dQ of one row and head.
template <class Real>
KOKKOS_INLINE_FUNCTION void add_query_gradient(const Team& team, const BothCalls<Real>& both,
                                               const Heads<Real>& dquery, float factor,
                                               float* dscores, std::int64_t row,
                                               std::int64_t head) {
  const Call<Real>& call = both.student;
  const SequenceSpan span = call.span_of(row, call.query_starts);
  if (span.num_queries == 0) return;
  const std::int64_t r = row - span.first_query, num_keys = span.visible(r);
  Kokkos::parallel_for(Kokkos::TeamThreadRange(team, num_keys), [&](std::int64_t j) {
    dscores[j] = factor * both.difference(span, r, j, head);
  });
  team.team_barrier();
  Real* const to = dquery.at(row, head);
  Kokkos::parallel_for(Kokkos::TeamThreadRange(team, call.head_width), [&](std::int64_t c) {
    float total = 0.0F;
    for (std::int64_t j = 0; j < num_keys; ++j) {
      total += dscores[j] * to_float(call.key.at(span.first_key + j, head / call.group())[c]);
    }
    to[c] = from_float<Real>(to_float(to[c]) + total);
  });
}

// Adds to dK of one row and key head, gathered over the queries of its sequence and the heads that
// read it. scratch holds a float for each of the most queries and each column.
template <class Real>
KOKKOS_INLINE_FUNCTION void add_key_gradient(const Team& team, const BothCalls<Real>& both,
                                             const Heads<Real>& dkey, float factor, float* scratch,
                                             std::int64_t row, std::int64_t key_head) {
  const Call<Real>& call = both.student;
  const SequenceSpan span = call.span_of(row, call.key_starts);
  if (span.num_queries == 0) return;
  float* const sums = scratch + span.num_queries;
  const std::int64_t first_head = key_head * call.group(), last_head = first_head + call.group();
  Real* const to = dkey.at(row, key_head);
  for (std::int64_t head = first_head; head < last_head; ++head) {
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, span.num_queries), [&](std::int64_t r) {
      scratch[r] = factor * both.difference(span, r, row - span.first_key, head);
    });
    team.team_barrier();
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, call.head_width), [&](std::int64_t c) {
      float total = head == first_head ? 0.0F : sums[c];
      for (std::int64_t r = 0; r < span.num_queries; ++r)
        total += scratch[r] * to_float(call.query.at(span.first_query + r, head)[c]);
      sums[c] = total;
      if (head + 1 == last_head) to[c] = from_float<Real>(to_float(to[c]) + total);
    });
    team.team_barrier();
  }
}

// The sum of s - t over one sequence's pairs of one head whose offset falls into one bucket.
template <class Real>
KOKKOS_INLINE_FUNCTION void position_differences(const Team& team, const BothCalls<Real>& both,
                                                 float* to, std::int64_t sequence,
                                                 std::int64_t head, std::int64_t bucket) {
  const SequenceSpan span = both.student.span(sequence);
  sum_over_bucket(team, both.student, span, bucket, to, [&](std::int64_t r, std::int64_t j) {
    return both.difference(span, r, j, head);
  });
}

template <class Real>
void run_divergence_backward(const Exec& exec, const BothCalls<Real>& both,
                             const HeadColumns<Real>& dquery, const HeadColumns<Real>& dkey,
                             const AttentionInput<Real>& input, float factor) {
  const Heads<Real> dq = heads_of(dquery, input.shape), dk = heads_of(dkey, input.shape);
  for_each_row(
      exec, "attention_divergence_query_gradient", static_cast<std::int64_t>(dquery.rows.extent(0)),
      input.shape.num_heads, input.keys.max_tokens,
      KOKKOS_LAMBDA(const Team& team, std::int64_t row, std::int64_t head, float* scratch) {
        add_query_gradient(team, both, dq, factor, scratch, row, head);
      });
  for_each_row(
      exec, "attention_divergence_key_gradient", static_cast<std::int64_t>(dkey.rows.extent(0)),
      input.shape.num_key_heads, input.queries.max_tokens + input.shape.head_width,
      KOKKOS_LAMBDA(const Team& team, std::int64_t row, std::int64_t head, float* scratch) {
        add_key_gradient(team, both, dk, factor, scratch, row, head);
      });
}

}  // namespace attention_rows

template <class Real>
void attention_divergence_portable(const Exec& exec, Tensor2<float> divergence_NH,
                                   const DoneAttention<Real>& student,
                                   const DoneAttention<Real>& teacher) {
  using namespace attention_rows;
  check_divergence(student, teacher);
  const ArenaScope scope(*exec.arena);
  const BothCalls<Real> both = make_calls(exec, student, teacher);
  float* const to = divergence_NH.data();
  const std::int64_t num_heads = both.student.num_heads;
  for_each_row(
      exec, "attention_divergence", static_cast<std::int64_t>(divergence_NH.extent(0)), num_heads,
      0, KOKKOS_LAMBDA(const Team& team, std::int64_t row, std::int64_t head, float*) {
        divergence_of_row(team, both, to + row * num_heads + head, row, head);
      });
}

template <class Real>
void attention_divergence_backward_portable(const Exec& exec, HeadColumns<Real> dquery,
                                            HeadColumns<Real> dkey, Tensor2<float> dpositions_UH,
                                            const DoneAttention<Real>& student,
                                            const DoneAttention<Real>& teacher, float scale) {
  using namespace attention_rows;
  check_divergence(student, teacher);
  const ArenaScope scope(*exec.arena);
  const BothCalls<Real> both = make_calls(exec, student, teacher);
  const Tensor2<float> dpositions_BUH = take_position_gradients(exec, dpositions_UH, student.input);
  run_divergence_backward(exec, both, dquery, dkey, student.input,
                          scale * student.input.shape.score_scale);
  const auto num_buckets = static_cast<std::int64_t>(dpositions_UH.extent(0));
  const std::int64_t num_heads = both.student.num_heads;
  float* const partial = dpositions_BUH.data();
  for_each_row(
      exec, "attention_divergence_position_gradient",
      static_cast<std::int64_t>(dpositions_BUH.size()) / num_heads, num_heads, 0,
      KOKKOS_LAMBDA(const Team& team, std::int64_t row, std::int64_t head, float*) {
        position_differences(team, both, partial + row * num_heads + head, row / num_buckets, head,
                             row % num_buckets);
      });
  add_position_gradients(exec, dpositions_UH, Write::kAccumulate, dpositions_BUH, scale);
}

#define POLYPHASE_PORTABLE_DIVERGENCE(Real)                                                 \
  template void attention_divergence_portable<Real>(                                        \
      const Exec&, Tensor2<float>, const DoneAttention<Real>&, const DoneAttention<Real>&); \
  template void attention_divergence_backward_portable<Real>(                               \
      const Exec&, HeadColumns<Real>, HeadColumns<Real>, Tensor2<float>,                    \
      const DoneAttention<Real>&, const DoneAttention<Real>&, float);
POLYPHASE_PORTABLE_DIVERGENCE(float)
POLYPHASE_PORTABLE_DIVERGENCE(bf16)
#undef POLYPHASE_PORTABLE_DIVERGENCE

}  // namespace polyphase
