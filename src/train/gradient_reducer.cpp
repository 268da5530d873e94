// SPDX-License-Identifier: Apache-2.0
#include "train/gradient_reducer.hpp"

#include <algorithm>
#include <utility>

#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

// 4 MB: large enough for bandwidth, small enough to stay in cache between the sum and the next
// exchange.
constexpr std::int64_t kBucketFloats = std::int64_t{1} << 20;
// Neighbours have less than this between them: alignment, whose contents nobody reads.
constexpr auto kAlignedFloats = static_cast<std::int64_t>(Arena::kAlignment / sizeof(float));

}  // namespace

GradientReducer::GradientReducer(const Exec& exec, ParameterSet& parameters,
                                 const Communicator& data, const Shards& shards,
                                 const Communicator* rows_divided_by)
    : exec_(exec),
      parameters_(parameters),
      data_(data),
      rows_divided_by_(rows_divided_by),
      rank_(shards.rank) {
  for (const Parameter& parameter : parameters.all())
    pieces_.push_back(shards.pieces_of(parameter));
}

std::size_t GradientReducer::num_gradient_sets(std::int64_t num_micro_batches) {
  std::size_t sets = 1;  // the micro-batch's own, and one for each level of the tree that may wait
  for (std::int64_t leaves = 1; leaves < num_micro_batches; leaves *= 2) ++sets;
  return sets;
}

void GradientReducer::begin_step(std::int64_t num_micro_batches) {
  num_micro_batches_ = num_micro_batches;
  Tree tree;
  for (std::size_t set = parameters_.num_gradients(); set > 0; --set)
    tree.free_sets.push_back(set - 1);
  trees_.assign(static_cast<std::size_t>(parameters_.stage().num_own_chunks), tree);
}

void GradientReducer::begin_micro_batch(int chunk) {
  parameters_.begin_chunk(parameters_.stage().chunk(chunk));
  chunk_ = static_cast<std::size_t>(chunk);
  ++tree().micro_batch;
  set_ = tree().free_sets.back();
  tree().free_sets.pop_back();
  joining_.clear();
  // Like a binary counter: leaf i completes the subtrees of its trailing one bits; the last leaf
  // completes all.
  for (const auto& [level, set] : tree().pending) {
    const bool carries =
        ((tree().micro_batch >> level) & 1) == 1 && level == static_cast<int>(joining_.size());
    if (carries || last()) joining_.push_back(level);
  }
  final_from_ = parameters_.end_of_chunk();
  parameters_.begin_micro_batch(set_);
}

void GradientReducer::final_from(std::size_t parameter) {
  if (!gives_back()) return settle_from(parameter);
  // At every stop, so that all ranks send the same, and wait for the same, in the same order: one
  // that waits here must not be waited for elsewhere.
  for (const std::size_t stop : parameters_.stops())
    if (stop >= parameter) settle_from(stop);
}

void GradientReducer::settle_from(std::size_t parameter) {
  if (parameter >= final_from_) return;
  const std::vector<Stretch> final = stretches(parameter, final_from_);
  final_from_ = parameter;
  Sent before = gives_back() ? std::exchange(sent_, {}) : Sent{};
  for (auto stretch = final.rbegin(); stretch != final.rend(); ++stretch) {
    if (!gives_back()) {
      join(Tensor1<float>(parameters_.gradients(set_).data() + stretch->begin, stretch->count()),
           stretch->begin);
    }
    if (gives_back() || last()) send(sent_, *stretch);
  }
  if (!gives_back()) return;
  wait(before);
  parameters_.give_back(parameter);
}

auto GradientReducer::stretches(std::size_t first, std::size_t end) const -> std::vector<Stretch> {
  std::vector<Stretch> pieces;
  for (std::size_t number = first; number < end; ++number) {
    const Parameter& parameter = parameters_.at(number);
    if (!parameter.trained || !parameters_.begins_in_chunk(number)) continue;
    for (const Piece& piece : pieces_[number]) {
      const std::int64_t begin = parameter.gradient_offset + piece.begin;
      pieces.push_back({.begin = begin,
                        .end = begin + piece.count,
                        .owner = piece.owner,
                        .sum_begin = parameter.sum_offset + piece.begin});
    }
  }
  // Ranks that keep different shares have gradients in different places.
  if (gives_back()) return pieces;
  std::sort(pieces.begin(), pieces.end(),
            [](const Stretch& a, const Stretch& b) { return a.begin < b.begin; });
  std::vector<Stretch> joined;
  for (const Stretch& piece : pieces) {
    const bool goes_on = !joined.empty() && joined.back().owner == piece.owner &&
                         piece.begin - joined.back().end < kAlignedFloats;
    if (!goes_on) joined.push_back(piece);
    joined.back().end = piece.end;
  }
  return joined;
}

