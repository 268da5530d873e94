// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_tables.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "recipe/load.hpp"
#include "report/table.hpp"

namespace polyphase {
namespace {

constexpr std::size_t kMostLayouts = 6;  // that are listed

std::string quantity(double value, const std::vector<const char*>& units, double step) {
  std::size_t unit = 0;
  while (value >= step && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  const int digits =
      value >= 100 || (unit == 0 && value == static_cast<double>(static_cast<int>(value))) ? 0
      : value >= 10                                                                        ? 1
                                                                                           : 2;
  return fmt::format("{:.{}f} {}", value, digits, units[unit]);
}

std::string bytes_text(double bytes) {
  return quantity(bytes, {"B", "KiB", "MiB", "GiB", "TiB", "PiB"}, 1024.0);
}

std::string seconds_text(double seconds) {
  if (seconds >= 100) return fmt::format("{:.0f} s", seconds);
  return seconds >= 1 ? fmt::format("{:.2f} s", seconds) : fmt::format("{:.1f} ms", 1e3 * seconds);
}

std::string share_text(double part, double whole) {
  return part == 0 ? "none" : fmt::format("{:.1f} %", 100 * part / whole);
}

std::string hours_text(const std::optional<std::int64_t>& num_steps, double step_seconds) {
  if (!num_steps) return "?";
  const double hours = static_cast<double>(*num_steps) * step_seconds / 3600.0;
  return hours >= 10 ? fmt::format("{:.0f}", hours) : fmt::format("{:.2f}", hours);
}

const char* word(recipe::Recompute recompute) {
  switch (recompute) {
    case recipe::Recompute::kNone:
      return "none";
    case recipe::Recompute::kSelective:
      return "selective";
    case recipe::Recompute::kFull:
      break;
  }
  return "full";
}

const char* word(recipe::Shard shard) {
  switch (shard) {
    case recipe::Shard::kNone:
      return "none";
    case recipe::Shard::kOptimizer:
      return "optimizer";
    case recipe::Shard::kGradients:
      break;
  }
  return "gradients";
}

// What a command is given to have a layout.
std::string options_of(const Layout& layout) {
  return fmt::format(
      "--set 'parallel={{tensor: {}, sequence: {}, pipeline: {}, interleave: {}, shard: {}}}' "
      "--set recompute={}",
      layout.tensor, layout.sequence, layout.pipeline, layout.interleave, word(layout.shard),
      word(layout.recompute));
}

report::Table::Column right(const std::string& name) { return {name, report::Align::kRight}; }

// A phase with its plan on the recipe's own layout.
struct PlannedPhase {
  const recipe::Phase* phase;
  StepWork work;
  PlannedTime time;
  std::optional<std::int64_t> num_steps;
};

// The pipeline has a column where there is one.
std::string step_table(const std::vector<PlannedPhase>& phases, bool with_pipeline) {
  std::vector<report::Table::Column> columns = {{"phase"},
                                                right("step"),
                                                right("products"),
                                                right("attention"),
                                                right("other kernels"),
                                                right("optimizer"),
                                                right("tensor sums"),
                                                right("data sums"),
                                                right("tokens/s"),
                                                right("MFU"),
                                                right("steps"),
                                                right("hours")};
  constexpr std::ptrdiff_t kBehindSums = 8;
  if (with_pipeline) columns.insert(columns.begin() + kBehindSums, right("pipeline"));
  report::Table table(columns);
  for (const PlannedPhase& planned : phases) {
    const PlannedTime& time = planned.time;
    const double step = time.step_seconds();
    std::vector<std::string> row = {planned.phase->name,
                                    seconds_text(step),
                                    share_text(time.product_seconds, step),
                                    share_text(time.attention_seconds, step),
                                    share_text(time.row_seconds, step),
                                    share_text(time.update_seconds, step),
                                    share_text(time.tensor_sums.seconds, step),
                                    share_text(time.exposed_data_seconds, step),
                                    quantity(time.tokens_per_second(), {"", "k", "M"}, 1000.0),
                                    fmt::format("{:.1f} %", 100 * time.mfu),
                                    planned.num_steps ? fmt::format("{}", *planned.num_steps) : "?",
                                    hours_text(planned.num_steps, step)};
    if (with_pipeline)
      row.insert(row.begin() + kBehindSums, share_text(time.pipeline_seconds(), step));
    table.add_row(row);
  }
  return table.text();
}

// Nothing of a machine that is not known to take any time for it.
std::string starts_line(const std::vector<PlannedPhase>& phases) {
  std::string text;
  for (const PlannedPhase& planned : phases) {
    if (planned.time.start_seconds == 0) continue;
    text += fmt::format("{} {} {} ({})",
                        text.empty() ? "kernels started in a step, and their time:" : ";",
                        planned.phase->name, planned.time.num_kernels,
                        share_text(planned.time.start_seconds, planned.time.step_seconds()));
  }
  return text.empty() ? "" : text + "\n";
}

std::string traffic_table(const recipe::Recipe& recipe, const std::vector<PlannedPhase>& phases,
                          const Machine& machine) {
  report::Table table({{"phase"},
                       right("tensor sums, in a node"),
                       right("between nodes"),
                       right("gradients, in a node"),
                       right("between nodes"),
                       right("updates, in a node"),
                       right("between nodes"),
                       right("a checkpoint"),
                       right("to write it"),
                       right("kept"),
                       right("written in all")});
  for (const PlannedPhase& planned : phases) {
    const PlannedTime& time = planned.time;
    const auto checkpoint = static_cast<double>(planned.work.checkpoint_bytes);
    const PlannedStorage storage =
        plan_storage(recipe, planned.num_steps, planned.work.checkpoint_bytes);
    table.add_row(
        {planned.phase->name, bytes_text(time.tensor_sums.within_bytes),
         bytes_text(time.tensor_sums.between_bytes), bytes_text(time.data_sums.within_bytes),
         bytes_text(time.data_sums.between_bytes), bytes_text(time.shared_updates.within_bytes),
         bytes_text(time.shared_updates.between_bytes), bytes_text(checkpoint),
         machine.storage_gb_s > 0 ? seconds_text(1e-9 * checkpoint / machine.storage_gb_s) : "?",
         bytes_text(storage.kept_bytes),
         planned.num_steps ? bytes_text(storage.written_bytes) : "?"});
  }
  return table.text();
}

}  // namespace

std::string time_tables(const recipe::Recipe& recipe, std::int64_t num_ranks,
                        const Machine& machine, const PhaseCosts& costs) {
  const Layout layout = {.tensor = recipe.parallel.tensor,
                         .pipeline = recipe.parallel.pipeline,
                         .data = num_ranks / recipe.parallel.ranks_of_copy(),
                         .shard = recipe.parallel.shard,
                         .recompute = recipe.recompute,
                         .interleave = recipe.parallel.interleave,
                         .sequence = recipe.parallel.sequence};
  std::vector<PlannedPhase> phases;
  for (const recipe::Phase& phase : recipe.phases) {
    if (phase.generate) continue;
    const StepWork work = costs.work(recipe, phase, layout.data);
    phases.push_back({&phase, work, plan_time(work, layout, machine), num_steps_of(recipe, phase)});
  }
  if (phases.empty()) return "";
  return fmt::format(
      "\ntime of a step on {}, every sequence as long as it may be:\n{}{}\nsent by a rank in a "
      "step, and stored:\n{}",
      machine.name, step_table(phases, layout.pipeline > 1), starts_line(phases),
      traffic_table(recipe, phases, machine));
}

std::string layout_table(const recipe::Recipe& recipe, std::int64_t num_ranks,
                         const Machine& machine, const PhaseCosts& costs) {
  if (std::all_of(recipe.phases.begin(), recipe.phases.end(),
                  [](const recipe::Phase& phase) { return phase.generate.has_value(); }))
    return "";  // nothing is trained
  const PlannedLayouts layouts = plan_layouts(recipe, num_ranks, machine, costs, kMostLayouts);
  const double room = machine.rates_for(num_ranks).memory_gib;
  if (layouts.fitting.empty()) {
    return fmt::format("\nno layout of {} ranks fits {:.4g} GiB a rank; {}\n", num_ranks, room,
                       advice(recipe, num_ranks, machine, costs));
  }
  report::Table table({right("tensor"),
                       {"sequence"},
                       right("pipeline"),
                       right("interleave"),
                       right("data"),
                       {"shard"},
                       {"recompute"},
                       right("memory of a rank"),
                       right("tokens/s"),
                       right("MFU"),
                       right("time")});
  const double fastest = layouts.fitting.front().seconds;
  for (const PlannedLayout& one : layouts.fitting) {
    table.add_row({fmt::format("{}", one.layout.tensor), one.layout.sequence ? "yes" : "no",
                   fmt::format("{}", one.layout.pipeline), fmt::format("{}", one.layout.interleave),
                   fmt::format("{}", one.layout.data), word(one.layout.shard),
                   word(one.layout.recompute), bytes_text(static_cast<double>(one.memory_bytes)),
                   quantity(one.tokens_per_second, {"", "k", "M"}, 1000.0),
                   fmt::format("{:.1f} %", 100 * one.mfu),
                   fmt::format("{:.2f} ×", one.seconds / fastest)});
  }
  return fmt::format(
      "\nthe fastest layouts of {} ranks that fit {:.4g} GiB a rank, of {} that the program can "
      "run:\n{}the first with {}\n",
      num_ranks, room, layouts.num_looked_at, table.text(),
      options_of(layouts.fitting.front().layout));
}

}  // namespace polyphase
