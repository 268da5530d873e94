// SPDX-License-Identifier: Apache-2.0
#include "plan/collective_cost.hpp"

#include <gtest/gtest.h>

#include "planned_recipe.hpp"

namespace polyphase {
namespace {

// A microsecond and 1 byte a microsecond within, ten times slower between nodes of two ranks.
const Network kNetwork = {.within = {.latency_us = 1, .gb_s = 1e-3},
                          .between = {.latency_us = 10, .gb_s = 1e-4},
                          .ranks_a_node = 2};

void expect_cost(const CollectiveCost& cost, double within, double between, double microseconds) {
  EXPECT_DOUBLE_EQ(cost.within_bytes, within);
  EXPECT_DOUBLE_EQ(cost.between_bytes, between);
  EXPECT_NEAR(1e6 * cost.seconds, microseconds, 1e-9 * microseconds);
}

TEST(CollectiveCost, OneRankSendsNothing) {
  expect_cost(tree_sum_cost(kNetwork, {.size = 1}, 80), 0, 0, 0);
  expect_cost(owned_sums_cost(kNetwork, {.size = 1}, 80), 0, 0, 0);
  expect_cost(exchange_cost(kNetwork, {.size = 1}, 80), 0, 0, 0);
}

// Halves within the node, quarters between nodes, each there and back: 2·(R-1)/R in all.
TEST(CollectiveCost, SumsHalveOnTheWayUp) {
  expect_cost(tree_sum_cost(kNetwork, {.size = 2}, 80), 80, 0, 2 * (1 + 40));
  expect_cost(tree_sum_cost(kNetwork, {.size = 4}, 80), 80, 40, 2 * (1 + 40) + 2 * (10 + 200));
  // Neighbours of a data group stand tensor ranks apart.
  expect_cost(tree_sum_cost(kNetwork, {.size = 2, .stride = 2}, 80), 0, 80, 2 * (10 + 400));
}

TEST(CollectiveCost, SumsOfOneRankAreHalfTheTraffic) {
  expect_cost(owned_sums_cost(kNetwork, {.size = 4}, 80), 40, 20, 1 + 40 + 10 + 200);
}

// comm/tree_sum.hpp: all of it to rank 0 and back.
TEST(CollectiveCost, ThreeRanksSendAllOfItUpAndDown) {
  expect_cost(tree_sum_cost(kNetwork, {.size = 3}, 80), 160, 160, 2 * (1 + 80) + 2 * (10 + 800));
}

TEST(CollectiveCost, ARingIsAsFastAsItsSlowestLink) {
  expect_cost(exchange_cost(kNetwork, {.size = 2}, 80), 40, 0, 1 + 40);
  expect_cost(exchange_cost(kNetwork, {.size = 4}, 80), 0, 60, 3 * (10 + 200));
}

// Without a way between nodes, all ranks are on one, however many.
TEST(CollectiveCost, AMachineOfOneNodeHasNoWayOut) {
  Machine machine = small_machine();
  EXPECT_EQ(Network::of(machine, 4).ranks_a_node, 2);
  machine.between.reset();
  EXPECT_EQ(Network::of(machine, 4).ranks_a_node, 4);
}

}  // namespace
}  // namespace polyphase
