// SPDX-License-Identifier: Apache-2.0
#include "control/starts.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace polyphase {
namespace {

namespace fs = std::filesystem;

// Starts of job 7 with these counts of restarts and this progress.
std::vector<report::Start> starts_of_7(std::vector<std::pair<std::int64_t, std::int64_t>> all) {
  std::vector<report::Start> starts;
  for (const auto& [restart, progress] : all)
    starts.push_back({.job = "7", .restart = restart, .progress = progress});
  return starts;
}

TEST(Starts, ThreeRestartsWithoutProgressAreEnough) {
  EXPECT_EQ(fruitless(starts_of_7({{0, 5}, {1, 5}, {2, 5}}), {.job = "7"}, 5), "");
  EXPECT_NE(fruitless(starts_of_7({{0, 5}, {1, 5}, {2, 5}, {3, 5}}), {.job = "7"}, 5), "");
  EXPECT_EQ(fruitless(starts_of_7({{0, 5}, {1, 5}, {2, 5}, {3, 5}}), {.job = "7"}, 6), "");
  EXPECT_EQ(fruitless(starts_of_7({{0, 5}, {1, 5}, {2, 6}, {3, 6}}), {.job = "7"}, 6), "");
  EXPECT_NE(fruitless(starts_of_7({{0, 5}, {1, 6}, {2, 6}, {3, 6}}), {.job = "7"}, 6), "");
}

TEST(Starts, OtherJobsAndRunsWithoutSlurmAreNotCounted) {
  std::vector<report::Start> starts = starts_of_7({{1, 5}, {2, 5}, {3, 5}});
  EXPECT_EQ(fruitless(starts, {.job = "8"}, 5), "");
  starts.push_back({.job = "8", .restart = 0, .progress = 5});
  EXPECT_EQ(fruitless(starts, {.job = "7"}, 5), "");
  EXPECT_EQ(fruitless(starts, {.job = ""}, 5), "");
  starts.pop_back();
  EXPECT_NE(fruitless(starts, {.job = "7"}, 5), "");
  EXPECT_EQ(fruitless(starts, {.job = "7", .cluster = "there"}, 5), "");
}

class StartFile : public testing::Test {
 protected:
  StartFile() : run_(fs::temp_directory_path() / fmt::format("polyphase-starts-{}", getpid())) {
    fs::create_directories(run_ / "data");
    setenv("SLURM_JOB_ID", "7", 1);
    setenv("SLURM_RESTART_COUNT", "0", 1);
  }
  ~StartFile() override {
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_RESTART_COUNT");
    fs::remove_all(run_);
  }
  // One start of the job that is stopped; its exit code.
  ExitCode start(int restart) {
    setenv("SLURM_RESTART_COUNT", fmt::format("{}", restart).c_str(), 1);
    StartRecord record(run_);
    if (!record.refusal().empty()) return kNoProgress;
    return record.end(ExitCode::kInterrupted, "signal");
  }
  fs::path run_;
};

TEST_F(StartFile, StoppedJobIsNotToGoOnAfterThreeFruitlessRestarts) {
  for (int restart = 0; restart < 3; ++restart) EXPECT_EQ(start(restart), ExitCode::kInterrupted);
  EXPECT_EQ(start(3), kNoProgress);
  EXPECT_EQ(report::read_starts(run_).back().exit_code, 93);
  EXPECT_NE(report::read_starts(run_).back().reason.find("started again 3 times"),
            std::string::npos);
}

TEST_F(StartFile, ProgressBetweenRestartsLetsItGoOn) {
  for (int restart = 0; restart < 6; ++restart) {
    std::ofstream(run_ / "data" / fmt::format("{}", restart)) << "more";
    EXPECT_EQ(start(restart), ExitCode::kInterrupted);
  }
}

TEST_F(StartFile, TextsOfACorpusInTheMakingAreProgress) {
  const fs::path phase = run_ / "round-1" / "02-back-translate";
  fs::create_directories(phase);
  for (int restart = 0; restart < 6; ++restart) {
    std::ofstream(phase / "pairs.jsonl", std::ios::app) << "a line\n";
    EXPECT_EQ(start(restart), ExitCode::kInterrupted);
  }
}

TEST_F(StartFile, JobThatIsKilledAgainAndAgainIsRefused) {
  for (int restart = 0; restart < 4; ++restart) {
    setenv("SLURM_RESTART_COUNT", fmt::format("{}", restart).c_str(), 1);
    const pid_t child = fork();
    if (child == 0) {
      const StartRecord killed(run_);
      _exit(killed.refusal().empty() ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(start(4), kNoProgress);
}

TEST_F(StartFile, StartWithNothingToDoIsForgottenOutsideOfSlurm) {
  unsetenv("SLURM_JOB_ID");
  for (const ExitCode code : {ExitCode::kDone, kTargetNotMet}) {
    EXPECT_EQ(StartRecord(run_).end(code, ""), code);
    EXPECT_FALSE(fs::exists(run_ / "starts.json"));
  }
}

TEST_F(StartFile, StartThatFailsHasAnEndAndNoExitCode) {
  { const StartRecord record(run_); }
  const std::vector<report::Start> starts = report::read_starts(run_);
  ASSERT_EQ(starts.size(), 1U);
  EXPECT_GT(starts[0].ended, 0);
  EXPECT_FALSE(starts[0].exit_code.has_value());
}

TEST_F(StartFile, RecordOfARoundCountsItsOwnStepsAndIsTakenIn) {
  fs::create_directories(run_ / "round-2" / "01-a");
  fs::create_directories(run_ / "round-3" / "01-a");
  {
    StartRecord record(run_);
    EXPECT_EQ(record.end(ExitCode::kDone, ""), ExitCode::kDone);
  }
  setenv("SLURM_JOB_ID", "8", 1);
  for (int restart = 0; restart < 4; ++restart) {
    setenv("SLURM_RESTART_COUNT", fmt::format("{}", restart).c_str(), 1);
    StartRecord record(run_, 2);
    fs::create_directories(run_ / "round-3" / fmt::format("0{}-b", restart + 2));  // of another job
    EXPECT_EQ(record.end(ExitCode::kInterrupted, "signal"),
              restart < 3 ? ExitCode::kInterrupted : kNoProgress);
  }
  EXPECT_TRUE(fs::exists(run_ / "round-2" / "starts.json"));
  EXPECT_EQ(report::read_starts(run_).size(), 5U);
  setenv("SLURM_JOB_ID", "9", 1);
  setenv("SLURM_RESTART_COUNT", "0", 1);
  const StartRecord next(run_);
  EXPECT_FALSE(fs::exists(run_ / "round-2" / "starts.json"));
  const std::vector<report::Start> starts = report::read_starts(run_);
  ASSERT_EQ(starts.size(), 6U);
  EXPECT_EQ(starts[4].job, "8");
  EXPECT_EQ(starts[4].exit_code, 93);
}

}  // namespace
}  // namespace polyphase
