// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

namespace polyphase {

// metrics.jsonl: one JSON object a line, of a "kind" (step, evaluation, event …), each with its
// "step" (io/FORMATS.md). NaN and infinities, which JSON lacks, are stored as the strings "nan",
// "inf" and
// "-inf" and read back as numbers.
class MetricsWriter {
 public:
  // Appends to `path`. A last line that a kill has torn is cut off.
  explicit MetricsWriter(const std::filesystem::path& path);
  ~MetricsWriter();

  // Adds a record, in a single write(2). It must be an object with "kind" (text) and "step" (whole
  // number). A line that the disk has no room for is taken back, then SystemError.
  void append(const nlohmann::json& record);

  // For resume: keeps only the records with "step" ≤ `step`, by an atomic rewrite.
  void truncate_after(std::int64_t step);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// All records. A torn last line is left out; any other damage is DataError with the line's number.
// None when there is no such file.
std::vector<nlohmann::json> read_metrics(const std::filesystem::path& path);

}  // namespace polyphase
