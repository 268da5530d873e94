// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention_rows.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace attention_rows {

// One row and head of the forward pass; scores has room for the most keys.
template <class Real>
KOKKOS_INLINE_FUNCTION void forward_row(const Team& team, const Call<Real>& call, Real* out,
                                        float* log_sum, float* scores, std::int64_t row,
                                        std::int64_t head) {
  const SequenceSpan span = call.span_of(row, call.query_starts);
  const std::int64_t r = row - span.first_query, key_head = head / call.group();
  const std::int64_t num_keys = span.num_queries == 0 ? 0 : span.visible(r);
  float max = 0.0F, sum = 0.0F;
  Kokkos::parallel_reduce(
      Kokkos::TeamThreadRange(team, num_keys),
      [&](std::int64_t j, float& largest) {
        scores[j] = call.score(span, r, j, head, 0.0F);
        if (scores[j] > largest) largest = scores[j];
      },
      Kokkos::Max<float>(max));
  team.team_barrier();
  Kokkos::parallel_reduce(
      Kokkos::TeamThreadRange(team, num_keys),
      [&](std::int64_t j, float& partial) {
        const float p = fast_exp(scores[j] - max);
        partial += p;
        scores[j] = p * call.mask(row, j, head);
      },
      sum);
  team.team_barrier();
  Kokkos::parallel_for(Kokkos::TeamThreadRange(team, call.head_width), [&](std::int64_t c) {
    float total = 0.0F;
    for (std::int64_t j = 0; j < num_keys; ++j) {
      total += scores[j] * to_float(call.value.at(span.first_key + j, key_head)[c]);
    }
    out[c] = from_float<Real>(num_keys == 0 ? 0.0F : total / sum);
  });
  Kokkos::single(Kokkos::PerTeam(team),
                 [&]() { *log_sum = num_keys == 0 ? 0.0F : max + math::log(sum); });
}

template <class Real>
void make_deltas(const Exec& exec, const Call<Real>& call, const Tensor2<float>& delta_NH,
                 const Tensor2<const Real>& dout_NC, const Tensor2<const Real>& out_NC) {
  if (delta_NH.size() == 0) return;
  if (exec.counting()) return note_start(exec);
  const Real *const dout = dout_NC.data(), *const out = out_NC.data();
  float* const delta = delta_NH.data();
  Kokkos::parallel_for(
      "attention_deltas",
      Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t>>(
          exec.space, 0, static_cast<std::int64_t>(delta_NH.size())),
      KOKKOS_LAMBDA(std::int64_t i) {
        delta[i] = call.dot(dout + i * call.head_width, out + i * call.head_width);
      });
}

// dQ of one row and head: dS·K. dscores has room for the most keys.
template <class Real>
KOKKOS_INLINE_FUNCTION void query_gradient(const Team& team, const Backward<Real>& pass,
                                           const Heads<Real>& dquery, float* dscores,
                                           std::int64_t row, std::int64_t head) {
  const Call<Real>& call = pass.call;
  const SequenceSpan span = call.span_of(row, call.query_starts);
  const std::int64_t r = row - span.first_query;
  const std::int64_t num_keys = span.num_queries == 0 ? 0 : span.visible(r);
  Kokkos::parallel_for(Kokkos::TeamThreadRange(team, num_keys),
                       [&](std::int64_t j) { dscores[j] = pass.pair(span, r, j, head).dscore; });
  team.team_barrier();
  Kokkos::parallel_for(Kokkos::TeamThreadRange(team, call.head_width), [&](std::int64_t c) {
    float total = 0.0F;
    for (std::int64_t j = 0; j < num_keys; ++j) {
      total += dscores[j] * to_float(call.key.at(span.first_key + j, head / call.group())[c]);
    }
    dquery.at(row, head)[c] = from_float<Real>(total);
  });
}

