// SPDX-License-Identifier: Apache-2.0
#include "metrics/correlation.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "metrics/reference_numbers.hpp"

namespace polyphase {
namespace {

TEST(Correlation, PearsonAndSpearmanAreThoseOfScipy) {
  for (const nlohmann::json& reference : reference_numbers("correlation")) {
    const auto x = reference.at("x").get<std::vector<double>>();
    const auto y = reference.at("y").get<std::vector<double>>();
    expect_same_digits(pearson_correlation(x, y), reference.at("pearson"), "Pearson");
    expect_same_digits(spearman_correlation(x, y), reference.at("spearman"), "Spearman");
    EXPECT_EQ(average_ranks(x), reference.at("ranks_x").get<std::vector<double>>());
  }
}

TEST(Correlation, ConstantOrTooShortListsHaveNone) {
  EXPECT_TRUE(std::isnan(pearson_correlation({0.1, 0.1, 0.1}, {1, 2, 3})));
  EXPECT_TRUE(std::isnan(spearman_correlation({1, 2, 3}, {7, 7, 7})));
  EXPECT_TRUE(std::isnan(pearson_correlation({1}, {2})));
  EXPECT_TRUE(std::isnan(spearman_correlation({}, {})));
  EXPECT_TRUE(std::isnan(spearman_correlation({1, std::nan("")}, {1, 2})));
}

TEST(Correlation, ListsOfUnequalLengthAreRefused) {
  EXPECT_THROW(pearson_correlation({1, 2}, {1, 2, 3}), std::logic_error);
  EXPECT_THROW(spearman_correlation({1, 2, 3}, {1, 2}), std::logic_error);
}

}  // namespace
}  // namespace polyphase
