// SPDX-License-Identifier: Apache-2.0
#include "control/run_folder.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/log.hpp"
#include "control/round_states.hpp"
#include "io/checkpoint.hpp"
#include "io/file.hpp"
#include "recipe/goals.hpp"
#include "recipe/load.hpp"
#include "recipe/other_run.hpp"
#include "report/starts.hpp"

namespace polyphase {
namespace {

constexpr const char* kLock = "run.lock";        // of the run, or of a round that is trained alone
constexpr const char* kStatus = "status.json";   // likewise
constexpr const char* kDiscarded = "discarded";  // a round's folder while it is removed

nlohmann::json others_json(const std::vector<report::OtherPhase>& others) {
  nlohmann::json list = nlohmann::json::array();
  for (const report::OtherPhase& other : others)
    list.push_back({{"run", other.run}, {"phase", other.phase}, {"lineage", other.lineage}});
  return list;
}

nlohmann::json phase_json(const report::PhaseState& phase) {
  // JSON has no not-a-number: such a metric is written as text, as in metrics.jsonl.
  nlohmann::json metrics = nlohmann::json::object();
  for (const auto& [name, value] : phase.metrics) {
    if (std::isfinite(value)) {
      metrics[name] = value;
    } else {
      metrics[name] = fmt::format("{}", value);
    }
  }
  return {{"name", phase.name},
          {"state", phase.state},
          {"round", phase.round},
          {"folder", phase.folder},
          {"from", phase.from},
          {"from_folder", phase.from_folder},
          {"teacher_folder", phase.teacher_folder},
          {"others", others_json(phase.others)},
          {"task", phase.task},
          {"step", phase.step},
          {"total_steps", phase.total_steps},
          {"samples", phase.samples},
          {"tokens", phase.tokens},
          {"seconds", phase.seconds},
          {"share", phase.share},
          {"metrics", metrics},
          {"handover",
           {{"carried", phase.handover.carried},
            {"copied", phase.handover.copied},
            {"new", phase.handover.fresh},
            {"left", phase.handover.left},
            {"state", phase.handover.state}}},
          {"reason", phase.reason}};
}

// A status that cannot be read is no loss: the phases' checkpoints tell where they stand.
report::RunState state_before(const std::filesystem::path& run_folder) {
  try {
    return report::run_state_so_far(run_folder);
  } catch (const DataError& error) {
    log_warning("{}; every phase is looked at anew", error.what());
    return {};
  }
}

// What an earlier version of the program wrote, with the keys that it did not know yet at their
// defaults; the text itself where it cannot be read as a recipe.
std::string read_today(const std::string& stored) {
  try {
    return recipe::resolved(recipe::parse(stored, "the run's recipe"));
  } catch (const RecipeError&) {
    return stored;
  }
}

}  // namespace

void refuse_changed_recipe(const std::filesystem::path& run_folder, const recipe::Recipe& recipe) {
  const std::filesystem::path stored = run_folder / "recipe.yaml";
  if (!std::filesystem::exists(stored)) return;
  const std::string before = read_today(read_file(stored)), now = recipe::resolved(recipe);
  std::vector<std::string> changes;
  try {
    changes = recipe::differences(before, now);
  } catch (const RecipeError& error) {
    fail<DataError>(
        "{} cannot be read back ({}); put back the file that this run wrote, or remove it when the "
        "recipe is surely the same",
        stored.string(), error.what());
  }
  if (changes.empty()) return;
  std::string list;
  for (const std::string& change : changes) list += "\n  " + change;
  fail<RecipeError>(
      "{} was started with another recipe:{}\nundo the change, or name another folder (--set "
      "run_dir=…)",
      stored.parent_path().string(), list);
}

std::filesystem::path run_folder_of(const recipe::Recipe& recipe) {
  return recipe.run_dir.empty() ? "runs/" + recipe.name : recipe.run_dir;
}

std::unique_ptr<RunLock> lock_run_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    fail<SystemError>("cannot make the run folder {}: {}; name another with --set run_dir=…",
                      folder.string(), error.message());
  }
  auto lock = std::make_unique<RunLock>(folder / kLock);
  for (const std::filesystem::path& round : report::round_folders(folder))
    require_free(round / kLock);
  return lock;
}

RunFolder::RunFolder(const recipe::Recipe& recipe)
    : path_(run_folder_of(recipe)), lock_(lock_run_folder(path_)) {
  refuse_changed_recipe(path_, recipe);
  write_file_atomically(path_ / "recipe.yaml", recipe::resolved(recipe));

  std::error_code ignored;  // of a job that was killed while it removed it
  std::filesystem::remove_all(path_ / kDiscarded, ignored);
  before_ = state_before(path_).phases;
  state_.name = recipe.name;
  state_.recipe_hash = recipe::recipe_hash(recipe);
  state_.version = program_version();
}

// Each of both takes its own lock before it looks at the other's: they never work at once.
RunFolder::RunFolder(const recipe::Recipe& recipe, std::int64_t round)
    : path_(run_folder_of(recipe)), round_(round) {
  if (!std::filesystem::exists(report::round_folder(path_, round))) {
    fail<RecipeError>("{}: no round {} is to be trained; `polyphase status` shows the rounds",
                      path_.string(), round);
  }
  lock_ = std::make_unique<RunLock>(report::round_folder(path_, round) / kLock);
  require_free(path_ / kLock);
  refuse_changed_recipe(path_, recipe);
  before_ = state_before(path_).phases;
  state_.name = recipe.name;
  state_.recipe_hash = recipe::recipe_hash(recipe);
  state_.version = program_version();
}

