// SPDX-License-Identifier: Apache-2.0
#include "recipe/iterate_schema.hpp"

namespace polyphase::recipe {

static void describe(Section& section, Target& target) {
  section.require("phase", "the phase whose score is to reach the target");
  section.value("phase", target.phase);
  section.require("metric", "for instance valid.accuracy");
  section.value("metric", target.metric);
  section.value("at_least", target.at_least, finite());
  section.value("at_most", target.at_most, finite());
}

static void describe(Section& section, Search& search) {
  section.require("values", "the keys and their values, such as {phases.topic.dropout: [0, 0.1]}");
  section.changes("values", search.values);
  section.value("trials", search.trials, at_least(0));
  section.value("rungs", search.rungs, at_least(1));
  section.value("keep_one_in", search.keep_one_in, at_least(2));
  section.value("ranks_per_trial", search.ranks_per_trial, at_least(0));
}

static void describe(Section& section, Strategy& strategy) {
  section.require("name", "a strategy goes by its name");
  section.value("name", strategy.name);
  section.value("when", strategy.when);
  if (!section.writing() || !strategy.search) section.changes("set", strategy.set);
  section.section("search", strategy.search);
}

static void describe(Section& section, Thresholds& thresholds) {
  section.value("underfitting_gap", thresholds.underfitting_gap, fraction());
  section.value("overfitting_gap", thresholds.overfitting_gap, fraction());
  section.value("overfitting_rise", thresholds.overfitting_rise, at_least(0));
  section.value("diverged_rise", thresholds.diverged_rise, at_least(0));
  section.value("plateau_gain", thresholds.plateau_gain, fraction());
}

void describe(Section& section, Gate& gate) { section.value("margin", gate.margin, at_least(0)); }

void describe(Section& section, Iterate& iterate) {
  section.require("target",
                  "what is to be reached, such as {phase: topic, metric: valid.accuracy, "
                  "at_least: 0.8}");
  section.section("target", iterate.target);
  section.value("margin", iterate.margin, at_least(0));
  section.value("confidence", iterate.confidence, fraction_below_one());
  section.value("max_rounds", iterate.max_rounds, at_least(1));
  section.value("max_steps", iterate.max_steps, at_least(1));
  section.value("max_hours", iterate.max_hours, positive());
  section.section("conditions", iterate.conditions);
  section.list_of_sections("strategies", iterate.strategies);
}

}  // namespace polyphase::recipe
