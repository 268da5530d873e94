// SPDX-License-Identifier: Apache-2.0
#include "report/rounds.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "report/html.hpp"
#include "report/markup.hpp"
#include "report/run_folder.hpp"

namespace polyphase::report {
namespace {

// Two phases in round 1, and a rejected and a running round that start from it.
std::string status() {
  std::string text = two_phase_status();
  const std::string rounds = R"(, "iterate": {"phase": "topic", "metric": "valid.accuracy",
    "target": "valid.accuracy of topic at least 0.8", "ended": "", "considered": [], "best": 1, "rounds": [
    {"round": 1, "parent": 0, "state": "kept", "adds": "the recipe as it is", "changes": [], "considered": [],
     "score": 0.5, "reason": "the first round", "folders": {"pretrain": "p1", "topic": "p2"}},
    {"round": 2, "parent": 1, "state": "rejected", "adds": "<longer>", "changes": ["a.b: 1 → 2"],
     "considered": ["longer: underfitting holds"], "score": "nan", "reason": "diverged & done",
     "folders": {"pretrain": "p1", "topic": "r2"}},
    {"round": 3, "parent": 1, "state": "running", "adds": "other", "folders": {"pretrain": "p1"}}]}})";
  return text.substr(0, text.rfind('}')) + rounds;
}

TEST(Rounds, StatusTellsThem) {
  const RunFolder folder;
  folder.write("status.json", status());
  const RunState run = read_run_state(folder.path());
  ASSERT_EQ(run.rounds.rounds.size(), 3U);
  EXPECT_EQ(run.rounds.best, 1);
  EXPECT_EQ(run.rounds.rounds[0].folders.at("topic"), "p2");
  EXPECT_TRUE(std::isnan(run.rounds.rounds[1].score));
  EXPECT_EQ(run.rounds.rounds[1].changes, std::vector<std::string>{"a.b: 1 → 2"});
  EXPECT_EQ(find_round(run.rounds, 3)->adds, "other");
  EXPECT_EQ(find_round(run.rounds, 4), nullptr);
}

TEST(Rounds, TableMarksTheBestAndHasNoScoreForARunningRound) {
  const RunFolder folder;
  folder.write("status.json", status());
  const std::string text = rounds_text(read_run_state(folder.path()).rounds, 200);
  EXPECT_NE(text.find("target: valid.accuracy of topic at least 0.8"), std::string::npos);
  EXPECT_NE(text.find("1 *"), std::string::npos);
  EXPECT_NE(text.find("diverged & done"), std::string::npos);
  EXPECT_EQ(text.find("0.0"), std::string::npos) << text;
}

TEST(Rounds, PageIsWellFormedAndHasTheTree) {
  const RunFolder folder;
  folder.write("status.json", status());
  const std::string page = report_html(folder.path());
  EXPECT_EQ(markup_fault(page), "");
  EXPECT_NE(page.find("Round 2: &lt;longer&gt;"), std::string::npos);
  EXPECT_NE(page.find("uses pretrain of round 1"), std::string::npos);
  const std::size_t nested = page.find("<ul class=\"tree\">", page.find("Round 1:"));
  EXPECT_LT(nested, page.find("Round 2:"));
}

TEST(Rounds, RunWithoutRoundsShowsNone) {
  EXPECT_EQ(rounds_text({}, 100), "");
  EXPECT_EQ(rounds_section({}), "");
}

}  // namespace
}  // namespace polyphase::report
