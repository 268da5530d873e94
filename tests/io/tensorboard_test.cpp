// SPDX-License-Identifier: Apache-2.0
#include "io/tensorboard.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "io/file.hpp"
#include "scratch_folder.hpp"

namespace polyphase {
namespace {

using nlohmann::json;

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

// Records of an event file, by their lengths.
std::vector<std::string> records_of(const std::filesystem::path& folder) {
  const std::string text = read_file(folder / TensorBoardWriter::kFile);
  std::vector<std::string> records;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length =
        16 + static_cast<unsigned char>(text[at]) + 256 * static_cast<unsigned char>(text[at + 1]);
    records.push_back(text.substr(at, length));
    at += length;
  }
  return records;
}

json step(int number, double loss) { return {{"kind", "step"}, {"step", number}, {"loss", loss}}; }

// The bytes that the Python package tensorboard 2.21 writes for the same (RecordWriter, Event).
TEST(TensorBoard, RecordsAreThoseOfItsOwnWriter) {
  EXPECT_EQ(tensorboard::masked_crc32c("123456789"), 0xc78ab0e5U);
  const json record = {{"kind", "step"}, {"step", 300}, {"loss", 2.5}, {"losses", {{"mlm", -0.1}}}};
  EXPECT_EQ(hex(tensorboard::event_record(record, 1.5)),
            "3a000000000000001295eae209000000000000f83f10ac022a2c0a110a0a747261696e2f6c6f7373150000"
            "20400a170a10747261696e2f6c6f737365732f6d6c6d15cdccccbdc8095a65");
}

TEST(TensorBoard, EvaluationsGoByTheirPartAndWhatHasNoNumbersIsLeftOut) {
  const json evaluation = {{"kind", "evaluation"},
                           {"step", 7},
                           {"split", "valid"},
                           {"metrics", {{"accuracy", std::nan("")}}}};
  EXPECT_NE(tensorboard::event_record(evaluation, 0).find("valid/accuracy"), std::string::npos);
  EXPECT_EQ(tensorboard::event_record({{"kind", "event"}, {"step", 7}, {"what", "stopped"}}, 0),
            "");
}

TEST(TensorBoard, FileIsMadeAnewFromTheRecordsThatStayed) {
  const ScratchFolder scratch;
  {
    TensorBoardWriter board(scratch.path(), {});
    for (int number = 1; number <= 4; ++number) board.append(step(number, 0.5));
  }
  EXPECT_EQ(records_of(scratch.path()).size(), 5U);  // the version first
  TensorBoardWriter board(scratch.path(), {step(1, 0.5), step(2, 0.5)});
  board.append(step(3, 0.25));
  const std::vector<std::string> records = records_of(scratch.path());
  ASSERT_EQ(records.size(), 4U);
  EXPECT_NE(records[0].find("brain.Event:2"), std::string::npos);
  EXPECT_EQ(records[3].substr(12 + 9, 2), "\x10\x03");  // behind the time: field 2, step 3
}

}  // namespace
}  // namespace polyphase