// dK and dV of one row and key head, gathered over the queries of its sequence and the heads that
// read it. scratch holds two floats for each of the most queries and each column.
template <class Real>
KOKKOS_INLINE_FUNCTION void key_gradient(const Team& team, const Backward<Real>& pass,
                                         const Heads<Real>& dkey, const Heads<Real>& dvalue,
                                         float* scratch, std::int64_t row, std::int64_t key_head) {
  const Call<Real>& call = pass.call;
  const SequenceSpan span = call.span_of(row, call.key_starts);
  float* const sums = scratch + 2 * span.num_queries;
  const std::int64_t first_head = key_head * call.group(), width = call.head_width;
  for (std::int64_t head = first_head; head < first_head + call.group(); ++head) {
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, span.num_queries), [&](std::int64_t r) {
      const auto pair = pass.pair(span, r, row - span.first_key, head);
      scratch[2 * r] = pair.masked;
      scratch[2 * r + 1] = pair.dscore;
    });
    team.team_barrier();
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, width), [&](std::int64_t c) {
      float dk = head == first_head ? 0.0F : sums[2 * c];
      float dv = head == first_head ? 0.0F : sums[2 * c + 1];
      for (std::int64_t r = 0; r < span.num_queries; ++r) {
        const std::int64_t n = span.first_query + r;
        dv += scratch[2 * r] * to_float(pass.dout[(n * call.num_heads + head) * width + c]);
        dk += scratch[2 * r + 1] * to_float(call.query.at(n, head)[c]);
      }
      sums[2 * c] = dk, sums[2 * c + 1] = dv;
      dkey.at(row, key_head)[c] = from_float<Real>(dk);
      dvalue.at(row, key_head)[c] = from_float<Real>(dv);
    });
    team.team_barrier();
  }
}

// The sum of dS over one sequence's pairs of one head whose offset falls into one bucket.
template <class Real>
KOKKOS_INLINE_FUNCTION void position_gradient(const Team& team, const Backward<Real>& pass,
                                              float* to, std::int64_t sequence, std::int64_t head,
                                              std::int64_t bucket) {
  const SequenceSpan span = pass.call.span(sequence);
  sum_over_bucket(team, pass.call, span, bucket, to, [&](std::int64_t r, std::int64_t j) {
    return pass.pair(span, r, j, head).dscore;
  });
}

template <class Real>
void run_backward(const Exec& exec, const Backward<Real>& pass, const HeadColumns<Real>& dquery,
                  const HeadColumns<Real>& dkey, const HeadColumns<Real>& dvalue,
                  const AttentionInput<Real>& input) {
  const Heads<Real> dq = heads_of(dquery, input.shape), dk = heads_of(dkey, input.shape),
                    dv = heads_of(dvalue, input.shape);
  for_each_row(
      exec, "attention_query_gradient", static_cast<std::int64_t>(dquery.rows.extent(0)),
      input.shape.num_heads, input.keys.max_tokens,
      KOKKOS_LAMBDA(const Team& team, std::int64_t row, std::int64_t head, float* scratch) {
        query_gradient(team, pass, dq, scratch, row, head);
      });
  for_each_row(
      exec, "attention_key_gradient", static_cast<std::int64_t>(dkey.rows.extent(0)),
      input.shape.num_key_heads, 2 * (input.queries.max_tokens + input.shape.head_width),
      KOKKOS_LAMBDA(const Team& team, std::int64_t row, std::int64_t head, float* scratch) {
        key_gradient(team, pass, dk, dv, scratch, row, head);
      });
}

template <class Real>
void gather_position_gradients(const Exec& exec, const Tensor2<float>& dpositions_UH,
                               Write positions_write, const Tensor2<float>& partial_BUH,
                               const Backward<Real>& pass) {
  const std::int64_t num_heads = pass.call.num_heads;
  const auto num_buckets = static_cast<std::int64_t>(dpositions_UH.extent(0));
  float* const partial = partial_BUH.data();
  for_each_row(
      exec, "attention_position_gradient",
      static_cast<std::int64_t>(partial_BUH.size()) / num_heads, num_heads, 0,
      KOKKOS_LAMBDA(const Team& team, std::int64_t row, std::int64_t head, float*) {
        position_gradient(team, pass, partial + row * num_heads + head, row / num_buckets, head,
                          row % num_buckets);
      });
  add_position_gradients(exec, dpositions_UH, positions_write, partial_BUH, 1.0F / pass.call.scale);
}

