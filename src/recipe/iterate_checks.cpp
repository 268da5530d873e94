// SPDX-License-Identifier: Apache-2.0
#include "recipe/iterate_checks.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/condition.hpp"
#include "recipe/load.hpp"
#include "recipe/search.hpp"
#include "recipe/variants.hpp"

namespace polyphase::recipe {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string> validation_metrics(const Phase& phase) {
  std::vector<std::string> names = metrics_of(phase);
  for (std::string& name : names) name.insert(0, "valid.");
  return names;
}

// Losses of training steps: the whole one, and those of several objectives.
std::vector<std::string> training_metrics(const Phase& phase) {
  if (phase.generate) return {};
  std::vector<std::string> names = {"train.loss"};
  if (phase.objectives.size() < 2) return names;
  for (const auto& [name, weight] : phase.objectives) names.push_back("train." + name + "_loss");
  return names;
}

class IterateChecks {
 public:
  IterateChecks(const Recipe& recipe, const std::map<std::string, Place>& places, Faults& faults)
      : recipe_(recipe), places_(places), faults_(faults) {}

  void check_all() {
    check_gates();
    if (!recipe_.iterate) return;
    check_target();
    for (std::size_t i = 0; i < recipe_.iterate->strategies.size(); ++i) check_strategy(i);
  }

 private:
  template <class... Args>
  void fault(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
    const std::string message = fmt::format(format, std::forward<Args>(args)...);
    faults_.add_unless_known(nearest_place(places_, path), message);
  }

  std::vector<std::string> phase_names() const {
    std::vector<std::string> names;
    for (const Phase& phase : recipe_.phases) names.push_back(phase.name);
    return names;
  }

  const Phase* target_phase() const { return find_phase(recipe_, recipe_.iterate->target.phase); }

  bool on_the_road(const std::string& phase) const {
    for (const std::size_t number : road_to(recipe_, recipe_.iterate->target.phase)) {
      if (recipe_.phases[number].name == phase) return true;
    }
    return false;
  }

  void check_gates() {
    for (std::size_t i = 0; i < recipe_.phases.size(); ++i) {
      const Phase& phase = recipe_.phases[i];
      if (!phase.gate) continue;
      const std::string path = phase_path(recipe_, i) + ".gate";
      if (!recipe_.iterate) {
        fault(path, "{} needs the section iterate, whose target judges the phase", path);
      } else if (target_phase() != nullptr &&
                 (phase.name == recipe_.iterate->target.phase || !on_the_road(phase.name))) {
        fault(path, "{} is of a phase that {} does not come from; the target's phase judges it",
              path, quoted(recipe_.iterate->target.phase));
      }
    }
  }

  void check_target() {
    const Target& target = recipe_.iterate->target;
    const std::string path = "iterate.target";
    if (target.at_least.has_value() == target.at_most.has_value()) {
      fault(path, "{} has {}; expected exactly one of at_least and at_most", path,
            target.at_least ? "both at_least and at_most" : "neither at_least nor at_most");
    }
    if (target.phase.empty()) return;
    const Phase* phase = target_phase();
    if (phase == nullptr) {
      fault(path + ".phase", "{}.phase names no phase {}{}", path, quoted(target.phase),
            suggestion(target.phase, phase_names(), "phases"));
      return;
    }
    if (phase->generate) {
      fault(path + ".phase", "{}.phase is {}, which makes a corpus; name a phase that trains on it",
            path, quoted(phase->name));
      return;
    }
    std::vector<std::string> known = evaluated_metrics(*phase);
    for (std::string& name : known) name.insert(0, "valid.");
    if (!target.metric.empty() && !contains(known, target.metric)) {
      fault(path + ".metric", "{}.metric names no metric {} of phase {}{}", path,
            quoted(target.metric), quoted(phase->name),
            suggestion(target.metric, known, "its metrics"));
    }
    check_validation_part(*phase, path + ".phase");
  }

  void check_validation_part(const Phase& phase, const std::string& path) {
    const std::string name =
        corpus_without_validation(recipe_, phase, recipe_.iterate->target.metric);
    if (name.empty()) return;
    fault(path,
          "the target is measured on a validation part, and the corpus {} of phase {} has none; {}",
          quoted(name), quoted(phase.name), remedy_without_validation(recipe_, name));
  }

  void check_strategy(std::size_t index) {
    const std::vector<Strategy>& all = recipe_.iterate->strategies;
    const Strategy& strategy = all[index];
    const std::string path = strategy_path(recipe_, places_, index);
    for (std::size_t i = 0; i < index; ++i) {
      if (strategy.name.empty() || all[i].name != strategy.name) continue;
      fault(path + ".name", "another strategy is called {} already", quoted(strategy.name));
    }
    if (strategy.set.empty() == !strategy.search) {
      fault(path, "{} has {}; expected exactly one of set and search", path,
            strategy.search ? "both set and search" : "neither set nor search");
    }
    for (const Change& change : strategy.set) check_change(change, path + ".set." + change.path);
    if (strategy.search) check_search(*strategy.search, path + ".search");
    if (target_phase() != nullptr) check_condition(strategy.when, path + ".when");
  }

