// SPDX-License-Identifier: Apache-2.0
#include "predict/next_token.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

bool may_be_generated(std::int64_t token, std::int64_t num_pieces) {
  return token < num_pieces && token != text::kPadId && token != text::kClsId &&
         token != text::kMaskId;
}

}  // namespace

std::vector<double> log_probabilities(std::span<const float> logits_V, std::int64_t num_pieces) {
  std::vector<double> result(logits_V.size(), kImpossible);
  double max = kImpossible;
  for (std::size_t v = 0; v < logits_V.size(); ++v) {
    if (!may_be_generated(static_cast<std::int64_t>(v), num_pieces)) continue;
    result[v] = double{logits_V[v]};
    max = std::max(max, result[v]);
  }
  double sum = 0;
  for (const double logit : result) sum += std::exp(logit - max);
  const double log_sum = max + std::log(sum);
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
  const std::vector<std::int32_t> tokens =
      likeliest(log_probabilities_V, settings.top_k > 0 ? settings.top_k : all);
  const double best = log_probabilities_V[tokens.front()];
  std::vector<double> weights;
  for (const std::int32_t token : tokens)
    weights.push_back(std::exp((log_probabilities_V[token] - best) / settings.temperature));
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::size_t kept = 0;
  double sum = 0;
  while (kept < weights.size() && (kept == 0 || sum < settings.top_p * total))
    sum += weights[kept++];
  double place = draws.fraction() * sum;
  for (std::size_t i = 0; i < kept; ++i) {
    place -= weights[i];
    if (place < 0) return tokens[i];
  }
  return tokens[kept - 1];
}

}  // namespace polyphase
