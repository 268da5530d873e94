// SPDX-License-Identifier: Apache-2.0
#include "report/run_state.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "base/error.hpp"
#include "report/format.hpp"
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

TEST(RunStateTest, RoundThatAJobTrainsAloneSaysMoreThanTheRun) {
  const RunFolder folder;
  folder.write(
      "status.json",
      R"({"phases": [{"name": "a", "round": 1, "folder": "round-1/01-a", "state": "done"},)"
      R"( {"name": "a", "round": 2, "folder": "round-2/01-a"}]})");
  folder.write(
      "round-2/status.json",
      R"({"phases": [{"name": "a", "round": 2, "folder": "round-2/01-a", "state": "running",)"
      R"( "step": 7}, {"name": "b", "folder": "round-1/01-a", "state": "failed"}]})");
  const RunState run = read_run_state(folder.path());
  ASSERT_EQ(run.phases.size(), 2U);
  EXPECT_EQ(run.phases[0].state, "done");
  EXPECT_EQ(run.phases[1].state, "running");
  EXPECT_EQ(run.phases[1].step, 7);
  folder.write("round-2/status.json", "torn");
  EXPECT_THROW(read_run_state(folder.path()), DataError);
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
  EXPECT_EQ(table.text(100), "name   steps\n─────  ─────\ngröße      7\nb      12345\nc\n");
  EXPECT_THROW(table.add_row({"1", "2", "3"}), std::logic_error);
}

TEST(TableTest, ColumnsThatCanBeSparedGoWhereRoomIsShort) {
  Table table({{"first"}, {"later", Align::kLeft, 1}, {"sooner", Align::kLeft, 2}, {"last"}});
  table.add_row({"a", "b", "c", "d"});
  const auto titles = [&](int columns) {
    const std::string text = table.text(columns);
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(titles(26), "first  later  sooner  last");
  EXPECT_EQ(titles(25), "first  later  last");
  EXPECT_EQ(titles(18), "first  later  last");
  EXPECT_EQ(titles(17), "first  last");
  EXPECT_EQ(titles(0), "first  last");
}

PhaseState phase_with(const std::string& task, const std::map<std::string, double>& valid) {
  PhaseState phase;
  phase.name = "topic-from-scratch";
  phase.from = "supersense";
  phase.task = task;
  phase.state = "done";
  phase.step = phase.total_steps = 123456;
  phase.tokens = 1000000;
  phase.seconds = 5000;
  for (const auto& [name, value] : valid) {
    phase.metrics["valid." + name] = value;
    phase.metrics["test." + name] = value / 2;
  }
  return phase;
}

TEST(PhaseTable, EachTaskShowsItsOwnMetricAndTheLoss) {
  const std::map<std::string, double> many = {
      {"accuracy", 0.75}, {"f1", 0.5}, {"loss", 1.5}, {"precision", 0.25}, {"recall", 0.125}};
  EXPECT_EQ(headline_text(phase_with("classification", many), "valid"),
            "accuracy 0.7500, loss 1.500");
  EXPECT_EQ(headline_text(phase_with("tagging", many), "test"), "f1 0.2500, loss 0.7500");
  EXPECT_EQ(headline_text(phase_with("mlm + nsp", {{"loss", 2.5}, {"mlm.accuracy", 0.5}}), "valid"),
            "loss 2.500");
  EXPECT_EQ(headline_text(phase_with("regression", {{"pearson", 0.5}}), "valid"), "pearson 0.5000");
  EXPECT_EQ(headline_text(phase_with("classification", {}), "test"), "");
}

TEST(PhaseTable, FitsIntoTheLine) {
  RunState run;
  run.phases = {
      phase_with("classification",
                 {{"accuracy", 0.61234}, {"f1", 0.52345}, {"loss", 1.23}, {"precision", 0.25}}),
      phase_with("tagging", {{"accuracy", 0.61234}, {"f1", 0.52345}, {"loss", 1.23}})};
  for (const int columns : {100, 120, 200}) {
    std::istringstream lines(phase_table(run, columns));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(width_of(line), static_cast<std::size_t>(columns)) << line;
    }
  }
  EXPECT_NE(phase_table(run, 200).find("tokens/s"), std::string::npos);
  EXPECT_EQ(phase_table(run, 100).find("tokens/s"), std::string::npos);
  EXPECT_NE(phase_table(run, 100).find("accuracy 0.3062, loss 0.6150"), std::string::npos);
}

TEST(StatusTextTest, TellsHowFarAndWhyStopped) {
  const RunFolder folder;
  folder.write("status.json", two_phase_status());
  const std::string text = status_text(folder.path(), 100);
  EXPECT_NE(text.find("1 of 2 phases done"), std::string::npos) << text;
  EXPECT_NE(text.find("topic: interrupted at step 20 of 50: SIGTERM"), std::string::npos) << text;
  EXPECT_NE(text.find("3.20 k"), std::string::npos) << text;  // tokens/s of both
}

TEST(StatusTextTest, TimeLeftFollowsStepsAlsoWhereARecordCoversSeveral) {
  for (const int steps_of_a_record : {1, 16}) {
    const RunFolder folder;
    folder.write("status.json",
                 R"({"name": "demo", "phases": [{"name": "back", "state": "running", "folder": "p",
                     "task": "generate", "total_steps": 160}]})");
    std::string lines;
    for (int step = steps_of_a_record; step <= 80; step += steps_of_a_record) {
      lines += fmt::format("{{\"kind\":\"step\",\"step\":{},\"tokens\":9,\"seconds\":{}}}\n", step,
                           0.5 * steps_of_a_record);
    }
    folder.write("p/metrics.jsonl", lines);
    const std::string text = status_text(folder.path(), 100);
    EXPECT_NE(text.find("of 160, about 0:40 left"), std::string::npos) << text;
  }
}

TEST(StatusTextTest, TellsTheLastStepOfARunningPhase) {
  const RunFolder folder;
  std::string status = two_phase_status();
  status.replace(status.find("interrupted"), std::string("interrupted").size(), "running");
  folder.write("status.json", status);
  folder.write("p2/metrics.jsonl", step_lines(33, "classification", 10));
  const std::string text = status_text(folder.path(), 100);
  EXPECT_NE(text.find("topic: running, or killed while it ran; step 33 is done"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace polyphase::report
