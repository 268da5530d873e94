// SPDX-License-Identifier: Apache-2.0
#include "report/table.hpp"

#include <fmt/format.h>

#include <algorithm>
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

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t width = width_of(columns_[c].title);
    for (const auto& row : rows_) width = std::max(width, width_of(row[c]));
    widths.push_back(width);
  }
  const auto line = [&](const auto& cell) {
    std::string text;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      const std::string content = cell(c);
      const std::string gap(widths[c] - width_of(content), ' ');
      text += (c == 0 ? "" : "  ") +
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

std::string metrics_text(const PhaseState& phase, const std::string& split) {
  std::string text;
  const std::string prefix = split + ".";
  for (const auto& [name, value] : phase.metrics) {
    if (name.rfind(prefix, 0) != 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name.substr(prefix.size()),
                        value_text(value));
  }
  return text;
}

double tokens_per_second(const PhaseState& phase) {
  return phase.seconds > 0 ? static_cast<double>(phase.tokens) / phase.seconds : 0;
}

std::string phase_table(const RunState& run) {
  const bool rounds = std::any_of(run.phases.begin(), run.phases.end(),
                                  [](const PhaseState& phase) { return phase.round > 1; });
  Table table({{"phase"},
               {"from"},
               {"task"},
               {"state"},
               {"steps", Align::kRight},
               {"time", Align::kRight},
               {"tokens/s", Align::kRight},
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
                   metrics_text(phase, "valid"), metrics_text(phase, "test")});
  }
  return table.text();
}

}  // namespace polyphase::report
