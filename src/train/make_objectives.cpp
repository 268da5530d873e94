// SPDX-License-Identifier: Apache-2.0
#include "train/make_objectives.hpp"

#include <algorithm>

#include "base/philox.hpp"
#include "objective/classification.hpp"
#include "objective/crf_tagging.hpp"
#include "objective/language_model.hpp"
#include "objective/masked_language_model.hpp"
#include "objective/multi_label.hpp"
#include "objective/question_answering.hpp"
#include "objective/regression.hpp"
#include "objective/sequence_pair.hpp"
#include "objective/tagging.hpp"
#include "recipe/load.hpp"
#include "train/phase_data.hpp"

namespace polyphase {
namespace {

SoftmaxLoss loss_of(const recipe::Phase& phase, const PhaseData& data) {
  SoftmaxLoss loss = {.label_smoothing = static_cast<float>(phase.label_smoothing)};
  if (!phase.task || phase.task->class_weights.empty()) return loss;
  loss.class_weights.assign(data.label_names.size(), 1.0F);
  for (const auto& [label, weight] : phase.task->class_weights) {
    const auto found = std::find(data.label_names.begin(), data.label_names.end(), label);
    if (found == data.label_names.end()) {
      fail<RecipeError>(
          "phases.{}.task.class_weights names the class {}, which the corpus does "
          "not have; its classes are {}",
          phase.name, label, fmt::join(data.label_names, ", "));
    }
    loss.class_weights[found - data.label_names.begin()] = static_cast<float>(weight);
  }
  return loss;
}

template <class Real>
class Maker {
 public:
  Maker(ParameterSet& parameters, const Communicator& tensor, const recipe::Recipe& recipe,
        const recipe::Phase& phase, const PhaseData& data, const Body<Real>& body)
      : parameters_(parameters),
        tensor_(tensor),
        model_(recipe::model_of(recipe, phase)),
        phase_(phase),
        data_(data),
        body_(body),
        loss_(loss_of(phase, data)),
        mixup_{.alpha = phase.sampling.mixup.value_or(0.0),
               .key = random_key(recipe.seed, Purpose::kMixup, {phase_key(phase.name)})} {}

  std::unique_ptr<Objective<Real>> objective(const std::string& name) {
    if (name == "mlm") return make<MaskedLanguageModel>(model_, body_.embedding(), loss_);
    const OfKind kind = sample_kind_of(name);
    if (name == "nsp" || name == "sop") return make<SequencePair>(model_, name, kind);
    return language_model(name, kind);
  }

  std::unique_ptr<Objective<Real>> task(const recipe::Task& task) {
    const auto num_labels = static_cast<std::int64_t>(data_.label_names.size());
    switch (task.kind) {
      case recipe::TaskKind::kClassification:
        return make<Classification>(model_, task, num_labels, loss_, mixup_);
      case recipe::TaskKind::kRegression:
        return make<Regression>(model_, task);
      case recipe::TaskKind::kMultiLabel:
        return make<MultiLabel>(model_, task, num_labels);
      case recipe::TaskKind::kTagging:
        if (task.head == recipe::TaskHead::kCrf) return make<CrfTagging>(model_, data_.label_names);
        return make<Tagging>(model_, data_.label_names, loss_);
      case recipe::TaskKind::kQuestionAnswering:
        return make<QuestionAnswering>(model_);
      case recipe::TaskKind::kGeneration:
        return language_model("generation", {});
    }
    broken_promise(__FILE__, __LINE__, "unknown task");
  }

 private:
  template <template <class> class Head, class... Args>
  std::unique_ptr<Objective<Real>> make(const Args&... args) const {
    return std::make_unique<Head<Real>>(parameters_, tensor_, args...);
  }

  std::unique_ptr<Objective<Real>> language_model(const std::string& name, OfKind kind) {
    if (!output_) {
      output_ = std::make_shared<VocabularyOutput<Real>>(
          parameters_, model_, body_.embedding(), "head.lm",
          typename VocabularyOutput<Real>::Shape{.tied = model_.tied_output, .has_bias = false});
    }
    return std::make_unique<LanguageModel<Real>>(output_, model_, name, kind, loss_);
  }

  ParameterSet& parameters_;
  const Communicator& tensor_;
  const recipe::Model model_;
  const recipe::Phase& phase_;
  const PhaseData& data_;
  const Body<Real>& body_;
  SoftmaxLoss loss_;
  MixUp mixup_;
  std::shared_ptr<VocabularyOutput<Real>> output_;  // of all language models
};

}  // namespace

template <class Real>
std::vector<WeightedObjective<Real>> make_objectives(
    ParameterSet& parameters, const Communicator& tensor, const recipe::Recipe& recipe,
    const recipe::Phase& phase, const PhaseData& data, const Body<Real>& body) {
  Maker<Real> maker(parameters, tensor, recipe, phase, data, body);
  std::vector<WeightedObjective<Real>> objectives;
  for (const auto& [name, weight] : phase.objectives)
    objectives.push_back({maker.objective(name), weight});
  if (phase.task) objectives.push_back({maker.task(*phase.task), 1.0});
  return objectives;
}

template std::vector<WeightedObjective<float>> make_objectives(ParameterSet&, const Communicator&,
                                                               const recipe::Recipe&,
                                                               const recipe::Phase&,
                                                               const PhaseData&,
                                                               const Body<float>&);
template std::vector<WeightedObjective<bf16>> make_objectives(ParameterSet&, const Communicator&,
                                                              const recipe::Recipe&,
                                                              const recipe::Phase&,
                                                              const PhaseData&, const Body<bf16>&);

}  // namespace polyphase
