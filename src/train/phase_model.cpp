// SPDX-License-Identifier: Apache-2.0
#include "train/phase_model.hpp"

#include <algorithm>
#include <optional>

#include "model/shared_parameters.hpp"
#include "optimizer/gradient_norm.hpp"
#include "train/generation.hpp"
#include "train/lessons.hpp"
#include "train/phase_body.hpp"
#include "train/pipeline_schedule.hpp"

namespace polyphase {
namespace {

// Of what was in use after the other: the most that was given back again before the end.
std::size_t most_given_back(const std::vector<std::size_t>& used_bytes) {
  std::size_t most = 0, least_behind = used_bytes.back();
  for (auto used = used_bytes.rbegin(); used != used_bytes.rend(); ++used) {
    least_behind = std::min(least_behind, *used);
    most = std::max(most, *used - least_behind);
  }
  return most;
}

template <class Real>
class PhaseModelOf final : public PhaseModel {
 public:
  PhaseModelOf(const recipe::Recipe& recipe, const recipe::Phase& phase, const PhaseData& data,
               const Communicator& tensor, const Communicator* pipeline, const LayerCuts& cuts)
      : tensor_(tensor),
        body_(parameters_, tensor, pipeline, recipe, phase, data.vocab_size, cuts) {
    parameters_.place_on({parameters_.stage().num_chunks() - 1});
    for (auto& [objective, weight] :
         make_objectives<Real>(parameters_, tensor, recipe, phase, data, body_.body())) {
      names_.push_back(objective->name());
      weights_.push_back(weight);
      objectives_.push_back(std::move(objective));
    }
    num_heads_ = objectives_.size();
  }

  void learn_from(PhaseModel& teacher, const recipe::Distil& distil) override {
    auto* const theirs = dynamic_cast<PhaseModelOf*>(&teacher);
    POLYPHASE_PROMISE(theirs != nullptr, "a teacher of another precision");
    lessons_.emplace(distil, heads(names_), theirs->heads(names_));
    body_.learn_from(theirs->body_, *lessons_);
    for (const auto& [name, weight] : lessons_->objectives()) {
      names_.push_back(name);
      weights_.push_back(weight);
    }
  }

  void learn_from_batches(const recipe::Distil& distil) override {
    lessons_.emplace(distil, heads(names_));
  }

  std::vector<float> outputs(const Batch& batch, std::int64_t num_outputs) override {
    const Tensor2<const float> y_BK = run_outputs(exec_, batch, num_outputs);
    std::vector<float> outputs(static_cast<std::size_t>(y_BK.size()));
    copy_to_host(exec_, outputs.data(), Tensor1<const float>(flat(y_BK)));
    body_.first().pass.reset();
    return outputs;
  }

  std::size_t plan_outputs(const Batch& largest, std::int64_t num_outputs) override {
    Arena counting;
    run_outputs({.space = {}, .arena = &counting}, largest, num_outputs);
    body_.first().pass.reset();
    return counting.peak_bytes();
  }

  std::vector<std::int64_t> num_terms(const Batch& batch) const override {
    std::vector<std::int64_t> terms;
    for (const auto& objective : objectives_) terms.push_back(objective->num_terms(batch));
    if (lessons_) lessons_->add_terms(terms, batch);
    return terms;
  }

  void plan_micro_batches(std::int64_t num_micro_batches) override {
    const PipelineStage& stage = parameters_.stage();
    const std::vector<PipelineTask> schedule = pipeline_schedule(stage, num_micro_batches);
    for (int chunk = 0; chunk < stage.num_own_chunks; ++chunk)
      body_.add_passes(chunk, most_under_way(schedule, chunk));
    while (std::ssize(more_arenas_) + 1 < most_under_way(schedule)) more_arenas_.emplace_back();
    free_arenas_ = {&arena_};
    for (Arena& arena : more_arenas_) free_arenas_.push_back(&arena);
    body_.plan_messages(num_micro_batches);
  }

  std::vector<Tally> forward(const Batch& batch, const PassDropout& dropout,
                             const std::vector<float>& scales, int chunk) override {
    UnderWay& way = body_.next_forward(chunk);
    POLYPHASE_PROMISE(!free_arenas_.empty(), "more passes are under way than were planned");
    way.exec.arena = free_arenas_.back();
    free_arenas_.pop_back();
    hear(way, way.exec, batch);
    body_.forward(way, way.exec, batch, dropout, true);
    return run_heads(way, scales);
  }

