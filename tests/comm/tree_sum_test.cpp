// SPDX-License-Identifier: Apache-2.0
#include "comm/tree_sum.hpp"

#include <gtest/gtest.h>

#include <Kokkos_Core.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "comm/exchange_parts.hpp"
#include "comm/session.hpp"
#include "tests/comm/world.hpp"

namespace polyphase {

const Communicator* world = nullptr;

namespace {

// Values whose float32 sum depends on the order of additions. Not inline: a compiler that sees the
// product beside a sum may fuse both into one rounding.
[[gnu::noinline]] float value(int rank, std::int64_t i) {
  return std::sin(static_cast<float>(i) * 0.7F + static_cast<float>(rank)) *
         std::pow(10.0F, static_cast<float>((rank + i) % 7));
}

// The tree of DESIGN's fifth decision, by recursion over the ranks [first, first + count).
float tree(int first, int span, int size, std::int64_t i) {
  if (first >= size) return 0.0F;
  if (span == 1) return value(first, i);
  const float left = tree(first, span / 2, size, i);
  return first + span / 2 < size ? left + tree(first + span / 2, span / 2, size, i) : left;
}

TEST(TreeSum, FollowsTheFixedTreeToTheLastBit) {
  for (const std::int64_t count : {0, 1, 2, 3, 7, 64, 1001, 100000}) {
    std::vector<float> data;
    for (std::int64_t i = 0; i < count; ++i) data.push_back(value(world->rank(), i));
    world->sum(data.data(), count);
    for (std::int64_t i = 0; i < count; ++i) {
      ASSERT_EQ(data[static_cast<std::size_t>(i)], tree(0, 8, world->size(), i))
          << count << " " << i;
    }
  }
}

TEST(TreeSum, ManyAtOnceDoNotMix) {
  constexpr int kSums = 20;
  constexpr std::int64_t kCount = 5000;
  std::vector<std::vector<float>> data(kSums, std::vector<float>(kCount));
  std::vector<TreeSum> sums;
  for (int s = 0; s < kSums; ++s) {
    for (std::int64_t i = 0; i < kCount; ++i) data[s][i] = value(world->rank(), i + s);
    sums.emplace_back(*world, data[s].data(), kCount);
    sums.front().poll();
  }
  for (TreeSum& sum : sums) sum.wait();
  for (int s = 0; s < kSums; ++s) {
    for (std::int64_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(data[s][i], tree(0, 8, world->size(), i + s));
    }
  }
}

TEST(TreeSum, OneRankAloneGetsTheSameBits) {
  constexpr std::int64_t kCount = 5001;
  std::vector<std::vector<float>> data(3 * static_cast<std::size_t>(world->size()),
                                       std::vector<float>(kCount));
  std::vector<TreeSum> sums;
  for (std::size_t s = 0; s < data.size(); ++s) {  // for one rank after the other, and for all
    const int only_on = s % 3 == 2 ? kEveryRank : static_cast<int>(s) % world->size();
    for (std::int64_t i = 0; i < kCount; ++i)
      data[s][i] = value(world->rank(), i + static_cast<std::int64_t>(s));
    sums.emplace_back(*world, data[s].data(), kCount, only_on);
    sums.front().poll();
  }
  for (TreeSum& sum : sums) sum.wait();
  for (std::size_t s = 0; s < data.size(); ++s) {
    if (s % 3 != 2 && static_cast<int>(s) % world->size() != world->rank()) continue;
    for (std::int64_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(data[s][i], tree(0, 8, world->size(), i + static_cast<std::int64_t>(s)));
    }
  }
}

// Rank r has the stretches of length r (rank 0: nothing), and between them lies what nobody sends.
TEST(ExchangeParts, EveryRankGetsThePartsOfTheOthersAndNothingElse) {
  const int size = world->size();
  std::vector<std::vector<ArrayPart>> parts(static_cast<std::size_t>(size));
  std::vector<int> owners;
  for (int round = 0; round < 3; ++round) {
    for (int rank = 0; rank < size; ++rank) {
      const auto begin = static_cast<std::int64_t>(owners.size());
      for (int i = 0; i < rank; ++i) owners.push_back(rank);
      if (rank > 0)
        parts[static_cast<std::size_t>(rank)].push_back({.begin = begin, .end = begin + rank});
      owners.push_back(-1);
    }
  }
  std::vector<float> data;
  for (std::size_t i = 0; i < owners.size(); ++i)
    data.push_back(static_cast<float>(100 * world->rank()) + static_cast<float>(i) / 1000.0F);
  exchange_parts(*world, data.data(), parts);
  for (std::size_t i = 0; i < owners.size(); ++i) {
    const int from = owners[i] < 0 ? world->rank() : owners[i];
    EXPECT_EQ(data[i], static_cast<float>(100 * from) + static_cast<float>(i) / 1000.0F) << i;
  }
}

// Of parts of different lengths, some of them empty.
TEST(SumParts, GivesEachRankTheBitsOfTheTreeInItsPart) {
  for (const std::int64_t step : {0, 1, 5, 1000}) {
    std::vector<ArrayPart> parts;
    std::int64_t end = 0;
    for (int rank = 0; rank < world->size(); ++rank) {
      parts.push_back({.begin = end, .end = end + rank * step});
      end = parts.back().end;
    }
    std::vector<float> data;
    for (std::int64_t i = 0; i < end; ++i) data.push_back(value(world->rank(), i));
    sum_parts(*world, data.data(), parts);
    const ArrayPart own = parts[static_cast<std::size_t>(world->rank())];
    for (std::int64_t i = own.begin; i < own.end; ++i)
      EXPECT_EQ(data[static_cast<std::size_t>(i)], tree(0, 8, world->size(), i))
          << step << " " << i;
  }
}

TEST(ExchangeParts, TakesNumbersOf16Bits) {
  const int size = world->size();
  std::vector<std::vector<ArrayPart>> parts;
  std::vector<std::uint16_t> data;
  for (int rank = 0; rank < size; ++rank) {
    parts.push_back({{.begin = 3 * rank, .end = 3 * rank + 3}});
    for (int i = 0; i < 3; ++i)
      data.push_back(static_cast<std::uint16_t>(rank == world->rank() ? 10 * rank + i : 999));
  }
  exchange_parts(*world, data.data(), parts);
  for (int i = 0; i < 3 * size; ++i)
    EXPECT_EQ(data[static_cast<std::size_t>(i)], i / 3 * 10 + i % 3);
}

TEST(Communicator, GathersTextInTheOrderOfRanks) {
  const std::string mine(static_cast<std::size_t>(world->rank() + 1),
                         static_cast<char>('a' + world->rank()));
  const std::vector<std::string> all = world->gather(mine);
  ASSERT_EQ(all.size(), static_cast<std::size_t>(world->size()));
  for (int rank = 0; rank < world->size(); ++rank) {
    EXPECT_EQ(all[rank],
              std::string(static_cast<std::size_t>(rank + 1), static_cast<char>('a' + rank)));
  }
}

TEST(Communicator, BroadcastsTextOfAnyLength) {
  const std::string text = "from rank 0";
  EXPECT_EQ(world->broadcast(world->rank() == 0 ? text : ""), text);
}

TEST(RankGrid, TensorRanksAreNeighbours) {
  if (world->size() % 2 != 0) {
    EXPECT_THROW(make_grid(*world, 2), RecipeError);
    return;
  }
  const RankGrid grid = make_grid(*world, 2);
  EXPECT_EQ(grid.tensor.size(), 2);
  EXPECT_EQ(grid.tensor.rank(), world->rank() % 2);
  EXPECT_EQ(grid.data.size(), world->size() / 2);
  EXPECT_EQ(grid.data.rank(), world->rank() / 2);
  EXPECT_EQ(grid.pipeline.size(), 1);
}

TEST(RankGrid, StagesAreFarthestApart) {
  if (world->size() < 4) GTEST_SKIP() << "needs four ranks";
  const RankGrid grid = make_grid(*world, 1, 2);
  EXPECT_EQ(grid.tensor.size(), 1);
  EXPECT_EQ(grid.data.size(), world->size() / 2);
  EXPECT_EQ(grid.data.rank(), world->rank() % (world->size() / 2));
  EXPECT_EQ(grid.pipeline.rank(), world->rank() / (world->size() / 2));
}

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const polyphase::MpiSession session(&argc, &argv);
  polyphase::world = &session.world();
  int kokkos_argc = 1;
  const Kokkos::ScopeGuard kokkos(kokkos_argc, argv);
  std::int64_t failed = RUN_ALL_TESTS();
  session.world().max(&failed, 1);  // the exit code is collective
  return static_cast<int>(failed);
}
