// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "comm/device_sum.hpp"
#include "corpus/batch_stream.hpp"
#include "model/parameters.hpp"
#include "optimizer/shards.hpp"

namespace polyphase {

// How micro-batches are dealt so that the tree adds those next that are there.
inline Dealing dealing_of(const Shards& shards) {
  return shards.divides_gradients ? Dealing::kInTurn : Dealing::kBlocks;
}

// Adds the gradients of a step's micro-batches along one fixed binary tree whose leaves are
// micro-batches. Chunks of an interleaved pipeline, whose micro-batches come back at other times,
// each go through the same tree, each with its own part of the sets. Gradients of the upper layers
// go over the network in buckets while the lower layers still compute. num_gradient_sets(m) sets of
// gradients serve m micro-batches a rank. Those of frozen parameters are neither added nor sent.
// Where the optimizer is divided, a sum goes to the rank that updates with it alone.
//
// While every rank has all gradients, each adds its own micro-batches, which are neighbours in the
// tree, and in the last of them pairs of data-parallel ranks add what they have. Divided gradients
// are added over ranks in every micro-batch: those that ranks compute at the same time are the
// neighbours, and each rank goes on adding its share.
//
// Where tensor-parallel ranks divide the rows between products, each has a part of the gradients of
// what is used there: these are summed over them last, all in one sum a step.
class GradientReducer {
 public:
  GradientReducer(const Exec& exec, ParameterSet& parameters, const Communicator& data,
                  const Shards& shards = {}, const Communicator* rows_divided_by = nullptr);

  static std::size_t num_gradient_sets(std::int64_t num_micro_batches);

  void begin_step(std::int64_t num_micro_batches);
  // In one of the stage's own chunks.
  void begin_micro_batch(int chunk = 0);
  // From this parameter on (to the last one heard of), this micro-batch's gradients are final.
  void final_from(std::size_t parameter);
  void end_micro_batch();

  // Waits for the sums over ranks; the step's gradients, of what the shards give this rank.
  Tensor1<float> finish();

 private:
  // A part of what a pass writes, which goes to one rank, or to all.
  struct Stretch {
    std::int64_t begin = 0, end = 0;
    int owner = kEveryDataRank;
    std::int64_t sum_begin = 0;  // in the owner's set
    std::int64_t count() const { return end - begin; }
  };
  // Stretches that were sent together, and their sums that are not yet done.
  struct Sent {
    std::vector<Stretch> stretches;
    std::vector<DeviceSum> sums;
  };
  bool gives_back() const { return !parameters_.stops().empty(); }
  // How far a chunk has come.
  struct Tree {
    std::int64_t micro_batch = -1;
    std::vector<std::size_t> free_sets;
    std::map<int, std::size_t> pending;  // level of a finished subtree → the set that holds its sum
  };
  Tree& tree() { return trees_[chunk_]; }
  bool last() const { return trees_[chunk_].micro_batch + 1 == num_micro_batches_; }
  // Of the chunk's trained ones from parameter `first` to before `end`, by rising begin; those
  // of the same rank that lie side by side on every rank are one.
  std::vector<Stretch> stretches(std::size_t first, std::size_t end) const;
  void settle_from(std::size_t parameter);
  // Adds the subtrees that this micro-batch completes.
  void join(Tensor1<float> sum, std::int64_t sum_begin);
  void send(Sent& sent, const Stretch& stretch);
  void wait(Sent& sent);
  void sum_parts_of_rows(Tensor1<float> gradients) const;

  const Exec& exec_;
  ParameterSet& parameters_;
  const Communicator& data_;
  const Communicator* rows_divided_by_;     // the tensor-parallel ranks; or nullptr
  std::vector<std::vector<Piece>> pieces_;  // of each parameter
  int rank_;                                // of the shards
  std::int64_t num_micro_batches_ = 1;
  std::vector<Tree> trees_;     // of the own chunks
  std::size_t chunk_ = 0;       // whose micro-batch is under way, as are these:
  std::vector<int> joining_;    // levels that this micro-batch completes
  std::size_t set_ = 0;         // that gets its gradients
  std::size_t final_from_ = 0;  // gradients of parameters from this one on are final
  Sent sent_;
};

}  // namespace polyphase
