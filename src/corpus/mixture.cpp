// SPDX-License-Identifier: Apache-2.0
#include "corpus/mixture.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "corpus/order.hpp"

namespace polyphase {

std::vector<std::int64_t> mixture_quotas(const std::vector<double>& weights) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  POLYPHASE_PROMISE(total > 0 && std::isfinite(total), "weights that add up to {}", total);
  std::vector<std::int64_t> quotas;
  std::vector<double> remainders;
  for (const double weight : weights) {
    const double share = weight / total * static_cast<double>(kMixtureBlock);
    quotas.push_back(static_cast<std::int64_t>(std::floor(share)));
    remainders.push_back(share - std::floor(share));
  }
  std::vector<std::size_t> by_remainder(weights.size());
  std::iota(by_remainder.begin(), by_remainder.end(), 0);
  std::stable_sort(by_remainder.begin(), by_remainder.end(),
                   [&](std::size_t a, std::size_t b) { return remainders[a] > remainders[b]; });
  const std::int64_t given = std::accumulate(quotas.begin(), quotas.end(), std::int64_t{0});
  for (std::int64_t rest = 0; rest < kMixtureBlock - given; ++rest)
    ++quotas[by_remainder[static_cast<std::size_t>(rest) % quotas.size()]];
  std::int64_t divisor = 0;
  for (const std::int64_t quota : quotas) divisor = std::gcd(divisor, quota);
  for (std::int64_t& quota : quotas) quota /= divisor;
  return quotas;
}

std::vector<double> tempered_weights(std::vector<double> weights,
                                     const std::vector<std::int64_t>& sizes,
                                     const std::optional<double>& temperature) {
  if (!temperature) return weights;
  // Relative to the largest, so that no temperature overflows.
  const auto largest = static_cast<double>(*std::max_element(sizes.begin(), sizes.end()));
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] *= std::pow(static_cast<double>(sizes[i]) / largest, 1.0 / *temperature);
  return weights;
}

Mixture::Mixture(std::vector<std::int64_t> quotas, std::uint64_t seed, std::uint64_t phase)
    : quotas_(std::move(quotas)),
      block_size_(std::accumulate(quotas_.begin(), quotas_.end(), std::int64_t{0})),
      seed_(seed),
      phase_(phase) {
  POLYPHASE_PROMISE(block_size_ > 0, "a mixture of {} samples", block_size_);
}

Mixture::Place Mixture::at(std::int64_t global_sample) {
  if (quotas_.size() == 1) return {.corpus = 0, .index = global_sample};
  const std::int64_t block = global_sample / block_size_;
  if (block != block_) lay_out(block);
  Place place = places_[static_cast<std::size_t>(global_sample % block_size_)];
  place.index += block * quotas_[place.corpus];
  return place;
}

// A keyed permutation puts the corpora's shares, which lie one behind the other, into their places;
// each corpus' samples are counted in the order of the places.
void Mixture::lay_out(std::int64_t block) {
  const KeyedPermutation order(
      static_cast<std::uint64_t>(block_size_),
      random_key(seed_, Purpose::kMixture, {phase_, static_cast<std::uint64_t>(block)}));
  std::vector<std::int64_t> ends(quotas_.size()), counts(quotas_.size());
  std::partial_sum(quotas_.begin(), quotas_.end(), ends.begin());
  places_.clear();
  for (std::int64_t place = 0; place < block_size_; ++place) {
    const auto share = static_cast<std::int64_t>(order.at(static_cast<std::uint64_t>(place)));
    const auto corpus =
        static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), share) - ends.begin());
    places_.push_back({.corpus = corpus, .index = counts[corpus]++});
  }
  block_ = block;
}

}  // namespace polyphase
