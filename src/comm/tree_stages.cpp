// SPDX-License-Identifier: Apache-2.0
#include "comm/tree_stages.hpp"

#include <algorithm>

namespace polyphase {
namespace {

bool is_power_of_two(int n) { return (n & (n - 1)) == 0; }

std::vector<TreeStage> halve_and_double(int rank, int num_ranks, std::int64_t count) {
  std::vector<TreeStage> stages;
  ArrayPart kept = {0, count};
  for (int distance = 1; distance < num_ranks; distance *= 2) {
    const std::int64_t middle = kept.begin + (kept.size() + 1) / 2;
    const ArrayPart lower = {kept.begin, middle}, upper = {middle, kept.end};
    const bool keeps_upper = (rank & distance) != 0;
    kept = keeps_upper ? upper : lower;
    stages.push_back({.partner = rank ^ distance,
                      .send = keeps_upper ? lower : upper,
                      .receive = kept,
                      .adds = true});
  }
  for (std::size_t mirrored = stages.size(); mirrored > 0; --mirrored) {
    const TreeStage halving = stages[mirrored - 1];
    stages.push_back(
        {.partner = halving.partner, .send = halving.receive, .receive = halving.send});
  }
  return stages;
}

std::vector<TreeStage> towards_one(int rank, int num_ranks, std::int64_t count, int only_on) {
  std::vector<TreeStage> stages;
  for (int distance = 1; distance < num_ranks; distance *= 2) {
    // Ranks that are still at it agree with that one in the bits below.
    const bool gives_away = ((rank ^ only_on) & distance) != 0;
    TreeStage stage = {.partner = rank ^ distance, .adds = !gives_away};
    (gives_away ? stage.send : stage.receive) = {0, count};
    stages.push_back(stage);
    if (gives_away) break;
  }
  return stages;
}

std::vector<TreeStage> up_and_down(int rank, int num_ranks, std::int64_t count) {
  const ArrayPart all = {0, count};
  std::vector<TreeStage> stages;
  int distance = 1;
  for (; distance < num_ranks && (rank & distance) == 0; distance *= 2) {
    if (rank + distance < num_ranks)
      stages.push_back({.partner = rank + distance, .receive = all, .adds = true});
  }
  std::vector<TreeStage> down(stages.rbegin(), stages.rend());
  if (rank != 0) {
    stages.push_back({.partner = rank - distance, .send = all});
    stages.push_back({.partner = rank - distance, .receive = all});
  }
  for (const TreeStage& up : down) stages.push_back({.partner = up.partner, .send = all});
  return stages;
}

}  // namespace

std::vector<TreeStage> stages_of_tree_sum(int rank, int num_ranks, std::int64_t count,
                                          int only_on) {
  if (num_ranks == 1 || count == 0) return {};
  if (!is_power_of_two(num_ranks)) return up_and_down(rank, num_ranks, count);
  return only_on == kEveryRank ? halve_and_double(rank, num_ranks, count)
                               : towards_one(rank, num_ranks, count, only_on);
}

std::int64_t most_added(const std::vector<TreeStage>& stages) {
  std::int64_t most = 0;
  for (const TreeStage& stage : stages)
    if (stage.adds) most = std::max(most, stage.receive.size());
  return most;
}

std::vector<ArrayPart> parts_of_alike(const std::vector<ArrayPart>& parts, int rank, int num_bits) {
  std::vector<ArrayPart> alike;
  for (std::size_t r = 0; r < parts.size(); ++r)
    if (((static_cast<int>(r) ^ rank) & ((1 << num_bits) - 1)) == 0) alike.push_back(parts[r]);
  return alike;
}

}  // namespace polyphase
