// SPDX-License-Identifier: Apache-2.0
#include "optimizer/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace polyphase {
namespace {

// What is left of the way from the full rate (1) to the end of the curve (0), `done` steps after
// the warm-up, of `length`.
double rest(const recipe::Schedule& schedule, std::int64_t done, std::int64_t length) {
  const auto share = [length](std::int64_t steps) {
    return static_cast<double>(steps) / static_cast<double>(length);
  };
  if (schedule.kind == "linear") return 1.0 - share(done);
  if (schedule.kind == "cosine") {
    // Whole numbers: a cycle begins at the full rate, not a rounding before it.
    const double q = done < length ? share(done * schedule.cycles % length) : 1.0;
    return 0.5 * (1.0 + std::cos(std::numbers::pi * q));
  }
  return 1.0;  // constant
}

}  // namespace

double learning_rate_at(const recipe::Optimizer& optimizer, std::int64_t step,
                        std::int64_t total_steps) {
  const recipe::Schedule& schedule = optimizer.schedule;
  const std::int64_t warmup = schedule.warmup_steps;
  const double rate = optimizer.learning_rate, final = schedule.final_fraction;
  const auto number = static_cast<double>(step + 1), total = static_cast<double>(total_steps);
  if (step < warmup) return rate * number / static_cast<double>(warmup);
  if (schedule.kind == "inverse_sqrt") {
    const auto full = static_cast<double>(std::max<std::int64_t>(1, warmup));
    return rate * std::max(final, std::sqrt(full / number));
  }
  const std::int64_t length = std::max<std::int64_t>(1, total_steps - warmup);
  double left = rest(schedule, std::min(step - warmup, length), length);
  if (schedule.kind == "wsd" && schedule.decay_fraction > 0) {
    left = std::clamp((total - static_cast<double>(step)) / (schedule.decay_fraction * total), 0.0,
                      1.0);
  }
  return rate * (final + (1.0 - final) * left);
}

}  // namespace polyphase
