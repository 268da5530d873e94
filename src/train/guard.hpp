// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "recipe/guard.hpp"

namespace polyphase {

// Losses of the last steps that were taken, the newest last. Plain data of the phase's state, so
// that a resumed phase judges alike.
struct LossHistory {
  std::vector<double> losses;

  void add(double loss);  // and forgets all but the newest 64
};

// What the guard has done so far in a phase.
struct GuardState {
  LossHistory losses;
  std::int64_t skipped_in_a_row = 0, num_skipped = 0, num_rollbacks = 0;
  std::int64_t data_offset = 0;  // steps of data that were passed over: step s trains on s + this
};

// Why a step must not be taken, in words; empty when it may be. Everything here is the same on
// every rank, so all of them decide alike. A loss is a spike when it lies more than guard.spike
// deviations above the median of the last losses, once there are 20 of them; a deviation is 1.4826
// times the median absolute deviation (the standard deviation, were they normal), and at least 1 %
// of the median. Medians, unlike means, are not spoilt by a spike that came before there were
// enough losses to compare it with (Leys et al., 2013).
std::optional<std::string> fault_of_step(const recipe::Guard& guard, const LossHistory& history,
                                         double loss, double grad_norm);

// The phase's state right after it has gone back to the checkpoint at `checkpoint_step` from step
// `failed_step`, both counted in steps done; `before` is the guard's state when it gave up.
GuardState roll_back(const recipe::Guard& guard, const GuardState& checkpoint,
                     const GuardState& before, std::int64_t checkpoint_step,
                     std::int64_t failed_step);

void to_json(nlohmann::json& json, const GuardState& state);
void from_json(const nlohmann::json& json, GuardState& state);

}  // namespace polyphase
