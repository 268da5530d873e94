// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention_rows.hpp"

namespace polyphase {
namespace attention_rows {

// One row and head of the forward pass; scores has room for the longest sequence.
template <class Real>
KOKKOS_INLINE_FUNCTION void forward_row(const Team& team, const Call<Real>& call, Real* out,
                                        float* log_sum, float* scores, std::int64_t row,
                                        std::int64_t head) {
  const Span span = span_of(call, row);
  const std::int64_t num_keys =
      span.num_tokens == 0 ? 0 : (call.causal ? row - span.first + 1 : span.num_tokens);
  const Real* const query = call.at(row, 0, head);
  float max = 0.0F, sum = 0.0F;
  Kokkos::parallel_reduce(
      Kokkos::TeamThreadRange(team, num_keys),
      [&](std::int64_t j, float& largest) {
        scores[j] = call.dot(query, call.at(span.first + j, 1, head)) * call.scale;
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
      total += scores[j] * to_float(call.at(span.first + j, 2, head)[c]);
    }
    out[c] = from_float<Real>(num_keys == 0 ? 0.0F : total / sum);
  });
  Kokkos::single(Kokkos::PerTeam(team),
                 [&]() { *log_sum = num_keys == 0 ? 0.0F : max + math::log(sum); });
}

// Δ = Σ_c dO·O of every row and head (Dao et al., 2022, appendix B.2).
template <class Real>
void make_deltas(const Exec& exec, const Call<Real>& call, const Tensor2<float>& delta_NH,
                 const Tensor2<const Real>& dout_NC, const Tensor2<const Real>& out_NC) {
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

// What the backward pass reads beside the call.
template <class Real>
struct Backward {
  Call<Real> call;
  const Real* dout;
  const float *log_sum, *delta;
  Real* dqkv;

  // Probability times mask, and dS, of query row n and key j of its sequence.
  struct Pair {
    float masked, dscore;
  };
  KOKKOS_INLINE_FUNCTION Pair pair(const Span& span, std::int64_t n, std::int64_t j,
                                   std::int64_t head) const {
    const std::int64_t key_row = span.first + j;
    if (call.causal && key_row > n) return {0.0F, 0.0F};
    const std::int64_t i = n * call.num_heads + head;
    const float score = call.dot(call.at(n, 0, head), call.at(key_row, 1, head)) * call.scale;
    const float p = fast_exp(score - log_sum[i]), m = call.mask(n, j, head);
    const float dp = call.dot(dout + i * call.head_width, call.at(key_row, 2, head)) * m;
    return {p * m, p * (dp - delta[i]) * call.scale};
  }
};

// dQ of one row and head: dS·K.
template <class Real>
KOKKOS_INLINE_FUNCTION void query_gradient(const Team& team, const Backward<Real>& pass,
                                           float* dscores, std::int64_t row, std::int64_t head) {
  const Call<Real>& call = pass.call;
  const Span span = span_of(call, row);
  Kokkos::parallel_for(Kokkos::TeamThreadRange(team, span.num_tokens),
                       [&](std::int64_t j) { dscores[j] = pass.pair(span, row, j, head).dscore; });
  team.team_barrier();
  Real* const dquery = pass.dqkv + call.offset(row, 0, head);
  Kokkos::parallel_for(Kokkos::TeamThreadRange(team, call.head_width), [&](std::int64_t c) {
    float total = 0.0F;
    for (std::int64_t j = 0; j < span.num_tokens; ++j) {
      total += dscores[j] * to_float(call.at(span.first + j, 1, head)[c]);
    }
    dquery[c] = from_float<Real>(total);
  });
  team.team_barrier();
}

// dK and dV of one row and head, gathered over the queries of its sequence. scratch holds two
// floats a query.
template <class Real>
KOKKOS_INLINE_FUNCTION void key_gradient(const Team& team, const Backward<Real>& pass,
                                         float* scratch, std::int64_t row, std::int64_t head) {
  const Call<Real>& call = pass.call;
  const Span span = span_of(call, row);
  Kokkos::parallel_for(Kokkos::TeamThreadRange(team, span.num_tokens), [&](std::int64_t i) {
    const auto pair = pass.pair(span, span.first + i, row - span.first, head);
    scratch[2 * i] = pair.masked;
    scratch[2 * i + 1] = pair.dscore;
  });
  team.team_barrier();
  Kokkos::parallel_for(Kokkos::TeamThreadRange(team, call.head_width), [&](std::int64_t c) {
    float dkey = 0.0F, dvalue = 0.0F;
    for (std::int64_t i = 0; i < span.num_tokens; ++i) {
      const std::int64_t n = span.first + i;
      dvalue +=
          scratch[2 * i] * to_float(pass.dout[(n * call.num_heads + head) * call.head_width + c]);
      dkey += scratch[2 * i + 1] * to_float(call.at(n, 0, head)[c]);
    }
    pass.dqkv[call.offset(row, 1, head) + c] = from_float<Real>(dkey);
    pass.dqkv[call.offset(row, 2, head) + c] = from_float<Real>(dvalue);
  });
}

}  // namespace attention_rows

template <class Real>
void attention_forward_portable(const Exec& exec, Tensor2<Real> out_NC, Tensor2<float> log_sum_NH,
                                Tensor2<const Real> qkv_N3C, const Sequences& sequences,
                                const AttentionShape& shape, const Dropout& dropout) {
  using namespace attention_rows;
  const auto num_teams = static_cast<std::int64_t>(log_sum_NH.size());
  if (exec.counting() || num_teams == 0) return;
  const Call<Real> call = make_call(qkv_N3C, sequences, shape, dropout);
  Real* const out = out_NC.data();
  float* const log_sum = log_sum_NH.data();
  const std::int64_t num_scores = sequences.max_tokens;
  const int level = scratch_level(num_scores);
  Kokkos::parallel_for(
      "attention_forward", policy(exec, num_teams, num_scores), KOKKOS_LAMBDA(const Team& team) {
        const std::int64_t i = team.league_rank();
        auto* const scores =
            static_cast<float*>(team.team_scratch(level).get_shmem(num_scores * sizeof(float)));
        forward_row(team, call, out + i * call.head_width, log_sum + i, scores, i / call.num_heads,
                    i % call.num_heads);
      });
}

template <class Real>
void attention_backward_portable(const Exec& exec, Tensor2<Real> dqkv_N3C,
                                 Tensor2<const Real> dout_NC, Tensor2<const Real> out_NC,
                                 Tensor2<const float> log_sum_NH, Tensor2<const Real> qkv_N3C,
                                 const Sequences& sequences, const AttentionShape& shape,
                                 const Dropout& dropout) {
  using namespace attention_rows;
  POLYPHASE_PROMISE(exec.arena != nullptr, "attention needs an arena for its workspace");
  const ArenaScope scope(*exec.arena);
  const auto delta_NH = exec.arena->take2<float>(log_sum_NH.extent(0), log_sum_NH.extent(1));
  const auto num_teams = static_cast<std::int64_t>(log_sum_NH.size());
  if (exec.counting() || num_teams == 0) return;
  const Call<Real> call = make_call(qkv_N3C, sequences, shape, dropout);
  make_deltas(exec, call, delta_NH, dout_NC, out_NC);
  const Backward<Real> pass{call, dout_NC.data(), log_sum_NH.data(), delta_NH.data(),
                            dqkv_N3C.data()};
  const std::int64_t num_scores = 2 * sequences.max_tokens;
  const int level = scratch_level(num_scores);
  Kokkos::parallel_for(
      "attention_backward", policy(exec, num_teams, num_scores), KOKKOS_LAMBDA(const Team& team) {
        const std::int64_t row = team.league_rank() / pass.call.num_heads;
        const std::int64_t head = team.league_rank() % pass.call.num_heads;
        auto* const scratch =
            static_cast<float*>(team.team_scratch(level).get_shmem(num_scores * sizeof(float)));
        query_gradient(team, pass, scratch, row, head);
        key_gradient(team, pass, scratch, row, head);
      });
}

#define POLYPHASE_PORTABLE_ATTENTION(Real)                                                        \
  template void attention_forward_portable<Real>(const Exec&, Tensor2<Real>, Tensor2<float>,      \
                                                 Tensor2<const Real>, const Sequences&,           \
                                                 const AttentionShape&, const Dropout&);          \
  template void attention_backward_portable<Real>(                                                \
      const Exec&, Tensor2<Real>, Tensor2<const Real>, Tensor2<const Real>, Tensor2<const float>, \
      Tensor2<const Real>, const Sequences&, const AttentionShape&, const Dropout&);
POLYPHASE_PORTABLE_ATTENTION(float)
POLYPHASE_PORTABLE_ATTENTION(bf16)
#undef POLYPHASE_PORTABLE_ATTENTION

}  // namespace polyphase
