// SPDX-License-Identifier: Apache-2.0
#include "report/status_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "report/format.hpp"
#include "report/history.hpp"
#include "report/plateau.hpp"
#include "report/rounds.hpp"
#include "report/run_state.hpp"
#include "report/table.hpp"

namespace polyphase::report {

namespace {

std::string tables_of(const RunState& run, const std::filesystem::path& run_folder, int columns) {
  return phase_table(run, columns) + plateau_notes(run, run_folder) +
         rounds_text(run.rounds, columns);
}

// " of 300, about 0:05 left; loss 3.68, 12.6 k tokens/s; step 100: valid.f1 0.6, valid.loss 3.5".
std::string outlook(const History& history, std::int64_t total_steps) {
  std::string text;
  constexpr std::size_t kRecent = 100;  // steps, so that one slow one counts for little
  std::vector<double> recent;
  const Points& steps = history.step_seconds;
  for (std::size_t i = steps.size(); i > 0 && recent.size() < kRecent; --i) {
    // A record of a phase that makes a corpus covers several steps.
    const double before = i > 1 ? steps[i - 2].x : 0;
    recent.push_back(steps[i - 1].y / std::max(1.0, steps[i - 1].x - before));
  }
  if (!recent.empty() && total_steps > history.last_step) {
    const auto middle = recent.begin() + static_cast<std::ptrdiff_t>(recent.size() / 2);
    std::nth_element(recent.begin(), middle, recent.end());
    text +=
        fmt::format(" of {}, about {} left", total_steps,
                    duration_text(*middle * static_cast<double>(total_steps - history.last_step)));
  }
  const auto loss = history.losses.find("loss");
  if (loss != history.losses.end() && !loss->second.empty())
    text += fmt::format("; loss {}", value_text(loss->second.back().y));
  if (!history.tokens_per_second.empty())
    text += fmt::format(", {} tokens/s", quantity_text(history.tokens_per_second.back().y));
  std::vector<std::string> metrics;
  double step = 0;
  for (const auto& [name, points] : history.evaluations) {
    if (points.empty()) continue;
    step = std::max(step, points.back().x);
    metrics.push_back(fmt::format("{} {}", name, value_text(points.back().y)));
  }
  if (!metrics.empty()) text += fmt::format("; step {:.0f}: {}", step, fmt::join(metrics, ", "));
  return text;
}

}  // namespace

std::string tables_text(const std::filesystem::path& run_folder, int columns) {
  return tables_of(read_run_state(run_folder), run_folder, columns);
}

std::string status_text(const std::filesystem::path& run_folder, int columns) {
  const RunState run = read_run_state(run_folder);
  const auto done = std::count_if(run.phases.begin(), run.phases.end(),
                                  [](const PhaseState& phase) { return phase.state == "done"; });
  std::string text = fmt::format("{}: {} of {} phases done", run.name, done, run.phases.size());
  if (!run.recipe_hash.empty()) text += fmt::format(" · recipe {}", run.recipe_hash.substr(0, 12));
  if (!run.version.empty()) text += fmt::format(" · polyphase {}", run.version);
  text += "\n\n" + tables_of(run, run_folder, columns);
  for (const PhaseState& phase : run.phases) {
    const std::string name = run.rounds.rounds.size() > 1
                                 ? fmt::format("{} (round {})", phase.name, phase.round)
                                 : phase.name;
    if (phase.state == "running") {  // status.json hears of its steps only at the end
      const History history = read_history(run_folder / phase.folder / "metrics.jsonl");
      text += fmt::format("\n{}: running, or killed while it ran; step {} is done{}\n", name,
                          history.last_step, outlook(history, phase.total_steps));
    }
    if (phase.state != "interrupted" && phase.state != "failed" && phase.state != "rejected")
      continue;
    text +=
        fmt::format("\n{}: {} at step {} of {}", name, phase.state, phase.step, phase.total_steps);
    if (!phase.reason.empty()) text += ": " + phase.reason;
    if (phase.state == "interrupted") text += "; the same command goes on from there";
    text += "\n";
  }
  return text;
}

}  // namespace polyphase::report
