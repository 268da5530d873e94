// SPDX-License-Identifier: Apache-2.0
#include "train/phase_model.hpp"

#include <algorithm>
#include <optional>

#include "kernels/elementwise.hpp"
#include "model/body.hpp"
#include "model/key_value_cache.hpp"
#include "optimizer/gradient_norm.hpp"
#include "optimizer/name_pattern.hpp"
#include "recipe/load.hpp"
#include "train/repeated_batch.hpp"

namespace polyphase {
namespace {

// The phase's body. Its products have low-rank additions where the phase asks for them; heads,
// which are declared later, have none.
template <class Real>
std::unique_ptr<Body<Real>> make_phase_body(ParameterSet& parameters, const Communicator& tensor,
                                            const recipe::Recipe& recipe,
                                            const recipe::Phase& phase, std::int64_t vocab_size) {
  if (const std::optional<recipe::Lora>& lora = phase.adaptation.lora) {
    parameters.adapt({.rank = lora->rank,
                      .scale = lora->alpha / static_cast<double>(lora->rank),
                      .match = [patterns = lora->match](const std::string& name) {
                        return std::any_of(
                            patterns.begin(), patterns.end(),
                            [&](const std::string& pattern) { return matches(pattern, name); });
                      }});
  }
  auto body = make_body<Real>(parameters, tensor, recipe::model_of(recipe, phase), vocab_size,
                              recipe::has_decoder(recipe.model, phase));
  parameters.adapt({});
  return body;
}

template <class Real>
class PhaseModelOf final : public PhaseModel {
 public:
  PhaseModelOf(const recipe::Recipe& recipe, const recipe::Phase& phase, const PhaseData& data,
               const Communicator& tensor)
      : tensor_(tensor),
        width_(recipe.model.width),
        recompute_(recipe.recompute),
        divides_rows_(recipe.parallel.sequence),
        r_drop_(static_cast<float>(phase.regularisation.r_drop.value_or(0.0))),
        body_(make_phase_body<Real>(parameters_, tensor, recipe, phase, data.vocab_size)) {
    for (auto& [objective, weight] :
         make_objectives<Real>(parameters_, tensor, recipe, phase, data, *body_)) {
      names_.push_back(objective->name());
      weights_.push_back(weight);
      objectives_.push_back(std::move(objective));
    }
    num_heads_ = objectives_.size();
  }

  void learn_from(PhaseModel& teacher, const recipe::Distil& distil) override {
    teacher_ = dynamic_cast<PhaseModelOf*>(&teacher);
    POLYPHASE_PROMISE(teacher_ != nullptr, "a teacher of another precision");
    distil_ = distil;
    for (const std::string& name : names_) {
      const auto found = std::find(teacher_->names_.begin(), teacher_->names_.end(), name);
      POLYPHASE_PROMISE(found != teacher_->names_.end(), "the teacher has no {}", name);
      teaching_heads_.push_back(
          teacher_->objectives_[static_cast<std::size_t>(found - teacher_->names_.begin())].get());
    }
    const std::vector<Stack<Real>*> own = body_->stacks(), theirs = teacher_->body_->stacks();
    POLYPHASE_PROMISE(own.size() == theirs.size(), "{} stacks learn from {}", own.size(),
                      theirs.size());
    for (std::size_t i = 0; i < own.size(); ++i)
      lessons_.push_back(
          std::make_unique<StackLesson<Real>>(*own[i], *theirs[i], distil, i + 1 == own.size()));
    const auto add = [&](const char* name, double weight) {
      if (weight == 0) return;
      names_.push_back(name);
      weights_.push_back(weight);
    };
    add("hidden", distil.hidden);
    add("attention", distil.attention);
  }

  std::vector<std::int64_t> num_terms(const Batch& batch) const override {
    std::vector<std::int64_t> terms;
    for (const auto& objective : objectives_) terms.push_back(objective->num_terms(batch));
    const auto add = [&](double weight, bool (StackLesson<Real>::*matches)() const) {
      if (weight == 0) return;
      terms.push_back(0);
      for (std::size_t i = 0; i < lessons_.size(); ++i) {
        const Rows& rows =
            i + 1 == lessons_.size() ? static_cast<const Rows&>(batch) : batch.source;
        if ((lessons_[i].get()->*matches)()) terms.back() += rows.starts.back();
      }
    };
    add(distil_.hidden, &StackLesson<Real>::matches_hidden);
    add(distil_.attention, &StackLesson<Real>::matches_attention);
    return terms;
  }

