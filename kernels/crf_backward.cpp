// SPDX-License-Identifier: Apache-2.0
#include "kernels/crf_chain.hpp"
#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

// What the backward algorithm leaves: log-probability ratios of the words behind word t given its
// tag, and gamma[t][k] = beta + the word's own scores, over its norm: what a transition into tag k
// of word t meets.
struct Backward {
  Tensor2<float> beta_MK, gamma_MK;
};

void run_backward(const Exec& exec, const Backward& to, const CrfForward& forward,
                  const Chain& chain) {
  const Tensor1<float> norm_M = forward.norm_M;
  for_rows(
      exec, static_cast<std::int64_t>(chain.words.starts.extent(0)) - 1,
      KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t num_tags = chain.num_tags;
        const std::int64_t begin = chain.words.starts(row.index()),
                           end = chain.words.starts(row.index() + 1);
        for (std::int64_t t = end - 1; t >= begin; --t) {
          float *beta = row_data(to.beta_MK, t), *gamma = row_data(to.gamma_MK, t);
          if (t + 1 == end) {
            row.each(num_tags, [=](std::int64_t k) { beta[k] = 0.0F; });
          } else {
            const float* behind = row_data(to.gamma_MK, t + 1);
            for (std::int64_t i = 0; i < num_tags; ++i) {
              const float* transition = row_data(chain.scores.transition_KK, i);
              beta[i] = log_sum_exp(row, num_tags,
                                    [=](std::int64_t k) { return transition[k] + behind[k]; });
            }
          }
          const float norm = norm_M(t);
          // The start's score has no part in it: no transition leads into a first word.
          chain.word_scores(row, gamma, t, -1, end);
          row.each(num_tags, [=](std::int64_t k) { gamma[k] += beta[k] - norm; });
        }
      });
}

template <class Real>
void emission_gradients(const Exec& exec, Tensor2<Real> demission_MK, const CrfForward& forward,
                        const Backward& backward, const Chain& chain, float scale) {
  const Tensor2<float> alpha_MK = forward.alpha_MK, beta_MK = backward.beta_MK;
  const auto num_sentences = static_cast<std::int64_t>(chain.words.starts.extent(0)) - 1;
  for_rows(
      exec, demission_MK.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t t = row.index();
        Real* demission = row_data(demission_MK, t);
        if (t >= chain.words.starts(num_sentences)) {
          row.each(chain.num_tags, [=](std::int64_t k) { demission[k] = from_float<Real>(0.0F); });
          return;
        }
        const float *alpha = row_data(alpha_MK, t), *beta = row_data(beta_MK, t);
        const std::int32_t label = chain.words.label_M(t);
        row.each(chain.num_tags, [=](std::int64_t k) {
          const float there = static_cast<std::int32_t>(k) == label ? 1.0F : 0.0F;
          demission[k] = from_float<Real>(scale * (fast_exp(alpha[k] + beta[k]) - there));
        });
      });
}

// Sentences whose pairs of tags are added up together.
constexpr std::int64_t kSentencesPerBlock = 8;

// partial[p][i][k] = expected less true number of transitions from tag i to tag k in block p.
void pair_gradients(const Exec& exec, Tensor2<float> partial_PQ, const CrfForward& forward,
                    const Backward& backward, const Chain& chain) {
  const Tensor2<float> alpha_MK = forward.alpha_MK, gamma_MK = backward.gamma_MK;
  const auto num_sentences = static_cast<std::int64_t>(chain.words.starts.extent(0)) - 1;
  for_rows(
      exec, static_cast<std::int64_t>(partial_PQ.extent(0)) * chain.num_tags,
      KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t num_tags = chain.num_tags;
        const std::int64_t block = row.index() / num_tags, i = row.index() % num_tags;
        float* partial = row_data(partial_PQ, block) + i * num_tags;
        const float* transition = row_data(chain.scores.transition_KK, i);
        row.each(num_tags, [=](std::int64_t k) { partial[k] = 0.0F; });
        const std::int64_t last = smaller((block + 1) * kSentencesPerBlock, num_sentences);
        for (std::int64_t b = block * kSentencesPerBlock; b < last; ++b) {
          for (std::int64_t t = chain.words.starts(b); t + 1 < chain.words.starts(b + 1); ++t) {
            const float from = row_data(alpha_MK, t)[i];
            const float* gamma = row_data(gamma_MK, t + 1);
            const std::int32_t label =
                chain.words.label_M(t) == i ? chain.words.label_M(t + 1) : -1;
            row.each(num_tags, [=](std::int64_t k) {
              const float there = static_cast<std::int32_t>(k) == label ? 1.0F : 0.0F;
              partial[k] += fast_exp(from + transition[k] + gamma[k]) - there;
            });
          }
        }
      });
}

