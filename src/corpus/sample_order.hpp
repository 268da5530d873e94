// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "corpus/order.hpp"

namespace polyphase {

// Which sample of a split a phase's global sample number stands for. All functions of their
// arguments: "where are we" is one integer, and nothing is replayed on resume.
class TrainingOrder {
 public:
  // With `max_samples` above 0, only a keyed choice of that many samples is trained on. It depends
  // on the seed alone, so all phases share the same few labels, and a smaller choice is a part of
  // every larger one.
  TrainingOrder(std::int64_t num_samples, std::int64_t max_samples, std::uint64_t seed,
                std::uint64_t phase);

  // Trains on the samples of `choice`, which is not empty.
  TrainingOrder(std::vector<std::int64_t> choice, std::uint64_t seed, std::uint64_t phase);

  std::int64_t samples_per_epoch() const { return samples_per_epoch_; }

  // Sample `member` of the choice, below samples_per_epoch().
  std::int64_t chosen(std::int64_t member) const;

  // The sample that is consumed as number `global_sample` of the phase: each once an epoch, in an
  // order of the epoch's own.
  std::int64_t sample_of(std::int64_t global_sample);

 private:
  std::int64_t samples_per_epoch_;
  std::uint64_t seed_, phase_;
  std::vector<std::int64_t> list_;               // the choice, where one was given
  std::optional<KeyedPermutation> choice_;       // else this; empty: all samples
  std::optional<KeyedPermutation> epoch_order_;  // of epoch_
  std::int64_t epoch_ = -1;
};

// An even choice of at most `max_samples` (0: all) samples in the order of the index: one, keyed by
// the seed, from each of as many stretches of equal length.
class EvaluationOrder {
 public:
  EvaluationOrder(std::int64_t num_samples, std::int64_t max_samples, std::uint64_t seed);
  std::int64_t size() const { return size_; }
  std::int64_t at(std::int64_t place) const;

 private:
  std::int64_t num_samples_, size_;
  std::uint64_t key_;
};

}  // namespace polyphase
