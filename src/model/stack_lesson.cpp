// SPDX-License-Identifier: Apache-2.0
#include "model/stack_lesson.hpp"

#include <algorithm>
#include <numeric>

#include "kernels/attention_divergence.hpp"
#include "kernels/distillation.hpp"
#include "model/stack.hpp"

namespace polyphase {

std::vector<LayerPair> paired_layers(std::int64_t num_student, std::int64_t num_teacher,
                                     recipe::MatchedLayers layers) {
  if (layers == recipe::MatchedLayers::kLast) return {{num_student - 1, num_teacher - 1}};
  POLYPHASE_PROMISE(num_teacher >= num_student, "{} layers cannot each have one of {} others",
                    num_student, num_teacher);
  std::vector<LayerPair> pairs;
  for (std::int64_t i = 0; i < num_student; ++i)
    pairs.push_back({i, (i + 1) * num_teacher / num_student - 1});
  return pairs;
}

template <class Real>
StackLesson<Real>::StackLesson(Stack<Real>& student, Stack<Real>& teacher,
                               const recipe::Distil& distil, bool of_output)
    : student_(student),
      teacher_(teacher),
      pairs_(paired_layers(student.num_layers(), teacher.num_layers(), distil.layers)),
      hidden_(distil.hidden > 0 && (of_output || distil.layers == recipe::MatchedLayers::kAll)),
      attention_(distil.attention > 0),
      num_heads_(student.num_heads()),
      hidden_N_(pairs_.size()),
      divergence_NH_(pairs_.size()) {
  student.learn_from(this);
  for (const LayerPair& pair : pairs_) {
    if (compares_hidden(pair)) teacher.keep_residual(pair.teacher);
    if (!compares_attention(pair)) continue;
    POLYPHASE_PROMISE(teacher.layers().has(pair.teacher),
                      "layer {} learns from layer {}, which is in another chunk", pair.student,
                      pair.teacher);
    teacher.keep_attention(pair.teacher);
  }
}

template <class Real>
bool StackLesson<Real>::compares_hidden(const LayerPair& pair) const {
  return hidden_ && student_.layers().has(std::min(pair.student + 1, student_.num_layers() - 1));
}

template <class Real>
bool StackLesson<Real>::compares_attention(const LayerPair& pair) const {
  return attention_ && student_.layers().has(pair.student);
}

template <class Real>
bool StackLesson<Real>::any() const {
  return std::ranges::any_of(pairs_, [this](const LayerPair& pair) {
    return compares_hidden(pair) || compares_attention(pair);
  });
}

template <class Real>
std::int64_t StackLesson<Real>::pair_of(std::int64_t layer) const {
  return std::max<std::int64_t>(layer - pairs_.front().student, -1);
}

template <class Real>
void StackLesson<Real>::begin(const Pass& pass) {
  Arena& arena = *pass.exec.arena;
  // Padding rows are behind the last sequence.
  num_tokens_ = pass.rows.starts.back();
  own_tokens_ = pass.own();
  own_tokens_.size = std::clamp(num_tokens_ - own_tokens_.begin, std::int64_t{0}, own_tokens_.size);
  for (std::size_t p = 0; p < pairs_.size(); ++p) {
    if (compares_hidden(pairs_[p])) hidden_N_[p] = arena.take1<float>(own_tokens_.size);
    if (compares_attention(pairs_[p]))
      divergence_NH_[p] = arena.take2<float>(pass.num_rows, student_.num_local_heads());
  }
}

template <class Real>
void StackLesson<Real>::hear_attention(const Pass& pass, std::int64_t layer) {
  const std::int64_t p = pair_of(layer);
  if (p < 0 || !compares_attention(pairs_[p])) return;
  attention_divergence<Real>(pass.exec, divergence_NH_[p],
                             student_.done_attention(pairs_[p].student),
                             teacher_.done_attention(pairs_[p].teacher));
}

template <class Real>
void StackLesson<Real>::hear_hidden(const Pass& pass, std::int64_t layer) {
  compare_hidden(pass, {}, layer);
}

// The output of a stack is there in the model's precision, the residual stream in float32.
template <class Real>
void StackLesson<Real>::compare_hidden(const Pass& pass, Tensor2<float> dhidden_NC,
                                       std::int64_t layer) const {
  const std::int64_t p = pair_of(layer);
  if (p < 0 || !compares_hidden(pairs_[p])) return;
  const LayerPair& pair = pairs_[p];
  const float scale = hidden_scale_ / static_cast<float>(pairs_.size());
  if (pair.student + 1 == student_.num_layers()) {
    squared_difference<Real>(pass.exec, hidden_N_[p], dhidden_NC, pass.own_rows(student_.output()),
                             pass.own_rows(teacher_.output()), scale);
    return;
  }
  const ArenaScope scope(*pass.exec.arena);
  squared_difference<float>(pass.exec, hidden_N_[p], dhidden_NC,
                            student_.residual_behind(pass, pair.student),
                            teacher_.residual_behind(pass, pair.teacher), scale);
}

template <class Real>
void StackLesson<Real>::add_hidden_gradient(const Pass& pass, Tensor2<float> dhidden_NC,
                                            std::int64_t layer) {
  compare_hidden(pass, dhidden_NC, layer);
}

template <class Real>
std::vector<double> StackLesson<Real>::hidden_sums(const Pass& pass) const {
  std::vector<double> sums(pairs_.size());
  for (std::size_t p = 0; p < pairs_.size(); ++p) {
    if (!compares_hidden(pairs_[p])) continue;
    const std::vector<float> own_N = download<float>(pass.exec, hidden_N_[p]);
    std::vector<float> all_N(static_cast<std::size_t>(num_tokens_));
    if (!own_N.empty()) std::copy(own_N.begin(), own_N.end(), all_N.begin() + own_tokens_.begin);
    if (pass.divides_rows && !pass.exec.counting())
      pass.tensor.sum(all_N.data(), static_cast<std::int64_t>(all_N.size()));
    sums[p] = std::accumulate(all_N.begin(), all_N.end(), 0.0) / static_cast<double>(pairs_.size());
  }
  return sums;
}

// A rank has the divergences of its heads: rows are summed over the ranks.
template <class Real>
std::vector<double> StackLesson<Real>::attention_sums(const Pass& pass) const {
  const auto num_means = static_cast<std::int64_t>(pairs_.size()) * num_heads_;
  std::vector<double> sums(pairs_.size());
  for (std::size_t p = 0; p < pairs_.size(); ++p) {
    if (!compares_attention(pairs_[p])) continue;
    const auto num_heads = static_cast<std::int64_t>(divergence_NH_[p].extent(1));
    const std::vector<float> all =
        download<float>(pass.exec, Tensor1<const float>(flat(divergence_NH_[p])));
    std::vector<float> rows_N(divergence_NH_[p].extent(0));
    for (std::size_t i = 0; i < all.size(); ++i) rows_N[i / num_heads] += all[i];
    if (pass.tensor.size() > 1 && !pass.exec.counting())
      pass.tensor.sum(rows_N.data(), static_cast<std::int64_t>(rows_N.size()));
    sums[p] = std::accumulate(rows_N.begin(), rows_N.end(), 0.0) / static_cast<double>(num_means);
  }
  return sums;
}

template <class Real>
void StackLesson<Real>::weigh_attention(float scale) {
  const float mean =
      scale / static_cast<float>(static_cast<std::int64_t>(pairs_.size()) * num_heads_);
  for (const LayerPair& pair : pairs_) {
    if (compares_attention(pair))
      student_.teach_attention(pair.student, teacher_.done_attention(pair.teacher), mean);
  }
}

template class StackLesson<float>;
template class StackLesson<bf16>;

}  // namespace polyphase
