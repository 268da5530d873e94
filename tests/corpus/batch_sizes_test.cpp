// SPDX-License-Identifier: Apache-2.0
#include "corpus/batch_sizes.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace polyphase {
namespace {

// Everything against the sizes of single steps, counted one by one.
void expect_counts(const BatchSizes& sizes, const std::vector<std::int64_t>& of_steps) {
  std::int64_t before = 0;
  for (std::size_t s = 0; s < of_steps.size(); ++s) {
    const auto step = static_cast<std::int64_t>(s);
    EXPECT_EQ(sizes.at(step), of_steps[s]) << step;
    EXPECT_EQ(sizes.before(step), before) << step;
    for (std::int64_t number = before; number < before + of_steps[s]; ++number) {
      EXPECT_EQ(sizes.step_of(number), step) << number;
      EXPECT_EQ(sizes.steps_for(number + 1), step + 1) << number;
    }
    before += of_steps[s];
  }
  EXPECT_EQ(sizes.steps_for(0), 0);
}

TEST(BatchSizes, WithoutARampAllStepsAreAlike) { expect_counts({.sequences = 6}, {6, 6, 6, 6, 6}); }

TEST(BatchSizes, DoubleAfterSoManyStepsUntilTheyAreWhole) {
  expect_counts({.sequences = 16, .from = 4, .every_steps = 3},
                {4, 4, 4, 8, 8, 8, 16, 16, 16, 16, 16});
  expect_counts({.sequences = 12, .from = 3, .every_steps = 1}, {3, 6, 12, 12, 12});
  expect_counts({.sequences = 8, .from = 8, .every_steps = 2}, {8, 8, 8, 8});
}

}  // namespace
}  // namespace polyphase
