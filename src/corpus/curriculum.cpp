// SPDX-License-Identifier: Apache-2.0
#include "corpus/curriculum.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"
#include "corpus/draws.hpp"

namespace polyphase {

double competence(const CurriculumSettings& settings, std::int64_t step) {
  if (step >= settings.steps) return 1.0;
  const double start_squared = settings.start * settings.start;
  const double done = static_cast<double>(step) / static_cast<double>(settings.steps);
  return std::min(1.0, std::sqrt(done * (1.0 - start_squared) + start_squared));
}

Curriculum::Curriculum(const std::vector<std::int64_t>& samples,
                       const std::vector<double>& difficulties, std::uint64_t key)
    : key_(key) {
  POLYPHASE_PROMISE(!samples.empty() && samples.size() == difficulties.size(),
                    "{} difficulties of {}", difficulties.size(), samples.size());
  std::vector<std::size_t> order(samples.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return difficulties[a] < difficulties[b]; });
  for (const std::size_t place : order) by_difficulty_.push_back(samples[place]);
}

std::int64_t Curriculum::draw(double share, std::uint64_t global_sample) const {
  const auto all = static_cast<std::int64_t>(by_difficulty_.size());
  const auto wanted = static_cast<std::int64_t>(std::floor(share * static_cast<double>(all)));
  const std::int64_t easiest = std::clamp<std::int64_t>(wanted, 1, all);
  return by_difficulty_[static_cast<std::size_t>(Draws(key_, global_sample).below(easiest))];
}

}  // namespace polyphase
