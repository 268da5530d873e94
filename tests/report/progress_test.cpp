// SPDX-License-Identifier: Apache-2.0
#include "report/progress.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <memory>

#include "report/format.hpp"
#include "report/markup.hpp"

namespace polyphase::report {
namespace {

// A stream into memory and a clock that stands still until it is told.
class ProgressTest : public ::testing::Test {
 protected:
  ProgressTest() : stream_(open_memstream(&text_, &size_)) {}
  ~ProgressTest() override {
    std::fclose(stream_);
    std::free(text_);  // NOLINT: the C library allocated it
  }
  ProgressOutput output(bool terminal) {
    return {stream_, terminal, 100, [this] { return now_seconds_; }};
  }
  std::string printed() {
    std::fflush(stream_);
    return std::string(text_, size_);
  }

  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* stream_;
  double now_seconds_ = 100;
};

TEST_F(ProgressTest, BarIsRedrawnAtMostFiveTimesASecond) {
  Progress progress("pretrain", 0, 1000, output(true));
  for (int step = 1; step <= 1000; ++step) {
    now_seconds_ += 0.01;
    progress.update({step, 5.0, 1000});
  }
  const int redraws = count_of(printed(), "\r");
  EXPECT_GE(redraws, 45);
  EXPECT_LE(redraws, 51);
}

TEST_F(ProgressTest, LogHasFewPlainLines) {
  Progress progress("pretrain", 0, 1000, output(false));
  for (int step = 1; step <= 1000; ++step) {
    now_seconds_ += 1;
    progress.update({step, 5.0, 1000});
  }
  progress.finish();
  EXPECT_EQ(count_of(printed(), "\n"), 20);
  EXPECT_EQ(count_of(printed(), "\r"), 0);
  EXPECT_EQ(count_of(printed(), "\x1b"), 0);
}

TEST_F(ProgressTest, FastPhaseIsNotSilent) {
  {
    Progress progress("topic", 0, 50, output(false));
    for (int step = 1; step <= 50; ++step) progress.update({step, 0.5, 1000});
  }
  EXPECT_EQ(count_of(printed(), "\n"), 1);
  EXPECT_EQ(count_of(printed(), "step 50/50"), 1);
}

TEST_F(ProgressTest, TimeLeftCountsOnlyTheStepsOfThisJob) {
  Progress progress("pretrain", 900, 1000, output(true));
  now_seconds_ += 10;
  progress.update({910, 5.0, 1000});
  EXPECT_NE(progress.line(100, true).find("1:30 left"), std::string::npos)
      << progress.line(100, true);
}

TEST_F(ProgressTest, LineFitsItsTerminalAndShowsLossAndRate) {
  Progress progress("a-phase-with-a-long-name", 0, 100000, output(true));
  now_seconds_ += 1;
  progress.update({50000, NAN, 123456});
  EXPECT_NE(progress.line(160, true).find("loss nan"), std::string::npos);
  EXPECT_NE(progress.line(160, true).find("123 k tokens/s"), std::string::npos);
  for (const int columns : {1, 20, 60, 80, 120, 200}) {
    EXPECT_LE(width_of(progress.line(columns, true)), static_cast<std::size_t>(columns));
  }
}

TEST_F(ProgressTest, APhaseThatTrainsNothingHasNoLoss) {
  Progress progress("back-translate", 0, 100, output(true));
  now_seconds_ += 1;
  progress.update({.step = 50, .loss = std::nullopt, .tokens_per_second = 1000});
  EXPECT_EQ(progress.line(160, true).find("loss"), std::string::npos);
  EXPECT_NE(progress.line(160, true).find("1.00 k tokens/s"), std::string::npos)
      << progress.line(160, true);
}

TEST_F(ProgressTest, NoteStandsOnALineOfItsOwn) {
  Progress progress("pretrain", 0, 10, output(true));
  progress.update({1, 5.0, 1000});
  progress.note("valid.loss 4.9");
  EXPECT_NE(printed().find("\r\x1b[Kvalid.loss 4.9\n"), std::string::npos);
  progress.finish();
  EXPECT_EQ(printed().back(), '\n');
}

TEST_F(ProgressTest, PhaseWithoutAStepPrintsNothing) {
  { Progress progress("pretrain", 10, 10, output(false)); }
  EXPECT_EQ(printed(), "");
}

}  // namespace
}  // namespace polyphase::report
