// SPDX-License-Identifier: Apache-2.0
#include "train/phase_model.hpp"

#include <cmath>
#include <optional>

#include "base/philox.hpp"
#include "kernels/elementwise.hpp"
#include "model/encoder.hpp"
#include "objective/classification.hpp"
#include "objective/masked_language_model.hpp"
#include "objective/next_sentence.hpp"
#include "objective/tagging.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

template <class Real>
class PhaseModelOf final : public PhaseModel {
 public:
  PhaseModelOf(const recipe::Recipe& recipe, const recipe::Phase& phase, const PhaseData& data,
               const Communicator& tensor)
      : tensor_(tensor), encoder_(parameters_, tensor, recipe.model, data.vocab_size) {
    for (const auto& [name, weight] : phase.objectives) {
      if (name == "mlm") {
        add<MaskedLanguageModel<Real>>(weight, recipe.model, encoder_.embedding(), data.vocab_size);
      } else if (name == "nsp") {
        add<NextSentence<Real>>(weight, recipe.model);
      } else {
        POLYPHASE_PROMISE(false, "the recipe let an unknown objective {} through", name);
      }
    }
    if (!phase.task) return;
    const auto num_labels = static_cast<std::int64_t>(data.label_names.size());
    if (phase.task->kind == recipe::TaskKind::kClassification) {
      add<Classification<Real>>(1.0, recipe.model, phase.task->pooling, num_labels);
    } else {
      add<Tagging<Real>>(1.0, recipe.model, data.label_names);
    }
  }

  std::vector<std::int64_t> num_terms(const Batch& batch) const override {
    std::vector<std::int64_t> terms;
    for (const auto& objective : objectives_) terms.push_back(objective->num_terms(batch));
    return terms;
  }

  std::vector<Tally> forward(const Batch& batch, const PassDropout& dropout,
                             const std::vector<float>& scales) override {
    begin(exec_, batch, dropout, true);
    return run_heads(scales);
  }

  void backward(const std::function<void(std::size_t)>& final_from) override {
    encoder_.backward(*pass_, dhidden_NC_, final_from);
    pass_.reset();
    arena_.release(0);
  }

  std::vector<Tally> evaluate(const Batch& batch) override {
    begin(exec_, batch, {}, false);
    const std::vector<Tally> tallies = run_heads(std::vector<float>(objectives_.size()));
    pass_.reset();
    return tallies;
  }

  std::size_t plan_arena_bytes(const Batch& largest, bool training) override {
    Arena counting;
    const Exec exec = {.space = {}, .arena = &counting};
    begin(exec, largest, {}, training);
    run_heads(std::vector<float>(objectives_.size()));
    if (training) encoder_.backward(*pass_, dhidden_NC_, [](std::size_t) {});
    pass_.reset();
    counting.release(0);
    if (training)
      sum_of_squares(
          exec, Tensor1<const float>(nullptr, parameters_.total_count()));  // the gradients' norm
    return counting.peak_bytes();
  }

 private:
  template <class Head, class... Args>
  void add(double weight, Args&&... args) {
    objectives_.push_back(
        std::make_unique<Head>(parameters_, tensor_, std::forward<Args>(args)...));
    names_.push_back(objectives_.back()->name());
    weights_.push_back(weight);
  }

  // Starts a pass on an empty arena and runs the body.
  void begin(const Exec& exec, const Batch& batch, const PassDropout& dropout, bool training) {
    exec.arena->release(0);
    pass_.emplace(begin_pass(exec, tensor_, batch, dropout, training));
    hidden_NC_ = encoder_.forward(*pass_);
    dhidden_NC_ = {};
    if (!training) return;
    dhidden_NC_ = exec.arena->take2<float>(pass_->num_rows, encoder_.width());
    fill(exec, flat(dhidden_NC_), 0.0F);
  }

  std::vector<Tally> run_heads(const std::vector<float>& scales) {
    std::vector<Tally> tallies;
    for (std::size_t o = 0; o < objectives_.size(); ++o) {
      tallies.push_back(objectives_[o]->run(*pass_, hidden_NC_, dhidden_NC_, scales[o]));
    }
    return tallies;
  }

  std::map<std::string, double> objective_metrics(std::size_t objective,
                                                  const Tally& total) const override {
    return objectives_[objective]->metrics(total);
  }

  const Communicator& tensor_;
  Encoder<Real> encoder_;
  std::vector<std::unique_ptr<Objective<Real>>> objectives_;
  std::optional<Pass> pass_;
  Tensor2<const Real> hidden_NC_;
  Tensor2<float> dhidden_NC_;
};

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

std::map<std::string, double> PhaseModel::metrics(const std::vector<Tally>& totals) const {
  if (totals.size() == 1) return objective_metrics(0, totals[0]);
  std::map<std::string, double> all = {{"loss", 0.0}};
  for (std::size_t o = 0; o < totals.size(); ++o) {
    for (const auto& [name, value] : objective_metrics(o, totals[o]))
      all[names_[o] + "_" + name] = value;
    if (totals[o].num_terms > 0) all["loss"] += weights_[o] * mean_loss(totals[o]);
  }
  return all;
}

void PhaseModel::allocate_arena(std::size_t num_bytes) {
  // Pages that no pass reaches are never touched, so planning for the largest batch costs nothing.
  memory_ = Kokkos::View<std::byte*, Memory>(
      Kokkos::view_alloc(Kokkos::WithoutInitializing, "arena"), num_bytes);
  arena_ = Arena(memory_.data(), num_bytes);
}

std::unique_ptr<PhaseModel> make_phase_model(const recipe::Recipe& recipe,
                                             const recipe::Phase& phase, const PhaseData& data,
                                             const Communicator& tensor) {
  if (recipe.precision == recipe::Precision::kBf16) {
    return std::make_unique<PhaseModelOf<bf16>>(recipe, phase, data, tensor);
  }
  return std::make_unique<PhaseModelOf<float>>(recipe, phase, data, tensor);
}

Batch largest_batch(const recipe::Recipe& recipe, const recipe::Phase& phase,
                    std::int64_t sequences) {
  const std::int64_t length = recipe::max_tokens_of(recipe, phase);
  const auto n = static_cast<std::size_t>(round_up(sequences * length, kRowMultiple));
  Batch batch;
  batch.tokens_N.resize(n);
  batch.positions_N.resize(n);
  batch.segments_N.resize(n);
  batch.row_ids_N.resize(n);
  batch.max_tokens = length;
  for (std::int64_t b = 0; b <= sequences; ++b)
    batch.starts.push_back(static_cast<std::int32_t>(b * length));
  // Every row its own token and tag: the most groups that rows can form.
  for (std::size_t row = 0; row < n; ++row) {
    batch.tokens_N[row] = batch.positions_N[row] = batch.segments_N[row] =
        static_cast<std::int32_t>(row);
  }
  if (phase.objectives.contains("mlm")) {
    const auto masked =
        static_cast<std::int64_t>(std::ceil(phase.mask_fraction * static_cast<double>(length))) + 1;
    batch.target_rows_M.assign(
        static_cast<std::size_t>(round_up(sequences * masked, kTargetRowMultiple)), 0);
    batch.target_labels_M = batch.target_rows_M;
  }
  batch.sequence_labels_B.assign(static_cast<std::size_t>(sequences), 0);
  if (phase.task && phase.task->kind == recipe::TaskKind::kTagging)
    batch.token_labels_N.assign(n, 0);
  return batch;
}

}  // namespace polyphase
