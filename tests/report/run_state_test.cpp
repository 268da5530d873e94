// SPDX-License-Identifier: Apache-2.0
#include "report/run_state.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.hpp"
#include "report/run_folder.hpp"
#include "report/status_text.hpp"
#include "report/table.hpp"

namespace polyphase::report {
namespace {

TEST(RunStateTest, EveryFieldIsRead) {
  const RunFolder folder;
  folder.write("status.json", two_phase_status());
  const RunState run = read_run_state(folder.path());
  ASSERT_EQ(run.phases.size(), 2U);
  EXPECT_EQ(run.name, "demo");
  EXPECT_EQ(run.recipe_hash, "0123456789abcdef");
  const PhaseState& topic = run.phases[1];
  EXPECT_EQ(topic.state, "interrupted");
  EXPECT_EQ(topic.from, "pretrain");
  EXPECT_EQ(topic.step, 20);
  EXPECT_EQ(topic.total_steps, 50);
  EXPECT_EQ(topic.tokens, 6400);
  EXPECT_EQ(topic.handover.carried, std::vector<std::string>{"embedding.token.weight"});
  EXPECT_EQ(topic.handover.left, std::vector<std::string>{"head.mlm.bias"});
  EXPECT_TRUE(std::isnan(topic.metrics.at("valid.accuracy")));
  EXPECT_DOUBLE_EQ(run.phases[0].metrics.at("valid.loss"), 2.5);
}

TEST(RunStateTest, MissingOrForeignFileIsDataErrorThatNamesIt) {
  const RunFolder folder;
  EXPECT_THROW(read_run_state(folder.path()), DataError);
  for (const char* text : {"", "{", "[]", "{\"phases\": [{\"step\": \"many\"}]}", "{\"name\": 3}",
                           "{\"phases\": 3}"}) {
    folder.write("status.json", text);
    try {
      read_run_state(folder.path());
      ADD_FAILURE() << "accepted: " << text;
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find("status.json"), std::string::npos);
    }
  }
}

TEST(TableTest, ColumnsLineUpByCharactersNotBytes) {
  Table table({{"name"}, {"steps", Align::kRight}});
  table.add_row({"größe", "7"});
  table.add_row({"b", "12345"});
  table.add_row({"c"});
  EXPECT_EQ(table.text(), "name   steps\n─────  ─────\ngröße      7\nb      12345\nc\n");
  EXPECT_THROW(table.add_row({"1", "2", "3"}), std::logic_error);
}

TEST(StatusTextTest, TellsHowFarAndWhyStopped) {
  const RunFolder folder;
  folder.write("status.json", two_phase_status());
  const std::string text = status_text(folder.path());
  EXPECT_NE(text.find("1 of 2 phases done"), std::string::npos) << text;
  EXPECT_NE(text.find("topic: interrupted at step 20 of 50: SIGTERM"), std::string::npos) << text;
  EXPECT_NE(text.find("3.20 k"), std::string::npos) << text;  // tokens/s of both
}

TEST(StatusTextTest, TellsTheLastStepOfARunningPhase) {
  const RunFolder folder;
  std::string status = two_phase_status();
  status.replace(status.find("interrupted"), std::string("interrupted").size(), "running");
  folder.write("status.json", status);
  folder.write("p2/metrics.jsonl", step_lines(33, "classification", 10));
  const std::string text = status_text(folder.path());
  EXPECT_NE(text.find("topic: running, or killed while it ran; step 33 is done"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace polyphase::report
