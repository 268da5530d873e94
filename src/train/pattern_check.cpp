// SPDX-License-Identifier: Apache-2.0
#include "train/pattern_check.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "comm/session.hpp"
#include "optimizer/name_pattern.hpp"
#include "optimizer/treatment.hpp"
#include "recipe/faults.hpp"
#include "train/planned_model.hpp"

namespace polyphase {
namespace {

constexpr std::size_t kNumNearest = 3;

class PatternCheck {
 public:
  PatternCheck(const recipe::Recipe& recipe, const recipe::Phase& phase, std::string& faults)
      : recipe_(recipe), faults_(faults), path_("phases." + phase.name) {
    const Communicator one = planning_communicator(1);
    const auto model = planned_model(recipe, phase, one);
    for (const Parameter& parameter : model->parameters().all()) {
      names_.push_back(parameter.spec.name);
    }
    check(path_ + ".freeze", phase.freeze);
    if (phase.adaptation.lora) check_adapted(phase.adaptation.lora->match);
    for (const recipe::ParameterGroup& group : phase.optimizer.groups) {
      check(path_ + ".optimizer.groups." + group.name + ".match", group.match);
    }
    const std::vector<Treatment> all = treatments(model->parameters(), phase);
    if (std::none_of(all.begin(), all.end(), [](const Treatment& t) { return t.is_trained(); })) {
      fault(path_ + ".freeze", path_ + ".freeze matches every parameter; nothing is left to train");
    }
  }

 private:
  void check(const std::string& key, const std::vector<std::string>& patterns) {
    for (const std::string& pattern : patterns) {
      const bool found = std::any_of(names_.begin(), names_.end(), [&](const std::string& name) {
        return matches(pattern, name);
      });
      if (found) continue;
      fault(key, fmt::format("{}: {} matches no parameter of this phase; the nearest are {}", key,
                             recipe::quoted(pattern),
                             fmt::join(nearest_names(pattern, names_, kNumNearest), ", ")));
    }
  }

  // Such a pattern must name a weight that has an addition now.
  void check_adapted(const std::vector<std::string>& patterns) {
    const std::string key = path_ + ".lora.match";
    for (const std::string& pattern : patterns) {
      const bool found = std::any_of(names_.begin(), names_.end(), [&](const std::string& name) {
        const std::string adapter = adapter_a(name);
        return matches(pattern, name) && !adapter.empty() &&
               std::find(names_.begin(), names_.end(), adapter) != names_.end();
      });
      if (found) continue;
      fault(key, fmt::format("{}: {} matches no weight of a product below the heads; weights are "
                             "named like layers.0.attention.query.weight",
                             key, recipe::quoted(pattern)));
    }
  }

  void fault(const std::string& key, const std::string& message) {
    const auto place = recipe_.places.find(key);
    if (!faults_.empty()) faults_ += "\n";
    if (place != recipe_.places.end()) faults_ += place->second + ": ";
    faults_ += message;
  }

  const recipe::Recipe& recipe_;
  std::string& faults_;
  std::string path_;
  std::vector<std::string> names_;
};

}  // namespace

void check_patterns(const recipe::Recipe& recipe) {
  std::string faults;
  for (const recipe::Phase& phase : recipe.phases) {
    if (phase.freeze.empty() && phase.optimizer.groups.empty() && !phase.adaptation.lora) continue;
    PatternCheck(recipe, phase, faults);
  }
  if (!faults.empty()) fail<RecipeError>("{}", faults);
}

}  // namespace polyphase
