// SPDX-License-Identifier: Apache-2.0
#include "report/status_text.hpp"

#include <fmt/format.h>

#include <algorithm>

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
    if (phase.state == "running") {  // status.json hears of its steps only at the end
      const History history = read_history(run_folder / phase.folder / "metrics.jsonl");
      text += fmt::format("\n{}: running, or killed while it ran; step {} is done\n", phase.name,
                          history.last_step);
    }
    if (phase.state != "interrupted" && phase.state != "failed" && phase.state != "rejected")
      continue;
    text += fmt::format("\n{}: {} at step {} of {}", phase.name, phase.state, phase.step,
                        phase.total_steps);
    if (!phase.reason.empty()) text += ": " + phase.reason;
    if (phase.state == "interrupted") text += "; the same command goes on from there";
    text += "\n";
  }
  return text;
}

}  // namespace polyphase::report
