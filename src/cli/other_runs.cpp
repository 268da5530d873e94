// SPDX-License-Identifier: Apache-2.0
#include "cli/other_runs.hpp"

#include <functional>
#include <set>
#include <system_error>

#include "base/error.hpp"
#include "control/run_folder.hpp"
#include "corpus/prepare_tokenizer.hpp"
#include "io/checkpoint.hpp"
#include "predict/trained_phase.hpp"
#include "recipe/load.hpp"
#include "recipe/search.hpp"
#include "recipe/teacher_cuts.hpp"
#include "recipe/variants.hpp"
#include "report/run_state.hpp"
#include "train/phase_result.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;
using recipe::OtherRun;
using recipe::OtherRunRole;
using recipe::OtherRunUse;

std::string states_of(const std::vector<report::PhaseState>& phases) {
  std::vector<std::string> words;
  for (const report::PhaseState& phase : phases)
    words.push_back(fmt::format("{} ({})", phase.name, phase.state));
  return fmt::format("{}", fmt::join(words, ", "));
}

// A teacher is split as this run's model is, and reads the same batches. One that is asked
// beforehand is whole on every stage.
void check_split(const recipe::Recipe& recipe, const OtherRunUse& use, recipe::Recipe theirs,
                 recipe::Phase their_phase, std::int64_t num_ranks) {
  const recipe::Phase& phase = recipe.phases[use.phase_number];
  their_phase.batch = phase.batch;
  their_phase.adaptation.distil.reset();
  theirs.phases.clear();
  if (!phase.adaptation.distil->kept) theirs.phases.push_back(their_phase);
  theirs.parallel = recipe.parallel;
  theirs.places.clear();
  theirs.name = recipe::other_run_name(use.other);
  if (num_ranks % recipe.parallel.ranks_of_copy() != 0) return;  // a fault of its own
  recipe::check_layout(theirs, num_ranks);
  const std::string fault = recipe::teacher_cut_fault(recipe, use.phase_number, theirs.name,
                                                      recipe::model_of(theirs, their_phase));
  if (!fault.empty()) fail<RecipeError>("{}", fault);
}

// The phase that is named, of the best round that has it; else the target's of a run with rounds,
// else the only one that is finished.
const report::PhaseState& chosen_phase(const report::RunState& run, const OtherRun& other,
                                       const fs::path& folder) {
  const std::string name = other.phase.empty() ? run.rounds.phase : other.phase;
  const report::RoundState* best = report::find_round(run.rounds, run.rounds.best);
  const report::PhaseState* found = nullptr;
  std::int64_t num_found = 0;
  for (const report::PhaseState& phase : run.phases) {
    const bool fits = name.empty() ? phase.state == "done" && phase.trains() : phase.name == name;
    if (!fits) continue;
    found = &phase;
    ++num_found;
    if (best == nullptr || !best->folders.contains(name)) continue;
    if (best->folders.at(name) == phase.folder) return phase;
  }
  if (found == nullptr) {
    fail<RecipeError>("the run {} has no {}phase{}; it has {}", folder.string(),
                      name.empty() ? "finished " : "", name.empty() ? "" : " " + name,
                      states_of(run.phases));
  }
  if (name.empty() && num_found > 1) {
    fail<RecipeError>(
        "the run {} has several finished phases: {}; say which: {{run: {}, phase: {}}}",
        folder.string(), states_of(run.phases), other.run, found->name);
  }
  return *found;
}

fs::path run_folder_named(const recipe::Recipe& recipe, const OtherRun& other) {
  const fs::path folder = recipe::absolute_path(recipe, other.run);
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    fail<RecipeError>("there is no folder {}; the path of a run starts from the recipe's folder {}",
                      folder.string(), recipe.folder);
  }
  if (fs::exists(folder / "manifest.json", error)) {
    fail<RecipeError>("{} is one checkpoint; give the folder of its run, and the phase",
                      folder.string());
  }
  if (!fs::exists(folder / "recipe.yaml", error) || !fs::exists(folder / "status.json", error)) {
    fail<RecipeError>(
        "{} is not the folder of a run: it has no recipe.yaml with a status.json; give the run_dir "
        "of a recipe that was trained",
        folder.string());
  }
  if (fs::equivalent(folder, run_folder_of(recipe), error)) {
    fail<RecipeError>("{} is the folder of this run; name an earlier phase alone", folder.string());
  }
  return folder;
}

std::string tokenizer_fault(const OtherRun& other, const OtherRunPhase& found,
                            const std::string& digest) {
  return fmt::format(
      "{} was trained with the tokenizer {} ({} pieces), this recipe's is {}; write tokenizer: "
      "{{model: {}}}, or leave the section tokenizer out",
      recipe::other_run_name(other), found.tokenizer, found.vocab_size, digest,
      recipe::tokenizer_of_run(other.run));
}

