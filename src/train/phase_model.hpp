// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "corpus/batch.hpp"
#include "model/chunk_layers.hpp"
#include "model/gradient_layout.hpp"
#include "model/parameters.hpp"
#include "model/pass.hpp"
#include "objective/objective.hpp"
#include "optimizer/shards.hpp"
#include "recipe/recipe.hpp"
#include "train/make_objectives.hpp"

namespace polyphase {

// What a phase trains: one body with the heads of its objectives, in the recipe's precision, with
// the arena that its passes work in. On a stage of a pipeline it has the layers of the stage's
// chunks, the last stage the heads; passes of all stages are collective over the pipeline. Several
// micro-batches can then be under way, each with an arena of its own.
class PhaseModel {
 public:
  virtual ~PhaseModel() = default;

  ParameterSet& parameters() { return parameters_; }
  const std::vector<std::string>& objective_names() const { return names_; }
  const std::vector<double>& objective_weights() const { return weights_; }

  // Terms of each objective in a micro-batch: the denominators of its loss.
  virtual std::vector<std::int64_t> num_terms(const Batch& batch) const = 0;

  // That a rank has in a step at most, by pipeline_schedule(). To be called before anything is
  // planned.
  virtual void plan_micro_batches(std::int64_t num_micro_batches) = 0;

  // One micro-batch through one of the stage's own chunks, and through the heads if it has them,
  // with R-Drop twice. scales[o] multiplies the gradient of objective o's summed loss. Returns each
  // objective's tally. Of a chunk without heads there is nothing in them but Tally::layers, and
  // none at all where no layers are learnt from. A training pass must be followed by backward(), of
  // passes under way in the chunk that of the oldest; the batch lives until then.
  virtual std::vector<Tally> forward(const Batch& batch, const PassDropout& dropout,
                                     const std::vector<float>& scales, int chunk = 0) = 0;
  // Hears, going down, from which parameter on all of the chunk's gradients are final.
  virtual void backward(const std::function<void(std::size_t)>& final_from, int chunk = 0) = 0;
  bool has_heads(int chunk) const {
    const PipelineStage& stage = parameters_.stage();
    return stage.chunk(chunk) + 1 == stage.num_chunks();
  }

  // Where several stages have a parameter, gives its owner's values to the others; of those that
  // the step trains. Collective over the pipeline.
  virtual void share_copies() = 0;

  // Distillation: from now on, training passes learn from the teacher's model too, which sees the
  // same micro-batches without dropout, in the arenas of this one's passes. It is of the same
  // family, precision and vocabulary on the same ranks and stages, has the same heads, is cut as
  // recipe::teacher_cuts says, and must live as long; its depth and width may be others. With a
  // weight for hidden states, which must be of the same width, or for attention, which must have as
  // many heads, there are further objectives, "hidden" and "attention", which are of training alone
  // (see model/stack_lesson.hpp).
  virtual void learn_from(PhaseModel& teacher, const recipe::Distil& distil) = 0;
  // Likewise, from outputs that stand in the batches of training passes: taught_BK, of the task's
  // one objective.
  virtual void learn_from_batches(const recipe::Distil& distil) = 0;
  // As a teacher: the B × K numbers that the head of the task gives for the sequences, before any
  // softmax. No pass is under way.
  virtual std::vector<float> outputs(const Batch& batch, std::int64_t num_outputs) = 0;
  // Bytes of the arena that outputs() needs.
  virtual std::size_t plan_outputs(const Batch& largest, std::int64_t num_outputs) = 0;

  // Micro-batches without gradients: each objective's tally of each, on the stage with heads. At
  // most as many as there are stages, which work on them side by side. No pass is under way.
  virtual std::vector<std::vector<Tally>> evaluate(std::span<const Batch> batches) = 0;
  std::vector<Tally> evaluate(const Batch& batch) { return evaluate(std::span(&batch, 1)).front(); }

  // What the phase's task says of each sequence of a micro-batch without labels (of tagging, 0 on
  // the rows that want a tag).
  virtual std::vector<Prediction> predict(const Batch& batch) = 0;

  // The tally of such predictions that several models made together, as evaluate() has of the own.
  virtual Tally judge(const std::vector<Prediction>& predictions, const Batch& batch) const = 0;