  std::vector<Tally> forward(const Batch& batch, const PassDropout& dropout,
                             const std::vector<float>& scales) override {
    if (r_drop_ > 0) repeated_ = repeated(batch);
    if (teacher_ != nullptr) hear_teacher(teacher_->exec_, batch);
    begin(exec_, r_drop_ > 0 ? repeated_ : batch, dropout, true);
    return run_heads(scales);
  }

  void backward(const std::function<void(std::size_t)>& final_from) override {
    body_->backward(*pass_, dhidden_NC_, final_from);
    pass_.reset();
    arena_.release(0);
  }

  std::vector<Tally> evaluate(const Batch& batch) override {
    begin(exec_, batch, {}, false);
    std::vector<Tally> tallies = run_heads(std::vector<float>(names_.size()));
    tallies.resize(names_.size());
    pass_.reset();
    return tallies;
  }

  std::vector<Prediction> predict(const Batch& batch) override {
    begin(exec_, batch, {}, false);
    std::vector<Prediction> predictions = objectives_.at(0)->predict(*pass_, hidden_NC_);
    pass_.reset();
    return predictions;
  }

  void begin_generation(std::int64_t num_sequences, std::int64_t max_tokens) override {
    cache_.emplace(num_sequences, max_tokens);
    generation_tokens_ = max_tokens;
  }

  std::vector<float> next_logits(const Batch& batch) override {
    plan_generation(batch);
    cache_->begin_pass(exec_, batch);
    return run_generation(exec_, batch);
  }

  void reorder_generation(const std::vector<std::int32_t>& parents) override {
    cache_->reorder(exec_, parents);
  }

  std::size_t plan_arena_bytes(const Batch& largest, bool training) override {
    Arena counting, teaching;
    const Exec exec = {.space = {}, .arena = &counting};
    const Exec teacher_exec = {.space = {}, .arena = &teaching};
    const Batch both = training && r_drop_ > 0 ? repeated(largest) : largest;
    if (training && teacher_ != nullptr) hear_teacher(teacher_exec, largest);
    if (training) {
      writes_.begin_pass(counting, parameters_.all().size());
      parameters_.tell(&writes_);
    }
    parameters_.begin_micro_batch(0);
    begin(exec, both, {}, training);
    run_heads(std::vector<float>(names_.size()));
    teaching_bytes_ = std::max(teaching_bytes_, teaching.peak_bytes());
    if (training) {
      body_->backward(*pass_, dhidden_NC_,
                      [this](std::size_t parameter) { writes_.final_from(parameter); });
    }
    pass_.reset();
    counting.release(0);
    if (training) {
      count_gradient_norm(exec, parameters_);
      parameters_.tell(nullptr);
      writes_.end_pass();
    }
    arena_bytes_ = std::max(arena_bytes_, counting.peak_bytes());
    return counting.peak_bytes();
  }

 private:
  // Starts a pass on an empty arena and runs the body.
  void begin(const Exec& exec, const Batch& batch, const PassDropout& dropout, bool training) {
    exec.arena->release(0);
    exec.arena->lift_limit();  // no gradients of an earlier pass are needed
    pass_.emplace(begin_pass(exec, tensor_, batch, batch, dropout, training));
    pass_->divides_rows = divides_rows_;
    dhidden_NC_ = {};
    if (training) {
      pass_->recompute = recompute_;
      pass_->r_drop = r_drop_;
      // Below what the backward pass gives back as it goes.
      dhidden_NC_ = exec.arena->take2<float>(pass_->num_rows, width_);
      fill(exec, flat(dhidden_NC_), 0.0F);
    }
    hidden_NC_ = body_->forward(*pass_);
  }

  // The first pass needs the most memory. It is counted without the cache, whose memory is not the
  // arena's, but with keys as long as they can become.
  void plan_generation(const Batch& first) {
    if (generation_tokens_ == 0) return;
    Arena counting;
    Batch longest = first;
    longest.max_tokens = generation_tokens_;
    run_generation({.space = {}, .arena = &counting}, longest);
    if (counting.peak_bytes() > arena_capacity_bytes()) allocate_arena(counting.peak_bytes());
    generation_tokens_ = 0;
  }

  // Logits behind every sequence's last row.
  std::vector<float> run_generation(const Exec& exec, const Batch& batch) {
    exec.arena->release(0);
    pass_.emplace(begin_pass(exec, tensor_, batch, batch, {}, false));
    if (!exec.counting()) pass_->cache = &*cache_;
    hidden_NC_ = body_->forward(*pass_);
    const Objective<Real>& model = *objectives_[0];
    const std::int64_t b = batch.num_sequences();
    const auto logits_BV = exec.arena->take2<float>(b, model.vocabulary().size);
    model.logits(*pass_, logits_BV, hidden_NC_, last_rows(batch));
    if (exec.counting()) return {};
    return whole_vocabulary(exec, logits_BV, model.vocabulary());
  }

