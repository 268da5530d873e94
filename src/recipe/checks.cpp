// SPDX-License-Identifier: Apache-2.0
#include "recipe/checks.hpp"

#include <algorithm>
#include <limits>

#include "base/error.hpp"
#include "recipe/goals.hpp"
#include "recipe/iterate_checks.hpp"
#include "recipe/load.hpp"

namespace polyphase::recipe {
namespace {

class Checks {
 public:
  Checks(const Recipe& recipe, const std::map<std::string, Place>& places, Faults& faults)
      : recipe_(recipe), places_(places), faults_(faults) {}

  void check_all() {
    check_model();
    check_corpora(recipe_, places_, faults_);
    if (has("phases") && recipe_.phases.empty()) fault("phases", "expected at least one phase");
    for (std::size_t i = 0; i < recipe_.phases.size(); ++i) check_phase(i);
    check_generation(recipe_, places_, faults_);
    check_iterate(recipe_, places_, faults_);
    check_slurm(recipe_, places_, faults_);
  }

 private:
  bool has(const std::string& path) const { return places_.count(path) > 0; }

  template <class... Args>
  void fault(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
    const std::string message = fmt::format(format, std::forward<Args>(args)...);
    faults_.add_unless_known(nearest_place(places_, path), message);
  }

  // Half of the buckets, or a quarter where keys lie on both sides, stand for one distance each.
  void check_relative_positions(const Model& model) {
    if (model.positions != Positions::kRelative) return;
    const std::int64_t exact = model.relative_buckets / (model.family == Family::kBert ? 4 : 2);
    if (model.relative_max_distance > exact) return;
    fault("model.relative_max_distance",
          "model.relative_max_distance is {}, but {} buckets tell the first {} distances apart one "
          "by one; it must be larger",
          model.relative_max_distance, model.relative_buckets, exact);
  }

  void check_model() {
    const Model& model = recipe_.model;
    const std::int64_t key_heads = num_key_heads_of(model);
    if (model.num_heads % key_heads != 0) {
      fault("model.num_key_heads", "model.num_heads is {}, which {} key heads do not divide",
            model.num_heads, key_heads);
    }
    if (model.positions == Positions::kRotary && head_width_of(model) % 2 != 0) {
      fault("model.positions", "rotary positions turn pairs, but a head is {} wide; make it even",
            head_width_of(model));
    }
    if (model.matches && (!model.segments || model.family != Family::kBert)) {
      fault(
          "model.matches",
          "matches are told by the segments of an encoder's pairs of texts: they need family bert "
          "and segments: true");
    }
    check_relative_positions(model);
    if (model.head_width == 0 && model.width % model.num_heads != 0) {
      fault("model.num_heads",
            "model.width is {}, which {} heads do not divide; a width of {} fits", model.width,
            model.num_heads, (model.width / model.num_heads + 1) * model.num_heads);
    }
  }

  // The corpus, or null after a fault.
  const Corpus* require_corpus(const std::string& path, const std::string& key,
                               const std::string& name) {
    const Corpus* corpus = find_corpus(recipe_, name);
    if (corpus != nullptr) return corpus;
    std::vector<std::string> names;
    for (const Corpus& known : recipe_.corpora) names.push_back(known.name);
    fault(path, "{} names no corpus {}{}", key, quoted(name), suggestion(name, names, "corpora"));
    return nullptr;
  }

  void check_phase(std::size_t index) {
    const Phase& phase = recipe_.phases[index];
    const std::string path = phase_path(recipe_, index);
    check_name(index, path);
    check_from(index, path);
    if (phase.generate) return;  // the rest is of training
    if (phase.optimizer.state != StateHandover::kReset && phase.starts_anew()) {
      fault(path + ".optimizer.state",
            "{}.optimizer.state says what becomes of the state before, but {} starts from no phase",
            path, quoted(phase.name));
    }
    check_goal(phase, path);
    check_adaptation(recipe_, index, places_, faults_);
    check_data(phase, path);
    check_sampling(recipe_, phase, path, places_, faults_);
    check_stop(phase, path);
    check_regularisation(phase, path, places_, faults_);
    if (phase.max_tokens && *phase.max_tokens > recipe_.model.max_tokens) {
      fault(path + ".max_tokens", "{}.max_tokens is {}; the model has positions for {} tokens",
            path, *phase.max_tokens, recipe_.model.max_tokens);
    }
    check_batch(phase.batch, path + ".batch");
  }

