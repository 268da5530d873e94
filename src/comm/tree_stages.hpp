// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

// The fixed binary tree of a sum over ranks, as the messages of one rank in order. What carries
// them out (MPI, NCCL) decides nothing.
namespace polyphase {

// Elements [begin, end) of an array.
struct ArrayPart {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

// One exchange with one other rank. A stage begins when the one before it is done: what it sends
// was summed there, and what it receives may lie where something was sent from.
struct TreeStage {
  int partner = 0;
  ArrayPart send, receive;  // empty: nothing that way
  bool adds = false;        // what is received is added to what is there, else it replaces it
};

inline constexpr int kEveryRank = -1;

// The sum of element i is the same binary tree on every rank: ranks first pair with the neighbour
// at distance 1, then 2, then 4 …
//
// With a power-of-two number of ranks, halves are exchanged (recursive halving, then doubling:
// Thakur et al., 2005, "Optimization of collective communication operations in MPICH"), so each
// rank sends 2·(R-1)/R of the data. Otherwise the whole array goes up the same tree to rank 0 and
// down again.
//
// A sum that one rank alone wants (only_on) is the same tree with half the traffic: each rank gives
// its sum so far to the one beside it that is on the way there. The other ranks' data is spoilt.
// (With a number of ranks that is no power of two, all of them get it.)
std::vector<TreeStage> stages_of_tree_sum(int rank, int num_ranks, std::int64_t count, int only_on);

// The most elements that a stage adds: the size of a buffer for them.
std::int64_t most_added(const std::vector<TreeStage>& stages);

// Of a sum of which each rank gets a part: those of the ranks whose numbers end in the same bits.
// They are what a rank goes on with after so many stages, which pair ranks as above.
std::vector<ArrayPart> parts_of_alike(const std::vector<ArrayPart>& parts, int rank, int num_bits);

}  // namespace polyphase
