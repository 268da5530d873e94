// SPDX-License-Identifier: Apache-2.0
#include "train/phase_model.hpp"

#include <algorithm>
#include <optional>

#include "kernels/elementwise.hpp"
#include "model/body.hpp"
#include "model/shared_parameters.hpp"
#include "optimizer/gradient_norm.hpp"
#include "optimizer/name_pattern.hpp"
#include "recipe/load.hpp"
#include "train/generation.hpp"
#include "train/pipeline_schedule.hpp"
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
               const Communicator& tensor, const Communicator* pipeline)
      : tensor_(tensor),
        width_(recipe.model.width),
        recompute_(recipe.recompute),
        divides_rows_(recipe.parallel.sequence),
        r_drop_(static_cast<float>(phase.regularisation.r_drop.value_or(0.0))),
        make_body_([this, &tensor, recipe, phase, vocab_size = data.vocab_size] {
          return make_phase_body<Real>(parameters_, tensor, recipe, phase, vocab_size);
        }) {
    if (pipeline != nullptr && pipeline->size() > 1) {
      links_.emplace(*pipeline);
      parameters_.begin_stage({.number = pipeline->rank(),
                               .count = pipeline->size(),
                               .num_own_chunks = static_cast<int>(recipe.parallel.interleave)});
    }
    passes_.resize(static_cast<std::size_t>(parameters_.stage().num_own_chunks));
    for (std::size_t chunk = 0; chunk < passes_.size(); ++chunk) add_pass(chunk);
    parameters_.place_on({parameters_.stage().num_chunks() - 1});
    for (auto& [objective, weight] :
         make_objectives<Real>(parameters_, tensor, recipe, phase, data, body())) {
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
    const std::vector<Stack<Real>*> own = body().stacks(), theirs = teacher_->body().stacks();
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

  void learn_from_batches(const recipe::Distil& distil) override {
    distil_ = distil;
    batches_teach_ = true;
  }

  std::vector<float> outputs(const Batch& batch, std::int64_t num_outputs) override {
    const Tensor2<const float> y_BK = run_outputs(exec_, batch, num_outputs);
    std::vector<float> outputs(static_cast<std::size_t>(y_BK.size()));
    copy_to_host(exec_, outputs.data(), Tensor1<const float>(flat(y_BK)));
    first().pass.reset();
    return outputs;
  }

  std::size_t plan_outputs(const Batch& largest, std::int64_t num_outputs) override {
    Arena counting;
    run_outputs({.space = {}, .arena = &counting}, largest, num_outputs);
    first().pass.reset();
    return counting.peak_bytes();
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

  void plan_micro_batches(std::int64_t num_micro_batches) override {
    const PipelineStage& stage = parameters_.stage();
    const std::vector<PipelineTask> schedule = pipeline_schedule(stage, num_micro_batches);
    for (int chunk = 0; chunk < stage.num_own_chunks; ++chunk) {
      const auto own = static_cast<std::size_t>(chunk);
      while (std::ssize(passes_[own].ways) < most_under_way(schedule, chunk)) add_pass(own);
    }
    while (std::ssize(more_arenas_) + 1 < most_under_way(schedule)) more_arenas_.emplace_back();
    free_arenas_ = {&arena_};
    for (Arena& arena : more_arenas_) free_arenas_.push_back(&arena);
    if (links_) links_->plan_messages(num_micro_batches * stage.num_own_chunks);
  }

  std::vector<Tally> forward(const Batch& batch, const PassDropout& dropout,
                             const std::vector<float>& scales, int chunk) override {
    UnderWay& way = passes_.at(static_cast<std::size_t>(chunk)).next_forward();
    POLYPHASE_PROMISE(!free_arenas_.empty(), "more passes are under way than were planned");
    way.exec.arena = free_arenas_.back();
    free_arenas_.pop_back();
    if (r_drop_ > 0) way.repeated = repeated(batch);
    if (teacher_ != nullptr) hear_teacher(teacher_->exec_, batch);
    if (batches_teach_ && has_heads(chunk)) hear_batch(way.exec, batch);
    begin(way, way.exec, r_drop_ > 0 ? way.repeated : batch, dropout, true);
    return run_heads(way, scales);
  }

  void backward(const std::function<void(std::size_t)>& final_from, int chunk) override {
    UnderWay& way = passes_.at(static_cast<std::size_t>(chunk)).next_backward();
    backward(way, way.exec, final_from);
    way.exec.arena->release(0);
    free_arenas_.push_back(way.exec.arena);
  }

  void share_copies() override { share_values(exec_, parameters_, links()); }

  std::vector<std::vector<Tally>> evaluate(std::span<const Batch> batches) override {
    std::vector<std::vector<Tally>> all(batches.size(), std::vector<Tally>(names_.size()));
    for (ChunkPasses& chunk : passes_) {
      UnderWay& way = *chunk.ways.front();
      for (std::size_t i = 0; i < batches.size(); ++i) {
        if (batches[i].num_sequences() == 0) continue;
        begin(way, exec_, batches[i], {}, false);
        const std::vector<Tally> tallies = run_heads(way, std::vector<float>(names_.size()));
        std::ranges::copy(tallies, all[i].begin());
        way.pass.reset();
      }
    }
    return all;
  }

  std::vector<Prediction> predict(const Batch& batch) override {
    UnderWay& way = first();
    begin(way, exec_, batch, {}, false);
    std::vector<Prediction> predictions = objectives_.at(0)->predict(*way.pass, way.hidden_NC);
    way.pass.reset();
    return predictions;
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
    for (std::size_t chunk = 0; chunk < passes_.size(); ++chunk)
      most = std::max(most, plan_chunk(chunk, largest, training));
    arena_bytes_ = std::max(arena_bytes_, most);
    return most;
  }

  std::size_t planned_link_bytes() const override { return links_ ? links_->planned_bytes() : 0; }
  std::size_t held_link_bytes() const override { return links_ ? links_->held_bytes() : 0; }

 private:
  // A pass under way: layers of its own, which keep what their backward pass needs, over the
  // parameters that all passes have in common.
  struct UnderWay {
    UnderWay(int chunk_in, std::unique_ptr<Body<Real>> body_in)
        : chunk(chunk_in), body(std::move(body_in)) {}
    int chunk;  // counted through the pipeline
    Exec exec;
    std::unique_ptr<Body<Real>> body;
    Batch repeated;  // with R-Drop, what is trained on
    std::optional<Pass> pass;
    Tensor2<const Real> hidden_NC;
    Tensor2<float> dhidden_NC;
  };
  // Those of one of the own chunks, at least one, and how many have gone each way so far.
  struct ChunkPasses {
    std::vector<std::unique_ptr<UnderWay>> ways;
    std::size_t num_forward = 0, num_backward = 0;

    UnderWay& next_forward() { return *ways[num_forward++ % ways.size()]; }
    UnderWay& next_backward() { return *ways[num_backward++ % ways.size()]; }
  };
  UnderWay& first() const { return *passes_.front().ways.front(); }
  Body<Real>& body() const { return *first().body; }
  Writer<Real> writer() const { return {tensor_, body(), *objectives_[0]}; }
  StageLinks* links() { return links_ ? &*links_ : nullptr; }

  void add_pass(std::size_t chunk) {
    const int number = parameters_.stage().chunk(static_cast<int>(chunk));
    parameters_.begin_chunk(number);
    parameters_.declare_again(
        [&] { passes_[chunk].ways.push_back(std::make_unique<UnderWay>(number, make_body_())); });
  }

  // Bytes of the arena of one of the own chunks.
  std::size_t plan_chunk(std::size_t chunk, const Batch& largest, bool training) {
    Arena counting, teaching;
    const Exec exec = {.space = {}, .arena = &counting};
    const Exec teacher_exec = {.space = {}, .arena = &teaching};
    const Batch both = training && r_drop_ > 0 ? repeated(largest) : largest;
    if (training && teacher_ != nullptr) hear_teacher(teacher_exec, largest);
    if (training && batches_teach_ && has_heads(static_cast<int>(chunk))) hear_batch(exec, largest);
    UnderWay& way = *passes_[chunk].ways.front();
    parameters_.begin_chunk(way.chunk);
    if (training) {
      writes_.begin_pass(counting, parameters_.all().size(), parameters_.end_of_chunk());
      parameters_.tell(&writes_);
    }
    parameters_.begin_micro_batch(0);
    std::vector<std::size_t> used_bytes;
    counting.trace(&used_bytes);
    begin(way, exec, both, {}, training);
    counting.trace(nullptr);
    const std::size_t kept_bytes = counting.used_bytes();
    run_heads(way, std::vector<float>(names_.size()));
    teaching_bytes_ = std::max(teaching_bytes_, teaching.peak_bytes());
    if (training)
      backward(way, exec, [this](std::size_t parameter) { writes_.final_from(parameter); });
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

  // Starts a pass on an empty arena and runs the body.
  void begin(UnderWay& way, const Exec& exec, const Batch& batch, const PassDropout& dropout,
             bool training) {
    exec.arena->release(0);
    exec.arena->lift_limit();  // no gradients of an earlier pass are needed
    Pass& pass = way.pass.emplace(begin_pass(exec, tensor_, batch, batch, dropout, training));
    pass.divides_rows = divides_rows_;
    pass.links = links();
    parameters_.begin_chunk(way.chunk);
    pass.chunk = parameters_.chunk();
    way.dhidden_NC = {};
    if (training) {
      pass.recompute = recompute_;
      pass.r_drop = r_drop_;
      // Below what the backward pass gives back as it goes.
      way.dhidden_NC = exec.arena->take2<float>(pass.num_rows, width_);
      fill(exec, flat(way.dhidden_NC), 0.0F);
    }
    way.hidden_NC = way.body->forward(pass);
  }

  void backward(UnderWay& way, const Exec& exec,
                const std::function<void(std::size_t)>& final_from) {
    parameters_.begin_chunk(way.chunk);
    receive_gradients(exec, parameters_, links());
    way.body->backward(*way.pass, way.dhidden_NC, final_from);
    send_gradients(exec, parameters_, links());
    way.pass.reset();
  }

  std::vector<Tally> run_heads(UnderWay& way, const std::vector<float>& scales) {
    std::vector<Tally> tallies;
    if (!way.pass->chunk.is_last()) return tallies;
    for (std::size_t o = 0; o < objectives_.size(); ++o) {
      tallies.push_back(objectives_[o]->run(*way.pass, way.hidden_NC, way.dhidden_NC, scales[o]));
    }
    if (way.pass->training) hear_lessons(*way.pass, tallies, scales);
    return tallies;
  }

  // What stacks were compared with while they ran: objectives of training alone.
  void hear_lessons(const Pass& pass, std::vector<Tally>& tallies,
                    const std::vector<float>& scales) {
    const std::vector<std::int64_t> terms = num_terms(pass.batch);
    Tally hidden = {.counts = {}}, attention = {.counts = {}};
    for (const auto& lesson : lessons_) {
      hidden.nats += lesson->hidden_sum(pass);
      attention.nats += lesson->attention_sum(pass);
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
    UnderWay& theirs = teacher_->first();
    teacher_->begin(theirs, teacher_exec, batch, {}, false);
    for (std::size_t o = 0; o < objectives_.size() && distil_.weight > 0; ++o) {
      SoftTargets soft = teaching_heads_[o]->teach(*theirs.pass, theirs.hidden_NC);
      soft.temperature = static_cast<float>(distil_.temperature);
      soft.weight = static_cast<float>(distil_.weight);
      objectives_[o]->learn_from(std::move(soft));
    }
  }

  // Lets what the batch holds speak to the task's objective.
  void hear_batch(const Exec& exec, const Batch& batch) {
    const auto logits = [&exec, &batch](Tensor2<float> y_BK, std::int64_t first) {
      if (exec.counting()) return;
      const auto b = static_cast<std::int64_t>(y_BK.extent(0)),
                 part = static_cast<std::int64_t>(y_BK.extent(1)),
                 all = std::ssize(batch.taught_BK) / b;
      std::vector<float> rows;
      for (auto row = batch.taught_BK.begin(); row != batch.taught_BK.end(); row += all)
        rows.insert(rows.end(), row + first, row + first + part);
      copy_to_device(exec, flat(y_BK), rows.data());
    };
    objectives_.at(0)->learn_from({.logits = logits,
                                   .temperature = static_cast<float>(distil_.temperature),
                                   .weight = static_cast<float>(distil_.weight),
                                   .chain = {}});
  }

  // Begins a pass that stays under way.
  Tensor2<const float> run_outputs(const Exec& exec, const Batch& batch, std::int64_t num_outputs) {
    UnderWay& way = first();
    begin(way, exec, batch, {}, false);
    const auto y_BK = exec.arena->take2<float>(batch.num_sequences(), num_outputs);
    objectives_.at(0)->teach(*way.pass, way.hidden_NC).logits(y_BK, 0);
    return y_BK;
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
  std::optional<StageLinks> links_;
  std::function<std::unique_ptr<Body<Real>>()> make_body_;
  std::vector<ChunkPasses> passes_;              // of the own chunks
  std::vector<Arena*> free_arenas_ = {&arena_};  // that no training pass is under way in
  std::vector<std::unique_ptr<Objective<Real>>> objectives_;
  Generation<Real> generation_;
  PhaseModelOf* teacher_ = nullptr;
  bool batches_teach_ = false;
  recipe::Distil distil_;
  std::vector<Objective<Real>*> teaching_heads_;  // of the teacher, for each of the objectives
  std::vector<std::unique_ptr<StackLesson<Real>>> lessons_;  // of each stack
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
                                             const Communicator* pipeline) {
  if (recipe.precision == recipe::Precision::kBf16) {
    return std::make_unique<PhaseModelOf<bf16>>(recipe, phase, data, tensor, pipeline);
  }
  return std::make_unique<PhaseModelOf<float>>(recipe, phase, data, tensor, pipeline);
}

}  // namespace polyphase
