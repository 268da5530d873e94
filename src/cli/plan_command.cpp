// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "cli/other_runs.hpp"
#include "cli/plan_tables.hpp"
#include "cli/shared_recipe.hpp"
#include "predict/make_corpus.hpp"
#include "recipe/load.hpp"
#include "recipe/search.hpp"
#include "report/table.hpp"
#include "train/plan_memory.hpp"

namespace polyphase {
namespace {

std::string mebibytes(double bytes) { return fmt::format("{:.0f} MiB", bytes / (1024.0 * 1024.0)); }

// Calls plan(their recipe, their phase) with the other run that a teacher is of, if it is.
template <class Plan>
auto with_teacher_run(const recipe::Recipe& recipe, const recipe::Phase& phase, const Plan& plan) {
  const auto& distil = phase.adaptation.distil;
  if (!distil || !distil->teacher_run) return plan(nullptr, nullptr);
  const OtherRunPhase found = find_other_run_phase(recipe, *distil->teacher_run);
  const recipe::Recipe theirs = recipe::parse(found.recipe, found.folder);
  return plan(&theirs, recipe::find_phase(theirs, found.phase));
}

PlannedMemory planned(const recipe::Recipe& recipe, const recipe::Phase& phase, int data_ranks) {
  if (phase.generate) return plan_corpus(recipe, phase);
  return with_teacher_run(recipe, phase,
                          [&](const recipe::Recipe* theirs, const recipe::Phase* their_phase) {
                            return plan_memory(recipe, phase, data_ranks, theirs, their_phase);
                          });
}

PhaseCosts phase_costs() {
  return {.memory_bytes =
              [](const recipe::Recipe& recipe, const recipe::Phase& phase, std::int64_t data) {
                return planned(recipe, phase, static_cast<int>(data)).total_bytes();
              },
          .work =
              [](const recipe::Recipe& recipe, const recipe::Phase& phase, std::int64_t data) {
                return with_teacher_run(
                    recipe, phase,
                    [&](const recipe::Recipe* theirs, const recipe::Phase* their_phase) {
                      return count_step(recipe, phase, data, theirs, their_phase);
                    });
              },
          .check_teachers = check_teacher_layouts};
}

// What a rank needs of each of the phases when so many data-parallel ranks train it.
std::string memory_table(const recipe::Recipe& recipe, const std::vector<recipe::Phase>& phases,
                         std::int64_t data_ranks) {
  const bool distils = std::any_of(phases.begin(), phases.end(), [](const recipe::Phase& phase) {
    return phase.adaptation.distil.has_value();
  });
  std::vector<report::Table::Column> columns = {{"phase"},
                                                {"parameters", report::Align::kRight},
                                                {"micro-batches a rank", report::Align::kRight},
                                                {"parameters + optimizer", report::Align::kRight},
                                                {"gradients", report::Align::kRight},
                                                {"activations, at most", report::Align::kRight}};
  if (distils) columns.push_back({"teacher", report::Align::kRight});
  columns.push_back({"in all, at once", report::Align::kRight});
  report::Table table(columns);
  for (const recipe::Phase& phase : phases) {
    const PlannedMemory memory = planned(recipe, phase, static_cast<int>(data_ranks));
    std::vector<std::string> row = {
        phase.name,
        fmt::format("{}", memory.num_parameters),
        phase.generate ? "none" : fmt::format("{}", memory.num_micro_batches),
        mebibytes(static_cast<double>(memory.state_bytes)),
        mebibytes(static_cast<double>(memory.gradient_bytes)),
        mebibytes(static_cast<double>(memory.activation_bytes))};
    if (memory.teacher_bytes > 0) {
      row.push_back(mebibytes(static_cast<double>(memory.teacher_bytes)));
    } else if (distils) {
      row.emplace_back("none");
    }
    row.push_back(mebibytes(static_cast<double>(memory.total_bytes())));
    table.add_row(row);
  }
  return table.text();
}

std::string words(const recipe::Recipe& recipe, std::int64_t data_ranks) {
  return recipe::layout_words(recipe.parallel.tensor, recipe.parallel.pipeline, data_ranks);
}

// Of searches whose trials train side by side: how many do, and what a rank then needs of the
// phases that they train.
std::string searches_text(const recipe::Recipe& recipe, std::int64_t num_ranks) {
  std::string text;
  if (!recipe.iterate) return text;
  for (const recipe::Strategy& strategy : recipe.iterate->strategies) {
    const std::int64_t size = strategy.search ? strategy.search->ranks_per_trial : 0;
    if (size == 0 || size == num_ranks) continue;
    std::vector<recipe::Phase> phases;
    for (const recipe::Phase& phase : recipe.phases) {
      if (recipe::touches(*strategy.search, phase.name)) phases.push_back(phase);
    }
    const std::int64_t data_ranks = size / recipe.parallel.ranks_of_copy();
    text += fmt::format(
        "\nsearch \"{}\": {} trials side by side on {} ranks each; memory of one rank of {} "
        "({}):\n{}",
        strategy.name, num_ranks / size, size, size, words(recipe, data_ranks),
        memory_table(recipe, phases, data_ranks));
  }
  return text;
}

}  // namespace

ExitCode plan_command(const RecipeOptions& options, const PlanOptions& how) {
  recipe::Recipe recipe = recipe::load(options.file, options.overrides);
  const std::int64_t num_ranks = how.num_ranks;
  if (how.tensor > 0) recipe.parallel.tensor = how.tensor;
  std::optional<Machine> machine;
  if (!how.machine.empty()) machine = read_machine(how.machine);
  const PhaseCosts costs = phase_costs();
  try {
    recipe::check_layout(recipe, num_ranks);
    check_teacher_layouts(recipe, num_ranks);
  } catch (const RecipeError& error) {
    // Another one may be possible, which is what a machine's layouts tell.
    if (!machine) throw;
    fmt::print("{}\n{}", error.what(), layout_table(recipe, num_ranks, *machine, costs));
    return ExitCode::kUsage;
  }
  recipe::check_strategy_layouts(recipe, num_ranks);
  check_all_patterns(recipe);
  const std::int64_t data_ranks = num_ranks / recipe.parallel.ranks_of_copy();
  fmt::print("memory of one rank of {} ({}):\n{}{}", num_ranks, words(recipe, data_ranks),
             memory_table(recipe, recipe.phases, data_ranks), searches_text(recipe, num_ranks));
  if (machine) {
    fmt::print("{}", time_tables(recipe, num_ranks, *machine, costs));
    std::fflush(stdout);  // the search for layouts may take a while
    fmt::print("{}", layout_table(recipe, num_ranks, *machine, costs));
  }
  return ExitCode::kDone;
}

}  // namespace polyphase
