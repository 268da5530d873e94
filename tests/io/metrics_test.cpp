// SPDX-License-Identifier: Apache-2.0
#include "io/metrics.hpp"

#include <cmath>
#include <limits>

#include "base/error.hpp"
#include "scratch_folder.hpp"

namespace polyphase {
namespace {

nlohmann::json step_record(std::int64_t step) {
  return {{"kind", "step"}, {"step", step}, {"loss", 1.0 / static_cast<double>(step + 3)}};
}

TEST(Metrics, NumbersComeBackToTheLastBit) {
  const ScratchFolder folder;
  MetricsWriter writer(folder / "m.jsonl");
  for (std::int64_t step = 0; step < 100; ++step) writer.append(step_record(step));
  const auto records = read_metrics(folder / "m.jsonl");
  ASSERT_EQ(records.size(), 100U);
  for (std::int64_t step = 0; step < 100; ++step) {
    EXPECT_EQ(records[static_cast<std::size_t>(step)], step_record(step));
  }
}

TEST(Metrics, NumbersThatAreNotFiniteSurvive) {
  const ScratchFolder folder;
  const double infinity = std::numeric_limits<double>::infinity();
  MetricsWriter writer(folder / "m.jsonl");
  writer.append({{"kind", "step"},
                 {"step", 1},
                 {"loss", std::nan("")},
                 {"losses", {{"mlm", infinity}, {"nsp", -infinity}}}});
  writer.append({{"kind", "event"}, {"step", 1}, {"what", "diverged"}, {"detail", "nan"}});
  const auto records = read_metrics(folder / "m.jsonl");
  ASSERT_EQ(records.size(), 2U);
  EXPECT_TRUE(std::isnan(records[0]["loss"].get<double>()));
  EXPECT_EQ(records[0]["losses"]["mlm"].get<double>(), infinity);
  EXPECT_EQ(records[0]["losses"]["nsp"].get<double>(), -infinity);
  EXPECT_EQ(records[1]["detail"], "nan");
}

TEST(Metrics, ATornLastLineIsLeftOutAndThenWrittenOver) {
  const ScratchFolder folder;
  MetricsWriter(folder / "m.jsonl").append(step_record(1));
  put_bytes(folder / "m.jsonl", bytes_of(folder / "m.jsonl") + R"({"kind":"step","st)");
  EXPECT_EQ(read_metrics(folder / "m.jsonl").size(), 1U);
  MetricsWriter(folder / "m.jsonl").append(step_record(2));
  const auto records = read_metrics(folder / "m.jsonl");
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[1], step_record(2));
}

TEST(Metrics, OtherDamageIsNamedByLine) {
  const ScratchFolder folder;
  MetricsWriter(folder / "m.jsonl").append(step_record(1));
  put_bytes(folder / "m.jsonl", bytes_of(folder / "m.jsonl") + "{\"kind\":\n");
  const std::string message = message_of<DataError>([&] { read_metrics(folder / "m.jsonl"); });
  EXPECT_TRUE(contains(message, "m.jsonl:2:")) << message;
}

TEST(Metrics, ResumeForgetsWhatCameAfterItsStep) {
  const ScratchFolder folder;
  MetricsWriter writer(folder / "m.jsonl");
  for (std::int64_t step = 1; step <= 10; ++step) writer.append(step_record(step));
  const std::string straight = bytes_of(folder / "m.jsonl");
  writer.truncate_after(6);
  EXPECT_EQ(read_metrics(folder / "m.jsonl").size(), 6U);
  for (std::int64_t step = 7; step <= 10; ++step) writer.append(step_record(step));
  EXPECT_EQ(bytes_of(folder / "m.jsonl"), straight);
}

TEST(Metrics, NoFileMeansNoRecords) {
  const ScratchFolder folder;
  EXPECT_TRUE(read_metrics(folder / "absent").empty());
}

}  // namespace
}  // namespace polyphase
