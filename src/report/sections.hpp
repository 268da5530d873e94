// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/history.hpp"
#include "report/run_state.hpp"
#include "report/starts.hpp"

// The parts of the reports, each a piece of well-formed HTML, or empty when there is nothing to
// show.
namespace polyphase::report {

// A run and, phase by phase, its curves.
struct RunRecord {
  std::filesystem::path folder;
  RunState run;
  std::vector<History> histories;  // one a phase
  std::vector<Start> starts;
};

// DataError when status.json is not readable.
RunRecord read_record(const std::filesystem::path& run_folder);

// "topic", or "topic · round 2" in a run of several rounds.
std::string phase_label(const RunState& run, const PhaseState& phase);

// Class of the style sheet for an objective or task: the same colour on every chart of the page.
int colour_of(const std::string& objective);

std::string header_section(const RunState& run);
std::string facts_section(const RunState& run);
std::string table_section(const RunRecord& record);
// Phases that were measured alike, side by side: what pretraining and the tasks between gained.
std::string gains_section(const RunState& run);
// Loss, learning rate and throughput over all steps of the run.
std::string run_charts_section(const RunRecord& record);
// A card a phase: its curves, what it took over, what happened.
std::string phases_section(const RunRecord& record);
// When jobs worked on the run, how they ended, and when they saved.
std::string jobs_section(const RunRecord& record);
std::string recipe_section(const std::string& recipe_yaml);
std::string footer_section(const RunState& run);

}  // namespace polyphase::report
