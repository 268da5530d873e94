// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/goals.hpp"
#include "recipe/load.hpp"

namespace polyphase::recipe {
namespace {

// Of a wrong name, which is a fault of its own, nothing is said.
bool has_validation_part(const Recipe& recipe, const std::string& name) {
  const Corpus* corpus = find_corpus(recipe, name);
  if (corpus == nullptr || !corpus->valid.empty()) return true;
  return corpus->kind == CorpusKind::kText && corpus->valid_fraction > 0;
}

class SamplingChecks {
 public:
  SamplingChecks(const Recipe& recipe, const Phase& phase, std::string path,
                 const std::map<std::string, Place>& places, Faults& faults)
      : recipe_(recipe), phase_(phase), path_(std::move(path)), places_(places), faults_(faults) {}

  void check_all() {
    const Sampling& sampling = phase_.sampling;
    if (sampling.temperature && phase_.data.size() == 1) {
      fault("data_temperature",
            "{0}.data_temperature weighs corpora against each other, and {0}.data names one; "
            "remove the key or name more corpora",
            path_);
    }
    if (sampling.filter) check_filter(*sampling.filter);
    if (sampling.filter) check_has_lengths("filter");
    if (sampling.curriculum && sampling.curriculum->by == CurriculumOrder::kScore) check_scores();
    if (sampling.curriculum) check_has_lengths("curriculum");
    if (sampling.augmentation) check_augmentation(*sampling.augmentation);
    if (sampling.mixup && !is_task(TaskKind::kClassification)) {
      fault("mixup",
            "{}.mixup mixes the classes of sequences; it is for classification, not for {}", path_,
            goal_name(phase_));
    }
  }

 private:
  template <class... Args>
  void fault(const std::string& key, fmt::format_string<Args...> format, Args&&... args) {
    const std::string message = fmt::format(format, std::forward<Args>(args)...);
    faults_.add_unless_known(nearest_place(places_, path_ + "." + key), message);
  }

  bool is_task(TaskKind kind) const { return phase_.task && phase_.task->kind == kind; }

  void check_filter(const LengthFilter& filter) {
    if (!filter.max_tokens || *filter.max_tokens >= filter.min_tokens) return;
    fault("filter.max_tokens",
          "{}.filter.max_tokens is {}, below min_tokens of {}: nothing is left", path_,
          *filter.max_tokens, filter.min_tokens);
  }

  void check_has_lengths(const std::string& key) {
    if (recipe_.model.family != Family::kGpt) return;
    for (const char* objective : {"clm", "prefix_lm"}) {
      if (!phase_.objectives.contains(objective)) continue;
      fault(key, "{}.{} looks at lengths, and the samples of {} are windows of one length", path_,
            key, objective);
    }
  }

  void check_scores() {
    for (const auto& [name, weight] : phase_.data) {
      const Corpus* corpus = find_corpus(recipe_, name);
      if (corpus == nullptr || !corpus->columns.score.empty()) continue;
      fault("curriculum.by",
            "{}.curriculum goes by scores, and the corpus {} has none; name their column "
            "(columns: {{score: …}}), or go by length",
            path_, quoted(name));
    }
  }

  void check_augmentation(const Augmentation& augmentation) {
    if (!phase_.task) {
      fault("augment", "{}.augment is for tasks; {} makes its own changes to running text", path_,
            goal_name(phase_));
    }
    if (!is_task(TaskKind::kTagging)) return;
    for (const auto& [key, value] : {std::pair{"delete", augmentation.remove},
                                     {"swap", augmentation.swap},
                                     {"span", augmentation.span}}) {
      if (value == 0) continue;
      fault(std::string("augment.") + key,
            "{}.augment.{} would tear tags apart that go over several words (B-, I-); tagging has "
            "mask and synonyms",
            path_, key);
    }
  }

  const Recipe& recipe_;
  const Phase& phase_;
  const std::string path_;
  const std::map<std::string, Place>& places_;
  Faults& faults_;
};

}  // namespace

void check_sampling(const Recipe& recipe, const Phase& phase, const std::string& path,
                    const std::map<std::string, Place>& places, Faults& faults) {
  SamplingChecks(recipe, phase, path, places, faults).check_all();
}

std::string remedy_without_validation(const Recipe& recipe, const std::string& corpus) {
  const Corpus* found = find_corpus(recipe, corpus);
  return found != nullptr && !found->made_by.empty() ? "measure on a corpus that is given"
                                                     : "give it valid files";
}

std::string corpus_without_validation(const Recipe& recipe, const Phase& phase,
                                      const std::string& metric) {
  std::string without;
  bool measured = false;
  for (const auto& [name, weight] : phase.data) {
    const bool has = has_validation_part(recipe, name);
    if (metric.starts_with("valid." + name + ".")) return has ? "" : name;
    if (!has && without.empty()) without = name;
    measured = measured || has;
  }
  return measured ? "" : without;
}

}  // namespace polyphase::recipe
