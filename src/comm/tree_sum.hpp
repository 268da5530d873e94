// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "comm/communicator.hpp"

namespace polyphase {

// A sum over ranks that goes on while the caller computes. All ranks construct their TreeSums in
// the same order and call poll() now and then; wait() finishes. The sum of element i is the same
// binary tree on every rank: ranks first pair with the neighbour at distance 1, then 2, then 4 …,
// so it does not depend on timing.
//
// With a power-of-two number of ranks, halves are exchanged (recursive halving, then doubling:
// Thakur et al., 2005, "Optimization of collective communication operations in MPICH"), so each
// rank sends 2·(R-1)/R of the data. Otherwise the whole array goes up the same tree to rank 0 and
// back, inside wait().
//
// A sum that one rank alone wants is the same tree with half the traffic: each rank gives its sum
// so far to the one beside it that is on the way there. The other ranks' data is spoilt. (With a
// number of ranks that is no power of two, all of them get it.)
class TreeSum {
 public:
  static constexpr int kEveryRank = -1;
  TreeSum(const Communicator& ranks, float* data, std::int64_t count, int only_on = kEveryRank);
  ~TreeSum();
  TreeSum(TreeSum&&) noexcept;
  TreeSum& operator=(TreeSum&&) noexcept;

  bool poll();  // goes on without waiting; true when done
  void wait();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polyphase
