// SPDX-License-Identifier: Apache-2.0
#include "train/lessons.hpp"

#include <numeric>

#include "kernels/elementwise.hpp"

namespace polyphase {

template <class Real>
Lessons<Real>::Lessons(const recipe::Distil& distil, Heads student, Heads teacher)
    : distil_(distil), student_(std::move(student)), teacher_(std::move(teacher)) {
  using Lesson = StackLesson<Real>;
  const bool of_every_layer = distil.layers == recipe::MatchedLayers::kAll;
  for (const Match& match :
       {Match{"hidden", distil.hidden, of_every_layer, &Lesson::hidden_sums, &Lesson::weigh_hidden},
        Match{"attention", distil.attention, true, &Lesson::attention_sums,
              &Lesson::weigh_attention}}) {
    if (match.weight != 0) matches_.push_back(match);
  }
}

template <class Real>
StackLessons<Real> Lessons<Real>::of_stacks(const std::vector<Stack<Real>*>& student,
                                            const std::vector<Stack<Real>*>& teacher) const {
  StackLessons<Real> lessons;
  if (matches_.empty()) return lessons;
  POLYPHASE_PROMISE(student.size() == teacher.size(), "{} stacks learn from {}", student.size(),
                    teacher.size());
  for (std::size_t i = 0; i < student.size(); ++i) {
    lessons.push_back(std::make_unique<StackLesson<Real>>(*student[i], *teacher[i], distil_,
                                                          i + 1 == student.size()));
  }
  return lessons;
}

template <class Real>
std::vector<std::pair<std::string, double>> Lessons<Real>::objectives() const {
  std::vector<std::pair<std::string, double>> objectives;
  for (const Match& match : matches_) objectives.emplace_back(match.name, match.weight);
  return objectives;
}

// The rows of the stacks that have a part in it; the last one's are the batch's own.
template <class Real>
std::int64_t Lessons<Real>::num_terms(const Match& match, const Batch& batch) const {
  std::int64_t count = batch.starts.back();
  if (match.of_every_stack && !batch.source.starts.empty()) count += batch.source.starts.back();
  return count;
}

template <class Real>
void Lessons<Real>::add_terms(std::vector<std::int64_t>& terms, const Batch& batch) const {
  for (const Match& match : matches_) terms.push_back(num_terms(match, batch));
}

template <class Real>
void Lessons<Real>::tell(Objective<Real>& head, SoftTargets soft) const {
  soft.temperature = static_cast<float>(distil_.temperature);
  soft.weight = static_cast<float>(distil_.weight);
  head.learn_from(std::move(soft));
}

template <class Real>
void Lessons<Real>::hear(const Pass& theirs, Tensor2<const Real> hidden_NC) {
  for (std::size_t o = 0; o < student_.size() && distil_.weight > 0; ++o)
    tell(*student_[o], teacher_[o]->teach(theirs, hidden_NC));
}

template <class Real>
void Lessons<Real>::hear(const Exec& exec, const Batch& batch) {
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
  tell(*student_.at(0), {.logits = logits, .chain = {}});
}

template <class Real>
void Lessons<Real>::run(const Pass& pass, const StackLessons<Real>& stacks,
                        std::vector<Tally>& tallies, const std::vector<float>& scales) const {
  for (const Match& match : matches_) {
    Tally tally = {.num_terms = num_terms(match, pass.batch), .counts = {}};
    for (const auto& lesson : stacks) {
      const std::vector<double> sums = (lesson.get()->*match.sums)(pass);
      tally.layers.insert(tally.layers.end(), sums.begin(), sums.end());
      (lesson.get()->*match.weigh)(scales[tallies.size()]);
    }
    tally.nats = std::accumulate(tally.layers.begin(), tally.layers.end(), 0.0);
    tallies.push_back(std::move(tally));
  }
}

template class Lessons<float>;
template class Lessons<bf16>;

}  // namespace polyphase
