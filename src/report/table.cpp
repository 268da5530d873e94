// SPDX-License-Identifier: Apache-2.0
#include "report/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.hpp"
#include "report/format.hpp"

namespace polyphase::report {

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add_row(std::vector<std::string> cells) {
  POLYPHASE_PROMISE(cells.size() <= columns_.size(), "{} cells in a table of {} columns",
                    cells.size(), columns_.size());
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::vector<std::size_t> Table::shown_within(const std::vector<std::size_t>& widths,
                                             std::size_t columns) const {
  std::vector<std::size_t> shown(columns_.size());
  std::iota(shown.begin(), shown.end(), std::size_t{0});
  for (;;) {
    std::size_t total = 2 * (shown.size() - 1);
    for (const std::size_t c : shown) total += widths[c];
    const auto spared =
        std::max_element(shown.begin(), shown.end(), [&](std::size_t a, std::size_t b) {
          return columns_[a].spare_first < columns_[b].spare_first;
        });
    if (total <= columns || columns_[*spared].spare_first == 0) return shown;
    shown.erase(spared);
  }
}

std::string Table::text(int columns) const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t width = width_of(columns_[c].title);
    for (const auto& row : rows_) width = std::max(width, width_of(row[c]));
    widths.push_back(width);
  }
  const std::vector<std::size_t> shown =
      shown_within(widths, static_cast<std::size_t>(std::max(columns, 0)));
  const auto line = [&](const auto& cell) {
    std::string text;
    for (const std::size_t c : shown) {
      const std::string content = cell(c);
      const std::string gap(widths[c] - width_of(content), ' ');
      text += (c == shown.front() ? "" : "  ") +
              (columns_[c].align == Align::kRight ? gap + content : content + gap);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text + "\n";
  };
  std::string text = line([&](std::size_t c) { return columns_[c].title; });
  text += line([&](std::size_t c) {
    std::string rule;
    for (std::size_t i = 0; i < widths[c]; ++i) rule += "─";
    return rule;
  });
  for (const auto& row : rows_) text += line([&](std::size_t c) { return row[c]; });
  return text;
}

std::string headline_metric(const PhaseState& phase, const std::string& split) {
  // Of tags, most are "outside": accuracy says little there.
  const bool tags = phase.task.starts_with("tagging");
  for (const char* name :
       {tags ? "f1" : "accuracy", "exact_match", "f1", "pearson", "bleu", "perplexity", "loss"}) {
    if (phase.metrics.contains(split + "." + name)) return name;
  }
  return "";
}

std::string headline_text(const PhaseState& phase, const std::string& split) {
  const std::string metric = headline_metric(phase, split);
  std::string text;
  if (!metric.empty() && metric != "loss")
    text = fmt::format("{} {}", metric, value_text(phase.metrics.at(split + "." + metric)));
  const auto loss = phase.metrics.find(split + ".loss");
  if (loss == phase.metrics.end()) return text;
  return fmt::format("{}{}loss {}", text, text.empty() ? "" : ", ", value_text(loss->second));
}

double tokens_per_second(const PhaseState& phase) {
  return phase.seconds > 0 ? static_cast<double>(phase.tokens) / phase.seconds : 0;
}

std::string phase_table(const RunState& run, int columns) {
  const bool rounds = std::any_of(run.phases.begin(), run.phases.end(),
                                  [](const PhaseState& phase) { return phase.round > 1; });
  Table table({{"phase"},
               {"from", Align::kLeft, 3},
               {"task", Align::kLeft, 5},
               {"state"},
               {"steps", Align::kRight, 1},
               {"time", Align::kRight, 2},
               {"tokens/s", Align::kRight, 4},
               {"valid"},
               {"test"}});
  for (const PhaseState& phase : run.phases) {
    const std::string name =
        rounds ? fmt::format("{} (round {})", phase.name, phase.round) : phase.name;
    const std::string steps = phase.step == phase.total_steps
                                  ? std::to_string(phase.step)
                                  : fmt::format("{}/{}", phase.step, phase.total_steps);
    const bool began = phase.step > 0;
    table.add_row({name, phase.from.empty() ? "scratch" : phase.from, phase.task, phase.state,
                   began ? steps : "–", began ? duration_text(phase.seconds) : "–",
                   began ? quantity_text(tokens_per_second(phase)) : "–",
                   headline_text(phase, "valid"), headline_text(phase, "test")});
  }
  return table.text(columns);
}

}  // namespace polyphase::report
