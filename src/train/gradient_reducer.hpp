// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/tree_sum.hpp"
#include "model/parameters.hpp"
#include "optimizer/shards.hpp"

namespace polyphase {

// Adds the gradients of a step's micro-batches along one fixed binary tree whose leaves are
// micro-batches: this rank's part of the tree as the micro-batches come, then pairs of
// data-parallel ranks. In the last micro-batch, gradients of the upper layers go over the network
// in buckets while the lower layers still compute. num_gradient_sets(m) sets of gradients serve m
// micro-batches a rank. Gradients of frozen parameters are neither added nor sent. Where the
// optimizer is divided, a parameter's gradient goes to the rank that has all of it, and to every
// rank if it is cut.
class GradientReducer {
 public:
  GradientReducer(const Exec& exec, ParameterSet& parameters, const Communicator& data,
                  const Shards& shards = {});

  static std::size_t num_gradient_sets(std::int64_t num_micro_batches);

  void begin_step(std::int64_t num_micro_batches);
  void begin_micro_batch();
  // From this parameter on (to the last one heard of), this micro-batch's gradients are final.
  void final_from(std::size_t parameter);
  void end_micro_batch();

  // Waits for the sums over ranks; the step's gradients, of what the shards give this rank.
  Tensor1<float> finish();
  double wait_seconds() const {
    return wait_seconds_;
  }  // of the last finish(): exposed communication

 private:
  // A part of a set of gradients, which go to one rank, or to all.
  struct Stretch {
    std::int64_t begin = 0, end = 0;
    int owner = kEveryDataRank;
  };
  bool last() const { return micro_batch_ + 1 == num_micro_batches_; }
  // Of the trained ones among the parameters from `first` to before `end`, by rising begin.
  std::vector<Stretch> stretches(std::size_t first, std::size_t end) const;
  void settle(const Stretch& stretch);
  void send(const Stretch& stretch);

  const Exec& exec_;
  ParameterSet& parameters_;
  const Communicator& data_;
  std::vector<int> owners_;  // of each parameter
  std::int64_t num_micro_batches_ = 1;
  std::int64_t micro_batch_ = -1;
  std::vector<std::size_t> free_sets_;
  std::map<int, std::size_t> pending_;  // level of a finished subtree → the set that holds its sum
  std::vector<int> joining_;            // levels that this micro-batch completes
  std::size_t set_ = 0;                 // that this micro-batch writes
  std::size_t final_from_ = 0;          // gradients of parameters from this one on are final
  std::vector<TreeSum> sums_;
  double wait_seconds_ = 0;
};

}  // namespace polyphase
