// SPDX-License-Identifier: Apache-2.0
#include "control/controller.hpp"

#include <algorithm>
#include <system_error>

#include "base/error.hpp"
#include "base/log.hpp"
#include "control/ahead.hpp"
#include "control/conditions.hpp"
#include "control/round_states.hpp"
#include "io/file.hpp"
#include "recipe/condition.hpp"
#include "recipe/goals.hpp"
#include "recipe/load.hpp"
#include "report/history.hpp"

namespace polyphase {
namespace {

Journal with_ahead(Journal journal) {
  for (const Round& round : journal.ahead) journal.rounds.push_back(round);
  journal.ahead.clear();
  return journal;
}

}  // namespace

Controller::Controller(const recipe::Recipe& recipe, RunFolder& folder)
    : recipe_(recipe), folder_(folder) {
  if (recipe.iterate) journal_ = read_journal(folder.path() / kJournalFile);
  if (journal_.rounds.empty()) {
    add(first_round(recipe));
  } else {
    for (const Round& round : with_ahead(journal_).rounds)
      folder_.add_phases(round, recipe::variant_of(recipe_, round.variant));
    folder_.set_rounds(round_states(recipe_, with_ahead(journal_)));
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
    while (!journal_.ahead.empty()) discard_unless(nullptr, journal_.ahead.front().number);
    write();
  }
  return journal_;
}

Journal Controller::look_ahead(std::int64_t most) {
  std::vector<Round> foreseen = trials_ahead(recipe_, journal_, facts(), most);
  for (const Round& round : foreseen) {
    discard_unless(&round, round.number);
    const recipe::Recipe variant = recipe::variant_of(recipe_, round.variant);
    make_folder(round, variant);
    folder_.add_phases(round, variant);
  }
  const Journal plan = with_ahead({.rounds = journal_.rounds, .ahead = foreseen});
  // Of a job with more ranks; they are looked at when their turn comes.
  for (const Round& round : journal_.ahead) foreseen.push_back(round);
  journal_.ahead = std::move(foreseen);
  write();
  return plan;
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
  for (const report::PhaseState& phase : folder_.phases()) {
    if (phase.round > std::ssize(journal_.rounds)) continue;  // ahead: not decided, so not spent
    facts.costs[phase.folder] = {.steps = phase.step, .seconds = phase.share * phase.seconds};
  }
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
  discard_unless(&round, round.number);
  if (recipe_.iterate) make_folder(round, variant);
  journal_.rounds.push_back(round);
  folder_.add_phases(round, variant);
  write();
}

void Controller::make_folder(const Round& round, const recipe::Recipe& variant) {
  const std::filesystem::path folder = report::round_folder(folder_.path(), round.number);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    fail<SystemError>("{}: cannot make the folder: {}; check permissions and disk", folder.string(),
                      error.message());
  }
  write_file_atomically(folder / "recipe.yaml", recipe::resolved(variant));
}

// Takes the round of that number out of those trained ahead; what was trained is thrown away where
// the one that is decided trains something else. Removed before it is written down: a job that is
// killed in between does so again.
void Controller::discard_unless(const Round* decided, std::int64_t number) {
  const auto ahead = std::find_if(journal_.ahead.begin(), journal_.ahead.end(),
                                  [number](const Round& round) { return round.number == number; });
  if (ahead == journal_.ahead.end()) return;
  if (decided == nullptr || !trains_the_same(recipe_, *ahead, *decided)) {
    log_info("round {}: what was trained ahead ({}) is thrown away", number, ahead->adds);
    folder_.discard(number);
  }
  journal_.ahead.erase(ahead);
}

void Controller::write() {
  if (recipe_.iterate) write_journal(folder_.path() / kJournalFile, journal_);
  folder_.set_rounds(round_states(recipe_, with_ahead(journal_)));
}

Journal plan_of_rounds(const recipe::Recipe& recipe, RunFolder& folder, std::int64_t round) {
  const Journal plan = with_ahead(read_journal(folder.path() / kJournalFile));
  if (round < 1 || round > std::ssize(plan.rounds) ||
      plan.rounds[static_cast<std::size_t>(round - 1)].verdict) {
    fail<RecipeError>("{}: no round {} is to be trained; `polyphase status` shows the rounds",
                      folder.path().string(), round);
  }
  for (const Round& each : plan.rounds)
    folder.add_phases(each, recipe::variant_of(recipe, each.variant));
  return plan;
}

}  // namespace polyphase