  std::vector<float> whole_vocabulary(const Exec& exec, Tensor2<float> logits_BV,
                                      const Split& mine) const {
    const auto b = static_cast<std::int64_t>(logits_BV.extent(0));
    std::vector<float> part(static_cast<std::size_t>(logits_BV.size()));
    copy_to_host(exec, part.data(), Tensor1<const float>(flat(logits_BV)));
    if (tensor_.size() == 1) return part;
    const std::int64_t all = body_->embedding().num_token_ids();
    std::vector<float> whole(static_cast<std::size_t>(b * all), 0.0F);
    for (std::int64_t row = 0; row < b; ++row) {
      std::copy_n(part.begin() + row * mine.size, mine.size,
                  whole.begin() + row * all + mine.begin);
    }
    tensor_.sum(whole.data(), static_cast<std::int64_t>(whole.size()));
    return whole;
  }

  std::vector<Tally> run_heads(const std::vector<float>& scales) {
    std::vector<Tally> tallies;
    for (std::size_t o = 0; o < objectives_.size(); ++o) {
      tallies.push_back(objectives_[o]->run(*pass_, hidden_NC_, dhidden_NC_, scales[o]));
    }
    if (pass_->training) hear_lessons(tallies, scales);
    return tallies;
  }

  // What stacks were compared with while they ran: objectives of training alone.
  void hear_lessons(std::vector<Tally>& tallies, const std::vector<float>& scales) {
    const std::vector<std::int64_t> terms = num_terms(pass_->batch);
    Tally hidden = {.counts = {}}, attention = {.counts = {}};
    for (const auto& lesson : lessons_) {
      hidden.nats += lesson->hidden_sum(*pass_);
      attention.nats += lesson->attention_sum(*pass_);
    }
    float hidden_scale = 0.0F, attention_scale = 0.0F;
    const auto add = [&](double weight, Tally& tally, float& scale) {
      if (weight == 0) return;
      tally.num_terms = terms[tallies.size()];
      scale = scales[tallies.size()];
      tallies.push_back(tally);
    };
    add(distil_.hidden, hidden, hidden_scale);
    add(distil_.attention, attention, attention_scale);
    for (const auto& lesson : lessons_) lesson->weigh(hidden_scale, attention_scale);
  }

  // Runs the teacher's body on the batch and lets its heads speak to this model's.
  void hear_teacher(const Exec& teacher_exec, const Batch& batch) {
    teacher_->begin(teacher_exec, batch, {}, false);
    for (std::size_t o = 0; o < objectives_.size() && distil_.weight > 0; ++o) {
      SoftTargets soft = teaching_heads_[o]->teach(*teacher_->pass_, teacher_->hidden_NC_);
      soft.temperature = static_cast<float>(distil_.temperature);
      soft.weight = static_cast<float>(distil_.weight);
      objectives_[o]->learn_from(std::move(soft));
    }
  }

  std::map<std::string, double> objective_metrics(std::size_t objective,
                                                  const Tally& total) const override {
    return objectives_[objective]->metrics(total);
  }

  const Communicator& tensor_;
  std::int64_t width_;
  recipe::Recompute recompute_;
  bool divides_rows_;  // passed on to all but the passes of a generation, which have few rows
  float r_drop_;
  Batch repeated_;  // with R-Drop, what is trained on
  std::unique_ptr<Body<Real>> body_;
  std::vector<std::unique_ptr<Objective<Real>>> objectives_;
  std::optional<Pass> pass_;
  std::optional<KeyValueCache> cache_;
  PhaseModelOf* teacher_ = nullptr;
  recipe::Distil distil_;
  std::vector<Objective<Real>*> teaching_heads_;  // of the teacher, for each of the objectives
  std::vector<std::unique_ptr<StackLesson<Real>>> lessons_;  // of each stack
  std::int64_t generation_tokens_ = 0;  // of a generation that is not yet planned
  Tensor2<const Real> hidden_NC_;
  Tensor2<float> dhidden_NC_;
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
                                             const Communicator& tensor) {
  if (recipe.precision == recipe::Precision::kBf16) {
    return std::make_unique<PhaseModelOf<bf16>>(recipe, phase, data, tensor);
  }
  return std::make_unique<PhaseModelOf<float>>(recipe, phase, data, tensor);
}

}  // namespace polyphase
