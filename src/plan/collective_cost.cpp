// SPDX-License-Identifier: Apache-2.0
#include "plan/collective_cost.hpp"

#include <algorithm>
#include <bit>

namespace polyphase {
namespace {

bool is_power_of_two(std::int64_t n) { return std::has_single_bit(static_cast<std::uint64_t>(n)); }

// One message to the rank `distance` further on, while one comes from there.
CollectiveCost message(const Network& network, std::int64_t distance, double bytes) {
  if (distance < network.ranks_a_node)
    return {.within_bytes = bytes, .seconds = network.within.seconds(bytes)};
  return {.between_bytes = bytes, .seconds = network.between.seconds(bytes)};
}

// All of it goes up a tree of pairs to the first rank, and back from there.
CollectiveCost up_and_down(const Network& network, const RankGroup& group, double bytes) {
  CollectiveCost cost;
  for (std::int64_t distance = 1; distance < group.size; distance *= 2) {
    cost += message(network, distance * group.stride, bytes);
    cost += message(network, distance * group.stride, bytes);
  }
  return cost;
}

}  // namespace

CollectiveCost& CollectiveCost::operator+=(const CollectiveCost& other) {
  within_bytes += other.within_bytes;
  between_bytes += other.between_bytes;
  seconds += other.seconds;
  return *this;
}

Network Network::of(const Machine& machine, std::int64_t num_ranks) {
  const NodeRates rates = machine.rates_for(num_ranks);
  const Link none = {.latency_us = 0, .gb_s = 1e9};  // a single rank sends nothing
  const Link within = rates.link.value_or(none);
  return {.within = within,
          .between = machine.between.value_or(within),
          .ranks_a_node = machine.ranks_on_node(num_ranks)};
}

// Every rank sends half of what it has to a neighbour, a quarter to the next but one, and so on.
static CollectiveCost halves(const Network& network, const RankGroup& group, double bytes) {
  CollectiveCost cost;
  double part = bytes;
  for (std::int64_t distance = 1; distance < group.size; distance *= 2) {
    part /= 2;
    cost += message(network, distance * group.stride, part);
  }
  return cost;
}

CollectiveCost tree_sum_cost(const Network& network, const RankGroup& group, double bytes) {
  if (group.size == 1) return {};
  if (!is_power_of_two(group.size)) return up_and_down(network, group, bytes);
  CollectiveCost cost = halves(network, group, bytes);
  cost += halves(network, group, bytes);  // the sums go back
  return cost;
}

CollectiveCost owned_sums_cost(const Network& network, const RankGroup& group, double bytes) {
  if (group.size == 1) return {};
  if (!is_power_of_two(group.size)) return up_and_down(network, group, bytes);
  return halves(network, group, bytes);
}

CollectiveCost exchange_cost(const Network& network, const RankGroup& group, double bytes) {
  if (group.size == 1) return {};
  const double part = bytes / static_cast<double>(group.size);
  const bool leaves_node = group.size * group.stride > network.ranks_a_node;
  const auto turns = static_cast<double>(group.size - 1);
  // Of a node's ranks the last of each ring sends to the next node; all wait for it.
  const CollectiveCost slowest =
      message(network, leaves_node ? network.ranks_a_node : group.stride, part);
  CollectiveCost cost = {.seconds = turns * slowest.seconds};
  const bool within = group.stride < network.ranks_a_node;
  (within && !leaves_node ? cost.within_bytes : cost.between_bytes) = turns * part;
  return cost;
}

}  // namespace polyphase
