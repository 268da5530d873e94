// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/goals.hpp"
#include "recipe/load.hpp"
#include "recipe/other_run.hpp"

namespace polyphase::recipe {
namespace {

class AdaptationChecks {
 public:
  AdaptationChecks(const Recipe& recipe, std::size_t index,
                   const std::map<std::string, Place>& places, Faults& faults)
      : recipe_(recipe),
        index_(index),
        phase_(recipe.phases[index]),
        path_(phase_path(recipe, index)),
        places_(places),
        faults_(faults) {}

  void check_all() {
    check_own_depth();
    if (phase_.adaptation.distil) check_distil(*phase_.adaptation.distil);
    if (phase_.adaptation.lora && phase_.adaptation.lora->match.empty())
      fault("lora.match", "{}.lora.match is empty; name weights, such as \"*.attention.*\"", path_);
  }

  // Its part on a phase of another run, whose model is of that run's recipe.
  void check_other_parent(const OtherRun& other, const Recipe& theirs, const Phase& parent) {
    check_depth(other_run_name(other), model_of(theirs, parent), has_decoder(theirs.model, parent));
  }

  void check_other_teacher(const OtherRun& other, const Recipe& theirs, const Phase& teacher) {
    check_goals(other_run_name(other), teacher);
    check_layers(other_run_name(other), theirs, teacher);
  }

 private:
  template <class... Args>
  void fault(const std::string& key, fmt::format_string<Args...> format, Args&&... args) {
    faults_.add_unless_known(nearest_place(places_, path_ + "." + key),
                             fmt::format(format, std::forward<Args>(args)...));
  }

  // An earlier phase of that name, else nullptr.
  const Phase* earlier(const std::string& name) const {
    for (std::size_t i = 0; i < index_; ++i) {
      if (recipe_.phases[i].name == name) return &recipe_.phases[i];
    }
    return nullptr;
  }

  void check_own_depth() {
    const Adaptation& own = phase_.adaptation;
    if (own.num_decoder_layers && !has_decoder(recipe_.model, phase_)) {
      fault("num_decoder_layers", "{}.num_decoder_layers is given, but this phase has no decoder",
            path_);
    }
    const Phase* parent = earlier(phase_.from);
    if (parent == nullptr) {
      if (own.growth != Growth::kNone && phase_.starts_anew())
        fault("growth", "{}.growth is given, but {} starts from no phase", path_,
              quoted(phase_.name));
      return;  // a wrong `from` is a fault of its own; another run is not opened here
    }
    check_depth(parent->name, model_of(recipe_, *parent), has_decoder(recipe_.model, *parent));
  }

  void check_depth(const std::string& parent, const Model& before, bool decoder_before) {
    const Adaptation& own = phase_.adaptation;
    const Model now = model_of(recipe_, phase_);
    const std::int64_t layers = now.num_layers - before.num_layers;
    std::int64_t decoder_layers = 0;
    if (has_decoder(recipe_.model, phase_) && decoder_before)
      decoder_layers = num_decoder_layers_of(now) - num_decoder_layers_of(before);
    if (layers == 0 && decoder_layers == 0) {
      if (own.growth == Growth::kNone) return;
      fault("growth", "{}.growth is given, but {}, which it starts from, has as many layers", path_,
            quoted(parent));
    } else if (layers * decoder_layers < 0) {
      fault("num_layers", "{} has more layers than {} in one stack and fewer in the other", path_,
            quoted(parent));
    } else {
      check_growth(parent, before, layers + decoder_layers > 0);
      check_gate(parent);
    }
  }

  // What starts from a gated phase starts from that phase's parent where the gate is shut.
  void check_gate(const std::string& parent) {
    if (!phase_.gate) return;
    fault("gate",
          "{}.gate: this phase changes the depth, and what starts from it could not start from {} "
          "instead; put the gate on a phase that does not",
          path_, quoted(parent));
  }

  void check_growth(const std::string& parent, const Model& before, bool deeper) {
    const Growth growth = phase_.adaptation.growth;
    const std::string key = growth == Growth::kNone ? "from" : "growth";
    if (growth == Growth::kNone || (growth == Growth::kSkip) == deeper) {
      fault(key, "{} has {} layers and {}, which it starts from, {}; say with {}.growth {}", path_,
            model_of(recipe_, phase_).num_layers, quoted(parent), before.num_layers, path_,
            deeper ? "where its layers come from: stack, interpose or identity"
                   : "that it takes evenly spaced ones: skip");
    } else if (growth == Growth::kIdentity && recipe_.model.norm == NormPlacement::kPost) {
      fault(key,
            "{}.growth is identity, which keeps what a pre-norm model computes; this model is "
            "post-norm, whose norms change what a new layer leaves alone; take stack or interpose",
            path_);
    }
  }

  void check_distil(const Distil& distil) {
    if (distil.teacher.empty() && !distil.teacher_run) return;
    if (phase_.sampling.mixup) {
      fault("mixup",
            "{}.mixup mixes states of texts, of which a teacher knows nothing; take either", path_);
    }
    if (phase_.regularisation.r_drop.value_or(0.0) > 0) {
      fault("r_drop", "{}.r_drop has every text twice in a pass, a teacher once; take either",
            path_);
    }
    check_matching(distil);
    check_kept(distil);
    if (!distil.teacher_run) check_own_teacher(distil);
  }

