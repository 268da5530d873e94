// SPDX-License-Identifier: Apache-2.0
#include "report/comparison.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.hpp"
#include "report/markup.hpp"
#include "report/run_folder.hpp"

namespace polyphase::report {
namespace {

using Folders = std::vector<std::filesystem::path>;

std::string phase(const std::string& name, int round, const std::string& metrics) {
  return fmt::format(
      R"({{"name": "{}", "state": "done", "round": {}, "folder": "{}-{}", "task": "classification", "step": 9,
          "total_steps": 9, "metrics": {{{}}}}})",
      name, round, name, round, metrics);
}

std::string status(const std::string& phases, const std::string& rounds = "") {
  return fmt::format(R"({{"name": "demo", "phases": [{}]{}}})", phases, rounds);
}

std::string topic(double accuracy) {
  return phase(
      "topic", 1,
      fmt::format(R"("valid.accuracy": 0.9, "test.accuracy": {}, "test.loss": 1.0)", accuracy));
}

TEST(Comparison, MedianAndSpreadOfWhatTheTaskIsJudgedBy) {
  RunFolder a, b, c;
  a.write("status.json", status(topic(0.5) + "," + phase("only-here", 1, R"("valid.loss": 2.5)")));
  b.write("status.json", status(topic(0.75)));
  c.write("status.json", status(topic(0.25)));
  const std::string text = comparison_text(read_runs({a.path(), b.path(), c.path()}), 60);
  EXPECT_EQ(text,
            "phase      metric         runs  median  lowest  highest\n"
            "─────────  ─────────────  ────  ──────  ──────  ───────\n"
            "topic      test.accuracy     3  0.5000  0.2500   0.7500\n"
            "only-here  valid.loss        1   2.500   2.500    2.500\n");
  EXPECT_NE(comparison_text(read_runs({a.path(), b.path()}), 60).find("0.6250"), std::string::npos);
}

TEST(Comparison, OfRoundsTheBestCounts) {
  RunFolder a;
  a.write("status.json", status(topic(0.5) + "," + phase("topic", 2, R"("test.accuracy": 0.75)") +
                                    "," + phase("topic", 3, R"("test.accuracy": 0.25)"),
                                R"(, "iterate": {"best": 2, "rounds": [
                     {"round": 1, "folders": {"topic": "topic-1"}},
                     {"round": 2, "folders": {"topic": "topic-2"}},
                     {"round": 3, "folders": {"topic": "topic-3"}}]})"));
  EXPECT_NE(comparison_text(read_runs({a.path(), a.path()}), 60).find("2  0.7500  0.7500"),
            std::string::npos);
}

TEST(Comparison, WhatIsNotFiniteIsShownAndNotCounted) {
  RunFolder a, b, c;
  a.write("status.json", status(topic(0.9)));
  b.write("status.json", status(phase("topic", 1, R"("test.accuracy": null)")));
  c.write("status.json", status(topic(0.3)));
  EXPECT_NE(comparison_text(read_runs({a.path(), b.path(), c.path()}), 60)
                .find("2  0.6000  0.3000   0.9000"),
            std::string::npos);
  const std::string none = comparison_text(read_runs({b.path(), b.path()}), 60);
  EXPECT_NE(none.find("test.accuracy     0       –       –        –"), std::string::npos) << none;
}

TEST(Comparison, APhaseThatRunsIsThereAndAFolderMayEndInASlash) {
  RunFolder a;
  a.write("status.json", status(R"({"name": "topic", "state": "running", "folder": "p1"})"));
  a.write("p1/metrics.jsonl", step_lines(20, "classification", 10));
  const std::string html = comparison_html(read_runs({a.path() / ""}));
  EXPECT_EQ(count_of(html, "aria-label=\"Loss of topic\""), 1);
  EXPECT_NE(html.find(">" + a.path().filename().string() + "</th>"), std::string::npos);
  EXPECT_NE(html.find("has no recipe.yaml"), std::string::npos);
}

TEST(Comparison, PageIsWellFormedAndShowsRecipesAndCurves) {
  RunFolder a, b;
  for (const RunFolder* run : {&a, &b}) {
    run->write("status.json", two_phase_status());
    run->write("p1/metrics.jsonl", step_lines(40, "mlm", 10));
    run->write("recipe.yaml", fmt::format("run_dir: {}\nname: <b>{}</b>\n", run->path().string(),
                                          run == &a ? 1 : 2));
  }
  const std::string html = comparison_html(read_runs({a.path(), b.path()}));
  EXPECT_EQ(markup_fault(html), "");
  EXPECT_EQ(count_of(html, "aria-label=\"Loss of pretrain\""), 1);
  EXPECT_EQ(count_of(html, "<path class=\"solid"), 2);
  EXPECT_NE(html.find("&lt;b&gt;2&lt;/b&gt;"), std::string::npos);
  EXPECT_EQ(html.find("run_dir"), std::string::npos);
  b.write("recipe.yaml", "name: [1");
  EXPECT_EQ(markup_fault(comparison_html(read_runs({a.path(), b.path()}))), "");
}

TEST(Comparison, AFolderWithoutARunIsTold) {
  RunFolder a, nothing;
  a.write("status.json", two_phase_status());
  EXPECT_THROW(comparison_text(read_runs({a.path(), nothing.path()}), 60), DataError);
}

}  // namespace
}  // namespace polyphase::report
