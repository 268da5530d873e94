// SPDX-License-Identifier: Apache-2.0
#include "io/lineage.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "io/checkpoint.hpp"
#include "io/metrics.hpp"
#include "tests/io/scratch_folder.hpp"

namespace polyphase {
namespace {

// A phase that started from another run's and had a teacher.
Lineage three_phases() {
  Lineage base = {.run = "inf", .phase = "nan", .step = 30, .digest = "d1", .seed = 1};
  base.versions = {"0.1.0"};
  Lineage teacher = {.run = "big", .round = 3, .phase = "topic", .step = 12, .digest = "d2"};
  Lineage lineage = {.run = "small", .round = 2, .phase = "topic", .seed = 9};
  lineage.versions = {"0.1.0", "0.2.0"};
  lineage.changes = {"phases.topic.dropout: 0.1 → 0.2"};
  lineage.tokenizer = "t";
  lineage.corpora = {{"topics", "c"}};
  Lineage made = {.run = "small", .phase = "maker", .digest = "d3", .seed = 9};
  made.generation = {{"beams", 4}};
  lineage.made["topics"] = std::make_shared<const Lineage>(made);
  lineage.from = std::make_shared<const Lineage>(base);
  lineage.teacher = std::make_shared<const Lineage>(teacher);
  return lineage;
}

// A checkpoint of one tensor, which the last of the writers has.
std::filesystem::path write(const std::filesystem::path& folder, int num_writers, float value,
                            const nlohmann::json& state) {
  const std::vector<float> values(12, value);
  std::vector<PartReport> reports;
  const std::filesystem::path tmp = folder.string() + ".tmp";
  for (int writer = 0; writer < num_writers; ++writer) {
    std::vector<TensorPart> parts;
    if (writer == num_writers - 1)
      parts.push_back({"parameters/w", {6, 2}, -1, 0, {6, 2}, values.data()});
    reports.push_back(write_checkpoint_part(tmp, writer, parts));
  }
  commit_checkpoint(tmp, folder, reports, state);
  return folder;
}

class LineageTest : public ::testing::Test {
 protected:
  ScratchFolder scratch_;
};

TEST_F(LineageTest, ComesBackFromJsonWithItsAncestors) {
  const nlohmann::json json = three_phases();
  const auto back = json.get<Lineage>();
  EXPECT_EQ(nlohmann::json(back), json);
  EXPECT_EQ(back.from->run, "inf");
  EXPECT_EQ(back.teacher->round, 3);
  EXPECT_EQ(back.versions.size(), 2U);
  EXPECT_EQ(back.made.at("topics")->digest, "d3");
  EXPECT_EQ(back.made.at("topics")->generation.at("beams"), 4);
  EXPECT_TRUE(back.generation.is_null());
  EXPECT_EQ(back.from->from, nullptr);
}

TEST_F(LineageTest, IsWordsInMetricsWhateverTheyAre) {
  const std::filesystem::path file = scratch_ / "metrics.jsonl";
  MetricsWriter(file).append({{"kind", "lineage"}, {"step", 0}, {"lineage", three_phases()}});
  const auto back = read_metrics(file).at(0).at("lineage").get<Lineage>();
  EXPECT_EQ(back.from->phase, "nan");
  EXPECT_EQ(back.from->run, "inf");
}

TEST_F(LineageTest, CheckpointsRecordHasItsStepAndDigest) {
  const auto folder =
      write(scratch_ / "step-000012", 1, 1.5F,
            {{"phase", "topic"}, {"phase_state", {{"step", 12}}}, {"lineage", three_phases()}});
  const Lineage lineage = lineage_of_checkpoint(folder);
  EXPECT_EQ(lineage.step, 12);
  EXPECT_EQ(lineage.digest, CheckpointReader(folder).digest());
  EXPECT_EQ(lineage.digest.size(), 32U);
  EXPECT_EQ(lineage.from->phase, "nan");
}

TEST_F(LineageTest, AnOlderCheckpointGivesWhatItKnows) {
  const auto folder = write(scratch_ / "step-000004", 1, 1.5F,
                            {{"phase", "topic"}, {"phase_state", {{"step", 4}}}});
  const Lineage lineage = lineage_of_checkpoint(folder);
  EXPECT_EQ(lineage.phase, "topic");
  EXPECT_EQ(lineage.step, 4);
  EXPECT_EQ(lineage.run, "");
}

TEST_F(LineageTest, ARecordThatIsNoneIsRefused) {
  const auto folder = write(scratch_ / "step-000004", 1, 1.5F, {{"lineage", {{"run", 5}}}});
  EXPECT_THROW(lineage_of_checkpoint(folder), DataError);
}

TEST_F(LineageTest, ADigestIsOfTheTensorsAlone) {
  const auto digest_of = [](const std::filesystem::path& folder) {
    return CheckpointReader(folder).digest();
  };
  const auto one = write(scratch_ / "step-000001", 1, 1.5F, {{"seconds", 1.5}});
  EXPECT_EQ(digest_of(one), digest_of(write(scratch_ / "a", 2, 1.5F, {{"seconds", 2.5}})));
  EXPECT_NE(digest_of(one), digest_of(write(scratch_ / "b", 1, 1.25F, {{"seconds", 1.5}})));
}

}  // namespace
}  // namespace polyphase
