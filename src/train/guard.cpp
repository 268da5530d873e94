// SPDX-License-Identifier: Apache-2.0
#include "train/guard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace polyphase {
namespace {

constexpr std::size_t kFewestLosses = 20, kMostLosses = 64;

// Of an even number of values, the upper of the two in the middle.
double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

void LossHistory::add(double loss) {
  if (losses.size() == kMostLosses) losses.erase(losses.begin());
  losses.push_back(loss);
}

std::optional<std::string> fault_of_step(const recipe::Guard& guard, const LossHistory& history,
                                         double loss, double grad_norm) {
  if (!std::isfinite(loss)) return fmt::format("the loss is {}", loss);
  if (!std::isfinite(grad_norm)) return fmt::format("the norm of the gradients is {}", grad_norm);
  if (guard.spike == 0 || history.losses.size() < kFewestLosses) return std::nullopt;
  const double middle = median(history.losses);
  std::vector<double> distances;
  for (const double before : history.losses) distances.push_back(std::abs(before - middle));
  const double deviation = std::max(1.4826 * median(distances), 0.01 * std::abs(middle));
  if (loss <= middle + guard.spike * deviation) return std::nullopt;
  return fmt::format("the loss of {:.4g} is above {:.4g} (median {:.4g} + {} × {:.4g})", loss,
                     middle + guard.spike * deviation, middle, guard.spike, deviation);
}

GuardState roll_back(const recipe::Guard& guard, const GuardState& checkpoint,
                     const GuardState& before, std::int64_t checkpoint_step,
                     std::int64_t failed_step) {
  GuardState state = checkpoint;
  state.skipped_in_a_row = 0;
  state.num_skipped = before.num_skipped;
  state.num_rollbacks = before.num_rollbacks + 1;
  if (guard.skip_data) state.data_offset = before.data_offset + failed_step - checkpoint_step;
  return state;
}

void to_json(nlohmann::json& json, const GuardState& state) {
  json = {{"losses", state.losses.losses},
          {"skipped_in_a_row", state.skipped_in_a_row},
          {"num_skipped", state.num_skipped},
          {"num_rollbacks", state.num_rollbacks},
          {"data_offset", state.data_offset}};
}

void from_json(const nlohmann::json& json, GuardState& state) {
  json.at("losses").get_to(state.losses.losses);
  json.at("skipped_in_a_row").get_to(state.skipped_in_a_row);
  json.at("num_skipped").get_to(state.num_skipped);
  json.at("num_rollbacks").get_to(state.num_rollbacks);
  json.at("data_offset").get_to(state.data_offset);
}

}  // namespace polyphase
