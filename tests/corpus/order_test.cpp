// SPDX-License-Identifier: Apache-2.0
#include "corpus/order.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <set>
#include <vector>

namespace polyphase {
namespace {

std::vector<std::uint64_t> sizes_to_try() {
  std::vector<std::uint64_t> sizes;
  for (std::uint64_t size = 1; size <= 130; ++size) sizes.push_back(size);
  for (std::uint64_t power = 256; power <= 8192; power *= 2) {
    for (const std::uint64_t size : {power - 1, power, power + 1}) sizes.push_back(size);
  }
  sizes.push_back(1000);
  sizes.push_back(10000);
  return sizes;
}

TEST(KeyedPermutation, IsABijectionForEverySize) {
  for (const std::uint64_t size : sizes_to_try()) {
    const KeyedPermutation order(size, 12345 + size);
    std::vector<bool> seen(size, false);
    for (std::uint64_t i = 0; i < size; ++i) {
      const std::uint64_t place = order.at(i);
      ASSERT_LT(place, size);
      ASSERT_FALSE(seen[place]) << "size " << size << ", place " << place << " given twice";
      seen[place] = true;
    }
  }
}

TEST(KeyedPermutation, OtherKeysGiveOtherOrders) {
  const KeyedPermutation one(1000, 1), two(1000, 2);
  int equal = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) equal += one.at(i) == two.at(i);
  EXPECT_LT(equal, 10);  // the expectation is 1
}

TEST(KeyedPermutation, AllOrdersOfThreeOccurEquallyOften) {
  constexpr int kKeys = 6000;
  std::array<int, 27> counts{};
  for (std::uint64_t key = 0; key < kKeys; ++key) {
    const KeyedPermutation order(3, key);
    ++counts[order.at(0) * 9 + order.at(1) * 3 + order.at(2)];
  }
  double chi_square = 0;
  int different = 0;
  for (const int count : counts) {
    if (count == 0) continue;
    ++different;
    chi_square += (count - kKeys / 6.0) * (count - kKeys / 6.0) / (kKeys / 6.0);
  }
  EXPECT_EQ(different, 6);
  EXPECT_LT(chi_square, 20.5);  // 5 degrees of freedom: 0.999 quantile
}

// Neighbours must not stay neighbours: the pair (high bits of at(i), high bits of at(i + 1)) is
// uniform over 16 × 16 cells.
TEST(KeyedPermutation, NeighboursAreScatteredAsByChance) {
  constexpr std::uint64_t kSize = 65536;
  const KeyedPermutation order(kSize, 99);
  for (const int shift : {12, 6, 0}) {
    std::vector<int> cells(256, 0);
    for (std::uint64_t i = 0; i + 1 < kSize; ++i) {
      ++cells[((order.at(i) >> shift) & 15) * 16 + ((order.at(i + 1) >> shift) & 15)];
    }
    const double expected = (kSize - 1) / 256.0;
    double chi_square = 0;
    for (const int cell : cells) chi_square += (cell - expected) * (cell - expected) / expected;
    // Rows and columns are exactly even, as in any permutation, which leaves 15 × 15 degrees of
    // freedom: the 0.999 and 0.001 quantiles. Below means more even than chance.
    EXPECT_LT(chi_square, 296.2) << "shift " << shift;
    EXPECT_GT(chi_square, 165.1) << "shift " << shift;
  }
}

TEST(KeyedPermutation, HugeSizesNeedNoMemory) {
  constexpr std::uint64_t kSize = (std::uint64_t{1} << 40) + 1;
  const KeyedPermutation order(kSize, 5);
  std::set<std::uint64_t> places;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const std::uint64_t place = order.at(kSize - 1 - i);
    ASSERT_LT(place, kSize);
    places.insert(place);
  }
  EXPECT_EQ(places.size(), 20000U);
  EXPECT_THROW(order.at(kSize), std::logic_error);
}

}  // namespace
}  // namespace polyphase