// The marginals of first and last words less their labels, added up over sentences in order.
void end_gradients(const Exec& exec, Tensor2<float> total_2K, const CrfForward& forward,
                   const Backward& backward, const Chain& chain) {
  const Tensor2<float> alpha_MK = forward.alpha_MK, beta_MK = backward.beta_MK;
  const auto num_sentences = static_cast<std::int64_t>(chain.words.starts.extent(0)) - 1;
  for_rows(
      exec, 2, KOKKOS_LAMBDA(const Row& row) {
        float* total = row_data(total_2K, row.index());
        row.each(chain.num_tags, [=](std::int64_t k) { total[k] = 0.0F; });
        for (std::int64_t b = 0; b < num_sentences; ++b) {
          const std::int64_t begin = chain.words.starts(b), end = chain.words.starts(b + 1);
          if (begin == end) continue;
          const std::int64_t t = row.index() == 0 ? begin : end - 1;
          const float *alpha = row_data(alpha_MK, t), *beta = row_data(beta_MK, t);
          const std::int32_t label = chain.words.label_M(t);
          row.each(chain.num_tags, [=](std::int64_t k) {
            const float there = static_cast<std::int32_t>(k) == label ? 1.0F : 0.0F;
            total[k] += fast_exp(alpha[k] + beta[k]) - there;
          });
        }
      });
}

// out = scale × x where allowed, 0 elsewhere, written or accumulated.
void write_gradient(const Exec& exec, Tensor1<float> out, Write write, Tensor1<const float> x,
                    Tensor1<const std::int32_t> allowed, float scale) {
  const bool accumulate = write == Write::kAccumulate, ruled = allowed.extent(0) != 0;
  for_elements(
      exec, out.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        const bool free = !ruled || allowed.data()[i] != 0;
        const float gradient = free ? scale * x.data()[i] : 0.0F;
        out.data()[i] = gradient + (accumulate ? out.data()[i] : 0.0F);
      });
}

}  // namespace

template <class Real>
void crf_backward(const Exec& exec, Tensor2<Real> demission_MK, const CrfGradients& gradients,
                  Write write, const CrfForward& forward, const CrfWords& words,
                  const CrfParameters& scores, const CrfRules& rules, float scale) {
  const KernelRegion region("crf_backward");
  const Chain chain(words, scores);
  const std::int64_t num_words = words.emission_MK.extent(0), num_tags = chain.num_tags;
  const std::int64_t num_blocks =
      divide_up(static_cast<std::int64_t>(words.starts.extent(0)) - 1, kSentencesPerBlock);
  ArenaScope scope(*exec.arena);
  Arena& arena = *exec.arena;
  const Backward backward = {.beta_MK = arena.take2<float>(num_words, num_tags),
                             .gamma_MK = arena.take2<float>(num_words, num_tags)};
  run_backward(exec, backward, forward, chain);
  emission_gradients(exec, demission_MK, forward, backward, chain, scale);

  const Tensor2<float> partial_PQ = arena.take2<float>(num_blocks, num_tags * num_tags),
                       total_2K = arena.take2<float>(2, num_tags);
  const Tensor1<float> total_Q = arena.take1<float>(num_tags * num_tags);
  pair_gradients(exec, partial_PQ, forward, backward, chain);
  column_sum<float>(exec, total_Q, Write::kOverwrite, partial_PQ);
  end_gradients(exec, total_2K, forward, backward, chain);
  write_gradient(exec, flat(gradients.transition_KK), write, total_Q, flat(rules.transition_KK),
                 scale);
  write_gradient(exec, gradients.start_K, write, flat(rows(total_2K, 0, 1)), rules.start_K, scale);
  write_gradient(exec, gradients.end_K, write, flat(rows(total_2K, 1, 1)), {}, scale);
}

template void crf_backward<float>(const Exec&, Tensor2<float>, const CrfGradients&, Write,
                                  const CrfForward&, const CrfWords&, const CrfParameters&,
                                  const CrfRules&, float);
template void crf_backward<bf16>(const Exec&, Tensor2<bf16>, const CrfGradients&, Write,
                                 const CrfForward&, const CrfWords&, const CrfParameters&,
                                 const CrfRules&, float);

}  // namespace polyphase
