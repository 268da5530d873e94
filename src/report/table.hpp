// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "report/run_state.hpp"

namespace polyphase::report {

enum class Align { kLeft, kRight };

// A table of plain text: columns as wide as their widest cell (in characters, not bytes), two
// spaces between them.
class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::kLeft;
    int spare_first = 0;  // left out where room is short, the highest first; 0: never
  };
  explicit Table(std::vector<Column> columns);

  // Missing cells are empty; std::logic_error when there are more cells than columns.
  void add_row(std::vector<std::string> cells);
  // At most `columns` wide as long as there are columns to leave out.
  std::string text(int columns = std::numeric_limits<int>::max()) const;

 private:
  std::vector<std::size_t> shown_within(const std::vector<std::size_t>& widths,
                                        std::size_t columns) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// The table that ends a run, for `columns` characters a line: a line a phase with its state, steps,
// time, tokens/s, and headline_text of validation and test. Where room is short some of these are
// left out.
std::string phase_table(const RunState& run, int columns);

// The metric that the phase's task is judged by, of a split ("valid" or "test"): "f1"; of language
// models, "loss" where there is no other. "" when it has none.
std::string headline_metric(const PhaseState& phase, const std::string& split);

// "f1 0.643, loss 1.204": the metric that the phase's task is judged by, and the loss, of a split
// ("valid" or "test"). "" when it has neither.
std::string headline_text(const PhaseState& phase, const std::string& split);

// Tokens/s of a phase over its own time; 0 before any second has passed.
double tokens_per_second(const PhaseState& phase);

}  // namespace polyphase::report
