// SPDX-License-Identifier: Apache-2.0
#include "optimizer/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace polyphase {

double learning_rate_at(const recipe::Optimizer& optimizer, std::int64_t step,
                        std::int64_t total_steps) {
  const recipe::Schedule& schedule = optimizer.schedule;
  const auto done = static_cast<double>(step), warmup = static_cast<double>(schedule.warmup_steps);
  if (step < schedule.warmup_steps) return optimizer.learning_rate * (done + 1) / warmup;
  const double length = std::max(1.0, static_cast<double>(total_steps) - warmup);
  const double progress = std::min(1.0, (done - warmup) / length);
  double fraction = 1.0;  // constant
  if (schedule.kind == "linear") fraction = 1.0 - progress;
  if (schedule.kind == "cosine") fraction = 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  return optimizer.learning_rate *
         (schedule.final_fraction + (1.0 - schedule.final_fraction) * fraction);
}

}  // namespace polyphase
