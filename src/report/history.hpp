// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/lineage.hpp"

namespace polyphase::report {

struct Point {
  double x = 0;
  double y = 0;  // may be not-a-number: a gap in the curve
};
using Points = std::vector<Point>;

// A checkpoint that was begun.
struct Save {
  std::int64_t step = 0;
  double time = 0;           // seconds since 1970
  double stall_seconds = 0;  // that training waited for it, and for those before to be finished
};

struct Event {
  std::int64_t step = 0;
  std::string what, detail;
};

// What metrics.jsonl of one phase holds, as curves over the phase's own steps.
struct History {
  // Nats; "loss" is the weighted sum, the others one objective each.
  std::map<std::string, Points> losses;
  std::map<std::string, Points> evaluations;  // "valid.loss", "valid.accuracy", …
  Points learning_rate;
  Points tokens_per_second;  // whole job
  Points step_seconds;
  // Of all steps, what the rank that writes them waited for others of each axis.
  double data_wait_seconds = 0, tensor_wait_seconds = 0, pipeline_wait_seconds = 0;
  std::optional<double> unigram_nats;  // entropy of the training tokens by frequency
  std::vector<Event> events;
  std::vector<Save> saves;
  std::optional<Lineage> lineage;  // what the phase was made of
  std::int64_t last_step = 0;
  std::int64_t num_not_finite = 0;  // steps whose loss was not a finite number
  std::string fault;  // why the file could not be read to its end; empty when it could
};

// Reads the file; a missing one gives an empty history, a damaged one an empty history with its
// fault. Never throws because of what the file holds.
History read_history(const std::filesystem::path& metrics_file);

// An exponential mean over about `window` points, free of the pull of its start; what is not finite
// is left out of it and stays a gap.
Points smoothed(const Points& points, double window);

// At most `max_points` points that show the same picture: the lowest and the highest of each
// stretch, in order. A stretch with nothing finite stays a gap.
Points thinned(const Points& points, std::size_t max_points);

}  // namespace polyphase::report
