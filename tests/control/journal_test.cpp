// SPDX-License-Identifier: Apache-2.0
#include "control/journal.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "base/error.hpp"

namespace polyphase {
namespace {

class JournalFile : public testing::Test {
 protected:
  JournalFile()
      : file_(std::filesystem::temp_directory_path() /
              fmt::format("polyphase-decisions-{}.json", getpid())) {}
  ~JournalFile() override { std::filesystem::remove(file_); }

  std::filesystem::path file_;
};

Journal two_rounds() {
  Round first = {.number = 1, .phases = {{"topic", 2, 1, "round-1/03-topic"}}};
  first.verdict = Verdict{.kept = true, .score = std::nan(""), .reason = "first"};
  Round second = {.number = 2, .parent = 1, .adds = "longer", .margin = 0.01};
  second.variant = {.strategies = {"longer"}, .gates = {"tags"}};
  second.considered = {{"longer", "underfitting", true, {{"valid.gap", -HUGE_VAL}}, "note"}};
  second.verdict = Verdict{.kept = false, .score = 0.125, .gain = 0.1, .margin = 0.01};
  second.verdict->test = PairedTest{10, 1000, 0.75};
  return {.rounds = {first, second}, .ended = "done", .considered = second.considered};
}

TEST_F(JournalFile, ReadsBackWhatWasWritten) {
  const Journal journal = two_rounds();
  write_journal(file_, journal);
  const Journal back = read_journal(file_);
  EXPECT_EQ(nlohmann::json(back), nlohmann::json(journal));
  EXPECT_TRUE(std::isnan(back.rounds[0].verdict->score));
  EXPECT_EQ(back.rounds[1].considered[0].numbers.at("valid.gap"), -HUGE_VAL);
  EXPECT_EQ(back.rounds[1].verdict->test->share_better, 0.75);
}

TEST_F(JournalFile, TellsOfRoundsAheadOnlyWhileThereAreAny) {
  Journal journal = two_rounds();
  EXPECT_FALSE(nlohmann::json(journal).contains("ahead"));
  journal.ahead = {{.number = 3, .parent = 1, .adds = "faster"}};
  write_journal(file_, journal);
  const Journal back = read_journal(file_);
  ASSERT_EQ(back.ahead.size(), 1U);
  EXPECT_EQ(back.ahead[0].adds, "faster");
  EXPECT_EQ(back.rounds.size(), 2U);
}

TEST_F(JournalFile, LastKeptRoundIsTheBest) {
  const Journal journal = two_rounds();
  EXPECT_EQ(kept_round(journal)->number, 1);
  EXPECT_EQ(kept_round({}), nullptr);
}

TEST_F(JournalFile, MissingFileIsEmptyAndADamagedOneIsRefused) {
  EXPECT_TRUE(read_journal(file_).rounds.empty());
  std::ofstream(file_) << "{\"rounds\": [{}], \"ended\": \"\"}";
  EXPECT_THROW(read_journal(file_), DataError);
  std::ofstream(file_) << "{\"rou";
  EXPECT_THROW(read_journal(file_), DataError);
}

}  // namespace
}  // namespace polyphase