// Faults of one recipe's uses of other runs.
class OtherRunsCheck {
 public:
  OtherRunsCheck(const recipe::Recipe& recipe, std::int64_t num_ranks,
                 const report::RunState& before, std::set<std::string>& whole)
      : recipe_(recipe), num_ranks_(num_ranks), before_(before), whole_(whole) {}

  void check_all() {
    for (const OtherRunUse& use : recipe::uses_of_other_runs(recipe_)) {
      if (!is_needed(use)) continue;
      try {
        check(use);
      } catch (const RecipeError& error) {
        add(use, error.what());
      } catch (const DataError& error) {
        damaged(use, error.what());
      }
    }
    faults_.throw_if_any();
    for (const auto& verify : verifications_) verify();
  }

  bool is_needed(const OtherRunUse& use) const {
    const recipe::Phase& phase = recipe_.phases[use.phase_number];
    for (const report::PhaseState& known : before_.phases) {
      if (known.name != phase.name || !has_taken(known, use.other)) continue;
      const fs::path folder = run_folder_of(recipe_) / known.folder;
      if (known.state == "done" && use.role == OtherRunRole::kTeacher) return false;
      if (use.role == OtherRunRole::kParent && !find_checkpoints(checkpoints_of(folder)).empty())
        return false;
    }
    return true;
  }

 private:
  static bool has_taken(const report::PhaseState& phase, const OtherRun& other) {
    for (const report::OtherPhase& known : phase.others) {
      if (known.run == other.run && known.phase == other.phase) return true;
    }
    return false;
  }

  void add(const OtherRunUse& use, const std::string& message) {
    faults_.add(recipe::place_of(recipe_, use),
                fmt::format("{}: {}", recipe::key_of(recipe_, use), message));
  }

  void check(const OtherRunUse& use) {
    const OtherRunPhase found = find_other_run_phase(recipe_, use.other);
    require_unchanged(use, found);
    const recipe::Recipe theirs = recipe::parse(found.recipe, found.folder);
    const recipe::Phase* phase = recipe::find_phase(theirs, found.phase);
    POLYPHASE_PROMISE(phase != nullptr, "{} lacks {}", found.folder, found.phase);
    recipe::check_other_run(recipe_, use, theirs, *phase, faults_);
    if (use.role == OtherRunRole::kTeacher) check_split(recipe_, use, theirs, *phase, num_ranks_);
    check_given_tokenizer(use, found);
    verifications_.push_back([this, use, found] { verify(use, found); });
  }

  void require_unchanged(const OtherRunUse& use, const OtherRunPhase& found) {
    for (const report::PhaseState& phase : before_.phases) {
      for (const report::OtherPhase& known : phase.others) {
        if (known.run != use.other.run || known.phase != use.other.phase ||
            known.lineage.digest == found.lineage.digest)
          continue;
        fail<RecipeError>(
            "{} has changed since this run took it: then {} with the digest {}, now {} with {}; "
            "bring that checkpoint back, or begin a new run (--set run_dir=…)",
            recipe::other_run_name(use.other), checkpoint_name(known.lineage.step),
            known.lineage.digest, checkpoint_name(found.lineage.step), found.lineage.digest);
      }
    }
  }

  // A model that is given can be looked at before anything is prepared.
  void check_given_tokenizer(const OtherRunUse& use, const OtherRunPhase& found) {
    if (recipe_.tokenizer.model.empty()) return;
    const std::string path = recipe::absolute_path(recipe_, recipe_.tokenizer.model);
    if (!fs::is_regular_file(path)) return;  // a fault of its own
    const std::string digest = text::Tokenizer::load(path).digest();
    if (digest != found.tokenizer) add(use, tokenizer_fault(use.other, found, digest));
  }

  void verify(const OtherRunUse& use, const OtherRunPhase& found) {
    if (!whole_.insert(found.checkpoint).second) return;
    const std::vector<std::string> faults = verify_checkpoint(found.checkpoint);
    if (faults.empty()) return;
    damaged(use, fmt::format(
                     "the checkpoint of {} is damaged:\n{}\nremove the folder {}, and the other "
                     "run's command makes the end of its phase again",
                     recipe::other_run_name(use.other), fmt::join(faults, "\n"), found.checkpoint));
  }

  [[noreturn]] void damaged(const OtherRunUse& use, const std::string& message) const {
    fail<DataError>("{}: {}: {}", recipe::place_of(recipe_, use).text, recipe::key_of(recipe_, use),
                    message);
  }

  const recipe::Recipe& recipe_;
  std::int64_t num_ranks_;
  const report::RunState& before_;
  std::set<std::string>& whole_;  // checkpoints that were read to the end
  recipe::Faults faults_;
  std::vector<std::function<void()>> verifications_;
};

// What this run's own folder says of the jobs before.
report::RunState state_before(const recipe::Recipe& recipe) {
  try {
    return report::run_state_so_far(run_folder_of(recipe));
  } catch (const DataError&) {
    return {};  // the job that locks the folder tells of it
  }
}

}  // namespace

