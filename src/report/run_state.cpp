// SPDX-License-Identifier: Apache-2.0
#include "report/run_state.hpp"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.hpp"
#include "io/json.hpp"

namespace polyphase::report {

namespace {

using nlohmann::json;

std::string text_or(const json& object, const char* key, const std::string& otherwise = {}) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? otherwise : found->get<std::string>();
}

template <class Number>
Number number_of(const json& object, const char* key, Number otherwise) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? otherwise : found->get<Number>();
}

// JSON has no word for not-a-number: writers leave null, or a text such as "nan".
double metric_of(const json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string() && value == "inf") return std::numeric_limits<double>::infinity();
  if (value.is_string() && value == "-inf") return -std::numeric_limits<double>::infinity();
  return std::numeric_limits<double>::quiet_NaN();
}

std::vector<std::string> names_of(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  return found->get<std::vector<std::string>>();
}

PhaseState phase_of(const json& object) {
  PhaseState phase;
  phase.name = text_or(object, "name");
  phase.state = text_or(object, "state", phase.state);
  phase.round = number_of(object, "round", phase.round);
  phase.folder = text_or(object, "folder");
  phase.from = text_or(object, "from");
  phase.from_folder = text_or(object, "from_folder");
  phase.teacher_folder = text_or(object, "teacher_folder");
  for (const json& other : object.value("others", json::array()))
    phase.others.push_back({text_or(other, "run"), text_or(other, "phase"), other.at("lineage")});
  phase.task = text_or(object, "task");
  phase.step = number_of(object, "step", phase.step);
  phase.total_steps = number_of(object, "total_steps", phase.total_steps);
  phase.samples = number_of(object, "samples", phase.samples);
  phase.tokens = number_of(object, "tokens", phase.tokens);
  phase.seconds = number_of(object, "seconds", phase.seconds);
  phase.share = number_of(object, "share", phase.share);
  phase.reason = text_or(object, "reason");
  const json metrics = object.value("metrics", json::object());
  for (const auto& [name, value] : metrics.items()) phase.metrics[name] = metric_of(value);
  const json handover = object.value("handover", json::object());
  if (handover.is_object()) {
    phase.handover = {.carried = names_of(handover, "carried"),
                      .copied = names_of(handover, "copied"),
                      .fresh = names_of(handover, "new"),
                      .left = names_of(handover, "left"),
                      .state = names_of(handover, "state")};
  }
  return phase;
}

RoundState round_of(const json& object) {
  RoundState round;
  round.number = number_of(object, "round", round.number);
  round.parent = number_of(object, "parent", round.parent);
  round.state = text_or(object, "state", round.state);
  round.adds = text_or(object, "adds");
  round.changes = names_of(object, "changes");
  round.considered = names_of(object, "considered");
  round.score = metric_of(object.value("score", json()));
  round.reason = text_or(object, "reason");
  const json folders = object.value("folders", json::object());
  for (const auto& [name, folder] : folders.items())
    round.folders[name] = folder.get<std::string>();
  return round;
}

RoundsState rounds_of(const json& object) {
  RoundsState rounds;
  if (!object.is_object()) return rounds;
  rounds.phase = text_or(object, "phase");
  rounds.metric = text_or(object, "metric");
  rounds.target = text_or(object, "target");
  rounds.ended = text_or(object, "ended");
  rounds.considered = names_of(object, "considered");
  rounds.best = number_of(object, "best", rounds.best);
  for (const json& round : object.value("rounds", json::array()))
    rounds.rounds.push_back(round_of(round));
  return rounds;
}

}  // namespace

const RoundState* find_round(const RoundsState& rounds, std::int64_t number) {
  for (const RoundState& round : rounds.rounds) {
    if (round.number == number) return &round;
  }
  return nullptr;
}

namespace {

// False: there is no such file.
bool read_status(const std::filesystem::path& path, RunState& run) {
  std::ifstream file(path);
  if (!file) return false;
  std::stringstream text;
  text << file.rdbuf();
  try {
    const json status = parse_json(text.str());
    run = {};
    run.name = text_or(status, "name");
    run.recipe_hash = text_or(status, "recipe_hash");
    run.version = text_or(status, "version");
    for (const json& phase : status.value("phases", json::array()))
      run.phases.push_back(phase_of(phase));
    run.rounds = rounds_of(status.value("iterate", json()));
    return true;
  } catch (const json::exception& error) {
    fail<DataError>(
        "{}: not the status of a run ({}); run the recipe again to have it written anew",
        path.string(), error.what());
  }
}

}  // namespace

RunState read_run_state(const std::filesystem::path& run_folder) {
  const std::filesystem::path path = run_folder / "status.json";
  RunState run;
  if (!read_status(path, run)) {
    fail<DataError>("{}: cannot be read; is {} the folder of a run?", path.string(),
                    run_folder.string());
  }
  std::map<std::int64_t, RunState> alone;
  for (PhaseState& phase : run.phases) {
    const auto [entry, is_new] = alone.try_emplace(phase.round);
    if (is_new) read_status(round_folder(run_folder, phase.round) / "status.json", entry->second);
    for (const PhaseState& known : entry->second.phases) {
      if (known.folder == phase.folder) phase = known;
    }
  }
  return run;
}

std::filesystem::path round_folder(const std::filesystem::path& run_folder, std::int64_t round) {
  return run_folder / fmt::format("round-{}", round);
}

RunState run_state_so_far(const std::filesystem::path& run_folder) {
  std::error_code ignored;
  if (!std::filesystem::exists(run_folder / "status.json", ignored)) return {};
  return read_run_state(run_folder);
}

}  // namespace polyphase::report
