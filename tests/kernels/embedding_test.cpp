// SPDX-License-Identifier: Apache-2.0
#include "kernels/embedding.hpp"

#include "kernels/device.hpp"

namespace polyphase::test {
namespace {

constexpr std::int64_t kIds = 11, kWidth = 70;

std::vector<std::int32_t> test_ids(std::int64_t num_rows) {
  std::vector<std::int32_t> ids;
  for (std::int64_t n = 0; n < num_rows; ++n) ids.push_back(philox(3, n, 0).word[0] % 20);
  return ids;
}

DeviceRowGroups put_groups(Device& device, const RowGroups& groups) {
  return {device.put(groups.rows_N), device.put(groups.ids_U), device.put(groups.starts_U)};
}

TEST(Embedding, ForwardAddsTheLocalPartOfTheTable) {
  for (const std::int64_t first_id : {0, 5}) {
    for (const Write write : {Write::kOverwrite, Write::kAccumulate}) {
      Device device;
      const std::vector<std::int32_t> ids = test_ids(50);
      const auto table = random_reals(1, kIds * kWidth), before = random_reals(2, 50 * kWidth);
      std::vector<double> expected;
      for (std::int64_t i = 0; i < 50 * kWidth; ++i) {
        const std::int64_t id = ids[i / kWidth] - first_id;
        const bool local = id >= 0 && id < kIds;
        expected.push_back((write == Write::kAccumulate ? before[i] : 0.0) +
                           (local ? table[id * kWidth + i % kWidth] : 0.0));
      }
      const auto x = device.put_real<float>(before, 50, kWidth);
      embedding_forward(device.exec(), x, write, device.put(ids),
                        device.put_real<float>(table, kIds, kWidth), first_id);
      expect_close("x", device.get_real(x), expected, 4 * kFloatEpsilon);
    }
  }
}

TEST(Embedding, ABagIsTheSumOfItsRows) {
  Device device;
  const std::vector<std::int32_t> starts{0, 7, 7, 8, 20};  // the second bag is empty
  std::vector<std::int32_t> ids;
  for (std::int64_t m = 0; m < 20; ++m) ids.push_back(philox(6, m, 0).word[0] % kIds);
  const auto table = random_reals(1, kIds * kWidth);
  std::vector<double> expected = random_reals(2, 4 * kWidth);
  const auto y = device.put_real<float>(expected, 4, kWidth);
  for (std::int64_t b = 0; b < 4; ++b) {
    for (std::int32_t m = starts[b]; m < starts[b + 1]; ++m) {
      for (std::int64_t c = 0; c < kWidth; ++c)
        expected[b * kWidth + c] += table[ids[m] * kWidth + c];
    }
  }
  embedding_bag_forward(device.exec(), y, device.put(ids), device.put(starts),
                        device.put_real<float>(table, kIds, kWidth));
  expect_close("y", device.get_real(y), expected, 13 * 13 * kFloatEpsilon);
}

TEST(Embedding, GroupsHoldEveryRowOnceInOrder) {
  const std::vector<std::int32_t> ids{4, 2, 4, 9, 2, 4};
  const RowGroups groups = group_rows(ids);
  EXPECT_EQ(groups.ids_U, (std::vector<std::int32_t>{2, 4, 9}));
  EXPECT_EQ(groups.starts_U, (std::vector<std::int32_t>{0, 2, 5, 6}));
  EXPECT_EQ(groups.rows_N, (std::vector<std::int32_t>{1, 4, 0, 2, 5, 3}));
  EXPECT_EQ(group_rows({}).starts_U, (std::vector<std::int32_t>{0}));
}

void check_backward(const std::vector<std::int32_t>& ids, std::int64_t first_id) {
  Device device;
  const std::int64_t num_rows = ids.size();
  const auto dx = random_reals(4, num_rows * kWidth);
  std::vector<double> expected = random_reals(5, kIds * kWidth), error;
  const auto dtable = device.put_real<float>(expected, kIds, kWidth);
  error.assign(expected.size(), 2.0);
  for (std::int64_t i = 0; i < num_rows * kWidth; ++i) {
    const std::int64_t id = ids[i / kWidth] - first_id;
    if (id < 0 || id >= kIds) continue;
    expected[id * kWidth + i % kWidth] += dx[i];
    error[id * kWidth + i % kWidth] += std::abs(dx[i]);
  }
  for (double& magnitude : error) magnitude *= (num_rows + 1) * kFloatEpsilon;
  embedding_backward(device.exec(), dtable, device.put_real<float>(dx, num_rows, kWidth),
                     put_groups(device, group_rows(ids)), first_id);
  expect_close("dtable", device.get_real(dtable), expected, error);
}

TEST(Embedding, BackwardAddsTheRowsOfEachId) {
  check_backward({}, 0);
  check_backward({3}, 0);
  check_backward(test_ids(400), 0);
  check_backward(test_ids(400), 7);
  check_backward(std::vector<std::int32_t>(1000, 6), 0);
}

TEST(Embedding, SumsOfAnIdDoNotDependOnOtherRows) {
  // Rows of another id in between change neither order nor bits.
  Device device;
  const auto dx = random_reals(6, 200 * kWidth);
  std::vector<double> spread;
  std::vector<std::int32_t> ids;
  for (std::int64_t n = 0; n < 200; ++n) {
    spread.insert(spread.end(), kWidth, 1e3);
    spread.insert(spread.end(), dx.begin() + n * kWidth, dx.begin() + (n + 1) * kWidth);
    ids.insert(ids.end(), {8, 1});
  }
  const std::vector<double> zeros(kIds * kWidth, 0.0);
  const auto alone = device.put_real<float>(zeros, kIds, kWidth);
  const auto mixed = device.put_real<float>(zeros, kIds, kWidth);
  embedding_backward(device.exec(), alone, device.put_real<float>(dx, 200, kWidth),
                     put_groups(device, group_rows(std::vector<std::int32_t>(200, 1))), 0);
  embedding_backward(device.exec(), mixed, device.put_real<float>(spread, 400, kWidth),
                     put_groups(device, group_rows(ids)), 0);
  EXPECT_EQ(device.get_real(rows(alone, 1, 1)), device.get_real(rows(mixed, 1, 1)));
}

}  // namespace
}  // namespace polyphase::test
