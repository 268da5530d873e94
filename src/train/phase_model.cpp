// SPDX-License-Identifier: Apache-2.0
#include "train/phase_model.hpp"

#include <optional>

#include "kernels/elementwise.hpp"
#include "model/body.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

template <class Real>
class PhaseModelOf final : public PhaseModel {
 public:
  PhaseModelOf(const recipe::Recipe& recipe, const recipe::Phase& phase, const PhaseData& data,
               const Communicator& tensor)
      : tensor_(tensor),
        width_(recipe.model.width),
        body_(make_body<Real>(parameters_, tensor, recipe.model, data.vocab_size)) {
    for (auto& [objective, weight] :
         make_objectives<Real>(parameters_, tensor, recipe, phase, data, *body_)) {
      names_.push_back(objective->name());
      weights_.push_back(weight);
      objectives_.push_back(std::move(objective));
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
    body_->backward(*pass_, dhidden_NC_, final_from);
    pass_.reset();
    arena_.release(0);
  }

  std::vector<Tally> evaluate(const Batch& batch) override {
    begin(exec_, batch, {}, false);
    const std::vector<Tally> tallies = run_heads(std::vector<float>(objectives_.size()));
    pass_.reset();
    return tallies;
  }

  std::vector<Prediction> predict(const Batch& batch) override {
    begin(exec_, batch, {}, false);
    std::vector<Prediction> predictions = objectives_.at(0)->predict(*pass_, hidden_NC_);
    pass_.reset();
    return predictions;
  }

  std::size_t plan_arena_bytes(const Batch& largest, bool training) override {
    Arena counting;
    const Exec exec = {.space = {}, .arena = &counting};
    begin(exec, largest, {}, training);
    run_heads(std::vector<float>(objectives_.size()));
    if (training) body_->backward(*pass_, dhidden_NC_, [](std::size_t) {});
    pass_.reset();
    counting.release(0);
    if (training)
      sum_of_squares(
          exec, Tensor1<const float>(nullptr, parameters_.total_count()));  // the gradients' norm
    return counting.peak_bytes();
  }

 private:
  // Starts a pass on an empty arena and runs the body.
  void begin(const Exec& exec, const Batch& batch, const PassDropout& dropout, bool training) {
    exec.arena->release(0);
    pass_.emplace(begin_pass(exec, tensor_, batch, batch, dropout, training));
    hidden_NC_ = body_->forward(*pass_);
    dhidden_NC_ = {};
    if (!training) return;
    dhidden_NC_ = exec.arena->take2<float>(pass_->num_rows, width_);
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
  std::int64_t width_;
  std::unique_ptr<Body<Real>> body_;
  std::vector<std::unique_ptr<Objective<Real>>> objectives_;
  std::optional<Pass> pass_;
  Tensor2<const Real> hidden_NC_;
  Tensor2<float> dhidden_NC_;
};

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

}  // namespace polyphase
