// SPDX-License-Identifier: Apache-2.0
#include "corpus/curriculum.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace polyphase {
namespace {

TEST(Competence, GrowsAsTheSquareRootFromItsStartToOne) {
  const CurriculumSettings settings = {.start = 0.2, .steps = 1000};
  EXPECT_DOUBLE_EQ(competence(settings, 0), 0.2);
  EXPECT_DOUBLE_EQ(competence(settings, 250), std::sqrt(0.25 * 0.96 + 0.04));
  EXPECT_DOUBLE_EQ(competence(settings, 500), std::sqrt(0.52));
  EXPECT_LT(competence(settings, 999), 1.0);
  EXPECT_EQ(competence(settings, 1000), 1.0);
  EXPECT_EQ(competence(settings, 123456), 1.0);
  EXPECT_EQ(competence({}, 0), 1.0);
}

TEST(Curriculum, DrawsEveryOneOfTheEasiestAndNoOther) {
  // Lengths 9, 1, 5, 5, 2, 7, 3, 8, 6, 4 of samples 10, 20, …; by length 20, 50, 70, 100, 30, 40 …
  const Curriculum curriculum({10, 20, 30, 40, 50, 60, 70, 80, 90, 100},
                              {9, 1, 5, 5, 2, 7, 3, 8, 6, 4}, 77);
  const auto drawn = [&](double share) {
    std::set<std::int64_t> samples;
    for (std::uint64_t g = 0; g < 500; ++g) samples.insert(curriculum.draw(share, g));
    return samples;
  };
  using Samples = std::set<std::int64_t>;
  EXPECT_EQ(drawn(0.001), (Samples{20}));
  EXPECT_EQ(drawn(0.3), (Samples{20, 50, 70}));
  EXPECT_EQ(drawn(0.59), (Samples{20, 50, 70, 100, 30}));
  EXPECT_EQ(drawn(1.0).size(), 10U);
  EXPECT_EQ(curriculum.draw(0.5, 3), curriculum.draw(0.5, 3));
}

}  // namespace
}  // namespace polyphase