void GradientReducer::join(Tensor1<float> sum, std::int64_t sum_begin) {
  for (const int level : joining_) {
    add(exec_, sum,
        Tensor1<const float>(parameters_.gradients(tree().pending.at(level)).data() + sum_begin,
                             sum.extent(0)));
  }
}

void GradientReducer::send(Sent& sent, const Stretch& stretch) {
  if (data_.size() == 1) return;
  const Tensor1<float> gradients = parameters_.written();
  for (std::int64_t stop = stretch.end; stop > stretch.begin;) {
    const std::int64_t start = std::max(stop - kBucketFloats, stretch.begin);
    sent.sums.emplace_back(exec_, data_, Tensor1<float>(gradients.data() + start, stop - start),
                           stretch.owner);
    stop = start;
  }
  sent.stretches.push_back(stretch);
  for (DeviceSum& sum : sent.sums) sum.poll();
}

// This rank's share then goes to its set, unless that is where it lies.
void GradientReducer::wait(Sent& sent) {
  for (DeviceSum& sum : sent.sums) sum.wait();
  const Tensor1<float> beside = parameters_.beside_sets();
  for (const Stretch& stretch : sent.stretches) {
    if (beside.data() == nullptr || stretch.owner != rank_) continue;
    const Tensor1<float> sum(parameters_.gradients(set_).data() + stretch.sum_begin,
                             stretch.count());
    convert<float, float>(exec_, sum,
                          Tensor1<const float>(beside.data() + stretch.begin, stretch.count()));
    join(sum, stretch.sum_begin);
  }
  sent = {};
}

void GradientReducer::end_micro_batch() {
  final_from(0);
  if (gives_back()) wait(sent_);  // the next pass works in their place, or the update
  if (parameters_.beside_sets().data() != nullptr) exec_.arena->lift_limit();
  parameters_.check_all_written();
  const int level = static_cast<int>(joining_.size());
  for (const int joined : joining_) {
    tree().free_sets.push_back(tree().pending.at(joined));
    tree().pending.erase(joined);
  }
  tree().pending[level] = set_;
}

Tensor1<float> GradientReducer::finish() {
  wait(sent_);
  const Tensor1<float> gradients = parameters_.gradients(set_);  // of every chunk: the same tree
  if (rows_divided_by_ != nullptr && rows_divided_by_->size() > 1) sum_parts_of_rows(gradients);
  return gradients;
}

// What this rank has of them, side by side.
void GradientReducer::sum_parts_of_rows(Tensor1<float> gradients) const {
  std::vector<Tensor1<float>> parts;
  std::int64_t count = 0;
  for (std::size_t number = 0; number < pieces_.size(); ++number) {
    const Parameter& parameter = parameters_.at(number);
    if (!parameter.is_trained_here() || !parameter.spec.sums_own_rows) continue;
    for (const Piece& piece : pieces_[number]) {
      if (piece.owner != kEveryDataRank && piece.owner != rank_) continue;
      parts.emplace_back(gradients.data() + parameter.sum_offset + piece.begin, piece.count);
      count += piece.count;
    }
  }
  std::vector<float> packed(static_cast<std::size_t>(count));
  float* next = packed.data();
  for (const Tensor1<float>& part : parts) {
    copy_to_host(exec_, next, Tensor1<const float>(part));
    next += part.extent(0);
  }
  rows_divided_by_->sum(packed.data(), count);
  next = packed.data();
  for (const Tensor1<float>& part : parts) {
    copy_to_device(exec_, part, next);
    next += part.extent(0);
  }
}

}  // namespace polyphase
