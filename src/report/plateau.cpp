// SPDX-License-Identifier: Apache-2.0
#include "report/plateau.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace polyphase::report {
namespace {

constexpr double kClearlyNats = 0.1;
constexpr double kWindowFraction = 1.0 / 40, kMinWindow = 10;  // of the steps; in steps

}  // namespace

std::optional<Plateau> plateau_of(const History& history) {
  const auto losses = history.losses.find("mlm");
  if (!history.unigram_nats || losses == history.losses.end()) return std::nullopt;
  Plateau plateau = {.nats = *history.unigram_nats, .passed_step = std::nullopt};
  const double num_steps = static_cast<double>(losses->second.size());
  const double window = std::max(kMinWindow, kWindowFraction * num_steps);
  double num_points = 0;
  for (const Point& point : smoothed(losses->second, window)) {
    // Before a window is full, a single step counts for too much.
    if (++num_points < window || !(point.y < plateau.nats - kClearlyNats)) continue;
    plateau.passed_step = static_cast<std::int64_t>(point.x);
    break;
  }
  return plateau;
}

std::string plateau_text(const Plateau& plateau) {
  if (plateau.passed_step) {
    return fmt::format("passed the unigram plateau ({:.2f} nats) at step {}", plateau.nats,
                       *plateau.passed_step);
  }
  return fmt::format(
      "still on the unigram plateau ({:.2f} nats): a longer pretraining, a higher learning rate or "
      "shorter rows help",
      plateau.nats);
}

std::string plateau_notes(const RunState& run, const std::filesystem::path& run_folder) {
  std::string notes;
  for (const PhaseState& phase : run.phases) {
    if (phase.step == 0 || phase.task.find("mlm") == std::string::npos) continue;
    const auto plateau = plateau_of(read_history(run_folder / phase.folder / "metrics.jsonl"));
    if (plateau) notes += fmt::format("{}: {}\n", phase.name, plateau_text(*plateau));
  }
  return notes;
}

}  // namespace polyphase::report