void RunFolder::add_phases(const Round& round, const recipe::Recipe& recipe) {
  for (const PhaseUse& use : round.phases) {
    if (use.round != round.number || is_added(use.folder)) continue;  // that round's own
    report::PhaseState phase;
    for (const report::PhaseState& known : before_) {
      if (known.folder == use.folder) phase = known;
    }
    phase.name = use.name;
    phase.round = use.round;
    phase.folder = use.folder;
    phase.from = recipe.phases[use.number].from;
    if (const auto& other = recipe.phases[use.number].from_run)
      phase.from = recipe::other_run_name(*other);
    const PhaseUse* from = round.find(recipe.phases[use.number].from);
    phase.from_folder = from == nullptr ? "" : from->folder;
    const auto& distil = recipe.phases[use.number].adaptation.distil;
    const PhaseUse* teacher = distil ? round.find(distil->teacher) : nullptr;
    phase.teacher_folder = teacher == nullptr ? "" : teacher->folder;
    phase.task = recipe::goal_name(recipe.phases[use.number]);
    if (phase.state == "running") {  // its job was killed
      phase.state = "interrupted";
      phase.reason = "the job that ran it ended without a word";
    }
    // In the order of rounds, also where one is added again.
    const auto later = std::find_if(
        state_.phases.begin(), state_.phases.end(),
        [&round](const report::PhaseState& other) { return other.round > round.number; });
    state_.phases.insert(later, std::move(phase));
  }
}

bool RunFolder::is_added(const std::string& folder) const {
  return std::any_of(state_.phases.begin(), state_.phases.end(),
                     [&folder](const report::PhaseState& phase) { return phase.folder == folder; });
}

// Renamed first: what is half removed must not be taken for a round that was begun.
void RunFolder::discard(std::int64_t round) {
  const std::filesystem::path folder = report::round_folder(path_, round);
  const std::filesystem::path discarded = path_ / kDiscarded;
  std::error_code error;
  std::filesystem::remove_all(discarded, error);
  if (!error && std::filesystem::exists(folder)) std::filesystem::rename(folder, discarded, error);
  if (!error) std::filesystem::remove_all(discarded, error);
  if (error) {
    fail<SystemError>("{}: cannot be removed: {}; check permissions and disk", folder.string(),
                      error.message());
  }
  const auto is_of_round = [&](const report::PhaseState& phase) { return phase.round == round; };
  std::erase_if(state_.phases, is_of_round);
  std::erase_if(before_, is_of_round);
}

void RunFolder::set_rounds(const report::RoundsState& rounds) {
  state_.rounds = rounds;
  write_status();
  if (!took_in_ && round_ == 0) take_in_rounds();
}

// What status.json says now need not be said of the rounds once more, and must not hide what it
// will say.
void RunFolder::take_in_rounds() {
  took_in_ = true;
  std::error_code ignored;
  for (const std::filesystem::path& round : report::round_folders(path_))
    std::filesystem::remove(round / kStatus, ignored);
}

report::PhaseState& RunFolder::find(const std::string& folder) {
  for (report::PhaseState& phase : state_.phases) {
    if (phase.folder == folder) return phase;
  }
  broken_promise(__FILE__, __LINE__, "a phase that no round has: " + folder);
}

bool RunFolder::is_needed(const report::PhaseState& phase) const {
  for (const report::PhaseState& child : state_.phases) {
    const bool needs = child.from_folder == phase.folder || child.teacher_folder == phase.folder;
    if (needs && child.state != "done") return phase.state == "done";
  }
  return false;
}

bool RunFolder::has_last_checkpoint(const report::PhaseState& phase) const {
  const std::vector<CheckpointEntry> complete =
      find_checkpoints(path_ / phase.folder / "checkpoints");
  return !complete.empty() && complete.back().step == phase.step;
}

const Lineage* RunFolder::taken(const recipe::OtherRun& other) const {
  for (const report::PhaseState& phase : state_.phases) {
    for (const report::OtherPhase& known : phase.others) {
      if (known.run == other.run && known.phase == other.phase) return &known.lineage;
    }
  }
  return nullptr;
}

void RunFolder::take(report::PhaseState& phase, const recipe::OtherRun& other,
                     const Lineage& lineage) {
  for (const report::OtherPhase& known : phase.others) {
    if (known.run == other.run && known.phase == other.phase) return;
  }
  phase.others.push_back({other.run, other.phase, lineage});
}

void RunFolder::set_state(report::PhaseState& phase, const std::string& state,
                          const std::string& reason) {
  phase.state = state;
  phase.reason = reason;
  write_status();
}

void RunFolder::write_status() const {
  nlohmann::json json = {{"name", state_.name},
                         {"recipe_hash", state_.recipe_hash},
                         {"version", state_.version},
                         {"phases", nlohmann::json::array()}};
  for (const report::PhaseState& phase : state_.phases) {
    if (round_ == 0 || phase.round == round_) json["phases"].push_back(phase_json(phase));
  }
  if (!state_.rounds.rounds.empty()) json["iterate"] = to_status(state_.rounds);
  const auto folder = round_ == 0 ? path_ : report::round_folder(path_, round_);
  write_file_atomically(folder / kStatus, json.dump(1));
}

}  // namespace polyphase
