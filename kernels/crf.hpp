// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

// A linear-chain conditional random field (Lafferty et al., 2001) over K tags: the score of the
// tags y of a sentence of T words is
//     start[y_1] + Σ_t emission[t][y_t] + Σ_t transition[y_t][y_t+1] + end[y_T],
// and their probability exp(score) divided by the sum of it over all K^T ways to tag the sentence.
// Sentences lie one behind the other: sentence b is rows [starts[b], starts[b+1]) of M words, and
// may have none; rows behind the last sentence count nothing. Results do not depend on the number
// of threads.
namespace polyphase {

// The score of a forbidden transition in place of its parameter: no way to tag a sentence that uses
// one is ever chosen, and yet the loss of a sentence whose own labels use one stays finite.
inline constexpr float kForbiddenScore = -1e4F;

struct CrfParameters {
  Tensor2<const float> transition_KK;  // from, to
  Tensor1<const float> start_K, end_K;
};

// What may follow what: 1 is allowed, 0 forbidden. Both empty: everything is allowed.
struct CrfRules {
  Tensor2<const std::int32_t> transition_KK;  // from, to
  Tensor1<const std::int32_t> start_K;
};

// Parameters with the forbidden ones replaced, in the arena or (without rules) where they were.
CrfParameters crf_scores(const Exec& exec, const CrfParameters& parameters, const CrfRules& rules);

struct CrfWords {
  Tensor2<const float> emission_MK;
  Tensor1<const std::int32_t> label_M;  // ≥ 0 in all words of a sentence, or -1 in all
  Tensor1<const std::int32_t> starts;   // B + 1
};

// The forward algorithm's results: log-probabilities of the tag of word t given words 1 … t, and
// the logarithm of what they were divided by, so that the numbers stay small in long sentences.
struct CrfForward {
  Tensor2<float> alpha_MK;
  Tensor1<float> norm_M;
};

// nats_B[b] = -log P(labels of sentence b), in float64; 0 without words; of a sentence without
// labels the logarithm of what scores' exponentials are divided by. `scores` are those of
// crf_scores.
void crf_forward(const Exec& exec, Tensor1<double> nats_B, const CrfForward& forward,
                 const CrfWords& words, const CrfParameters& scores);

struct CrfGradients {
  Tensor2<float> transition_KK;
  Tensor1<float> start_K, end_K;
};

// Gradients of scale × Σ nats_B through marginals (forward-backward): without labels they are scale
// × the marginals of tags and, summed over words, of pairs of tags. Overwrites demission_MK, with
// zeros behind the last sentence; writes or accumulates the parameters' as `write` says. Forbidden
// transitions have the gradient 0.
template <class Real>
void crf_backward(const Exec& exec, Tensor2<Real> demission_MK, const CrfGradients& gradients,
                  Write write, const CrfForward& forward, const CrfWords& words,
                  const CrfParameters& scores, const CrfRules& rules, float scale);

// best_M = the tags with the highest score of each sentence (Viterbi; of equal ones the lower tag,
// the last word's first), -1 behind the last sentence. Reads no labels.
void crf_decode(const Exec& exec, Tensor1<std::int32_t> best_M, const CrfWords& words,
                const CrfParameters& scores);

}  // namespace polyphase
