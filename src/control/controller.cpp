// SPDX-License-Identifier: Apache-2.0
#include "control/controller.hpp"

#include <system_error>

#include "base/error.hpp"
#include "base/log.hpp"
#include "control/conditions.hpp"
#include "control/round_states.hpp"
#include "io/file.hpp"
#include "recipe/condition.hpp"
#include "recipe/goals.hpp"
#include "recipe/load.hpp"
#include "report/history.hpp"

namespace polyphase {
namespace {

constexpr const char* kJournal = "decisions.json";

}  // namespace

Controller::Controller(const recipe::Recipe& recipe, RunFolder& folder)
    : recipe_(recipe), folder_(folder) {
  if (recipe.iterate) journal_ = read_journal(folder.path() / kJournal);
  if (journal_.rounds.empty()) {
    add(first_round(recipe));
  } else {
    for (const Round& round : journal_.rounds)
      folder_.add_phases(round, recipe::variant_of(recipe_, round.variant));
    folder_.set_rounds(round_states(recipe_, journal_));
  }
}

const Journal& Controller::advance() {
  if (!recipe_.iterate || !journal_.rounds.back().verdict) return journal_;
  const NextRound next = next_round(recipe_, journal_, facts());
  journal_.ended = next.end;
  journal_.considered = next.considered;
  if (next.round) {
    add(*next.round);
    log_info("round {}: {}{}", next.round->number, next.round->adds,
             next.round->changes.empty()
                 ? ""
                 : fmt::format("; {}", fmt::join(next.round->changes, ", ")));
  } else {
    write();
  }
  return journal_;
}

void Controller::record(const Verdict& verdict) {
  Round& round = journal_.rounds.back();
  round.verdict = verdict;
  write();
  log_info("round {}: {}: {}", round.number, verdict.kept ? "kept" : "rejected", verdict.reason);
}

// A phase that failed has no last word in its metrics: it diverged.
Facts Controller::facts() {
  Facts facts;
  for (const report::PhaseState& phase : folder_.phases())
    facts.costs[phase.folder] = {.steps = phase.step, .seconds = phase.seconds};
  for (const PhaseUse& use : kept_round(journal_)->phases) {
    const report::History history =
        report::read_history(folder_.path() / use.folder / "metrics.jsonl");
    auto& values = facts.measured[use.name];
    values = measure(history, recipe_.iterate->conditions);
    if (folder_.find(use.folder).state != "failed") continue;
    for (const std::string& word : recipe::condition_words()) values[word] = word == "diverged";
  }
  return facts;
}

void Controller::add(const Round& round) {
  const recipe::Recipe variant = recipe::variant_of(recipe_, round.variant);
  if (recipe_.iterate) {
    const std::filesystem::path folder = folder_.path() / fmt::format("round-{}", round.number);
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) {
      fail<SystemError>("{}: cannot make the folder: {}; check permissions and disk",
                        folder.string(), error.message());
    }
    write_file_atomically(folder / "recipe.yaml", recipe::resolved(variant));
  }
  journal_.rounds.push_back(round);
  folder_.add_phases(round, variant);
  write();
}

void Controller::write() {
  if (recipe_.iterate) write_journal(folder_.path() / kJournal, journal_);
  folder_.set_rounds(round_states(recipe_, journal_));
}

}  // namespace polyphase
