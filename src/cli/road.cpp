// SPDX-License-Identifier: Apache-2.0
#include "cli/road.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/log.hpp"
#include "cli/other_runs.hpp"
#include "cli/score_rounds.hpp"
#include "cli/shared_recipe.hpp"
#include "comm/agreement.hpp"
#include "control/next_jobs.hpp"
#include "control/verdict.hpp"
#include "io/checkpoint.hpp"
#include "io/made_corpus.hpp"
#include "predict/make_corpus.hpp"
#include "recipe/load.hpp"
#include "recipe/variants.hpp"
#include "report/html.hpp"
#include "report/status_text.hpp"
#include "report/terminal.hpp"
#include "train/phase_result.hpp"
#include "train/step.hpp"

namespace polyphase {
namespace {

// "layers.2.… from layers.0.…", and what was set to zero in layers that are to change nothing.
std::vector<std::string> copies_of(const HandOver& hand_over) {
  std::vector<std::string> copies;
  for (const auto& [name, source] : hand_over.copied) copies.push_back(name + " from " + source);
  for (const std::string& name : hand_over.zeroed) copies.push_back(name + ": zero");
  return copies;
}

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
  sources_.emplace(recipe, world, run_dir_, folder_ ? &*folder_ : nullptr);
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
    if (!judge_round(journal, diverged)) return false;
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
  agree_on(world_, [&] {
    if (!folder_) return;
    folder_->find(use.folder).share = 1;
    folder_->set_state(folder_->find(use.folder), "running");
  });
  PhaseOutcome outcome;
  try {
    outcome = phase.generate ? make_corpus(job, {.run = run_dir_,
                                                 .tensor = recipe.parallel.tensor,
                                                 .folder = round.find(phase.from)->folder})
                             : run_phase(job);
  } catch (const Error& error) {
    note_failure(use.folder, error.what());
    throw;
  }
  progress_.reset();
  agree_on(world_, [&] {
    if (folder_) note(use.folder, outcome);
  });
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
          .progress = [this, use, name = shown_name(use, ranks)](
                          const PhaseProgress& now) { show(use, now, name); },
          .log_samples = options_.log_samples};
}

// What this rank shows the phase's progress under; "": it shows none. Beside others every group
// tells of its own phase; on a terminal, where lines are drawn over each other, the first one
// alone.
std::string Road::shown_name(const PhaseUse& use, const Communicator& ranks) const {
  if (ranks.rank() != 0) return "";
  if (&ranks == &world_) return use.name;
  if (world_.rank() != 0 && report::terminal_columns(fileno(stderr))) return "";
  return fmt::format("round {}: {}", use.round, use.name);
}

void Road::show(const PhaseUse& use, const PhaseProgress& now, const std::string& name) {
  watchdog_->at(use.name, now.step);
  if (name.empty()) return;
  if (!progress_) {
    progress_.emplace(name, now.step - 1, now.total_steps);
    if (folder_) {
      report::PhaseState& phase = folder_->find(use.folder);
      phase.total_steps = now.total_steps;  // for those who ask how long it takes
      folder_->set_state(phase, phase.state);
    }
  }
  progress_->update(
      {.step = now.step, .loss = now.loss, .tokens_per_second = now.tokens_per_second});
}

// The error that is on its way out matters more than one of noting it (on a full disk, say).
void Road::note_failure(const std::string& folder, const std::string& reason) {
  progress_.reset();
  if (!folder_) return;
  try {
    folder_->set_state(folder_->find(folder), "failed", reason);
  } catch (const Error& error) {
    log_warning("{}", error.what());
  }
}

void Road::note(const std::string& folder, const PhaseOutcome& outcome) {
  report::PhaseState& phase = folder_->find(folder);
  phase.step = outcome.step;
  phase.total_steps = outcome.total_steps;
  phase.samples = outcome.num_samples;
  phase.tokens = outcome.num_tokens;
  phase.seconds = outcome.seconds;
  phase.metrics = outcome.metrics;
  phase.handover = {.carried = outcome.hand_over.carried,
                    .copied = copies_of(outcome.hand_over),
                    .fresh = outcome.hand_over.fresh,
                    .left = outcome.hand_over.left,
                    .state = outcome.hand_over.state};
  folder_->set_state(phase, outcome.finished ? "done" : "interrupted",
                     outcome.finished ? "" : stop_.reason());
  log_info("{}: {} at step {} of {}{}", phase.name, phase.state, phase.step, phase.total_steps,
           phase.reason.empty() ? "" : ", " + phase.reason);
  if (outcome.num_truncated > 0) {
    log_warning("{}: {} of {} training samples did not fit into max_tokens ({}) and were cut",
                phase.name, outcome.num_truncated, outcome.num_seen, recipe_.model.max_tokens);
  }
}

// The last round's last strategy where it is a trial of a search with a share of its steps.
std::optional<recipe::Strategy> Road::preliminary_trial(const Journal& journal) const {
  const std::vector<std::string>& strategies = journal.rounds.back().variant.strategies;
  if (strategies.empty()) return std::nullopt;
  const recipe::Strategy last = recipe::find_strategy(recipe_, strategies.back());
  return last.is_preliminary() ? std::optional(last) : std::nullopt;
}

void Road::record_diverged(const Journal& journal) {
  const double nan = std::nan("");
  if (const auto trial = preliminary_trial(journal)) return record(judge_preliminary(*trial, nan));
  record(judge(*recipe_.iterate, journal.rounds.back().margin, nan,
               journal.rounds.size() > 1 ? std::optional(0.0) : std::nullopt, {}));
}

// False: stopped on request.
bool Road::judge_round(const Journal& journal, bool diverged) {
  if (diverged) {
    record_diverged(journal);
    return true;
  }
  const recipe::Target& target = recipe_.iterate->target;
  const Round& round = journal.rounds.back();
  const std::optional<recipe::Strategy> trial = preliminary_trial(journal);
  const Round* parent = trial ? nullptr : kept_round(journal);
  const bool scored = parent != nullptr && std::isfinite(parent->verdict->score);
  const std::optional<RoundScore> score =
      score_round({.run = run_dir_,
                   .folder = round.find(target.phase)->folder,
                   .parent_folder = scored ? parent->find(target.phase)->folder : "",
                   .metric = target.metric,
                   .lower_is_better = target.at_most.has_value(),
                   .tensor = recipe_.parallel.tensor},
                  world_, stop_);
  if (!score) return false;
  if (trial) {
    record(judge_preliminary(*trial, score->score));
    return true;
  }
  std::optional<double> parent_score = score->parent_score;
  if (parent != nullptr && !scored) parent_score = std::nan("");
  record(judge(*recipe_.iterate, round.margin, score->score, parent_score, score->test));
  return true;
}

void Road::record(const Verdict& verdict) {
  agree_on(world_, [&] {
    if (controller_) controller_->record(verdict);
  });
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