  void check_search(const Search& search, const std::string& path) {
    if (search.values.empty()) fault(path + ".values", "{}.values names no key", path);
    for (const Change& change : search.values) {
      const std::string key = path + ".values." + change.path;
      check_change(change, key);
      if (search.rungs > 1 && change.path.find(".stop") != std::string::npos)
        fault(key, "{} decides over stop itself where it has rungs; leave out one of both", path);
    }
    for (const Phase& phase : recipe_.phases) {
      if (phase.generate || !touches(search, phase.name)) continue;
      const std::int64_t count = phase.stop.steps.value_or(phase.stop.epochs.value_or(0));
      for (std::int64_t rung = 1; rung < search.rungs; ++rung) {
        if (count_on_rung(search, count, rung - 1) < count_on_rung(search, count, rung)) continue;
        fault(path + ".rungs",
              "{}.rungs is {}, and phase {} has {} {}: too few for a share on every rung", path,
              search.rungs, quoted(phase.name), count, phase.stop.steps ? "steps" : "epochs");
        return;
      }
    }
    if (search.ranks_per_trial > 0) check_ranks_per_trial(search, path + ".ranks_per_trial");
    try {
      values_of_trials(search, recipe_.seed);
    } catch (const RecipeError& error) {
      fault(path + ".values", "{}: {}", path, error.what());
    }
  }

  // What the number of ranks decides is in check_strategy_layouts().
  void check_ranks_per_trial(const Search& search, const std::string& path) {
    const std::int64_t copy = recipe_.parallel.ranks_of_copy();
    if (search.ranks_per_trial % copy != 0) {
      const std::int64_t fits = (search.ranks_per_trial / copy + 1) * copy;
      fault(path, "{} is {}, no multiple of {}, which is {}; {} would fit", path,
            search.ranks_per_trial, copy_keys(recipe_.parallel), copy, fits);
    }
    for (const std::size_t number : road_to(recipe_, recipe_.iterate->target.phase)) {
      const Phase& phase = recipe_.phases[number];
      if (makers_of(recipe_, phase).empty()) continue;
      fault(path,
            "{}: phase {} trains on a corpus that another phase makes, and of such a corpus only "
            "one trial's can be prepared at a time; leave the key out",
            path, quoted(phase.name));
      return;
    }
  }

  // What neither the prepared data nor the identity of the run depends on.
  void check_change(const Change& change, const std::string& path) {
    static const std::vector<std::string> open = {"seed", "model", "precision", "phases"};
    const std::string section = change.path.substr(0, change.path.find('.'));
    static const std::vector<std::string> closed = {"name",      "run_dir", "folder", "checkpoint",
                                                    "parallel",  "limits",  "slurm",  "iterate",
                                                    "tokenizer", "corpora"};
    if (contains(closed, section)) {
      fault(path, "a strategy cannot change {}; it may change {}", section, alternatives(open));
    }
    const bool names = change.path.ends_with(".name") || change.path.ends_with(".gate");
    if (section == "phases" && names) {
      fault(path, "a strategy cannot change a phase's name or gate");
    }
    if (section == "phases" && change.path.find(".slurm") != std::string::npos)
      fault(path, "a strategy cannot change slurm; all rounds have the same batch scripts");
  }

  void check_condition(const std::string& when, const std::string& path) {
    try {
      for (const std::string& name : parse_condition(when).names()) check_name(name, path);
    } catch (const RecipeError& error) {
      fault(path, "{}: {}", path, error.what());
    }
  }

  void check_name(const std::string& name, const std::string& path) {
    const ConditionName parts = split_condition_name(name);
    const Phase* phase = parts.phase.empty() ? target_phase() : find_phase(recipe_, parts.phase);
    if (phase == nullptr) {
      fault(path, "{} names no phase {}{}", path, quoted(parts.phase),
            suggestion(parts.phase, phase_names(), "phases"));
      return;
    }
    if (!on_the_road(phase->name)) {
      fault(path, "{} looks at phase {}, which {} does not come from", path, quoted(phase->name),
            quoted(recipe_.iterate->target.phase));
      return;
    }
    if (phase->generate) {
      fault(path, "{} looks at phase {}, which trains nothing", path, quoted(phase->name));
      return;
    }
    if (parts.part.empty()) return;  // a word
    if (parts.part == "test") {
      fault(path, "{} looks at the test part; decisions are made on valid", path);
      return;
    }
    std::vector<std::string> known = training_metrics(*phase);
    for (const std::string& metric : validation_metrics(*phase)) known.push_back(metric);
    for (const std::string& word : condition_words()) known.push_back(word);
    const std::string metric = parts.part + "." + parts.metric;
    if (contains(known, metric)) return;
    fault(path, "{} names no metric {} of phase {}{}", path, quoted(metric), quoted(phase->name),
          suggestion(metric, known, "what it gives"));
  }

  const Recipe& recipe_;
  const std::map<std::string, Place>& places_;
  Faults& faults_;
};

}  // namespace

void check_iterate(const Recipe& recipe, const std::map<std::string, Place>& places,
                   Faults& faults) {
  IterateChecks(recipe, places, faults).check_all();
}

}  // namespace polyphase::recipe
