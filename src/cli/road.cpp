// SPDX-License-Identifier: Apache-2.0
#include "cli/road.hpp"

#include <algorithm>
#include <cstdio>

#include "base/log.hpp"
#include "cli/judge_round.hpp"
#include "cli/other_runs.hpp"
#include "cli/shared_recipe.hpp"
#include "comm/agreement.hpp"
#include "control/next_jobs.hpp"
#include "control/verdict.hpp"
#include "io/checkpoint.hpp"
#include "io/made_corpus.hpp"
#include "predict/make_corpus.hpp"
#include "recipe/load.hpp"
#include "report/html.hpp"
#include "report/status_text.hpp"
#include "report/terminal.hpp"
#include "train/phase_result.hpp"
#include "train/step.hpp"

namespace polyphase {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Road::Road(const recipe::Recipe& recipe, const Communicator& world, const RoadOptions& options)
    : recipe_(recipe),
      world_(world),
      options_(options),
      stop_(recipe.limits.wall_time_seconds),
      grid_(make_grid(world, static_cast<int>(recipe.parallel.tensor),
                      static_cast<int>(recipe.parallel.pipeline))) {
  run_dir_ = from_rank_0(world, [&] {
    open();
    return folder_->path().string();
  });
  const std::string refusal = from_rank_0(world, [&] { return start_->refusal(); });
  if (!refusal.empty()) throw AgreedError(refusal, kNoProgress);
  RunFolder* const folder = folder_ ? &*folder_ : nullptr;
  notes_.emplace(world, folder, recipe.model.max_tokens);
  sources_.emplace(recipe, world, run_dir_, folder);
  data_dir_ = (std::filesystem::path(run_dir_) / "data").string();
  // The job that left a trial to this one has prepared its data, which jobs beside it read.
  prepared_ = options.trial != 0 ||
              prepare_corpora(recipe, data_dir_, world, [&] { return stop_.agreed(world); });
}

// On rank 0.
void Road::open() {
  if (options_.trial != 0) {
    folder_.emplace(recipe_, options_.trial);
    start_.emplace(folder_->path(), options_.trial);
    plan_ = plan_of_rounds(recipe_, *folder_, options_.trial);
    return;
  }
  folder_.emplace(recipe_);
  start_.emplace(folder_->path());
  controller_.emplace(recipe_, *folder_);
  if (options_.round != 0) require_scripts(folder_->path(), recipe_);
  for (const report::PhaseState& phase : folder_->phases()) {
    std::error_code ignored;
    if (std::filesystem::exists(report::round_folder(folder_->path(), phase.round) / kDivergedFile,
                                ignored))
      diverged_.insert(phase.round);
  }
}

bool Road::run(const std::string& only) {
  if (!prepared_) return false;
  if (options_.trial != 0) return run_trial(only);
  return options_.round != 0 ? run_part_of_round(only) : go_round(only);
}

bool Road::go_round(const std::string& only) {
  for (;;) {
    const Journal journal = next_journal();
    if (!journal.ended.empty()) return !only.empty() || end_rounds(journal);
    bool diverged = false;
    try {
      if (only.empty() && !train_side_by_side(journal)) return false;
      diverged = has_diverged(journal.rounds.back());
      if (!diverged && !run_round(journal, only)) return false;
    } catch (const DivergedError&) {
      if (!recipe_.iterate || !only.empty()) throw;
      diverged = true;
    }
    if (!recipe_.iterate || !only.empty()) return true;
    if (!judge(journal, diverged)) return false;
  }
}

bool Road::end_rounds(const Journal& journal) {
  agree_on(world_, [&] {
    if (folder_) withdraw_next_jobs(folder_->path());
  });
  log_info("rounds: {}; the best is round {}", journal.ended, kept_round(journal)->number);
  shortfall_ = shortfall_of(recipe_.iterate->target, journal);
  return true;
}

Journal Road::next_journal() {
  const std::string text =
      from_rank_0(world_, [&] { return nlohmann::json(controller_->advance()).dump(); });
  return nlohmann::json::parse(text).get<Journal>();
}

// The last round's phases in order, those of earlier rounds among them: should the last checkpoint
// of one be gone that another starts from, it is made again.
bool Road::run_round(const Journal& journal, const std::string& only) {
  const Round& round = journal.rounds.back();
  for (const PhaseUse& use : round.phases) {
    if (!only.empty() && use.name != only) continue;
    if (state_of(journal, use) == "done") {
      if (use.round == round.number && !done_beside_.contains(use.folder))
        log_info("{}: done before", use.name);
      continue;
    }
    if (!run_phase_of(journal, use)) return false;
  }
  return true;
}

// Collective. A finished phase whose last checkpoint is gone is made again from the one before, but
// only where a phase to come starts from it; likewise one whose corpus is gone.
std::string Road::state_of(const Journal& journal, const PhaseUse& use) {
  return from_rank_0(world_, [&] {
    report::PhaseState& phase = folder_->find(use.folder);
    if (phase.trains()) {
      if (folder_->is_needed(phase) && !folder_->has_last_checkpoint(phase))
        folder_->set_state(phase, "interrupted", "its last checkpoint is gone");
    } else if (phase.state == "done" && corpus_is_needed(journal, use) &&
               !read_made_corpus(folder_->path() / use.folder)) {
      folder_->set_state(phase, "interrupted", "its corpus is gone");
    }
    return phase.state;
  });
}

// On rank 0. Whether a phase that is not done trains on what this one makes.
bool Road::corpus_is_needed(const Journal& journal, const PhaseUse& maker) {
  const std::vector<PhaseUse>& uses = journal.rounds.back().phases;
  return std::any_of(uses.begin(), uses.end(), [&](const PhaseUse& use) {
    const recipe::Recipe& recipe = sources_->recipe_of(journal, use.round);
    return folder_->find(use.folder).state != "done" &&
           contains(recipe::makers_of(recipe, recipe.phases[use.number]), maker.name);
  });
}

// The corpora that other phases of the round made for this one. Collective.
void Road::prepare_made(const Round& round, const recipe::Recipe& recipe,
                        const recipe::Phase& phase) {
  std::map<std::string, std::filesystem::path> folders;
  for (const auto& [name, weight] : phase.data) {
    const std::string& maker = recipe::find_corpus(recipe, name)->made_by;
    if (maker.empty()) continue;
    const PhaseUse* use = round.find(maker);
    POLYPHASE_PROMISE(use != nullptr, "round {} lacks {}", round.number, maker);
    folders[name] = std::filesystem::path(run_dir_) / use->folder;
  }
  if (!folders.empty()) prepare_made_corpora(recipe, folders, data_dir_, world_);
}

// Collective. Everything that the phase is made of must be there.
void Road::require_needed(const Journal& journal, const Round& round, const recipe::Recipe& recipe,
                          const recipe::Phase& phase) {
  std::map<std::string, std::string> states;  // of the phases that it needs
  std::vector<std::string> names = recipe::needed_phases(phase);
  const std::vector<std::string> makers = recipe::makers_of(recipe, phase);
  names.insert(names.end(), makers.begin(), makers.end());
  for (const std::string& name : names) {
    const PhaseUse* needed = round.find(name);
    if (needed != nullptr) states[name] = state_of(journal, *needed);
  }
  agree_on(world_, [&] {
    for (const auto& [name, state] : states) {
      if (state == "done") continue;
      fail<RecipeError>("phase {} {} {}, which is {}; run phase {} first", phase.name,
                        contains(makers, name) ? "trains on the corpus of"
                        : name == phase.from   ? "starts from"
                                               : "learns from",
                        name, state, name);
    }
  });
}

bool Road::run_phase_of(const Journal& journal, const PhaseUse& use) {
  const Round& round = journal.rounds.at(static_cast<std::size_t>(use.round - 1));
  const recipe::Recipe& recipe = sources_->recipe_of(journal, use.round);
  const recipe::Phase& phase = recipe.phases[use.number];
  prepare_phase(journal, use);
  prepare_made(round, recipe, phase);
  if (phase.generate) prepare_made(round, recipe, *recipe::find_phase(recipe, phase.from));
  const PhaseJob job = job_of(journal, use, world_, grid_);
  agree_on(world_, [&] { notes_->begun(use.folder, 1); });
  PhaseOutcome outcome;
  try {
    outcome = phase.generate ? make_corpus(job, {.run = run_dir_,
                                                 .tensor = recipe.parallel.tensor,
                                                 .folder = round.find(phase.from)->folder})
                             : run_phase(job);
  } catch (const Error& error) {
    notes_->failed(use.folder, error.what());
    throw;
  }
  notes_->end_show();
  agree_on(world_, [&] { notes_->ended(use.folder, outcome, stop_.reason()); });
  return outcome.finished;
}

// Collective. What must be there before the phase is trained.
void Road::prepare_phase(const Journal& journal, const PhaseUse& use) {
  if (!watchdog_)  // a run that is done already is left as it is
    watchdog_.emplace(options_.trial == 0 ? std::filesystem::path(run_dir_)
                                          : report::round_folder(run_dir_, options_.trial),
                      recipe_.limits.watchdog_seconds, world_);
  watchdog_->at(use.name, 0);
  const recipe::Recipe& recipe = sources_->recipe_of(journal, use.round);
  require_needed(journal, journal.rounds.at(static_cast<std::size_t>(use.round - 1)), recipe,
                 recipe.phases[use.number]);
}

// Collective over the world, also where the phase is for a group of ranks.
PhaseJob Road::job_of(const Journal& journal, const PhaseUse& use, const Communicator& ranks,
                      const RankGrid& grid) {
  const std::filesystem::path run = run_dir_;
  const recipe::Recipe& recipe = sources_->recipe_of(journal, use.round);
  const recipe::Phase& phase = recipe.phases[use.number];
  const auto& distil = phase.adaptation.distil;
  // With a checkpoint of its own, a phase has taken over what there was to take.
  const bool begun =
      !from_rank_0(world_, [&] {
         return find_checkpoints(checkpoints_of(run / use.folder)).empty() ? "" : "begun";
       }).empty();
  return {.recipe = recipe,
          .phase_number = use.number,
          .data_dir = data_dir_,
          .folder = run / use.folder,
          .from = begun ? std::optional<SourcePhase>()
                        : sources_->source_of(journal, use, phase.from, phase.from_run),
          .teacher = distil
                         ? sources_->source_of(journal, use, distil->teacher, distil->teacher_run)
                         : std::optional<SourcePhase>(),
          .run = sources_->identity_of(journal, use),
          .world = ranks,
          .grid = grid,
          .stop = stop_,
          .progress =
              [this, use, name = notes_->shown_name(use, ranks)](const PhaseProgress& now) {
                watchdog_->at(use.name, now.step);
                notes_->show(use, now, name);
              },
          .log_samples = options_.log_samples};
}

// False: stopped on request.
bool Road::judge(const Journal& journal, bool diverged) {
  const std::optional<Verdict> verdict =
      judge_round(recipe_, run_dir_, journal, diverged, world_, stop_);
  if (!verdict) return false;
  agree_on(world_, [&] {
    if (controller_) controller_->record(*verdict);
  });
  return true;
}

ExitCode Road::end(bool finished) {
  const ExitCode code = !finished            ? ExitCode::kInterrupted
                        : shortfall_.empty() ? ExitCode::kDone
                                             : kTargetNotMet;
  const std::string told = from_rank_0(world_, [&] {
    return fmt::format("{}",
                       static_cast<int>(start_->end(code, finished ? shortfall_ : stop_reason())));
  });
  return ExitCode{std::stoi(told)};
}

void Road::report() {
  if (!folder_ || options_.trial != 0) return;  // other jobs would write the page beside this one
  const int columns = report::terminal_columns(fileno(stdout)).value_or(report::kDefaultColumns);
  std::fputs(report::tables_text(folder_->path(), columns).c_str(), stdout);
  fmt::print("report: {}\n", report::write_report(folder_->path()).string());
  std::fflush(stdout);
}

}  // namespace polyphase