  void backward(const std::function<void(std::size_t)>& final_from, int chunk) override {
    UnderWay& way = body_.next_backward(chunk);
    body_.backward(way, way.exec, final_from);
    way.exec.arena->release(0);
    free_arenas_.push_back(way.exec.arena);
  }

  void share_copies() override { share_values(exec_, parameters_, body_.links()); }

  std::vector<std::vector<Tally>> evaluate(std::span<const Batch> batches) override {
    std::vector<std::vector<Tally>> all(batches.size(), std::vector<Tally>(names_.size()));
    for (int chunk = 0; chunk < body_.num_chunks(); ++chunk) {
      UnderWay& way = body_.first(chunk);
      for (std::size_t i = 0; i < batches.size(); ++i) {
        if (batches[i].num_sequences() == 0) continue;
        clear(exec_);
        body_.forward(way, exec_, batches[i], {}, false);
        const std::vector<Tally> tallies = run_heads(way, std::vector<float>(names_.size()));
        std::ranges::copy(tallies, all[i].begin());
        way.pass.reset();
      }
    }
    return all;
  }

  std::vector<Prediction> predict(const Batch& batch) override {
    UnderWay& way = body_.first();
    clear(exec_);
    body_.forward(way, exec_, batch, {}, false);
    std::vector<Prediction> predictions = objectives_.at(0)->predict(*way.pass, way.hidden_NC);
    way.pass.reset();
    return predictions;
  }

  Tally judge(const std::vector<Prediction>& predictions, const Batch& batch) const override {
    return objectives_.at(0)->judge(predictions, batch);
  }

  void begin_generation(std::int64_t num_sequences, std::int64_t max_tokens) override {
    generation_.begin(num_sequences, max_tokens);
  }

  std::vector<float> next_logits(const Batch& batch) override {
    const std::size_t num_bytes = generation_.plan(writer(), batch);
    if (num_bytes > arena_capacity_bytes()) allocate_arena(num_bytes);
    return generation_.next(writer(), exec_, batch);
  }

  std::size_t plan_kept_weights(const Batch& first) override {
    return generation_.plan_weights(writer(), first);
  }

  void reorder_generation(const std::vector<std::int32_t>& parents) override {
    generation_.reorder(exec_, parents);
  }

  std::size_t plan_arena_bytes(const Batch& largest, bool training) override {
    std::size_t most = 0;
    for (int chunk = 0; chunk < body_.num_chunks(); ++chunk)
      most = std::max(most, plan_chunk(chunk, largest, training));
    arena_bytes_ = std::max(arena_bytes_, most);
    return most;
  }

  std::size_t planned_link_bytes() const override {
    return body_.links() != nullptr ? body_.links()->planned_bytes() : 0;
  }
  std::size_t held_link_bytes() const override {
    return body_.links() != nullptr ? body_.links()->held_bytes() : 0;
  }

 private:
  using UnderWay = typename PhaseBody<Real>::UnderWay;
  Writer<Real> writer() const { return {tensor_, body_.body(), *objectives_[0]}; }

  // Bytes of the arena of one of the own chunks.
  std::size_t plan_chunk(int chunk, const Batch& largest, bool training) {
    Arena counting;
    const Exec exec = {.space = {}, .arena = &counting};
    UnderWay& way = body_.first(chunk);
    if (training) hear(way, exec, largest);
    parameters_.begin_chunk(way.chunk);
    if (training) {
      writes_.begin_pass(counting, parameters_.all().size(), parameters_.end_of_chunk());
      parameters_.tell(&writes_);
    }
    parameters_.begin_micro_batch(0);
    std::vector<std::size_t> used_bytes;
    counting.trace(&used_bytes);
    body_.forward(way, exec, largest, {}, training);
    counting.trace(nullptr);
    const std::size_t kept_bytes = counting.used_bytes();
    run_heads(way, std::vector<float>(names_.size()));
    if (training)
      body_.backward(way, exec, [this](std::size_t parameter) { writes_.final_from(parameter); });
    way.pass.reset();
    counting.release(0);
    if (training) {
      if (chunk == 0) count_gradient_norm(exec, parameters_);
      parameters_.tell(nullptr);
      writes_.end_pass();
    }
    if (training) {
      kept_bytes_ = std::max(kept_bytes_, kept_bytes);
      // Of an arena in two pieces, what does not fit behind the rest of the first lies in the
      // second, so that up to so much of the first is left over.
      const std::size_t behind =
          counting.peak_bytes() - kept_bytes + counting.largest_taken_bytes();
      work_bytes_ = std::max({work_bytes_, most_given_back(used_bytes), behind});
    }
    return counting.peak_bytes();
  }