OtherRunPhase find_other_run_phase(const recipe::Recipe& recipe, const OtherRun& other) {
  const fs::path folder = run_folder_named(recipe, other);
  const report::RunState run = report::read_run_state(folder);
  const report::PhaseState& phase = chosen_phase(run, other, folder);
  if (!phase.trains()) {
    fail<RecipeError>(
        "phase {} of the run {} makes a corpus and has no model; name {}, whose model "
        "makes it",
        phase.name, folder.string(), phase.from);
  }
  if (phase.state != "done") {
    fail<RecipeError>(
        "phase {} of the run {} is {}{}; let that run finish it first: the same command as before "
        "goes on with it",
        phase.name, folder.string(), phase.state,
        phase.total_steps > 0 ? fmt::format(" at step {} of {}", phase.step, phase.total_steps)
                              : "");
  }
  // An older checkpoint must not pass for the result.
  const std::vector<CheckpointEntry> complete =
      find_checkpoints(checkpoints_of(folder / phase.folder));
  if (complete.empty() || complete.back().step != phase.step) {
    fail<DataError>(
        "phase {} of the run {} ended at step {}, whose checkpoint is missing or has a damaged "
        "manifest; that run's command makes the end of the phase again",
        phase.name, folder.string(), phase.step);
  }
  const FoundPhase files = find_trained_phase(
      {.run = folder, .phase = phase.name, .tensor = 0, .round = 0, .folder = phase.folder});
  OtherRunPhase found = {.recipe = files.recipe,
                         .phase = files.phase,
                         .folder = (folder / phase.folder).string(),
                         .checkpoint = files.checkpoint,
                         .tokenizer = "",
                         .vocab_size = 0,
                         .lineage = lineage_of_checkpoint(files.checkpoint)};
  const nlohmann::json state = CheckpointReader(files.checkpoint).state();
  const nlohmann::json data = state.value("data", nlohmann::json::object());
  found.tokenizer = data.value("tokenizer", "");
  found.vocab_size = data.value("vocab_size", std::int64_t{0});
  if (found.lineage.run.empty()) found.lineage.run = run.name;
  return found;
}

void check_teacher_layouts(const recipe::Recipe& recipe, std::int64_t num_ranks) {
  for (const OtherRunUse& use : recipe::uses_of_other_runs(recipe)) {
    if (use.role != OtherRunRole::kTeacher) continue;
    const OtherRunPhase found = find_other_run_phase(recipe, use.other);
    const recipe::Recipe theirs = recipe::parse(found.recipe, found.folder);
    check_split(recipe, use, theirs, *recipe::find_phase(theirs, found.phase), num_ranks);
  }
}

void check_other_runs(const recipe::Recipe& recipe, std::int64_t num_ranks) {
  const report::RunState before = state_before(recipe);
  std::set<std::string> whole;
  OtherRunsCheck(recipe, num_ranks, before, whole).check_all();
  if (!recipe.iterate) return;
  for (const recipe::Strategy& strategy : recipe::all_strategies(recipe)) {
    recipe::Recipe changed =
        recipe::variant_of(recipe, {.strategies = {strategy.name}, .gates = {}});
    changed.places.clear();
    changed.name = fmt::format("{}: strategy \"{}\"", recipe.name, strategy.name);
    OtherRunsCheck(changed, num_ranks, before, whole).check_all();
  }
}

void require_their_tokenizer(const recipe::Recipe& recipe, const fs::path& data_dir) {
  const report::RunState before = state_before(recipe);
  std::set<std::string> whole;
  const OtherRunsCheck check(recipe, 1, before, whole);
  recipe::Faults faults;
  for (const OtherRunUse& use : recipe::uses_of_other_runs(recipe)) {
    if (!check.is_needed(use)) continue;
    const OtherRunPhase found = find_other_run_phase(recipe, use.other);
    const std::string digest = prepare::load_tokenizer(data_dir).digest();
    if (digest == found.tokenizer) continue;
    faults.add(recipe::place_of(recipe, use),
               fmt::format("{}: {}", recipe::key_of(recipe, use),
                           tokenizer_fault(use.other, found, digest)));
  }
  faults.throw_if_any();
}

bool has_taken_tokenizer(const recipe::Recipe& recipe, const fs::path& data_dir) {
  std::error_code error;
  if (recipe.tokenizer.model.empty() || !fs::exists(prepare::tokenizer_path(data_dir), error))
    return false;
  std::string kept;
  try {
    kept = prepare::load_tokenizer(data_dir).digest();
  } catch (const DataError&) {
    return false;  // half written
  }
  const report::RunState before = state_before(recipe);
  for (const report::PhaseState& phase : before.phases) {
    for (const report::OtherPhase& other : phase.others) {
      if (other.lineage.tokenizer == kept) return true;
    }
  }
  return false;
}

}  // namespace polyphase
