// SPDX-License-Identifier: Apache-2.0
#include "train/phase_body.hpp"

#include <algorithm>

#include "kernels/elementwise.hpp"
#include "model/shared_parameters.hpp"
#include "optimizer/name_pattern.hpp"
#include "recipe/load.hpp"
#include "train/repeated_batch.hpp"

namespace polyphase {
namespace {

// Products have low-rank additions where the phase asks for them; heads, which are declared later,
// have none.
template <class Real>
std::unique_ptr<Body<Real>> make_phase_body(ParameterSet& parameters, const Communicator& tensor,
                                            const recipe::Recipe& recipe,
                                            const recipe::Phase& phase, std::int64_t vocab_size,
                                            const LayerCuts& cuts) {
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
                              recipe::has_decoder(recipe.model, phase), cuts);
  parameters.adapt({});
  return body;
}

}  // namespace

template <class Real>
PhaseBody<Real>::PhaseBody(ParameterSet& parameters, const Communicator& tensor,
                           const Communicator* pipeline, const recipe::Recipe& recipe,
                           const recipe::Phase& phase, std::int64_t vocab_size,
                           const LayerCuts& cuts)
    : parameters_(parameters),
      tensor_(tensor),
      width_(recipe.model.width),
      recompute_(recipe.recompute),
      divides_rows_(recipe.parallel.sequence),
      r_drop_(static_cast<float>(phase.regularisation.r_drop.value_or(0.0))),
      make_body_([&parameters, &tensor, recipe, phase, vocab_size, cuts] {
        return make_phase_body<Real>(parameters, tensor, recipe, phase, vocab_size, cuts);
      }) {
  if (pipeline != nullptr && pipeline->size() > 1) {
    links_.emplace(*pipeline);
    parameters.begin_stage({.number = pipeline->rank(),
                            .count = pipeline->size(),
                            .num_own_chunks = static_cast<int>(recipe.parallel.interleave)});
  }
  chunks_.resize(static_cast<std::size_t>(parameters.stage().num_own_chunks));
  for (int chunk = 0; chunk < num_chunks(); ++chunk) add_passes(chunk, 1);
}

template <class Real>
void PhaseBody<Real>::add_passes(int chunk, std::int64_t count) {
  std::vector<std::unique_ptr<UnderWay>>& ways = chunks_.at(chunk).ways;
  const int number = parameters_.stage().chunk(chunk);
  while (std::ssize(ways) < count) {
    parameters_.begin_chunk(number);
    parameters_.declare_again(
        [&] { ways.push_back(std::make_unique<UnderWay>(number, make_body_())); });
  }
  if (teacher_ == nullptr) return;
  teacher_->add_passes(chunk, count);
  for (std::int64_t i = 0; i < count; ++i) {
    UnderWay &way = *ways[i], &theirs = *teacher_->chunks_.at(chunk).ways[i];
    if (way.teacher != nullptr) continue;
    way.teacher = &theirs;
    way.lessons = lessons_->of_stacks(way.body->stacks(), theirs.body->stacks());
  }
}

template <class Real>
void PhaseBody<Real>::learn_from(PhaseBody& teacher, const Lessons<Real>& lessons) {
  teacher_ = &teacher;
  lessons_ = &lessons;
  for (int chunk = 0; chunk < num_chunks(); ++chunk)
    add_passes(chunk, std::ssize(chunks_[chunk].ways));
}

template <class Real>
void PhaseBody<Real>::run_teacher(UnderWay& way, const Exec& exec, const Batch& batch) {
  const std::size_t mark = exec.arena->used_bytes();
  teacher_->forward(*way.teacher, exec, batch, {}, false);
  const bool learns = way.teacher->pass->chunk.is_last() ||
                      std::ranges::any_of(way.lessons, [](const auto& one) { return one->any(); });
  if (!learns) exec.arena->release(mark);
}

template <class Real>
void PhaseBody<Real>::forward(UnderWay& way, const Exec& exec, const Batch& batch,
                              const PassDropout& dropout, bool training) {
  const bool twice = training && r_drop_ > 0;
  if (twice) way.repeated = repeated(batch);
  const Batch& rows = twice ? way.repeated : batch;
  Pass& pass = way.pass.emplace(begin_pass(exec, tensor_, rows, rows, dropout, training));
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

template <class Real>
void PhaseBody<Real>::backward(UnderWay& way, const Exec& exec,
                               const std::function<void(std::size_t)>& final_from) {
  parameters_.begin_chunk(way.chunk);
  receive_gradients(exec, parameters_, links());
  way.body->backward(*way.pass, way.dhidden_NC, final_from);
  send_gradients(exec, parameters_, links());
  way.pass.reset();
  if (way.teacher != nullptr) way.teacher->pass.reset();
}

template class PhaseBody<float>;
template class PhaseBody<bf16>;

}  // namespace polyphase
