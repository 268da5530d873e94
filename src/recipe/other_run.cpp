// SPDX-License-Identifier: Apache-2.0
#include "recipe/other_run.hpp"

#include <filesystem>
#include <set>

#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/goals.hpp"
#include "recipe/load.hpp"

namespace polyphase::recipe {
namespace {

// Keys of the model that leave a parameter's meaning as it is.
const std::set<std::string> kMayDifferOfModel = {
    "num_layers",        "num_decoder_layers", "dropout",    "attention_dropout",
    "embedding_dropout", "head_dropout",       "layer_drop", "initialisation",
    "init_std",          "tied_output"};

// Sizes that one of the models leaves at 0 and the other does not. What both leave at 0 follows
// from other keys, which are told.
void make_comparable(Model& there, Model& here) {
  const auto compare = [&](std::int64_t Model::*size, std::int64_t (*size_of)(const Model&)) {
    if (there.*size == here.*size) return;
    there.*size = size_of(there);
    here.*size = size_of(here);
  };
  compare(&Model::num_key_heads, num_key_heads_of);
  compare(&Model::head_width, head_width_of);
  compare(&Model::feed_forward, feed_forward_of);
}

// "width 64 there, 32 here"; the two recipes have no more than the model in common.
std::vector<std::string> model_differences(const Recipe& theirs, const Recipe& ours) {
  Recipe there, here;
  there.model = theirs.model;
  here.model = ours.model;
  make_comparable(there.model, here.model);
  // Positions that are computed are there for any length.
  if (here.model.positions != Positions::kLearned) there.model.max_tokens = here.model.max_tokens;
  const std::string prefix = "model.", arrow = " → ";
  std::vector<std::string> lines;
  for (const std::string& line : differences(resolved(there), resolved(here))) {
    const std::size_t colon = line.find(':'), change = line.find(arrow);
    const std::string key = line.substr(prefix.size(), colon - prefix.size());
    if (!line.starts_with(prefix) || kMayDifferOfModel.contains(key)) continue;
    lines.push_back(fmt::format("{} {} there, {} here", key,
                                line.substr(colon + 2, change - colon - 2),
                                line.substr(change + arrow.size())));
  }
  return lines;
}

class OtherRunChecks {
 public:
  OtherRunChecks(const Recipe& recipe, const OtherRunUse& use, const Recipe& theirs,
                 const Phase& their_phase, Faults& faults)
      : recipe_(recipe), use_(use), theirs_(theirs), their_phase_(their_phase), faults_(faults) {}

  void check_all() {
    const bool fits = use_.role == OtherRunRole::kParent ? check_parent() : check_teacher();
    if (!fits) return;
    std::map<std::string, Place> places;
    for (const auto& [path, place] : recipe_.places) places[path] = {place, 0};
    if (places[""].text.empty()) places[""].text = recipe_.name;
    check_other_adaptation(recipe_, use_, theirs_, their_phase_, places, faults_);
  }

 private:
  template <class... Args>
  void fault(fmt::format_string<Args...> format, Args&&... args) {
    faults_.add(place_of(recipe_, use_),
                fmt::format("{}: {}", key_of(recipe_, use_),
                            fmt::format(format, std::forward<Args>(args)...)));
  }

  bool check_parent() {
    const std::vector<std::string> differing = model_differences(theirs_, recipe_);
    if (differing.empty()) return true;
    fault(
        "{} has another model than this recipe: {}; write the same under model (learnt as a "
        "teacher, under distil, it may have another)",
        other_run_name(use_.other), fmt::join(differing, ", "));
    return false;
  }

  bool check_teacher() {
    const Phase& phase = recipe_.phases[use_.phase_number];
    const std::string name = other_run_name(use_.other);
    if (theirs_.model.family != recipe_.model.family) {
      fault(
          "{} is a model of family {}, this one of {}; a teacher reads the same batches, so it "
          "must be of the same family",
          name, family_name(theirs_.model.family), family_name(recipe_.model.family));
      return false;
    }
    if (theirs_.model.segments && theirs_.model.matches != recipe_.model.matches) {
      fault(
          "{} was trained with model.matches: {}, and this recipe has {}; a teacher reads the same "
          "batches: write the same",
          name, theirs_.model.matches, recipe_.model.matches);
    }
    if (theirs_.model.max_tokens < max_tokens_of(recipe_, phase)) {
      fault("{} has positions for {} tokens, and this phase has up to {}; give it max_tokens: {}",
            name, theirs_.model.max_tokens, max_tokens_of(recipe_, phase),
            theirs_.model.max_tokens);
    }
    if (phase.adaptation.distil->hidden > 0 && theirs_.model.width != recipe_.model.width) {
      fault(
          "{} is {} wide, this model {}; distil.hidden compares states of the same width: take "
          "it out",
          name, theirs_.model.width, recipe_.model.width);
    }
    if (phase.adaptation.distil->attention > 0 &&
        theirs_.model.num_heads != recipe_.model.num_heads) {
      fault(
          "{} has {} attention heads, this model {}; distil.attention compares head with head: "
          "take it out",
          name, theirs_.model.num_heads, recipe_.model.num_heads);
    }
    return true;
  }

  const Recipe& recipe_;
  const OtherRunUse& use_;
  const Recipe& theirs_;
  const Phase& their_phase_;
  Faults& faults_;
};

}  // namespace

std::vector<OtherRunUse> uses_of_other_runs(const Recipe& recipe) {
  std::vector<OtherRunUse> uses;
  for (std::size_t i = 0; i < recipe.phases.size(); ++i) {
    const Phase& phase = recipe.phases[i];
    if (phase.from_run) uses.push_back({i, OtherRunRole::kParent, *phase.from_run});
    const auto& distil = phase.adaptation.distil;
    if (distil && distil->teacher_run)
      uses.push_back({i, OtherRunRole::kTeacher, *distil->teacher_run});
  }
  return uses;
}

std::string key_of(const Recipe& recipe, const OtherRunUse& use) {
  return phase_path(recipe, use.phase_number) +
         (use.role == OtherRunRole::kParent ? ".from" : ".distil.teacher");
}

Place place_of(const Recipe& recipe, const OtherRunUse& use) {
  std::map<std::string, Place> places;
  for (const auto& [path, place] : recipe.places) places[path] = {place, 0};
  const Place place = nearest_place(places, key_of(recipe, use));
  return place.text.empty() ? Place{recipe.name, 0} : place;
}

std::string other_run_name(const OtherRun& other) {
  const std::filesystem::path folder =
      (std::filesystem::path(other.run) / "").lexically_normal().parent_path();
  const std::string run = folder.filename().string();
  return other.phase.empty() ? run : run + "/" + other.phase;
}

std::string tokenizer_of_run(const std::string& run_folder) {
  return (std::filesystem::path(run_folder) / "data" / "tokenizer.model").string();
}

void check_other_run(const Recipe& recipe, const OtherRunUse& use, const Recipe& other,
                     const Phase& other_phase, Faults& faults) {
  OtherRunChecks(recipe, use, other, other_phase, faults).check_all();
}

}  // namespace polyphase::recipe
