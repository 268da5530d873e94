// SPDX-License-Identifier: Apache-2.0
#include "corpus/sample_order.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "corpus/draws.hpp"

namespace polyphase {
namespace {

std::int64_t limited(std::int64_t num_samples, std::int64_t max_samples) {
  POLYPHASE_PROMISE(num_samples > 0, "an order of {} samples", num_samples);
  return max_samples > 0 ? std::min(num_samples, max_samples) : num_samples;
}

}  // namespace

TrainingOrder::TrainingOrder(std::int64_t num_samples, std::int64_t max_samples, std::uint64_t seed,
                             std::uint64_t phase)
    : samples_per_epoch_(limited(num_samples, max_samples)), seed_(seed), phase_(phase) {
  if (samples_per_epoch_ < num_samples) {
    choice_.emplace(num_samples, random_key(seed, Purpose::kSubset, {1}));
  }
}

TrainingOrder::TrainingOrder(std::vector<std::int64_t> choice, std::uint64_t seed,
                             std::uint64_t phase)
    : samples_per_epoch_(limited(static_cast<std::int64_t>(choice.size()), 0)),
      seed_(seed),
      phase_(phase),
      list_(std::move(choice)) {}

std::int64_t TrainingOrder::chosen(std::int64_t member) const {
  POLYPHASE_PROMISE(member >= 0 && member < samples_per_epoch_, "member {} of {}", member,
                    samples_per_epoch_);
  if (!list_.empty()) return list_[static_cast<std::size_t>(member)];
  return choice_ ? static_cast<std::int64_t>(choice_->at(member)) : member;
}

std::int64_t TrainingOrder::sample_of(std::int64_t global_sample) {
  POLYPHASE_PROMISE(global_sample >= 0, "global sample {}", global_sample);
  const std::int64_t epoch = global_sample / samples_per_epoch_;
  if (epoch != epoch_) {
    const auto part = static_cast<std::uint64_t>(epoch);
    epoch_order_.emplace(samples_per_epoch_, random_key(seed_, Purpose::kOrder, {phase_, part}));
    epoch_ = epoch;
  }
  return chosen(static_cast<std::int64_t>(epoch_order_->at(global_sample % samples_per_epoch_)));
}

EvaluationOrder::EvaluationOrder(std::int64_t num_samples, std::int64_t max_samples,
                                 std::uint64_t seed)
    : num_samples_(num_samples),
      size_(limited(num_samples, max_samples)),
      key_(random_key(seed, Purpose::kSubset, {2})) {}

std::int64_t EvaluationOrder::at(std::int64_t place) const {
  POLYPHASE_PROMISE(place >= 0 && place < size_, "place {} of {}", place, size_);
  // Stretch `place` is [place·n/size, (place + 1)·n/size), by a quotient and a remainder that can't
  // overflow.
  const auto begin_of = [this](std::int64_t stretch) {
    return num_samples_ / size_ * stretch + num_samples_ % size_ * stretch / size_;
  };
  const std::int64_t begin = begin_of(place), end = begin_of(place + 1);
  return begin + Draws(key_, static_cast<std::uint64_t>(place)).below(end - begin);
}

}  // namespace polyphase
