// SPDX-License-Identifier: Apache-2.0
#include "comm/groups.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <vector>

#include "tests/comm/world.hpp"

namespace polyphase {
namespace {

std::vector<int> divisors() {
  std::vector<int> sizes;
  for (int size = 1; size <= world->size(); ++size) {
    if (world->size() % size == 0) sizes.push_back(size);
  }
  return sizes;
}

TEST(RankGroups, AreNeighboursThatKnowNoOthers) {
  for (const int size : divisors()) {
    const RankGroups groups(*world, size, 1);
    EXPECT_EQ(groups.count(), world->size() / size);
    EXPECT_EQ(groups.own(), world->rank() / size);
    EXPECT_EQ(groups.ranks().size(), size);
    EXPECT_EQ(groups.ranks().rank(), world->rank() % size);
    EXPECT_EQ(groups.grid().data.size(), size);
    std::int64_t sum = world->rank();
    groups.ranks().sum(&sum, 1);
    const int first = groups.own() * size;
    EXPECT_EQ(sum, size * first + size * (size - 1) / 2);
  }
}

TEST(RankGroups, HearAWordWithoutWaitingForEachOther) {
  for (const int size : divisors()) {
    RankGroups groups(*world, size, 1);
    if (world->rank() == world->size() - 1) groups.tell(7);
    const bool is_told = groups.own() != groups.count() - 1;
    if (groups.ranks().rank() == 0) {
      while (is_told && groups.heard() == 0) std::this_thread::yield();
      EXPECT_EQ(groups.heard(), is_told ? 7 : 0);
    }
    groups.meet([] {});
    EXPECT_EQ(groups.heard(), 0);
  }
}

TEST(RankGroups, WordsThatNobodyListenedToAreGoneAfterTheyMet) {
  for (const int size : divisors()) {
    RankGroups groups(*world, size, 1);
    groups.tell(9);  // every rank
    groups.meet([] {});
    EXPECT_EQ(groups.heard(), 0);
    world->barrier();
    if (world->rank() == 0) groups.tell(5);  // as if nothing had been said before
    if (groups.own() != 0 && groups.ranks().rank() == 0) {
      while (groups.heard() == 0) std::this_thread::yield();
      EXPECT_EQ(groups.heard(), 5);
    }
    groups.meet([] {});
  }
}

TEST(RankGroups, ThoseThatWaitAreCalledUntilAllAreThere) {
  RankGroups groups(*world, 1, 1);
  int num_calls = 0;
  bool told = false;
  if (world->rank() == 0 && world->size() > 1) {
    while (groups.heard() == 0) std::this_thread::yield();  // so that another rank surely waits
  }
  groups.meet([&] {
    ++num_calls;
    if (!told && world->rank() == 1) groups.tell(3);
    told = true;
  });
  if (world->rank() == 1) {
    EXPECT_GT(num_calls, 0);
  }
}

}  // namespace
}  // namespace polyphase
