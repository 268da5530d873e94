// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/decide.hpp"
#include "control/run_folder.hpp"
#include "control/verdict.hpp"

namespace polyphase {

// Decides on rank 0 what a run does next, and keeps what it decided in RUN/decisions.json and each
// round's recipe in RUN/round-N/recipe.yaml. Every decision is written before anything acts on it,
// so that a job that is killed goes on with it. A recipe without `iterate` is one round that is
// never judged; nothing is written of it.
class Controller {
 public:
  // Both must outlive the controller. DataError when decisions.json cannot be read.
  Controller(const recipe::Recipe& recipe, RunFolder& folder);

  // What was decided so far. Unless it has ended, the last round is to be trained (its phases that
  // are not done) and judged.
  const Journal& advance();

  // Foresees up to `most` trials that follow the last round on its rung, to be trained beside it;
  // the journal with them behind its rounds. What an earlier job has trained ahead stays if it is
  // foreseen still.
  Journal look_ahead(std::int64_t most);

  // The last round's verdict.
  void record(const Verdict& verdict);

 private:
  Facts facts();
  void add(const Round& round);
  void make_folder(const Round& round, const recipe::Recipe& variant);
  void discard_unless(const Round* decided, std::int64_t number);
  void write();

  const recipe::Recipe& recipe_;
  RunFolder& folder_;
  Journal journal_;
};

// For a job that trains one of the run's last rounds beside jobs that train others, and decides
// nothing: the journal with the rounds ahead behind the others, whose phases it adds to the folder.
// RecipeError when that round is not one of them, or is judged.
Journal plan_of_rounds(const recipe::Recipe& recipe, RunFolder& folder, std::int64_t round);

}  // namespace polyphase
