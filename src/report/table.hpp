// SPDX-License-Identifier: Apache-2.0
#pragma once

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
  };
  explicit Table(std::vector<Column> columns);

  // Missing cells are empty; std::logic_error when there are more cells than columns.
  void add_row(std::vector<std::string> cells);
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// The table that ends a run: a line a phase with its state, steps, time, tokens/s, and validation
// and test metrics.
std::string phase_table(const RunState& run);

// "accuracy 0.643, loss 1.204" for the metrics of a split ("valid" or "test"); "" when it has none.
std::string metrics_text(const PhaseState& phase, const std::string& split);

// Tokens/s of a phase over its own time; 0 before any second has passed.
double tokens_per_second(const PhaseState& phase);

}  // namespace polyphase::report
