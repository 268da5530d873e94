// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// The part of a recipe that says how it may change itself: rounds, strategies and gates.
namespace polyphase::recipe {

struct Target {
  std::string phase;
  std::string metric;  // of its validation part: valid.accuracy, valid.loss …
  // Exactly one of both; it also says which values of the metric are better.
  std::optional<double> at_least, at_most;
};

struct Change {
  std::string path;   // phases.pretrain.stop.steps
  std::string value;  // YAML on one line; "" takes the key out
};

// Values of keys that are tried one set after the other, by successive halving (Jamieson and
// Talwalkar, 2016): on every rung but the last, the trials get a share of their steps, and the best
// of them go on to the next. search.hpp has the trials.
struct Search {
  // By key path, on one line each: a list of values, or {low: 1e-4, high: 1e-2, log: true} for
  // values drawn in between (whole numbers if both bounds are).
  std::vector<Change> values;
  std::int64_t trials = 0;       // drawn at random; 0: every combination of the lists
  std::int64_t rungs = 1;        // 1: every trial has all of its steps
  std::int64_t keep_one_in = 2;  // of the trials of a rung; also how much more the next rung gets
  // Of a job's ranks: as many trials train side by side as there are such groups; 0: all ranks
  // train one trial after the other.
  std::int64_t ranks_per_trial = 0;
};

struct Strategy {
  std::string name;
  std::string when;         // an expression, condition.hpp; empty: always
  std::vector<Change> set;  // exactly one of set and search
  std::optional<Search> search;
  // Of a trial of a search, which is a strategy of its own: its rung (from 0) of so many.
  std::int64_t rung = 0, num_rungs = 1;

  // A trial with a share of its steps: it can be compared with its like, and never be kept.
  bool is_preliminary() const { return rung + 1 < num_rungs; }
};

// Thresholds of the words that a condition may use; control/conditions.hpp defines the words.
struct Thresholds {
  double underfitting_gap = 0.1;  // share of the validation loss that the training loss is below it
  double overfitting_gap = 0.3;   // likewise
  double overfitting_rise = 0.05;  // of the validation loss above its lowest, a share of that
  double diverged_rise = 0.2;      // of the training loss from its beginning to its end, a share
  double plateau_gain = 0.01;      // of the validation loss, a share
};

struct Iterate {
  Target target;
  double margin = 0;        // by which a round must beat its parent, in units of the metric
  double confidence = 0.9;  // share of resamples in which it must be better; 0: no test
  std::int64_t max_rounds = 5;
  std::optional<std::int64_t> max_steps;  // of all phases of all rounds
  std::optional<double> max_hours;        // likewise, of training and evaluation
  Thresholds conditions;
  std::vector<Strategy> strategies;  // in the order in which they are tried
};

// A phase that has to earn its place on the road to the target.
struct Gate {
  std::optional<double> margin;  // else that of iterate
};

}  // namespace polyphase::recipe
