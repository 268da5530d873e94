// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "optimizer/shards.hpp"
#include "optimizer/update_rule.hpp"

namespace polyphase {

// A tensor that is kept for one parameter, or for a piece of it, as a checkpoint holds it beside
// the parameters. Every rank knows those of all data ranks.
struct StateTensor {
  std::string name;           // "moment1/layers.0.attention.query.weight"
  std::size_t parameter = 0;  // its number
  std::vector<std::int64_t> global_shape, local_shape;
  int split_dimension = -1;            // -1: the whole
  std::int64_t begin = 0;              // along split_dimension
  bool is_split = false;               // tensor-parallel ranks have different parts
  int owner = kEveryDataRank;          // which data rank has it
  bool is_here = true;                 // this rank has it
  std::int64_t offset = 0, count = 0;  // elements of the owner's storage
  // Empty until they are allocated, and where they are not; of a rule that rounds its state (see
  // UpdateRule) the latter.
  Tensor1<float> values;
  Tensor1<bf16> rounded;
};

// Copies all of a tensor that is here from and to the host, in float32 whatever it is kept in; of a
// value that bf16 has not, the nearest is kept.
void copy_state_to_host(float* to, const StateTensor& tensor);
void copy_state_from_host(const StateTensor& tensor, const float* from);

// What a rule keeps under spec for a piece of parameter `number`; offset is the caller's to set.
StateTensor state_tensor(const StateSpec& spec, std::size_t number, const Parameter& parameter,
                         const Piece& piece, const Shards& shards);

// Of what is kept for data ranks: each one's tensors lie one behind the other. Sets the tensor's
// offset and counts its elements for its owner.
class StateLayout {
 public:
  StateLayout(const Shards& shards, std::int64_t element_bytes);
  void place(StateTensor& tensor);
  std::int64_t count(int data_rank) const {
    return counts_.size() == 1 ? counts_[0] : counts_[static_cast<std::size_t>(data_rank)];
  }
  std::int64_t bytes(int data_rank) const;

 private:
  std::vector<std::int64_t> counts_;  // by data rank; one for all where nothing is divided
  std::int64_t element_bytes_;
};

}  // namespace polyphase