  void check_batch(const Batch& batch, const std::string& path) {
    const std::int64_t fewest = batch.fewest_sequences();
    if (batch.ramp && fewest > 0) check_ramp(batch, path);
    if (batch.micro_batch == 0 || fewest % batch.micro_batch == 0) return;
    const std::string key = path + (batch.ramp ? ".ramp.from" : ".sequences");
    const std::int64_t below = fewest / batch.micro_batch * batch.micro_batch;
    fault(path + ".micro_batch",
          "{} is {}, which a micro_batch of {} does not divide; {}{} sequences fit", key, fewest,
          batch.micro_batch, below > 0 ? fmt::format("{} or ", below) : "",
          below + batch.micro_batch);
  }

  void check_ramp(const Batch& batch, const std::string& path) {
    std::int64_t reached = batch.ramp->from;
    while (reached < batch.sequences) reached *= 2;
    if (reached == batch.sequences) return;
    fault(
        path + ".ramp.from",
        "{}.ramp.from is {}, and doubling it leads past {}.sequences ({}) to {}; {} sequences, or "
        "a start of {} would fit",
        path, batch.ramp->from, path, batch.sequences, reached, reached,
        std::max<std::int64_t>(1, batch.sequences / 4));
  }

  void check_name(std::size_t index, const std::string& path) {
    const std::string& name = recipe_.phases[index].name;
    for (std::size_t i = 0; i < index; ++i) {
      if (name.empty() || recipe_.phases[i].name != name) continue;
      const Place earlier = nearest_place(places_, phase_path(recipe_, i));
      fault(path + ".name", "a phase called {} stands at {} already", quoted(name), earlier.text);
      return;
    }
  }

  void check_from(std::size_t index, const std::string& path) {
    const std::string& from = recipe_.phases[index].from;
    if (from.empty()) return;
    std::vector<std::string> earlier;
    for (std::size_t i = 0; i < recipe_.phases.size(); ++i) {
      if (recipe_.phases[i].name == from && i < index) {
        check_has_model(recipe_.phases[i], path + ".from");
        return;
      }
      if (recipe_.phases[i].name == from) {
        fault(path + ".from", "{}.from names {}, which is not an earlier phase; move it before {}",
              path, quoted(from), quoted(recipe_.phases[index].name));
        return;
      }
      if (i < index) earlier.push_back(recipe_.phases[i].name);
    }
    fault(path + ".from", "{}.from names no phase {}{}", path, quoted(from),
          suggestion(from, earlier, "earlier phases"));
  }

  void check_has_model(const Phase& phase, const std::string& key) {
    if (!phase.generate) return;
    fault(key, "{} is {}, which makes a corpus and has no model; name a phase that trains one", key,
          quoted(phase.name));
  }

  void check_goal(const Phase& phase, const std::string& path) {
    if (has(path + ".objectives") == has(path + ".task")) {
      fault(has(path + ".task") ? path + ".task" : path,
            "{} has {}; expected exactly one of objectives and task", path,
            has(path + ".task") ? "both objectives and task" : "neither objectives nor task");
      return;
    }
    if (phase.task) return check_task(phase, path);
    if (phase.objectives.empty()) {
      fault(path + ".objectives", "{}.objectives is empty; expected {}, with a weight", path,
            alternatives(objective_names()));
    }
    for (const auto& [name, weight] : phase.objectives) check_objective(name, path);
  }

  void check_objective(const std::string& name, const std::string& path) {
    const std::string key = path + ".objectives." + name;
    const Goal* goal = find_objective(name);
    if (goal == nullptr) {
      fault(key, "unknown objective {} in {}.objectives{}", quoted(name), path,
            suggestion(name, objective_names(), "objectives"));
      return;
    }
    check_family(*goal, key);
  }

  void check_task(const Phase& phase, const std::string& path) {
    const Task& task = *phase.task;
    check_family(goal_of(task.kind), path + ".task.kind");
    if (task.head == TaskHead::kCrf && task.kind != TaskKind::kTagging) {
      fault(path + ".task.head", "a crf head is for tagging, not for {}", goal_of(task.kind).name);
    }
    if (!task.class_weights.empty() && task.kind != TaskKind::kClassification) {
      fault(path + ".task.class_weights", "class_weights are for classification, not for {}",
            goal_of(task.kind).name);
    }
    if (task.ngrams && !is_of_sequences(task.kind)) {
      fault(path + ".task.ngrams",
            "ngrams are for classification, regression and multi_label, not for {}",
            goal_of(task.kind).name);
    }
    constexpr std::int64_t kMostBuckets = std::numeric_limits<std::int32_t>::max(), kLongest = 16;
    if (task.ngrams && task.ngrams->order > kLongest) {
      fault(path + ".task.ngrams.order", "{}.task.ngrams.order is {}; it can be {} at most", path,
            task.ngrams->order, kLongest);
    }
    if (task.ngrams && task.ngrams->buckets > kMostBuckets) {
      fault(path + ".task.ngrams.buckets", "{}.task.ngrams.buckets is {}; there can be {} at most",
            path, task.ngrams->buckets, kMostBuckets);
    }
    if (task.ngrams && phase.sampling.mixup) {
      fault(path + ".task.ngrams",
            "mixup mixes states of sequences, which have no n-grams; leave out one of both");
    }
    if (phase.label_smoothing > 0 && task.kind != TaskKind::kClassification &&
        task.kind != TaskKind::kGeneration &&
        !(task.kind == TaskKind::kTagging && task.head == TaskHead::kSoftmax)) {
      fault(path + ".label_smoothing",
            "label_smoothing is for language models, generation, classification and softmax "
            "tagging, not for {}",
            task.head == TaskHead::kCrf ? "a crf head" : goal_of(task.kind).name);
    }
  }

