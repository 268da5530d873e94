// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "plan/machine.hpp"

// What the program's own exchanges between ranks send and take: formulas of comm/tree_sum.hpp and
// comm/exchange_parts.hpp.
namespace polyphase {

// What one rank sends, and how long it is at it.
struct CollectiveCost {
  double within_bytes = 0;   // to ranks of its node
  double between_bytes = 0;  // to other nodes
  double seconds = 0;

  CollectiveCost& operator+=(const CollectiveCost& other);
};

// A group of ranks at equal distances: `size` of them, `stride` apart in the whole job, which fills
// one node after the other.
struct RankGroup {
  std::int64_t size = 1;
  std::int64_t stride = 1;
};

// Ranks as far apart as a machine's links see them.
struct Network {
  Link within, between;
  std::int64_t ranks_a_node = 1;

  static Network of(const Machine& machine, std::int64_t num_ranks);
};

// A sum that all ranks of the group get: halves go to the neighbour at distance 1, quarters to that
// at distance 2 …, and back. So most of it stays within a node.
CollectiveCost tree_sum_cost(const Network& network, const RankGroup& group, double bytes);

// Sums that one rank of the group each gets, every rank as many: half the traffic.
CollectiveCost owned_sums_cost(const Network& network, const RankGroup& group, double bytes);

// Every rank gets all ranks' equal parts of an array, in a ring: as fast as its slowest link.
CollectiveCost exchange_cost(const Network& network, const RankGroup& group, double bytes);

}  // namespace polyphase
