// SPDX-License-Identifier: Apache-2.0
#include "train/gradient_reducer.hpp"

#include <algorithm>
#include <chrono>

#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

// 4 MB: large enough for bandwidth, small enough to stay in cache between the sum and the next
// exchange.
constexpr std::int64_t kBucketFloats = std::int64_t{1} << 20;

}  // namespace

GradientReducer::GradientReducer(const Exec& exec, ParameterSet& parameters,
                                 const Communicator& data, const Shards& shards)
    : exec_(exec), parameters_(parameters), data_(data) {
  for (const Parameter& parameter : parameters.all()) {
    const int owner = shards.owner_of(parameter);
    if (stretches_.empty() || stretches_.back().owner != owner)
      stretches_.push_back({.begin = parameter.offset, .owner = owner});
  }
}

std::size_t GradientReducer::num_gradient_sets(std::int64_t num_micro_batches) {
  std::size_t sets = 1;  // the micro-batch's own, and one for each level of the tree that may wait
  for (std::int64_t leaves = 1; leaves < num_micro_batches; leaves *= 2) ++sets;
  return sets;
}

void GradientReducer::begin_step(std::int64_t num_micro_batches) {
  num_micro_batches_ = num_micro_batches;
  micro_batch_ = -1;
  trained_ = parameters_.trained_ranges();
  pending_.clear();
  free_sets_.clear();
  for (std::size_t set = parameters_.num_gradients(); set > 0; --set) free_sets_.push_back(set - 1);
}

void GradientReducer::begin_micro_batch() {
  ++micro_batch_;
  set_ = free_sets_.back();
  free_sets_.pop_back();
  joining_.clear();
  // Like a binary counter: leaf i completes the subtrees of its trailing one bits; the last leaf
  // completes all.
  for (const auto& [level, set] : pending_) {
    const bool carries =
        ((micro_batch_ >> level) & 1) == 1 && level == static_cast<int>(joining_.size());
    if (carries || last()) joining_.push_back(level);
  }
  final_begin_ = parameters_.total_count();
  parameters_.begin_micro_batch(set_);
}

void GradientReducer::final_from(std::size_t parameter) {
  const std::int64_t begin = parameter < parameters_.all().size() ? parameters_.at(parameter).offset
                                                                  : parameters_.total_count();
  const std::int64_t end = final_begin_;
  if (begin >= end) return;
  final_begin_ = begin;
  for (auto range = trained_.rbegin(); range != trained_.rend(); ++range) {
    const std::int64_t first = std::max(begin, range->begin), stop = std::min(end, range->end);
    if (first < stop) settle(first, stop);
  }
}

// Adds the subtrees that this micro-batch completes; what is whole then goes over the network.
void GradientReducer::settle(std::int64_t begin, std::int64_t end) {
  const Tensor1<float> sum(parameters_.gradients(set_).data() + begin, end - begin);
  for (const int level : joining_) {
    add(exec_, sum,
        Tensor1<const float>(parameters_.gradients(pending_.at(level)).data() + begin,
                             end - begin));
  }
  if (last()) send(begin, end);
}

void GradientReducer::send(std::int64_t begin, std::int64_t end) {
  if (data_.size() == 1) return;
  exec_.space.fence();
  float* gradients = parameters_.gradients(set_).data();
  auto stretch = stretches_.rbegin();
  for (std::int64_t stop = end; stop > begin;) {
    while (stretch->begin >= stop) ++stretch;
    const std::int64_t start = std::max({begin, stop - kBucketFloats, stretch->begin});
    sums_.emplace_back(data_, gradients + start, stop - start, stretch->owner);
    stop = start;
  }
  for (TreeSum& sum : sums_) sum.poll();
}

void GradientReducer::end_micro_batch() {
  final_from(0);
  parameters_.check_all_written();
  const int level = static_cast<int>(joining_.size());
  for (const int joined : joining_) {
    free_sets_.push_back(pending_.at(joined));
    pending_.erase(joined);
  }
  pending_[level] = set_;
}

Tensor1<float> GradientReducer::finish() {
  const auto begin = std::chrono::steady_clock::now();
  for (TreeSum& sum : sums_) sum.wait();
  sums_.clear();
  wait_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return parameters_.gradients(set_);
}

}  // namespace polyphase
