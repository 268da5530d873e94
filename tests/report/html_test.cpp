// SPDX-License-Identifier: Apache-2.0
#include "report/html.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <sstream>

#include "base/error.hpp"
#include "report/markup.hpp"
#include "report/run_folder.hpp"

namespace polyphase::report {
namespace {

std::string replaced(const std::string& text, const std::string& what, const std::string& by) {
  return std::regex_replace(text, std::regex(what), by);
}

class HtmlTest : public ::testing::Test {
 protected:
  HtmlTest() {
    folder_.write("status.json", two_phase_status());
    folder_.write("recipe.yaml", "name: demo\nphases: [a, b]\n");
    folder_.write("p1/metrics.jsonl", step_lines(40, "mlm", 10));
    folder_.write("p2/metrics.jsonl", step_lines(20, "classification", 5));
  }
  std::string page() const { return report_html(folder_.path()); }

  RunFolder folder_;
};

TEST_F(HtmlTest, PageIsWellFormedAndHasACurveForEachPhase) {
  const std::string html = page();
  EXPECT_EQ(markup_fault(html), "");
  EXPECT_EQ(count_of(html, "aria-label=\"Loss of "), 2);
  EXPECT_EQ(count_of(html, "aria-label=\"Loss over the run\""), 2);  // wide and narrow
  const std::size_t cards = html.find("<div class=\"phases\">");
  ASSERT_NE(cards, std::string::npos);
  EXPECT_EQ(count_of(html.substr(cards), "<path class=\"solid"), 2);
  EXPECT_EQ(html.find("nothing recorded yet"), std::string::npos);
  for (const char* fact :
       {"0123456789abcdef", "phases: [a, b]", "1 carried, 1 new, 1 left", "SIGTERM"}) {
    EXPECT_NE(html.find(fact), std::string::npos) << fact;
  }
}

// The share of its steps' time, of each axis.
TEST_F(HtmlTest, TheTableTellsHowLongStepsWaited) {
  EXPECT_EQ(page().find(" % data"), std::string::npos);
  folder_.write(
      "p2/metrics.jsonl",
      R"({"kind":"step","step":1,"seconds":2,"data_wait_seconds":0.5,"tensor_wait_seconds":0.25}
{"kind":"step","step":2,"seconds":3,"data_wait_seconds":0.5,"tensor_wait_seconds":0.25}
)");
  const std::string html = page();
  EXPECT_EQ(markup_fault(html), "");
  EXPECT_EQ(count_of(html, "<td>20 % data<br/>10 % tensor</td>"), 1);
}

TEST_F(HtmlTest, APhaseTellsWhatItWasMadeOf) {
  EXPECT_EQ(page().find("what it was made of"), std::string::npos);
  folder_.write("p2/metrics.jsonl",
                "{\"kind\":\"lineage\",\"step\":0,\"lineage\":{\"run\":\"demo\",\"phase\":"
                "\"topic\",\"seed\":7,\"from\":{\"run\":\"<base>\",\"phase\":\"pretrain\","
                "\"step\":30,\"digest\":\"0123456789abcdef\"}}}\n" +
                    step_lines(20, "classification", 5));
  const std::string html = page();
  EXPECT_EQ(markup_fault(html), "");
  EXPECT_EQ(count_of(html, "what it was made of"), 1);
  EXPECT_NE(html.find("from pretrain, step 30, of run &lt;base&gt;, checkpoint 0123456789ab"),
            std::string::npos);
}

// Two jobs, the first stopped: each is a bar from its begin to its end, with a mark a save.
TEST_F(HtmlTest, JobsStandInTheirPlacesOfTime) {
  EXPECT_EQ(page().find("<h2>Jobs</h2>"), std::string::npos);
  folder_.write("starts.json", R"([
    {"job": "7", "array_job": "", "restart": 0, "begun": 1000000000, "ended": 1000000100, "progress": 1,
     "exit_code": 75, "reason": "<signal>"},
    {"job": "7", "array_job": "", "restart": 1, "begun": 1000000300, "ended": 1000000400, "progress": 2,
     "exit_code": 0, "reason": ""}])");
  folder_.write("p1/metrics.jsonl",
                R"({"kind":"step","step":1,"loss":5,"losses":{},"seconds":150}
{"kind":"save","step":1,"time":1000000050.5,"stall_seconds":1.5}
{"kind":"save","step":2,"time":1000000320.0,"stall_seconds":1.5}
{"kind":"save","step":3,"time":1000000380.0,"stall_seconds":0}
)");
  folder_.write("p2/metrics.jsonl", "");
  const std::string html = page();
  EXPECT_EQ(markup_fault(html), "");
  for (const char* part :
       {"goodput 75 %: of the 3:20 that 2 starts had, steps that count took 2:30",
        "3 checkpoints stalled training for 3.00 s, 2.00 % of its steps' time",
        "2001-09-09 01:46:40", "job 7 · saved and stopped: &lt;signal&gt; · 1 save<",
        "class=\"interrupted\" style=\"left:0.00%;width:25.00%\"",
        "job 7, restart 1 · done · 2 saves", "class=\"done\" style=\"left:75.00%;width:25.00%\"",
        "<u style=\"left:12.62%\">", "<u style=\"left:80.00%\">", "<u style=\"left:95.00%\">"}) {
    EXPECT_EQ(count_of(html, part), 1) << part;
  }
}

TEST_F(HtmlTest, PageNeedsNoOtherFile) {
  const std::string html = page();
  for (const char* word :
       {"src=", "href=", "url(", "@import", "http:", "https:", "<script", "<link", "<img"}) {
    EXPECT_EQ(html.find(word), std::string::npos) << word;
  }
}

TEST_F(HtmlTest, HostileStringsAreShownNotObeyed) {
  const std::string evil = R"(</title><script>alert(1)</script>'&)";
  folder_.write(
      "status.json",
      replaced(two_phase_status(),
               "\"(demo|pretrain|mlm \\+ nsp|SIGTERM|head.mlm.bias|done|0123456789abcdef|0.1.0)\"",
               "\"" + replaced(evil, "&", "&") + "\""));
  folder_.write("recipe.yaml", evil + "]]>\x01\xFF");
  folder_.write("p2/metrics.jsonl", step_lines(20, evil, 5) +
                                        "{\"kind\":\"event\",\"step\":9,\"what\":\"" + evil +
                                        "\",\"detail\":\"" + evil + "\"}\n");
  const std::string html = page();
  EXPECT_EQ(markup_fault(html), "");
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_GE(count_of(html, "&lt;script&gt;"), 10);
}

TEST_F(HtmlTest, NotANumberLossesLeaveGapsAndAreCounted) {
  std::string lines = step_lines(20, "classification", 5);
  lines +=
      "{\"kind\":\"step\",\"step\":21,\"loss\":\"nan\",\"losses\":{\"classification\":\"nan\"},"
      "\"learning_rate\":0.001,\"tokens_per_second\":\"inf\"}\n";
  lines +=
      "{\"kind\":\"evaluation\",\"step\":21,\"split\":\"valid\",\"metrics\":{\"loss\":\"nan\","
      "\"accuracy\":\"nan\"}}\n";
  folder_.write("p2/metrics.jsonl", lines);
  const std::string html = page();
  EXPECT_EQ(markup_fault(html), "");
  EXPECT_NE(html.find("1 step with a loss that is not a finite number"), std::string::npos);
  EXPECT_FALSE(std::regex_search(html, std::regex("(points|d|cx|cy|x|y)=\"[^\"]*(nan|inf)")));
}

TEST_F(HtmlTest, MissingAndDamagedFilesStillGiveAPage) {
  std::filesystem::remove(folder_.path() / "recipe.yaml");
  std::filesystem::remove_all(folder_.path() / "p1");
  folder_.write("p2/metrics.jsonl",
                "{\"kind\":\"step\",\"step\":1}\ngarbage\n{\"kind\":\"step\",\"step\":2}\n");
  const std::string html = page();
  EXPECT_EQ(markup_fault(html), "");
  EXPECT_NE(html.find("No curves: "), std::string::npos);
  folder_.write("status.json", "{\"name\": \"empty\", \"phases\": []}");
  EXPECT_EQ(markup_fault(page()), "");
}

TEST_F(HtmlTest, ThousandsOfStepsAreThinned) {
  folder_.write("p1/metrics.jsonl", step_lines(2000, "mlm", 100));
  const std::size_t small = page().size();
  folder_.write("p1/metrics.jsonl", step_lines(20000, "mlm", 1000));
  EXPECT_LT(page().size(), small + small / 5);
}

TEST_F(HtmlTest, PhasesMeasuredAlikeAreCompared) {
  const std::string phase =
      R"({"name": "NAME", "state": "done", "folder": "p2", "from": "FROM", "task": "classification",
                               "step": 20, "total_steps": 20, "metrics": {"test.accuracy": VALUE, "test.loss": 0.3}})";
  const auto made = [&](const char* name, const char* from, const char* value) {
    return replaced(replaced(replaced(phase, "NAME", name), "FROM", from), "VALUE", value);
  };
  folder_.write("status.json", "{\"name\": \"x\", \"phases\": [" + made("a", "", "0.25") + "," +
                                   made("b", "a", "0.5") + "]}");
  const std::string html = page();
  EXPECT_EQ(markup_fault(html), "");
  EXPECT_NE(html.find("classification: accuracy on the test part"), std::string::npos);
  EXPECT_NE(html.find("width:50.0%"), std::string::npos);
  EXPECT_NE(html.find("after a"), std::string::npos);
  EXPECT_EQ(html.find("loss on the test part"), std::string::npos);
}

TEST_F(HtmlTest, ReportIsWrittenBesideTheRun) {
  const std::filesystem::path path = write_report(folder_.path());
  EXPECT_EQ(path, folder_.path() / "report.html");
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), page());
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "report.html.new"));
  std::filesystem::remove(folder_.path() / "status.json");
  EXPECT_THROW(write_report(folder_.path()), DataError);
}

}  // namespace
}  // namespace polyphase::report
