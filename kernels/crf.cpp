// SPDX-License-Identifier: Apache-2.0
#include "kernels/crf.hpp"

#include "kernels/crf_chain.hpp"

namespace polyphase {
namespace {

// alpha[k] becomes alpha[k] + log Σ_i exp(before[i] + transition[i][k]). Tags of the same word are
// columns, so that rows of transitions are read as they lie; largest and sum are workspace.
KOKKOS_INLINE_FUNCTION void add_transitions(const Row& row, std::int64_t num_tags, float* alpha,
                                            const float* before, const float* transition,
                                            float* largest, float* sum) {
  row.each(num_tags, [=](std::int64_t k) {
    largest[k] = before[0] + transition[k];
    sum[k] = 0.0F;
  });
  for (std::int64_t i = 1; i < num_tags; ++i) {
    const float from = before[i];
    const float* to = transition + i * num_tags;
    row.each(num_tags, [=](std::int64_t k) {
      largest[k] = from + to[k] > largest[k] ? from + to[k] : largest[k];
    });
  }
  for (std::int64_t i = 0; i < num_tags; ++i) {
    const float from = before[i];
    const float* to = transition + i * num_tags;
    row.each(num_tags, [=](std::int64_t k) { sum[k] += fast_exp(from + to[k] - largest[k]); });
  }
  row.each(num_tags, [=](std::int64_t k) { alpha[k] += largest[k] + math::log(sum[k]); });
}

// arriving[k] = the largest before[i] + transition[i][k], and from[k] the lowest i that gives it.
KOKKOS_INLINE_FUNCTION void best_transitions(const Row& row, std::int64_t num_tags, float* arriving,
                                             std::int32_t* from, const float* before,
                                             const float* transition) {
  for (std::int64_t i = 0; i < num_tags; ++i) {
    const float behind = before[i];
    const float* to = transition + i * num_tags;
    row.each(num_tags, [=](std::int64_t k) {
      const float score = behind + to[k];
      const bool better = i == 0 || score > arriving[k];
      arriving[k] = better ? score : arriving[k];
      from[k] = better ? static_cast<std::int32_t>(i) : from[k];
    });
  }
}

Tensor1<const float> ruled_score(const Exec& exec, Tensor1<const float> score,
                                 Tensor1<const std::int32_t> allowed) {
  if (allowed.extent(0) == 0) return score;
  const Tensor1<float> ruled = exec.arena->take1<float>(score.extent(0));
  for_elements(
      exec, score.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        ruled.data()[i] = allowed.data()[i] != 0 ? score.data()[i] : kForbiddenScore;
      });
  return ruled;
}

}  // namespace

CrfParameters crf_scores(const Exec& exec, const CrfParameters& parameters, const CrfRules& rules) {
  const KernelRegion region("crf_scores");
  const auto k = static_cast<std::int64_t>(parameters.start_K.extent(0));
  const Tensor1<const float> transition =
      ruled_score(exec, flat(parameters.transition_KK), flat(rules.transition_KK));
  return {.transition_KK = Tensor2<const float>(transition.data(), k, k),
          .start_K = ruled_score(exec, parameters.start_K, rules.start_K),
          .end_K = parameters.end_K};
}

void crf_forward(const Exec& exec, Tensor1<double> nats_B, const CrfForward& forward,
                 const CrfWords& words, const CrfParameters& scores) {
  const KernelRegion region("crf_forward");
  const Chain chain(words, scores);
  const auto num_sentences = static_cast<std::int64_t>(nats_B.extent(0));
  const CrfForward to = forward;
  ArenaScope scope(*exec.arena);
  const Tensor2<float> largest_BK = exec.arena->take2<float>(num_sentences, chain.num_tags),
                       sum_BK = exec.arena->take2<float>(num_sentences, chain.num_tags);
  for_rows(
      exec, num_sentences, KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t begin = chain.words.starts(row.index()),
                           end = chain.words.starts(row.index() + 1);
        double nats = 0.0;
        for (std::int64_t t = begin; t < end; ++t) {
          float* alpha = row_data(to.alpha_MK, t);
          chain.word_scores(row, alpha, t, begin, end);
          if (t > begin) {
            add_transitions(row, chain.num_tags, alpha, row_data(to.alpha_MK, t - 1),
                            chain.scores.transition_KK.data(), row_data(largest_BK, row.index()),
                            row_data(sum_BK, row.index()));
          }
          const float norm =
              log_sum_exp(row, chain.num_tags, [=](std::int64_t k) { return alpha[k]; });
          row.each(chain.num_tags, [=](std::int64_t k) { alpha[k] -= norm; });
          row.settle();
          to.norm_M(t) = norm;
          nats += static_cast<double>(norm) - chain.label_score(t, begin, end);
        }
        nats_B(row.index()) = nats;
      });
}

void crf_decode(const Exec& exec, Tensor1<std::int32_t> best_M, const CrfWords& words,
                const CrfParameters& scores) {
  const KernelRegion region("crf_decode");
  const Chain chain(words, scores);
  const auto num_sentences = static_cast<std::int64_t>(words.starts.extent(0)) - 1;
  const auto num_words = static_cast<std::int64_t>(best_M.extent(0));
  ArenaScope scope(*exec.arena);
  const Tensor2<float> delta_MK = exec.arena->take2<float>(num_words, chain.num_tags),
                       arriving_BK = exec.arena->take2<float>(num_sentences, chain.num_tags);
  const Tensor2<std::int32_t> from_MK = exec.arena->take2<std::int32_t>(num_words, chain.num_tags);
  for_elements(
      exec, num_words, KOKKOS_LAMBDA(std::int64_t m) { best_M.data()[m] = -1; });
  for_rows(
      exec, num_sentences, KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t num_tags = chain.num_tags;
        const std::int64_t begin = chain.words.starts(row.index()),
                           end = chain.words.starts(row.index() + 1);
        if (begin == end) return;
        for (std::int64_t t = begin; t < end; ++t) {
          float* delta = row_data(delta_MK, t);
          chain.word_scores(row, delta, t, begin, end);
          if (t > begin) {
            float* arriving = row_data(arriving_BK, row.index());
            best_transitions(row, num_tags, arriving, row_data(from_MK, t),
                             row_data(delta_MK, t - 1), chain.scores.transition_KK.data());
            row.each(num_tags, [=](std::int64_t k) { delta[k] += arriving[k]; });
          }
          // Only differences count: without their largest the numbers stay small.
          const float largest = row.max(num_tags, [=](std::int64_t k) { return delta[k]; });
          row.each(num_tags, [=](std::int64_t k) { delta[k] -= largest; });
          row.settle();
        }
        const float* delta = row_data(delta_MK, end - 1);
        std::int32_t tag = row.first(num_tags, [=](std::int64_t k) { return delta[k] >= 0.0F; });
        // Scores that are not numbers have no largest: any tag will do, the loss tells.
        tag = tag < num_tags ? tag : 0;
        for (std::int64_t t = end - 1; t >= begin; --t) {
          best_M(t) = tag;
          if (t > begin) tag = row_data(from_MK, t)[tag];
        }
      });
}

}  // namespace polyphase
