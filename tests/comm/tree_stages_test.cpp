// SPDX-License-Identifier: Apache-2.0
#include "comm/tree_stages.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace polyphase {
namespace {

constexpr std::int64_t kCount = 5;

// What an element is the sum of, in the order of the additions.
std::string tree(int first, int span, int num_ranks) {
  if (span == 1) return std::to_string(first);
  const std::string left = tree(first, span / 2, num_ranks);
  if (first + span / 2 >= num_ranks) return left;
  return "(" + left + "+" + tree(first + span / 2, span / 2, num_ranks) + ")";
}

struct Rank {
  std::vector<TreeStage> stages;
  std::size_t next = 0;
  std::vector<std::string> data;
  bool done() const { return next == stages.size(); }
};

void take(Rank& to, const Rank& from, const TreeStage& stage) {
  for (std::int64_t i = stage.receive.begin; i < stage.receive.end; ++i) {
    const auto at = static_cast<std::size_t>(i);
    std::string& mine = to.data[at];
    const std::string& given = from.data[at];
    // Floating-point addition commutes: the lower rank's part stands first here.
    mine = !stage.adds    ? given
           : mine < given ? "(" + mine + "+" + given + ")"
                          : "(" + given + "+" + mine + ")";
  }
}

// A stage is done only when both partners are at it, as of NCCL's sends, which need a receiver.
// False: all that are not done wait for each other.
bool carry_out(std::vector<Rank>& ranks) {
  for (bool moved = true; moved;) {
    moved = false;
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      Rank& mine = ranks[r];
      if (mine.done()) continue;
      const TreeStage stage = mine.stages[mine.next];
      Rank& other = ranks[static_cast<std::size_t>(stage.partner)];
      if (other.done()) continue;
      const TreeStage back = other.stages[other.next];
      if (back.partner != static_cast<int>(r)) continue;
      EXPECT_EQ(stage.send.begin, back.receive.begin);
      EXPECT_EQ(stage.send.end, back.receive.end);
      EXPECT_EQ(stage.receive.begin, back.send.begin);
      EXPECT_EQ(stage.receive.end, back.send.end);
      const Rank before = mine;
      take(mine, other, stage);
      take(other, before, back);
      ++mine.next, ++other.next;
      moved = true;
    }
  }
  for (const Rank& rank : ranks)
    if (!rank.done()) return false;
  return true;
}

std::vector<Rank> ranks_of(int num_ranks, int only_on) {
  std::vector<Rank> ranks;
  for (int r = 0; r < num_ranks; ++r) {
    ranks.push_back({.stages = stages_of_tree_sum(r, num_ranks, kCount, only_on),
                     .data = std::vector<std::string>(kCount, std::to_string(r))});
  }
  return ranks;
}

TEST(TreeStages, AddInTheFixedOrderOnAnyNumberOfRanksAndDoNotWaitForEachOther) {
  for (int num_ranks = 1; num_ranks <= 9; ++num_ranks) {
    for (int only_on = kEveryRank; only_on < num_ranks; ++only_on) {
      std::vector<Rank> ranks = ranks_of(num_ranks, only_on);
      ASSERT_TRUE(carry_out(ranks)) << num_ranks << " ranks, for " << only_on;
      for (int r = 0; r < num_ranks; ++r) {
        if (only_on != kEveryRank && only_on != r) continue;
        EXPECT_EQ(ranks[static_cast<std::size_t>(r)].data,
                  std::vector<std::string>(kCount, tree(0, 16, num_ranks)))
            << r << " of " << num_ranks;
      }
    }
  }
}

TEST(TreeStages, SendTwiceTheDataBetweenFourRanksAndHalfOfThatForOneOfThem) {
  const auto sent = [](int only_on) {
    std::int64_t total = 0;
    for (int r = 0; r < 4; ++r)
      for (const TreeStage& stage : stages_of_tree_sum(r, 4, 400, only_on))
        total += stage.send.size();
    return total;
  };
  EXPECT_EQ(sent(kEveryRank), 4 * 2 * 300);
  EXPECT_EQ(sent(2), 3 * 400);
}

TEST(TreeStages, TellTheMostThatIsAddedAtOnce) {
  EXPECT_EQ(most_added(stages_of_tree_sum(0, 4, 401, kEveryRank)), 201);
  EXPECT_EQ(most_added(stages_of_tree_sum(1, 4, 401, kEveryRank)), 200);
  EXPECT_EQ(most_added(stages_of_tree_sum(1, 4, 401, 0)), 0);
  EXPECT_EQ(most_added({}), 0);
}

}  // namespace
}  // namespace polyphase