  std::vector<Tally> run_heads(UnderWay& way, const std::vector<float>& scales) {
    std::vector<Tally> tallies;
    const bool learns = way.pass->training && !way.lessons.empty();
    if (way.pass->chunk.is_last()) {
      for (std::size_t o = 0; o < objectives_.size(); ++o) {
        tallies.push_back(objectives_[o]->run(*way.pass, way.hidden_NC, way.dhidden_NC, scales[o]));
      }
    } else if (learns) {
      tallies.resize(num_heads_);
    }
    if (learns) lessons_->run(*way.pass, way.lessons, tallies, scales);
    return tallies;
  }

  typename Lessons<Real>::Heads heads(const std::vector<std::string>& objectives) const {
    typename Lessons<Real>::Heads heads;
    for (const std::string& name : objectives) {
      const auto found = std::find(names_.begin(), names_.end(), name);
      POLYPHASE_PROMISE(found != names_.end(), "the teacher has no {}", name);
      heads.push_back(objectives_[static_cast<std::size_t>(found - names_.begin())].get());
    }
    return heads;
  }

  static void clear(const Exec& exec) {
    exec.arena->release(0);
    exec.arena->lift_limit();  // no gradients of an earlier pass are needed
  }

  // What there is to learn of the batch in the training pass that follows.
  void hear(UnderWay& way, const Exec& exec, const Batch& batch) {
    clear(exec);
    if (way.teacher != nullptr) body_.run_teacher(way, exec, batch);
    if (!lessons_ || way.chunk + 1 < parameters_.stage().num_chunks()) return;
    if (way.teacher != nullptr) {
      lessons_->hear(*way.teacher->pass, way.teacher->hidden_NC);
    } else {
      lessons_->hear(exec, batch);
    }
  }

  // Begins a pass that stays under way.
  Tensor2<const float> run_outputs(const Exec& exec, const Batch& batch, std::int64_t num_outputs) {
    UnderWay& way = body_.first();
    clear(exec);
    body_.forward(way, exec, batch, {}, false);
    const auto y_BK = exec.arena->take2<float>(batch.num_sequences(), num_outputs);
    objectives_.at(0)->teach(*way.pass, way.hidden_NC).logits(y_BK, 0);
    return y_BK;
  }

  std::map<std::string, double> objective_metrics(std::size_t objective,
                                                  const Tally& total) const override {
    return objectives_[objective]->metrics(total);
  }

  const Communicator& tensor_;
  PhaseBody<Real> body_;
  std::vector<Arena*> free_arenas_ = {&arena_};  // that no training pass is under way in
  std::vector<std::unique_ptr<Objective<Real>>> objectives_;
  Generation<Real> generation_;
  std::optional<Lessons<Real>> lessons_;
};

}  // namespace

std::map<std::string, double> PhaseModel::metrics(const std::vector<Tally>& totals) const {
  if (num_heads_ == 1) return objective_metrics(0, totals[0]);
  std::map<std::string, double> all = {{"loss", 0.0}};
  for (std::size_t o = 0; o < num_heads_; ++o) {
    for (const auto& [name, value] : objective_metrics(o, totals[o]))
      all[names_[o] + "_" + name] = value;
    if (totals[o].num_terms > 0) all["loss"] += weights_[o] * mean_loss(totals[o]);
  }
  return all;
}

std::unique_ptr<PhaseModel> make_phase_model(const recipe::Recipe& recipe,
                                             const recipe::Phase& phase, const PhaseData& data,
                                             const Communicator& tensor,
                                             const Communicator* pipeline, const LayerCuts& cuts) {
  if (recipe.precision == recipe::Precision::kBf16) {
    return std::make_unique<PhaseModelOf<bf16>>(recipe, phase, data, tensor, pipeline, cuts);
  }
  return std::make_unique<PhaseModelOf<float>>(recipe, phase, data, tensor, pipeline, cuts);
}

}  // namespace polyphase
