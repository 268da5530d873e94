// SPDX-License-Identifier: Apache-2.0
// Rounds in jobs of their own: what a job leaves to those that follow, and a job that trains one
// trial of a search. What is decided is decided by road.cpp, which finds the rounds trained.
#include <algorithm>
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

}  // namespace

// That it has diverged is for the job behind the array to judge: the array goes on. False: stopped
// on request.
bool Road::run_trial() {
  const Journal plan =
      json::parse(from_rank_0(world_, [&] { return json(*plan_).dump(); })).get<Journal>();
  const Round& round = plan.rounds.at(static_cast<std::size_t>(options_.trial - 1));
  const std::filesystem::path mark = report::round_folder(run_dir_, round.number) / kDivergedFile;
  // Where status.json was lost it is trained once more, or nobody would know that it diverged.
  const bool known =
      from_rank_0(world_, [&] {
        const auto has_failed = [&](const PhaseUse& use) {
          return use.round == round.number && folder_->find(use.folder).state == "failed";
        };
        const std::vector<PhaseUse>& uses = round.phases;
        const bool failed = std::any_of(uses.begin(), uses.end(), has_failed);
        return failed && std::filesystem::exists(mark) ? "yes" : "";
      }) == "yes";
  if (known) return true;
  try {
    for (const PhaseUse& use : round.phases) {
      if (use.round != round.number || state_of(plan, use) == "done") continue;
      if (!run_phase_of(plan, use)) return false;
    }
  } catch (const DivergedError& error) {
    agree_on(world_, [&] {
      if (folder_) write_file_atomically(mark, fmt::format("{}\n", error.what()));
    });
    log_info("round {}: {}", round.number, error.what());
  }
  return true;
}

// Whether what comes next is for other jobs: trials of a search, if there are several to train, for
// an array; else a round that is to be trained, once this job has trained one. Collective.
bool Road::hand_over(const Journal& journal) {
  if (!recipe_.iterate || is_done(journal.rounds.back()) || has_diverged(journal.rounds.back()))
    return false;
  const std::vector<std::int64_t> trials = trials_for_jobs(journal);
  if (trials.size() < 2 && !trained_) return false;
  const bool many = trials.size() > 1;
  agree_on(world_, [&] {
    if (folder_) write_next_jobs(folder_->path(), many ? trials : std::vector<std::int64_t>());
  });
  if (many) {
    log_info("rounds {}: left to jobs of their own", fmt::join(trials, ", "));
  } else {
    log_info("round {}: left to the next job", journal.rounds.back().number);
  }
  return true;
}

// The trials that can be trained now, one a job: the last round and those that are foreseen to
// follow it, as far as all is trained that they take from other rounds. Collective.
std::vector<std::int64_t> Road::trials_for_jobs(const Journal& journal) {
  const recipe::Strategy* search = search_of(recipe_, journal.rounds.back());
  if (search == nullptr || search->search->ranks_per_trial > 0) return {};
  const recipe::Recipe& now = sources_->recipe_of(journal, journal.rounds.back().number);
  for (const PhaseUse& use : journal.rounds.back().phases) {
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
  return json::parse(ready).get<std::vector<std::int64_t>>();
}

}  // namespace polyphase
