// SPDX-License-Identifier: Apache-2.0
#include "recipe/search.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "recipe/document.hpp"
#include "recipe/scalars.hpp"

namespace polyphase::recipe {
namespace {

constexpr std::int64_t kMostTrials = 200;

// What a key's value is taken from: a list, or all between two bounds.
struct Values {
  std::vector<std::string> list;
  double low = 0, high = 0;
  bool log = false, whole = false;

  std::string at(double fraction) const {
    if (!list.empty())
      return list[static_cast<std::size_t>(fraction * static_cast<double>(list.size()))];
    if (whole) return fmt::format("{:.0f}", low + std::floor(fraction * (high - low + 1)));
    const double value = log ? low * std::pow(high / low, fraction) : low + fraction * (high - low);
    return fmt::format("{:.4g}", value);
  }
};

double bound_of(const Node& range, const std::string& key, const std::string& path) {
  const Node* node = range.find(key);
  const std::optional<double> value = node == nullptr ? std::nullopt : to_number(*node);
  if (!value) fail<RecipeError>("{}: a range needs a number as its {}", path, key);
  return *value;
}

Values range_of(const Node& node, const std::string& path) {
  Values values = {
      .list = {}, .low = bound_of(node, "low", path), .high = bound_of(node, "high", path)};
  for (const Node::Entry& entry : node.entries) {
    if (entry.key == "low" || entry.key == "high") continue;
    if (entry.key != "log" || (entry.value.text != "true" && entry.value.text != "false"))
      fail<RecipeError>("{}: a range has low, high and log (true or false)", path);
    values.log = entry.value.text == "true";
  }
  if (values.low >= values.high || (values.log && values.low <= 0))
    fail<RecipeError>("{}: expected low below high{}", path, values.log ? ", both above 0" : "");
  const auto is_whole = [&](const char* key) {
    return node.find(key)->text.find_first_not_of("-0123456789") == std::string::npos;
  };
  values.whole = !values.log && is_whole("low") && is_whole("high");
  return values;
}

Values read_values(const Change& change) {
  Faults faults;
  const Node node = parse_document(change.value, change.path, Marks::kNameOnly, faults);
  faults.throw_if_any();
  if (node.kind == Node::Kind::kMap) return range_of(node, change.path);
  if (node.kind != Node::Kind::kList || node.items.empty()) {
    fail<RecipeError>("{}: expected a list of values, or {{low: 1e-4, high: 1e-2, log: true}}",
                      change.path);
  }
  Values values;
  for (const Node& item : node.items) values.list.push_back(flow_text(item));
  return values;
}

using Trial = std::vector<Change>;

std::vector<Trial> combinations(const Search& search, const std::vector<Values>& values) {
  std::vector<Trial> trials(1);
  for (std::size_t key = 0; key < values.size(); ++key) {
    if (values[key].list.empty()) {
      fail<RecipeError>("{}: a range has no end of values; say how many trials to draw",
                        search.values[key].path);
    }
    std::vector<Trial> longer;
    for (const Trial& trial : trials) {
      for (const std::string& value : values[key].list) {
        longer.push_back(trial);
        longer.back().push_back({.path = search.values[key].path, .value = value});
      }
    }
    if (static_cast<std::int64_t>(longer.size()) > kMostTrials)
      fail<RecipeError>("more than {} combinations; draw some of them (trials)", kMostTrials);
    trials = std::move(longer);
  }
  return trials;
}

// A double in [0, 1) for each key of a draw.
Trial draw(const Search& search, const std::vector<Values>& values, std::uint64_t key,
           std::uint64_t number) {
  Trial trial;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const PhiloxWords words = philox(key, number, i);
    const double fraction = static_cast<double>(words.word[0]) * 0x1p-32;
    trial.push_back({.path = search.values[i].path, .value = values[i].at(fraction)});
  }
  return trial;
}

std::string text_of(const Trial& trial) {
  std::string text;
  for (const Change& change : trial) text += change.value + "\n";
  return text;
}

}  // namespace

