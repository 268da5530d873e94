// SPDX-License-Identifier: Apache-2.0
#include "report/plateau.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "report/html.hpp"
#include "report/run_folder.hpp"
#include "report/status_text.hpp"

namespace polyphase::report {
namespace {

constexpr const char* kCorpus = "{\"kind\":\"corpus\",\"step\":0,\"unigram_nats\":6.0}\n";

// Losses of 200 steps: about the plateau until `end`, then falling by 0.01 a step.
std::string long_plateau(int end) {
  std::string lines = kCorpus;
  for (int step = 1; step <= 200; ++step) {
    const double loss = 6.0 + (step % 2 == 0 ? 0.2 : -0.2) - 0.01 * std::max(0, step - end);
    lines += fmt::format(
        "{{\"kind\":\"step\",\"step\":{0},\"loss\":{1},\"losses\":{{\"mlm\":{1}}}}}\n", step, loss);
  }
  return lines;
}

std::optional<Plateau> plateau_in(const std::string& metrics) {
  const RunFolder folder;
  folder.write("m.jsonl", metrics);
  return plateau_of(read_history(folder.path() / "m.jsonl"));
}

TEST(PlateauTest, ALossClearlyBelowTheEntropyHasPassedIt) {
  const auto plateau = plateau_in(long_plateau(100));
  ASSERT_TRUE(plateau && plateau->passed_step);
  EXPECT_GE(*plateau->passed_step, 110);  // one lucky step counts for little
  EXPECT_LE(*plateau->passed_step, 130);
  EXPECT_EQ(plateau_text(*plateau), fmt::format("passed the unigram plateau (6.00 nats) at step {}",
                                                *plateau->passed_step));
}

TEST(PlateauTest, ALossAboutTheEntropyHasNot) {
  const auto plateau = plateau_in(long_plateau(200));
  ASSERT_TRUE(plateau);
  EXPECT_FALSE(plateau->passed_step);
  EXPECT_NE(plateau_text(*plateau).find("still on the unigram plateau (6.00 nats)"),
            std::string::npos);
}

TEST(PlateauTest, OnlyMaskedLanguageModelsHaveOne) {
  EXPECT_FALSE(plateau_in(kCorpus + step_lines(20, "clm", 5)));
  EXPECT_FALSE(plateau_in(step_lines(20, "mlm", 5)));
}

TEST(PlateauTest, PageAndStatusTellOfIt) {
  const RunFolder folder;
  folder.write("status.json", two_phase_status());
  folder.write("p1/metrics.jsonl", kCorpus + step_lines(40, "mlm", 10));
  folder.write("p2/metrics.jsonl", step_lines(20, "classification", 10));
  const std::string text = "passed the unigram plateau (6.00 nats) at step 10";
  EXPECT_NE(status_text(folder.path(), 100).find("pretrain: " + text + "\n"), std::string::npos);
  const std::string page = report_html(folder.path());
  EXPECT_NE(page.find(text), std::string::npos);
  EXPECT_NE(page.find("unigram plateau, 6.00"), std::string::npos);
  EXPECT_NE(page.find("<path class=\"level c0\""), std::string::npos);
}

}  // namespace
}  // namespace polyphase::report
