// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "comm/stage_links.hpp"
#include "model/body.hpp"
#include "recipe/recipe.hpp"
#include "train/lessons.hpp"

namespace polyphase {

// The body of a phase's model, of this stage's chunks, and passes of micro-batches through it, of
// which several can be under way. Passes are collective over the pipeline.
template <class Real>
class PhaseBody {
 public:
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
    // Distillation: the teacher's pass of the same micro-batch through its chunk, and what is
    // learnt from inside of it.
    UnderWay* teacher = nullptr;
    StackLessons<Real> lessons;
  };

  // Declares the body's parameters. `pipeline` and `cuts`: as of make_phase_model(). Parameters and
  // groups must live on.
  PhaseBody(ParameterSet& parameters, const Communicator& tensor, const Communicator* pipeline,
            const recipe::Recipe& recipe, const recipe::Phase& phase, std::int64_t vocab_size,
            const LayerCuts& cuts);

  // The stage's own chunks are counted from 0.
  int num_chunks() const { return static_cast<int>(chunks_.size()); }
  // At least so many passes are to be under way in a chunk.
  void add_passes(int chunk, std::int64_t count);
  // That those of a chunk are in turn: of the next forward pass, and of the next backward pass.
  UnderWay& next_forward(int chunk) { return chunks_.at(chunk).next_forward(); }
  UnderWay& next_backward(int chunk) { return chunks_.at(chunk).next_backward(); }
  // One of them, while none is under way.
  UnderWay& first(int chunk = 0) const { return *chunks_.at(chunk).ways.front(); }
  Body<Real>& body() const { return *first().body; }

  // Distillation: from now on every pass has one of the teacher's beside it. Both must live as
  // long.
  void learn_from(PhaseBody& teacher, const Lessons<Real>& lessons);
  // The teacher's pass over a micro-batch, its own chunk on the same stage. Its messages to the
  // next stage go before the student's, as there they are waited for. What it keeps lies below the
  // student's pass, and stays as long as that if anything in the chunk learns from it.
  void run_teacher(UnderWay& way, const Exec& exec, const Batch& batch);

  // Starts a pass behind what is in use of the arena, with R-Drop one that trains on the batch
  // twice.
  void forward(UnderWay& way, const Exec& exec, const Batch& batch, const PassDropout& dropout,
               bool training);
  // Ends it, once the heads of the last chunk have added to way.dhidden_NC.
  void backward(UnderWay& way, const Exec& exec,
                const std::function<void(std::size_t)>& final_from);

  // Of passes of each chunk, that many go forward in a step.
  void plan_messages(std::int64_t num_micro_batches) {
    if (links_) links_->plan_messages(num_micro_batches * num_chunks());
    if (teacher_ != nullptr) teacher_->plan_messages(num_micro_batches);
  }
  // To other stages; nullptr: the whole model is on one.
  StageLinks* links() { return links_ ? &*links_ : nullptr; }
  const StageLinks* links() const { return links_ ? &*links_ : nullptr; }

 private:
  // The passes of a chunk, at least one, and how many have gone each way so far.
  struct Chunk {
    std::vector<std::unique_ptr<UnderWay>> ways;
    std::size_t num_forward = 0, num_backward = 0;

    UnderWay& next_forward() { return *ways[num_forward++ % ways.size()]; }
    UnderWay& next_backward() { return *ways[num_backward++ % ways.size()]; }
  };

  ParameterSet& parameters_;
  const Communicator& tensor_;
  std::int64_t width_;
  recipe::Recompute recompute_;
  bool divides_rows_;  // passed on to all but the passes of a generation, which have few rows
  float r_drop_;
  std::optional<StageLinks> links_;
  std::function<std::unique_ptr<Body<Real>>()> make_body_;
  std::vector<Chunk> chunks_;
  PhaseBody* teacher_ = nullptr;
  const Lessons<Real>* lessons_ = nullptr;
};

}  // namespace polyphase
