// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "comm/communicator.hpp"
#include "comm/tree_stages.hpp"

namespace polyphase {

// A sum over ranks, in the order of the fixed tree (tree_stages.hpp), that goes on while the caller
// computes; so its bits do not depend on timing. All ranks construct their TreeSums in the same
// order and call poll() now and then; wait() finishes.
class TreeSum {
 public:
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