  // Generation with the phase's language model: begin, then next_logits() with further rows of
  // every sequence, each time. Returns B × V logits that follow each sequence's last row, the same
  // on every tensor-parallel rank. The first batch holds the prompts, for an encoder and decoder
  // the sources beside them.
  virtual void begin_generation(std::int64_t num_sequences, std::int64_t max_tokens) = 0;
  virtual std::vector<float> next_logits(const Batch& batch) = 0;
  // Bytes of the weights that a generation keeps beside the parameters.
  virtual std::size_t plan_kept_weights(const Batch& first) = 0;
  // Sequence b goes on from where sequence parents[b] stands.
  virtual void reorder_generation(const std::vector<std::int32_t>& parents) = 0;

  // Metrics of summed tallies: "loss" is the weighted sum over objectives; with several objectives
  // theirs are "mlm_loss", "nsp_accuracy" and so on.
  std::map<std::string, double> metrics(const std::vector<Tally>& totals) const;

  // Bytes of activations and workspaces of the largest micro-batch of this shape, exactly, without
  // running it. Every shape that is to come must have been planned before memory is made.
  virtual std::size_t plan_arena_bytes(const Batch& largest, bool training) = 0;

  // Beside the parameters' values, what training needs when so many sets of gradients are kept and
  // the optimizer's update works in update_bytes of the arena.
  struct TrainingMemory {
    std::size_t arena_bytes = 0;     // of updates and passes, all that are under way
    std::size_t link_bytes = 0;      // of what is on its way to other stages
    std::size_t gradient_bytes = 0;  // of all sets, and of what passes write beside them
    std::size_t bytes = 0;           // of all: what passes write may share memory with the arena
    std::size_t first_gradient = 0;  // where that begins
    std::size_t share_bytes = 0;     // of sets of this rank's share, which share nothing
    std::size_t copy_bytes = 0;      // of gradients that chunks pass on, likewise
    GradientLayout layout;
  };
  TrainingMemory plan_training(std::size_t num_gradient_sets, std::size_t update_bytes,
                               const Shards& shards = {}) const;
  // Makes that memory, and the parameters' values. Collective over the data-parallel ranks, which
  // have gradients in the same order.
  void allocate_training(std::size_t num_gradient_sets, std::size_t update_bytes,
                         const Shards& shards, const Communicator& data);
  // Makes an arena alone: no pass can train.
  void allocate_arena(std::size_t num_bytes);

  // Where kernels run and take their workspaces, between passes.
  const Exec& exec() const { return exec_; }
  std::size_t arena_peak_bytes() const { return arena_.peak_bytes(); }
  std::size_t arena_capacity_bytes() const { return memory_.extent(0); }
  // Of what is on its way to other stages: as planned, and as taken by now.
  virtual std::size_t planned_link_bytes() const = 0;
  virtual std::size_t held_link_bytes() const = 0;

 protected:
  virtual std::map<std::string, double> objective_metrics(std::size_t objective,
                                                          const Tally& total) const = 0;

  ParameterSet parameters_;
  Arena arena_;
  std::deque<Arena> more_arenas_;  // of other passes under way at the same time
  Exec exec_ = {.space = {}, .arena = &arena_};
  std::vector<std::string> names_;
  std::vector<double> weights_;
  std::size_t num_heads_ = 0;  // the objectives that evaluation has; those of training alone follow
  // Of the passes that were planned, the most.
  std::size_t arena_bytes_ = 0;
  GradientWrites writes_;  // of those that train
  // Likewise, of those under way beside others: what each keeps while another is at work, and what
  // that one needs beside what it will keep.
  std::size_t kept_bytes_ = 0, work_bytes_ = 0;

 private:
  void divide_arena(std::size_t num_bytes);

  Kokkos::View<std::byte*, Memory> memory_;
};

// Declares all parameters; does not allocate them. `pipeline`: the stages of which this rank is
// one; nullptr: the rank has the whole model. Both groups must live on. `cuts`: of its layers,
// which else are dealt evenly.
std::unique_ptr<PhaseModel> make_phase_model(const recipe::Recipe& recipe,
                                             const recipe::Phase& phase, const PhaseData& data,
                                             const Communicator& tensor,
                                             const Communicator* pipeline = nullptr,
                                             const LayerCuts& cuts = {});

}  // namespace polyphase
