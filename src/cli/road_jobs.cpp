// SPDX-License-Identifier: Apache-2.0
// Phases of rounds in jobs of their own: what one of them does, and what it leaves to those that
// follow. What is decided is decided by road.cpp, which finds the rounds trained.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/log.hpp"
#include "cli/road.hpp"
#include "comm/agreement.hpp"
#include "control/halving.hpp"
#include "control/next_jobs.hpp"
#include "io/file.hpp"
#include "recipe/load.hpp"
#include "train/step.hpp"

namespace polyphase {
namespace {

using nlohmann::json;

constexpr std::int64_t kMostTrials =
    1000;  // of an array: Slurm's own bound, where a site has no other

// Trials that have the same phases to train are together.
std::vector<Trials> arrays_of(const std::vector<Round>& rounds,
                              const std::function<bool(const PhaseUse&)>& is_done) {
  std::map<std::vector<std::size_t>, Trials> arrays;
  for (const Round& round : rounds) {
    std::vector<std::size_t> numbers;
    std::vector<PhaseUse> uses;
    for (const PhaseUse& use : round.phases) {
      if (use.round != round.number || is_done(use)) continue;
      numbers.push_back(use.number);
      uses.push_back(use);
    }
    Trials& same = arrays[numbers];
    same.rounds.push_back(round.number);
    same.phases = uses;
  }
  std::vector<Trials> list;
  for (auto& [numbers, trials] : arrays) list.push_back(std::move(trials));
  return list;
}

}  // namespace

bool Road::run_trial(const std::string& only) {
  const Journal plan =
      json::parse(from_rank_0(world_, [&] { return json(*plan_).dump(); })).get<Journal>();
  return train_alone(plan, plan.rounds.at(static_cast<std::size_t>(options_.trial - 1)), only);
}

// A job that was requeued after it had decided finds other rounds than it began with: it has only
// to leave them to jobs again.
bool Road::run_part_of_round(const std::string& only) {
  Journal journal = next_journal();
  if (options_.round > std::ssize(journal.rounds)) {
    throw AgreedError(
        fmt::format("--round {}: {} rounds are decided; `polyphase status` shows them",
                    options_.round, journal.rounds.size()),
        ExitCode::kUsage);
  }
  const Round own = journal.rounds[static_cast<std::size_t>(options_.round - 1)];
  const bool is_last = last_phase_of(own).name == only;
  if (own.number == journal.rounds.back().number && journal.ended.empty()) {
    if (const auto trials = is_last ? trials_for_others(journal, only) : std::nullopt) {
      leave_to_jobs(journal, *trials);
      return true;
    }
    const bool whole = is_whole_job(own);
    if (whole && !train_side_by_side(journal)) return false;
    if (!train_alone(journal, own, whole ? "" : only)) return false;
  }
  if (!is_last) return true;
  for (; journal.ended.empty(); journal = next_journal()) {
    const Round& round = journal.rounds.back();
    const bool diverged = has_diverged(round);
    if (!diverged && !is_done(round)) {
      leave_to_jobs(journal, trials_for_jobs(journal));
      return true;
    }
    if (!judge(journal, diverged)) return false;
  }
  return end_rounds(journal);
}

// Where the last round has phases to train before this one, or is a trial that others can be
// trained beside (so `submit` finds it that goes on where a chain had stopped): what
// trials_for_jobs() says. Nothing where this job trains the round. Collective.
std::optional<std::vector<Round>> Road::trials_for_others(const Journal& journal,
                                                          const std::string& only) {
  const Round& round = journal.rounds.back();
  if (is_whole_job(round) || has_diverged(round) || is_done(round)) return std::nullopt;
  bool others_are_done = true;
  for (const PhaseUse& use : round.phases) {
    const bool done = state_of(journal, use) == "done";
    others_are_done = others_are_done && (done || use.name == only);
  }
  std::vector<Round> trials = trials_for_jobs(journal);
  if (others_are_done && trials.size() <= 1) return std::nullopt;
  return trials;
}

// The round's phases that are not done, or of them the one named. That it diverges is written down
// for the job that judges it; jobs until then have nothing to do. False: stopped on request.
bool Road::train_alone(const Journal& plan, const Round& round, const std::string& only) {
  // Where status.json was lost it is trained once more, or nobody would know that it diverged.
  const std::filesystem::path mark = report::round_folder(run_dir_, round.number) / kDivergedFile;
  const bool known =
      from_rank_0(world_, [&] {
        const auto has_failed = [&](const PhaseUse& use) {
          return use.round == round.number && folder_->find(use.folder).state == "failed";
        };
        const std::vector<PhaseUse>& uses = round.phases;
        const bool failed = std::any_of(uses.begin(), uses.end(), has_failed);
        const bool diverged = diverged_.contains(round.number) || std::filesystem::exists(mark);
        return failed && diverged ? "yes" : "";
      }) == "yes";
  if (known) return true;
  try {
    for (const PhaseUse& use : round.phases) {
      if (!only.empty() && use.name != only) continue;
      if (options_.trial != 0 && use.round != round.number) continue;
      if (state_of(plan, use) == "done") continue;
      if (!run_phase_of(plan, use)) return false;
    }
  } catch (const DivergedError& error) {
    diverged_.insert(round.number);
    agree_on(world_, [&] {
      if (folder_) write_file_atomically(mark, fmt::format("{}\n", error.what()));
    });
    log_info("round {}: {}", round.number, error.what());
  }
  return true;
}

// Whether one job trains all phases of the round, side by side with other trials.
bool Road::is_whole_job(const Round& round) const {
  const recipe::Strategy* search = search_of(recipe_, round);
  return search != nullptr && search->search->ranks_per_trial > 0;
}

// Has the script of this job submit those of the last round, which is not trained: a job for each
// of its phases. Trials of a search, if there are several to train, are arrays before that.
// Collective.
void Road::leave_to_jobs(const Journal& journal, const std::vector<Round>& trials) {
  const Round& round = journal.rounds.back();
  const bool are_arrays = trials.size() > 1 && trials.front().number == round.number;
  const auto is_trained = [&](const PhaseUse& use) {
    return folder_->find(use.folder).state == "done";
  };
  agree_on(world_, [&] {
    if (!folder_) return;
    NextJobs next = {.trials = {}, .round = round.number, .phases = {last_phase_of(round)}};
    if (are_arrays) {
      next.trials = arrays_of(trials, is_trained);
    } else {
      next.phases = phases_for_jobs(recipe_, round, is_trained);
    }
    write_next_jobs(folder_->path(), next);
  });
  log_info(
      "round {}: left to jobs of its phases{}", round.number,
      are_arrays ? fmt::format(", and {} rounds that follow, beside it", trials.size() - 1) : "");
}

// The trials that can be trained now, beside each other: the last round and those that are foreseen
// to follow it, as far as all is trained that they take from other rounds. Collective.
std::vector<Round> Road::trials_for_jobs(const Journal& journal) {
  const Round& last = journal.rounds.back();
  if (search_of(recipe_, last) == nullptr || is_whole_job(last)) return {};
  const recipe::Recipe& now = sources_->recipe_of(journal, last.number);
  for (const PhaseUse& use : last.phases) {
    // Of a corpus that another phase makes, only one trial's can be prepared at a time.
    if (!recipe::makers_of(now, now.phases[use.number]).empty()) return {};
  }
  const std::size_t first = journal.rounds.size() - 1;
  const Journal plan = json::parse(from_rank_0(world_, [&] {
                         return json(controller_->look_ahead(kMostTrials - 1)).dump();
                       })).get<Journal>();
  for (std::size_t r = first; r < plan.rounds.size(); ++r) {  // the checkpoint of one may be gone
    for (const PhaseUse& use : plan.rounds[r].phases) state_of(plan, use);
  }
  const std::string ready = from_rank_0(world_, [&] {
    json numbers = json::array();
    for (std::size_t r = first; r < plan.rounds.size(); ++r) {
      const Round& round = plan.rounds[r];
      const auto is_trained = [&](const PhaseUse& use) {
        return folder_->find(use.folder).state == "done";
      };
      const auto is_there = [&](const PhaseUse& use) {
        return use.round == round.number || is_trained(use);
      };
      const std::vector<PhaseUse>& uses = round.phases;
      if (!is_known_to_diverge(round) && !std::all_of(uses.begin(), uses.end(), is_trained) &&
          std::all_of(uses.begin(), uses.end(), is_there))
        numbers.push_back(round.number);
    }
    return numbers.dump();
  });
  std::vector<Round> trials;
  for (const json& number : json::parse(ready))
    trials.push_back(plan.rounds[number.get<std::size_t>() - 1]);
  return trials;
}

}  // namespace polyphase