  void check_family(const Goal& goal, const std::string& key) {
    const Family family = recipe_.model.family;
    if (std::find(goal.families.begin(), goal.families.end(), family) != goal.families.end()) {
      return;
    }
    std::vector<std::string> names, objectives;
    for (const Family other : goal.families) names.emplace_back(family_name(other));
    for (const Goal& other : objective_goals()) {
      if (std::find(other.families.begin(), other.families.end(), family) != other.families.end())
        objectives.push_back(other.name);
    }
    const bool is_objective = find_objective(goal.name) != nullptr;
    fault(key, "{} ({}) needs a model of family {}; this one is {}{}", goal.name, goal.words,
          alternatives(names), family_name(family),
          is_objective ? ", which can train for " + alternatives(objectives) : "");
  }

  void check_data(const Phase& phase, const std::string& path) {
    if (!has(path + ".data")) return;
    if (phase.data.empty()) {
      fault(path + ".data", "{}.data names no corpus; expected at least one, with a weight", path);
    }
    for (const auto& [name, weight] : phase.data) {
      const Corpus* corpus = require_corpus(path + ".data." + name, path + ".data", name);
      if (corpus == nullptr || corpus->kind == corpus_kind_for(phase)) continue;
      if (has(path + ".objectives") == has(path + ".task")) continue;
      if (!has("corpora." + name + ".kind")) continue;
      fault(path + ".data." + name, "the corpus {} is of kind {}; {} needs one of kind {}",
            quoted(name), name_of(corpus->kind),
            phase.task ? "the task " + name_of(corpus_kind_for(phase)) : std::string("pretraining"),
            name_of(corpus_kind_for(phase)));
    }
  }

  void check_stop(const Phase& phase, const std::string& path) {
    const bool steps = has(path + ".stop.steps");
    const bool epochs = has(path + ".stop.epochs");
    if (has(path + ".stop") && steps == epochs) {
      fault(path + ".stop", "{}.stop has {}; expected exactly one of steps and epochs", path,
            steps ? "both steps and epochs" : "neither steps nor epochs");
    }
    if (!phase.stop.early || phase.stop.early->metric.empty()) return;
    if (has(path + ".objectives") == has(path + ".task")) return;  // its metrics are not known
    const std::string& metric = phase.stop.early->metric;
    std::vector<std::string> known = evaluated_metrics(phase);
    for (std::string& name : known) name.insert(0, "valid.");
    if (std::find(known.begin(), known.end(), metric) == known.end()) {
      fault(path + ".stop.early.metric", "{}.stop.early.metric names no metric {}{}", path,
            quoted(metric), suggestion(metric, known, "this phase's metrics"));
    }
    check_validation_part(phase, path);
  }

  void check_validation_part(const Phase& phase, const std::string& path) {
    const std::string name = corpus_without_validation(recipe_, phase, phase.stop.early->metric);
    if (name.empty()) return;
    fault(path + ".stop.early",
          "{}.stop.early needs a validation part, and the corpus {} has none; {}", path,
          quoted(name), remedy_without_validation(recipe_, name));
  }

  const Recipe& recipe_;
  const std::map<std::string, Place>& places_;
  Faults& faults_;
};

}  // namespace

void check_recipe(const Recipe& recipe, const std::map<std::string, Place>& places,
                  Faults& faults) {
  Checks(recipe, places, faults).check_all();
}

Place nearest_place(const std::map<std::string, Place>& places, std::string path) {
  for (;;) {
    const auto found = places.find(path);
    if (found != places.end() || path.empty())
      return found == places.end() ? Place{} : found->second;
    const std::size_t cut = path.find_last_of(".[");
    path.erase(cut == std::string::npos ? 0 : cut);
  }
}

std::string phase_path(const Recipe& recipe, std::size_t index) {
  const std::string& name = recipe.phases[index].name;
  bool usable = !name.empty();
  for (std::size_t i = 0; i < index; ++i) usable = usable && recipe.phases[i].name != name;
  return usable ? "phases." + name : fmt::format("phases[{}]", index);
}

}  // namespace polyphase::recipe
