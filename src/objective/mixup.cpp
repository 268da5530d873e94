// SPDX-License-Identifier: Apache-2.0
#include "objective/mixup.hpp"

#include <cmath>

#include "corpus/draws.hpp"

namespace polyphase {
namespace {

// Beta(alpha, alpha) for alpha ≤ 1 by Jöhnk, 1964: of two powers of uniform numbers whose sum is at
// most 1, the share of the first. Powers of small alphas underflow, so shares come from logarithms.
double draw_beta(double alpha, Draws& draws) {
  for (;;) {
    const double first = std::log(1.0 - draws.fraction()) / alpha;
    const double second = std::log(1.0 - draws.fraction()) / alpha;
    if (std::exp(first) + std::exp(second) <= 1.0) return 1.0 / (1.0 + std::exp(second - first));
  }
}

}  // namespace

MixedPairs draw_pairs(const MixUp& mixup, const Batch& batch) {
  const std::int64_t b = batch.num_sequences();
  MixedPairs pairs;
  for (std::int64_t s = 0; s < b; ++s) {
    const std::uint64_t global_sample = batch.row_ids_N[batch.starts[s]] >> 16;
    Draws draws(mixup.key, global_sample);
    pairs.share_B.push_back(static_cast<float>(draw_beta(mixup.alpha, draws)));
    if (s == 0 && b > 1) pairs.shift = 1 + draws.below(b - 1);
  }
  return pairs;
}

}  // namespace polyphase