  // One row of numbers a sample is kept.
  void check_kept(const Distil& distil) {
    if (!distil.kept) return;
    if (distil.hidden > 0 || distil.attention > 0) {
      fault("distil.kept",
            "{}.distil.kept keeps what the teacher says of a text, not its hidden states and "
            "attention; leave kept or these weights out",
            path_);
    }
    if (phase_.task && is_of_sequences(phase_.task->kind)) return;
    fault("distil.kept",
          "{}.distil.kept is for the tasks classification, regression and multi_label, whose "
          "samples have one row of outputs each; without it the teacher goes along in every step",
          path_);
  }

  void check_matching(const Distil& distil) {
    const bool all = distil.layers == MatchedLayers::kAll;
    if (all && distil.hidden == 0 && distil.attention == 0) {
      fault("distil.layers",
            "{}.distil.layers is all, but nothing of a layer is matched; give hidden or attention "
            "a weight",
            path_);
    }
    if ((distil.attention > 0 || (all && distil.hidden > 0)) &&
        layer_drop_of(recipe_, phase_) > 0) {
      fault("distil",
            "{}.distil matches each layer with one of the teacher's, and layer_drop leaves layers "
            "out of a step, which then have nothing to match; take either",
            path_);
    }
  }

  // Every layer of this model needs one of the teacher's for itself.
  void check_layers(const std::string& name, const Recipe& theirs, const Phase& teacher) {
    if (phase_.adaptation.distil->layers != MatchedLayers::kAll) return;
    const Model other = model_of(theirs, teacher), own = model_of(recipe_, phase_);
    const auto check = [&](const char* what, std::int64_t their_layers, std::int64_t own_layers) {
      if (their_layers >= own_layers) return;
      fault("distil.layers",
            "{}.distil.layers is all, but {} has {} {}layers, fewer than the {} here, which each "
            "learn from one of their own; write layers: last, or take a deeper teacher",
            path_, quoted(name), their_layers, what, own_layers);
    };
    check("", other.num_layers, own.num_layers);
    if (has_decoder(recipe_.model, phase_))
      check("decoder ", num_decoder_layers_of(other), num_decoder_layers_of(own));
  }

  void check_own_teacher(const Distil& distil) {
    const Phase* teacher = earlier(distil.teacher);
    if (teacher == nullptr) {
      std::vector<std::string> names;
      for (std::size_t i = 0; i < index_; ++i) names.push_back(recipe_.phases[i].name);
      fault("distil.teacher", "{}.distil.teacher names no earlier phase {}{}", path_,
            quoted(distil.teacher), suggestion(distil.teacher, names, "earlier phases"));
      return;
    }
    if (teacher->gate) {
      fault("distil.teacher",
            "{}.distil.teacher is {}, whose gate may reject it; a teacher has no gate", path_,
            quoted(teacher->name));
    }
    if (teacher->generate) {
      fault("distil.teacher",
            "{}.distil.teacher is {}, which makes a corpus and has no model; name a phase that "
            "trains one",
            path_, quoted(teacher->name));
      return;
    }
    check_goals(teacher->name, *teacher);
    check_layers(teacher->name, recipe_, *teacher);
  }

  void check_goals(const std::string& name, const Phase& teacher) {
    bool same = phase_.task.has_value() == teacher.task.has_value();
    if (same && phase_.task) same = phase_.task->kind == teacher.task->kind;
    if (same && phase_.task && phase_.task->head != teacher.task->head) {
      const bool crf = phase_.task->head == TaskHead::kCrf;
      fault("distil.teacher",
            "{}.distil.teacher is {}, whose head is {}, and this phase's is {}: what they say of a "
            "sentence is not comparable; take the same head",
            path_, quoted(name), crf ? "a softmax" : "a crf", crf ? "a crf" : "a softmax");
      return;
    }
    for (const auto& [name, weight] : phase_.objectives)
      same = same && teacher.objectives.contains(name);
    if (same) return;
    fault("distil.teacher", "{}.distil.teacher is {}, which was trained for {}, not for {}", path_,
          quoted(name), goal_name(teacher), goal_name(phase_));
  }

  const Recipe& recipe_;
  std::size_t index_;
  const Phase& phase_;
  std::string path_;
  const std::map<std::string, Place>& places_;
  Faults& faults_;
};

}  // namespace

void check_adaptation(const Recipe& recipe, std::size_t phase_index,
                      const std::map<std::string, Place>& places, Faults& faults) {
  AdaptationChecks(recipe, phase_index, places, faults).check_all();
}

void check_other_adaptation(const Recipe& recipe, const OtherRunUse& use, const Recipe& theirs,
                            const Phase& their_phase, const std::map<std::string, Place>& places,
                            Faults& faults) {
  AdaptationChecks checks(recipe, use.phase_number, places, faults);
  if (use.role == OtherRunRole::kParent) {
    checks.check_other_parent(use.other, theirs, their_phase);
  } else {
    checks.check_other_teacher(use.other, theirs, their_phase);
  }
}

}  // namespace polyphase::recipe
