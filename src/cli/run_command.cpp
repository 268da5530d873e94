// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <optional>

#include "base/log.hpp"
#include "cli/shared_recipe.hpp"
#include "comm/agreement.hpp"
#include "control/run_folder.hpp"
#include "recipe/load.hpp"
#include "report/html.hpp"
#include "report/plateau.hpp"
#include "report/progress.hpp"
#include "report/table.hpp"
#include "report/terminal.hpp"
#include "train/pattern_check.hpp"
#include "train/phase.hpp"

namespace polyphase {
namespace {

// The phases of one job, in order. `folder` is there on rank 0 alone; what it decides is sent to
// all.
class Road {
 public:
  Road(const recipe::Recipe& recipe, const Communicator& world)
      : recipe_(recipe),
        world_(world),
        stop_(recipe.limits.wall_time_seconds),
        grid_(make_grid(world, static_cast<int>(recipe.parallel.tensor))) {
    const std::string data_dir = from_rank_0(world, [&] {
      folder_.emplace(recipe);
      return folder_->data_dir().string();
    });
    data_dir_ = data_dir;
    prepared_ = prepare_corpora(recipe, data_dir, world, [&] { return stop_.agreed(world); });
  }

  // Runs every phase that is not done, or only the one named. False: stopped on request.
  bool run(const std::string& only) {
    if (!prepared_) return false;
    for (std::size_t p = 0; p < recipe_.phases.size(); ++p) {
      if (!only.empty() && recipe_.phases[p].name != only) continue;
      if (state_of(p) == "done") {
        log_info("{}: done before", recipe_.phases[p].name);
        continue;
      }
      if (!run_one(p)) return false;
    }
    return true;
  }

  const std::string& stop_reason() const { return stop_.reason(); }

  // The table and the HTML page, made from the run's files.
  void report() {
    if (!folder_) return;
    const int columns = report::terminal_columns(fileno(stdout)).value_or(report::kDefaultColumns);
    const report::RunState run = report::read_run_state(folder_->path());
    std::fputs(report::phase_table(run, columns).c_str(), stdout);
    std::fputs(report::plateau_notes(run, folder_->path()).c_str(), stdout);
    fmt::print("report: {}\n", report::write_report(folder_->path()).string());
    std::fflush(stdout);
  }

 private:
  // Collective. A finished phase whose last checkpoint is gone is made again from the one before,
  // but only where a phase to come starts from it.
  std::string state_of(std::size_t phase) {
    return from_rank_0(world_, [&] {
      if (is_needed(phase) && !folder_->has_last_checkpoint(phase)) {
        folder_->set_state(phase, "interrupted", "its last checkpoint is gone");
      }
      return folder_->phase(phase).state;
    });
  }

  bool is_needed(std::size_t phase) {
    for (std::size_t child = phase + 1; child < recipe_.phases.size(); ++child) {
      if (recipe_.phases[child].from == recipe_.phases[phase].name &&
          folder_->phase(child).state != "done") {
        return folder_->phase(phase).state == "done";
      }
    }
    return false;
  }

  bool run_one(std::size_t p) {
    const recipe::Phase& phase = recipe_.phases[p];
    std::optional<std::size_t> parent;
    for (std::size_t other = 0; other < p; ++other) {
      if (recipe_.phases[other].name == phase.from) parent = other;
    }
    const std::string parent_state = parent ? state_of(*parent) : "done";
    const std::string folders = from_rank_0(world_, [&] {
      if (parent_state != "done") {
        fail<RecipeError>("phase {} starts from {}, which is {}; run phase {} first", phase.name,
                          phase.from, parent_state, phase.from);
      }
      folder_->set_state(p, "running");
      return folder_->phase_folder(p).string() + "\n" +
             (parent ? folder_->phase_folder(*parent).string() : "");
    });
    const std::size_t line_end = folders.find('\n');
    std::optional<report::Progress> progress;
    const PhaseJob job = {
        .recipe = recipe_,
        .phase_number = p,
        .data_dir = data_dir_,
        .folder = folders.substr(0, line_end),
        .from_folder = folders.substr(line_end + 1),
        .world = world_,
        .grid = grid_,
        .stop = stop_,
        .progress = [&](const PhaseProgress& now) { show(progress, phase.name, now); }};
    PhaseOutcome outcome;
    try {
      outcome = run_phase(job);
    } catch (const Error& error) {
      note_failure(p, error.what());
      throw;
    }
    progress.reset();
    agree_on(world_, [&] {
      if (folder_) note(p, outcome);
    });
    return outcome.finished;
  }

  void show(std::optional<report::Progress>& progress, const std::string& name,
            const PhaseProgress& now) {
    if (world_.rank() != 0) return;
    if (!progress) progress.emplace(name, now.step - 1, now.total_steps);
    progress->update(
        {.step = now.step, .loss = now.loss, .tokens_per_second = now.tokens_per_second});
  }

  // The error that is on its way out matters more than one of noting it (on a full disk, say).
  void note_failure(std::size_t p, const std::string& reason) {
    if (!folder_) return;
    try {
      folder_->set_state(p, "failed", reason);
    } catch (const Error& error) {
      log_warning("{}", error.what());
    }
  }

  void note(std::size_t p, const PhaseOutcome& outcome) {
    report::PhaseState& phase = folder_->phase(p);
    phase.step = outcome.step;
    phase.total_steps = outcome.total_steps;
    phase.samples = outcome.num_samples;
    phase.tokens = outcome.num_tokens;
    phase.seconds = outcome.seconds;
    phase.metrics = outcome.metrics;
    phase.handover = {.carried = outcome.hand_over.carried,
                      .fresh = outcome.hand_over.fresh,
                      .left = outcome.hand_over.left};
    folder_->set_state(p, outcome.finished ? "done" : "interrupted",
                       outcome.finished ? "" : stop_.reason());
    log_info("{}: {} at step {} of {}{}", phase.name, phase.state, phase.step, phase.total_steps,
             phase.reason.empty() ? "" : ", " + phase.reason);
    if (outcome.num_truncated > 0) {
      log_warning("{}: {} of {} training samples did not fit into max_tokens ({}) and were cut",
                  phase.name, outcome.num_truncated, outcome.num_seen, recipe_.model.max_tokens);
    }
  }

  const recipe::Recipe& recipe_;
  const Communicator& world_;
  StopRequest stop_;
  RankGrid grid_;
  std::string data_dir_;
  bool prepared_ = false;
  std::optional<RunFolder> folder_;
};

}  // namespace

ExitCode run_command(const RecipeOptions& options, const std::string& phase,
                     const Communicator& world) {
  const recipe::Recipe recipe = shared_recipe(options, world);
  if (!phase.empty() && recipe::find_phase(recipe, phase) == nullptr) {
    std::vector<std::string> names;
    for (const recipe::Phase& known : recipe.phases) names.push_back(known.name);
    throw AgreedError(fmt::format("--phase {}: the recipe has no such phase; it has {}", phase,
                                  fmt::join(names, ", ")),
                      ExitCode::kUsage);
  }
  agree_on(world, [&] { check_patterns(recipe); });
  Road road(recipe, world);
  const bool finished = road.run(phase);
  agree_on(world, [&] { road.report(); });
  if (!finished) {
    log_info("stopped and saved ({}); the same command goes on", road.stop_reason());
  }
  return finished ? ExitCode::kDone : ExitCode::kInterrupted;
}

}  // namespace polyphase