#define POLYPHASE_ATTENTION_ROWS(Real)                                                     \
  template void make_deltas<Real>(const Exec&, const Call<Real>&, const Tensor2<float>&,   \
                                  const Tensor2<const Real>&, const Tensor2<const Real>&); \
  template void gather_position_gradients<Real>(const Exec&, const Tensor2<float>&, Write, \
                                                const Tensor2<float>&, const Backward<Real>&);
POLYPHASE_ATTENTION_ROWS(float)
POLYPHASE_ATTENTION_ROWS(bf16)
#undef POLYPHASE_ATTENTION_ROWS

}  // namespace attention_rows

template <class Real>
void attention_forward_portable(const Exec& exec, Tensor2<Real> out_NC, Tensor2<float> log_sum_NH,
                                const AttentionInput<Real>& input, const Dropout& dropout) {
  using namespace attention_rows;
  check_attention(exec, input);
  note_attention(exec, input, 2);
  const ArenaScope scope(*exec.arena);
  const Call<Real> call = make_call(exec, input, dropout);
  Real* const out = out_NC.data();
  float* const log_sum = log_sum_NH.data();
  for_each_row(
      exec, "attention_forward", static_cast<std::int64_t>(log_sum_NH.extent(0)), call.num_heads,
      call.max_keys,
      KOKKOS_LAMBDA(const Team& team, std::int64_t row, std::int64_t head, float* scores) {
        const std::int64_t i = row * call.num_heads + head;
        forward_row(team, call, out + i * call.head_width, log_sum + i, scores, row, head);
      });
}

template <class Real>
void attention_backward_portable(const Exec& exec, HeadColumns<Real> dquery, HeadColumns<Real> dkey,
                                 HeadColumns<Real> dvalue, Tensor2<float> dpositions_UH,
                                 Write positions_write, Tensor2<const Real> dout_NC,
                                 Tensor2<const Real> out_NC, Tensor2<const float> log_sum_NH,
                                 const AttentionInput<Real>& input, const Dropout& dropout) {
  using namespace attention_rows;
  check_attention(exec, input, true);
  note_attention(exec, input, 5);
  const ArenaScope scope(*exec.arena);
  const auto delta_NH = exec.arena->take2<float>(log_sum_NH.extent(0), log_sum_NH.extent(1));
  const Call<Real> call = make_call(exec, input, dropout);
  const Tensor2<float> dpositions_BUH = take_position_gradients(exec, dpositions_UH, input);
  make_deltas(exec, call, delta_NH, dout_NC, out_NC);
  const Backward<Real> pass{call, dout_NC.data(), log_sum_NH.data(), delta_NH.data()};
  run_backward(exec, pass, dquery, dkey, dvalue, input);
  gather_position_gradients(exec, dpositions_UH, positions_write, dpositions_BUH, pass);
}

#define POLYPHASE_PORTABLE_ATTENTION(Real)                                                         \
  template void attention_forward_portable<Real>(const Exec&, Tensor2<Real>, Tensor2<float>,       \
                                                 const AttentionInput<Real>&, const Dropout&);     \
  template void attention_backward_portable<Real>(                                                 \
      const Exec&, HeadColumns<Real>, HeadColumns<Real>, HeadColumns<Real>, Tensor2<float>, Write, \
      Tensor2<const Real>, Tensor2<const Real>, Tensor2<const float>, const AttentionInput<Real>&, \
      const Dropout&);
POLYPHASE_PORTABLE_ATTENTION(float)
POLYPHASE_PORTABLE_ATTENTION(bf16)
#undef POLYPHASE_PORTABLE_ATTENTION

}  // namespace polyphase