std::vector<std::vector<Change>> values_of_trials(const Search& search, std::uint64_t seed) {
  std::vector<Values> values;
  for (const Change& change : search.values) values.push_back(read_values(change));
  if (search.trials == 0) return combinations(search, values);
  if (search.trials > kMostTrials) fail<RecipeError>("more than {} trials", kMostTrials);
  const std::uint64_t key = random_key(seed, Purpose::kSearch, {});
  std::vector<Trial> trials;
  std::set<std::string> known;
  // Few lists have few combinations: then draws repeat, and there are fewer trials.
  for (std::uint64_t number = 0;
       static_cast<std::int64_t>(trials.size()) < search.trials && number < 100 * kMostTrials;
       ++number) {
    const Trial trial = draw(search, values, key, number);
    if (known.insert(text_of(trial)).second) trials.push_back(trial);
  }
  return trials;
}

std::int64_t count_on_rung(const Search& search, std::int64_t count, std::int64_t rung) {
  const double share = std::pow(static_cast<double>(search.keep_one_in),
                                static_cast<double>(rung - search.rungs + 1));
  return std::max<std::int64_t>(1, std::llround(share * static_cast<double>(count)));
}

bool touches(const Search& search, const std::string& phase) {
  return std::any_of(search.values.begin(), search.values.end(), [&](const Change& change) {
    return !change.path.starts_with("phases.") || change.path.starts_with("phases." + phase + ".");
  });
}

Strategy trial_of(const Recipe& recipe, const Strategy& strategy,
                  const std::vector<std::vector<Change>>& trials, std::int64_t trial,
                  std::int64_t rung) {
  const Search& search = *strategy.search;
  Strategy made = {
      .name = fmt::format("{}{} of {}", trial_prefix(strategy), trial + 1, trials.size()),
      .when = strategy.when,
      .set = trials.at(static_cast<std::size_t>(trial)),
      .search = {},
      .rung = rung,
      .num_rungs = search.rungs};
  if (search.rungs > 1) made.name += fmt::format(", rung {} of {}", rung + 1, search.rungs);
  if (!made.is_preliminary()) return made;
  const auto shortened = [&](std::int64_t count) {
    return fmt::format("{}", count_on_rung(search, count, rung));
  };
  for (const Phase& phase : recipe.phases) {
    if (!touches(search, phase.name)) continue;
    const std::string stop = "phases." + phase.name + ".stop.";
    if (phase.stop.steps)
      made.set.push_back({.path = stop + "steps", .value = shortened(*phase.stop.steps)});
    if (phase.stop.epochs)
      made.set.push_back({.path = stop + "epochs", .value = shortened(*phase.stop.epochs)});
  }
  return made;
}

std::string trial_prefix(const Strategy& strategy) { return strategy.name + ": trial "; }

std::vector<Strategy> with_trials(const Recipe& recipe, const Strategy& strategy) {
  if (!strategy.search) return {strategy};
  std::vector<Strategy> all;
  const std::vector<Trial> trials = values_of_trials(*strategy.search, recipe.seed);
  for (std::int64_t rung = 0; rung < strategy.search->rungs; ++rung) {
    for (std::size_t trial = 0; trial < trials.size(); ++trial)
      all.push_back(trial_of(recipe, strategy, trials, static_cast<std::int64_t>(trial), rung));
  }
  return all;
}

std::vector<Strategy> all_strategies(const Recipe& recipe) {
  std::vector<Strategy> all;
  if (!recipe.iterate) return all;
  for (const Strategy& strategy : recipe.iterate->strategies) {
    for (Strategy& one : with_trials(recipe, strategy)) all.push_back(std::move(one));
  }
  return all;
}

std::int64_t trials_on_rung(const Search& search, std::int64_t num_trials, std::int64_t rung) {
  for (std::int64_t r = 0; r < rung; ++r)
    num_trials = (num_trials + search.keep_one_in - 1) / search.keep_one_in;
  return num_trials;
}

}  // namespace polyphase::recipe
