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

// What the stacks of a pass learn from a teacher's, of the same pass, in order.
template <class Real>
using StackLessons = std::vector<std::unique_ptr<StackLesson<Real>>>;

// Distillation: what training passes of a student learn besides its labels. Heads hear what a
// teacher says of the same rows: the teacher's own heads, or outputs that stand in the batch. With
// a weight for hidden states or attention, stacks learn from the teacher's while they run (see
// model/stack_lesson.hpp), which makes further objectives, of training alone.
template <class Real>
class Lessons {
 public:
  // A student's and its teacher's in the same order, which must live as long. Without a teacher's:
  // from outputs in batches, Batch::taught_BK, of the one head.
  using Heads = std::vector<Objective<Real>*>;
  Lessons(const recipe::Distil& distil, Heads student, Heads teacher = {});

  // Empty where no layer is compared.
  StackLessons<Real> of_stacks(const std::vector<Stack<Real>*>& student,
                               const std::vector<Stack<Real>*>& teacher) const;

  // The further objectives, by name and weight. They follow the student's own wherever all are
  // listed.
  std::vector<std::pair<std::string, double>> objectives() const;
  // Adds theirs to the terms of a micro-batch.
  void add_terms(std::vector<std::int64_t>& terms, const Batch& batch) const;

  // Let the heads hear, before they run, what is there as long as `theirs`, a pass of the teacher's
  // that has ended in hidden_NC, or as the batch.
  void hear(const Pass& theirs, Tensor2<const Real> hidden_NC);
  void hear(const Exec& exec, const Batch& batch);

  // Behind a training pass through a chunk, and the heads: adds the tallies of the further
  // objectives, whose gradients the backward pass multiplies with their scales.
  void run(const Pass& pass, const StackLessons<Real>& stacks, std::vector<Tally>& tallies,
           const std::vector<float>& scales) const;

 private:
  // One of the further objectives.
  struct Match {
    const char* name;
    double weight;
    bool of_every_stack;
    std::vector<double> (StackLesson<Real>::*sums)(const Pass& pass) const;
    void (StackLesson<Real>::*weigh)(float scale);
  };
  std::int64_t num_terms(const Match& match, const Batch& batch) const;
  void tell(Objective<Real>& head, SoftTargets soft) const;

  recipe::Distil distil_;
  Heads student_, teacher_;
  std::vector<Match> matches_;
};

}  // namespace polyphase
