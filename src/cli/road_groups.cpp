// SPDX-License-Identifier: Apache-2.0
// Trials of a search side by side, each on a group of the job's ranks. What is decided is decided
// one round after the other, by road.cpp, which finds the rounds trained.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/log.hpp"
#include "base/log_label.hpp"
#include "cli/road.hpp"
#include "comm/agreement.hpp"
#include "control/halving.hpp"
#include "recipe/load.hpp"
#include "train/step.hpp"

namespace polyphase {
namespace {

using nlohmann::json;

// How a phase ended on its group: told to rank 0 of the job.
struct PhaseEnd {
  PhaseOutcome outcome;
  std::string stop_reason;  // where a stop was agreed on
  std::string error;        // of one that went wrong
  ExitCode code = ExitCode::kDone;
  bool diverged = false;
};

json to_json(const HandOver& hand_over) {
  return {{"carried", hand_over.carried}, {"copied", hand_over.copied},
          {"zeroed", hand_over.zeroed},   {"merged", hand_over.merged},
          {"fresh", hand_over.fresh},     {"left", hand_over.left},
          {"state", hand_over.state}};
}

HandOver hand_over_of(const json& object) {
  HandOver hand_over;
  object.at("carried").get_to(hand_over.carried);
  object.at("copied").get_to(hand_over.copied);
  object.at("zeroed").get_to(hand_over.zeroed);
  object.at("merged").get_to(hand_over.merged);
  object.at("fresh").get_to(hand_over.fresh);
  object.at("left").get_to(hand_over.left);
  object.at("state").get_to(hand_over.state);
  return hand_over;
}

std::string to_text(const PhaseEnd& end) {
  const PhaseOutcome& outcome = end.outcome;
  json metrics = json::object();  // as text: JSON has no not-a-number
  for (const auto& [name, value] : outcome.metrics) metrics[name] = fmt::format("{}", value);
  const json object = {{"finished", outcome.finished},
                       {"step", outcome.step},
                       {"total_steps", outcome.total_steps},
                       {"samples", outcome.num_samples},
                       {"tokens", outcome.num_tokens},
                       {"seconds", outcome.seconds},
                       {"metrics", metrics},
                       {"hand_over", to_json(outcome.hand_over)},
                       {"seen", outcome.num_seen},
                       {"truncated", outcome.num_truncated},
                       {"stop_reason", end.stop_reason},
                       {"error", end.error},
                       {"code", static_cast<int>(end.code)},
                       {"diverged", end.diverged}};
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

PhaseEnd end_of(const std::string& text) {
  const json object = json::parse(text);
  PhaseEnd end = {.outcome = {.finished = object.at("finished"),
                              .step = object.at("step"),
                              .total_steps = object.at("total_steps"),
                              .num_samples = object.at("samples"),
                              .num_tokens = object.at("tokens"),
                              .seconds = object.at("seconds"),
                              .metrics = {},
                              .hand_over = hand_over_of(object.at("hand_over")),
                              .num_seen = object.at("seen"),
                              .num_truncated = object.at("truncated")},
                  .stop_reason = object.at("stop_reason"),
                  .error = object.at("error"),
                  .code = ExitCode{object.at("code").get<int>()},
                  .diverged = object.at("diverged")};
  for (const auto& [name, value] : object.at("metrics").items())
    end.outcome.metrics[name] = std::stod(value.get<std::string>());
  return end;
}

const PhaseUse& use_in(const Journal& plan, const std::string& folder) {
  for (const Round& round : plan.rounds) {
    for (const PhaseUse& use : round.phases) {
      if (use.folder == folder) return use;
    }
  }
  broken_promise(__FILE__, __LINE__, "a phase that no round has: " + folder);
}

// Ranks of each of the groups that train `count` phases: as many as the recipe asks for, and more
// where there are fewer phases than groups.
int size_of_groups(int num_ranks, int smallest, std::size_t count) {
  int size = smallest;
  while (num_ranks % (2 * size) == 0 && static_cast<std::size_t>(num_ranks / (2 * size)) >= count)
    size *= 2;
  return size;
}

}  // namespace

RankGroups& Road::groups_of(int size) {
  return groups_
      .try_emplace(size, world_, size, static_cast<int>(recipe_.parallel.tensor),
                   static_cast<int>(recipe_.parallel.pipeline))
      .first->second;
}

// On rank 0. Whether one of the round's phases has diverged beside other rounds. (A round of that
// number that has diverged may have been another than the one that was decided then.)
bool Road::is_known_to_diverge(const Round& round) {
  return diverged_.contains(round.number) &&
         std::any_of(round.phases.begin(), round.phases.end(), [&](const PhaseUse& use) {
           return use.round == round.number && folder_->find(use.folder).state == "failed";
         });
}

// The same. Collective.
bool Road::has_diverged(const Round& round) {
  return from_rank_0(world_, [&] { return is_known_to_diverge(round) ? "yes" : ""; }) == "yes";
}

// Whether all of the round's own phases are done. Collective.
bool Road::is_done(const Round& round) {
  return from_rank_0(world_, [&] {
           return std::all_of(round.phases.begin(), round.phases.end(),
                              [&](const PhaseUse& use) {
                                return use.round != round.number ||
                                       folder_->find(use.folder).state == "done";
                              })
                      ? "yes"
                      : "";
         }) == "yes";
}

// Where the last round is a trial of a search that is to be trained so: trains it and those that
// are foreseen to follow it, as many as there are groups of ranks. False: stopped on request.
bool Road::train_side_by_side(const Journal& journal) {
  const recipe::Strategy* search = search_of(recipe_, journal.rounds.back());
  const int smallest = search == nullptr ? 0 : static_cast<int>(search->search->ranks_per_trial);
  if (smallest == 0 || smallest == world_.size()) return true;
  if (is_done(journal.rounds.back()) || has_diverged(journal.rounds.back())) return true;
  const std::size_t first = journal.rounds.size() - 1;
  const int most = world_.size() / smallest;
  const Journal plan = json::parse(from_rank_0(world_, [&] {
                         return json(controller_->look_ahead(most - 1)).dump();
                       })).get<Journal>();
  if (plan.rounds.size() == journal.rounds.size()) return true;  // all ranks train it
  if (!train_what_is_reused(plan, first)) return false;
  for (;;) {
    for (std::size_t r = first; r < plan.rounds.size(); ++r) {  // the checkpoint of one may be gone
      for (const PhaseUse& use : plan.rounds[r].phases) state_of(plan, use);
    }
    const std::vector<PhaseUse> ready = ready_phases(plan, first, most);
    if (ready.empty()) return true;
    if (!train_together(plan, ready,
                        groups_of(size_of_groups(world_.size(), smallest, ready.size()))))
      return false;
  }
}

// Phases of rounds before the first one, should the last checkpoint of one be gone. Collective.
bool Road::train_what_is_reused(const Journal& plan, std::size_t first) {
  for (std::size_t r = first; r < plan.rounds.size(); ++r) {
    for (const PhaseUse& use : plan.rounds[r].phases) {
      const bool is_there = state_of(plan, use) == "done";
      if (use.round > static_cast<std::int64_t>(first) || is_there) continue;
      if (!run_phase_of(plan, use)) return false;
    }
  }
  return true;
}

// Phases of the rounds from the first one on that are not done while all that they need is, `most`
// at most. None of a round that has diverged. Collective.
std::vector<PhaseUse> Road::ready_phases(const Journal& plan, std::size_t first, int most) {
  const std::string folders = from_rank_0(world_, [&] {
    const auto is_trained = [&](const PhaseUse& use) {
      return folder_->find(use.folder).state == "done";
    };
    json ready = json::array();
    for (std::size_t r = first; r < plan.rounds.size(); ++r) {
      const Round& round = plan.rounds[r];
      if (is_known_to_diverge(round)) continue;
      const recipe::Recipe& recipe = sources_->recipe_of(plan, round.number);
      for (const PhaseUse& use : round.phases) {
        if (use.round != round.number || is_trained(use)) continue;
        const std::vector<std::string> needed = recipe::needed_phases(recipe.phases[use.number]);
        const bool can_begin =
            std::all_of(needed.begin(), needed.end(), [&](const std::string& name) {
              const PhaseUse* other = round.find(name);
              return other == nullptr || is_trained(*other);
            });
        if (can_begin && std::ssize(ready) < most) ready.push_back(use.folder);
      }
    }
    return ready.dump();
  });
  std::vector<PhaseUse> uses;
  for (const json& folder : json::parse(folders)) uses.push_back(use_in(plan, folder));
  return uses;
}

// Trains the phases side by side, the first one on the first group. Collective. False: stopped on
// request.
bool Road::train_together(const Journal& plan, const std::vector<PhaseUse>& uses,
                          RankGroups& groups) {
  std::vector<PhaseJob> jobs;  // all ranks look up all of them: rank 0 alone has the run's state
  for (const PhaseUse& use : uses) {
    prepare_phase(plan, use);
    jobs.push_back(job_of(plan, use, groups.ranks(), groups.grid()));
  }
  agree_on(world_, [&] {
    for (std::size_t i = 0; i < uses.size(); ++i)
      notes_->begun(uses[i].folder, 1.0 / groups.count(), phase_of(jobs[i]).stop.steps);
  });
  const auto own = static_cast<std::size_t>(groups.own());
  std::string end;
  if (own < jobs.size()) end = train_in_group(jobs[own], uses[own], groups);
  groups.meet([&] {
    watchdog_->wait_for_others();
    if (const std::int64_t wish = stop_.wish()) groups.tell(wish);
  });
  const std::vector<std::string> told = world_.gather(groups.ranks().rank() == 0 ? end : "");
  std::vector<std::string> ends;
  for (std::size_t i = 0; i < uses.size(); ++i)
    ends.push_back(told[i * static_cast<std::size_t>(groups.ranks().size())]);
  return note_together(uses, ends);
}

// An error that not all ranks of the group have thrown ends the job, as ever.
std::string Road::train_in_group(const PhaseJob& job, const PhaseUse& use, RankGroups& groups) {
  const bool leads = groups.ranks().rank() == 0;
  if (leads) set_log_rank(0);
  set_log_label(fmt::format("round {}: ", use.round));
  stop_.work_beside(&groups);
  PhaseEnd end;
  try {
    end.outcome = run_phase(job);
  } catch (const DivergedError& error) {
    end.diverged = true;
    end.error = error.what();
  } catch (const AgreedError& error) {
    end.error = error.what();
    end.code = error.code;
    if (leads) groups.tell(StopRequest::kFailure);
  }
  end.stop_reason = stop_.reason();
  notes_->end_show();
  stop_.work_beside(nullptr);
  set_log_label("");
  set_log_rank(world_.rank());
  return to_text(end);
}

// Writes down how the phases ended, in their order. Collective; throws what went wrong on a group.
bool Road::note_together(const std::vector<PhaseUse>& uses, const std::vector<std::string>& texts) {
  std::vector<PhaseEnd> ends;
  for (const std::string& text : texts) ends.push_back(end_of(text));
  for (const PhaseEnd& end : ends) {
    if (!end.stop_reason.empty()) stop_.take_over(end.stop_reason);
  }
  bool finished = true;
  std::string errors;
  ExitCode code = ExitCode::kDone;
  for (std::size_t i = 0; i < uses.size(); ++i) {
    const PhaseEnd& end = ends[i];
    set_log_label(fmt::format("round {}: ", uses[i].round));
    if (!end.error.empty()) notes_->failed(uses[i].folder, end.error);
    if (end.diverged) {
      diverged_.insert(uses[i].round);
      log_info("{}: {}", uses[i].name, end.error);
    } else if (!end.error.empty()) {
      errors += fmt::format("{}round {}: {}", errors.empty() ? "" : "\n", uses[i].round, end.error);
      if (code == ExitCode::kDone) code = end.code;
    } else {
      agree_on(world_, [&] { notes_->ended(uses[i].folder, end.outcome, stop_.reason()); });
      finished = finished && end.outcome.finished;
      done_beside_.insert(uses[i].folder);
    }
  }
  set_log_label("");
  if (!errors.empty()) throw AgreedError(errors, code);
  return finished;
}

}  // namespace polyphase
