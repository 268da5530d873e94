// SPDX-License-Identifier: Apache-2.0
#include "predict/next_token.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/math.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {

// In float32 but for the sums: of a large vocabulary this would else take longer than a layer.
std::vector<double> log_probabilities(std::span<const float> logits_V, std::int64_t num_pieces) {
  constexpr float kImpossible = -std::numeric_limits<float>::infinity();
  std::vector<float> logits(logits_V.begin(), logits_V.end());
  for (std::int64_t v = std::max<std::int64_t>(0, num_pieces); v < std::ssize(logits); ++v)
    logits[v] = kImpossible;
  for (const std::int32_t token : {text::kPadId, text::kClsId, text::kMaskId})
    if (token < std::ssize(logits)) logits[token] = kImpossible;
  const auto count = std::ssize(logits);
  const float* const x = logits.data();
  float max = kImpossible;
#pragma omp simd reduction(max : max)
  for (std::int64_t v = 0; v < count; ++v) max = std::max(max, x[v]);
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t v = 0; v < count; ++v)
    sum += double{fast_exp_inside(std::max(x[v] - max, -87.0F))};
  const double log_sum = double{max} + std::log(sum);
  std::vector<double> result(logits.begin(), logits.end());
  for (double& logit : result) logit -= log_sum;
  return result;
}

std::int32_t likeliest(const std::vector<double>& log_probabilities_V) {
  return static_cast<std::int32_t>(
      std::max_element(log_probabilities_V.begin(), log_probabilities_V.end()) -
      log_probabilities_V.begin());
}

std::vector<std::int32_t> likeliest(const std::vector<double>& log_probabilities_V,
                                    std::int64_t count) {
  std::vector<std::int32_t> tokens(log_probabilities_V.size());
  std::iota(tokens.begin(), tokens.end(), 0);
  count = std::min<std::int64_t>(count, static_cast<std::int64_t>(tokens.size()));
  std::partial_sort(tokens.begin(), tokens.begin() + count, tokens.end(),
                    [&](std::int32_t a, std::int32_t b) {
                      const double p = log_probabilities_V[a], q = log_probabilities_V[b];
                      return p != q ? p > q : a < b;
                    });
  tokens.resize(static_cast<std::size_t>(count));
  return tokens;
}

std::int32_t sample(const std::vector<double>& log_probabilities_V,
                    const GenerationSettings& settings, Draws& draws) {
  const auto all = static_cast<std::int64_t>(log_probabilities_V.size());
  const double best = log_probabilities_V[likeliest(log_probabilities_V)];
  const auto weight = [&](std::int32_t token) {
    return std::exp((log_probabilities_V[token] - best) / settings.temperature);
  };
  const double fraction = draws.fraction();
  // Nearly always a few of all tokens need sorting, which takes as long as several layers.
  constexpr std::int64_t kSortedFirst = 256;
  const bool chooses = settings.top_k > 0;
  double total = 0;
  for (std::int32_t token = 0; token < all && !chooses; ++token) total += weight(token);
  for (std::int64_t count = chooses ? settings.top_k : kSortedFirst;; count *= 8) {
    const std::vector<std::int32_t> tokens = likeliest(log_probabilities_V, count);
    const bool is_last = chooses || count >= all;
    std::vector<double> weights;
    for (const std::int32_t token : tokens) weights.push_back(weight(token));
    if (chooses) total = std::accumulate(weights.begin(), weights.end(), 0.0);
    std::size_t kept = 0;
    double sum = 0;
    while (kept < weights.size() && (kept == 0 || sum < settings.top_p * total))
      sum += weights[kept++];
    if (!is_last && sum < settings.top_p * total) {
      if (settings.top_p < 1.0) continue;
      sum = total;
    }
    double place = fraction * sum;
    for (std::size_t i = 0; i < kept; ++i) {
      place -= weights[i];
      if (place < 0) return tokens[i];
    }
    if (is_last) return tokens[kept - 1];
  }
}

}  // namespace polyphase
