// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/stack.hpp"
#include "objective/objective.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// What of a model learns, or teaches: heads, a student's and its teacher's in the same order, and
// stacks. Of a pipeline's chunk without heads, nothing learns.
template <class Real>
struct ModelParts {
  std::vector<Objective<Real>*> heads;
  std::vector<Stack<Real>*> stacks;
  bool has_heads = true;
};

// Distillation: what training passes of a student learn besides its labels. Heads hear what a
// teacher says of the same rows: the teacher's own heads, or outputs that stand in the batch. With
// a weight for hidden states or attention, stacks learn from the teacher's while they run (see
// model/stack_lesson.hpp), which makes further objectives, of training alone.
template <class Real>
class Lessons {
 public:
  // Without a teacher's parts: from outputs in batches, Batch::taught_BK, of the one head. What the
  // parts point to must live as long.
  Lessons(const recipe::Distil& distil, ModelParts<Real> student, ModelParts<Real> teacher = {});

  // The further objectives, by name and weight. They follow the student's own wherever all are
  // listed.
  std::vector<std::pair<std::string, double>> objectives() const;
  // Adds theirs to the terms of a micro-batch.
  void add_terms(std::vector<std::int64_t>& terms, const Batch& batch) const;

  // Let the heads hear, before they run, what is there as long as `theirs`, a pass of the teacher's
  // that has ended in hidden_NC, or as the batch.
  void hear(const Pass& theirs, Tensor2<const Real> hidden_NC);
  void hear(const Exec& exec, const Batch& batch);

  // Behind the heads: adds the tallies of the further objectives, whose gradients the backward pass
  // multiplies with their scales.
  void run(const Pass& pass, std::vector<Tally>& tallies, const std::vector<float>& scales);

 private:
  // One of the further objectives.
  struct Match {
    const char* name;
    double weight;
    bool of_every_stack;
    double (StackLesson<Real>::*sum)(const Pass& pass) const;
    void (StackLesson<Real>::*weigh)(float scale);
  };
  std::int64_t num_terms(const Match& match, const Batch& batch) const;
  void tell(Objective<Real>& head, SoftTargets soft) const;

  recipe::Distil distil_;
  ModelParts<Real> student_, teacher_;
  std::vector<std::unique_ptr<StackLesson<Real>>> stacks_;
  std::vector<Match> matches_;
};

}  // namespace polyphase
