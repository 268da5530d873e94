// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace polyphase {

// An event file that TensorBoard reads, beside metrics.jsonl and made of its records: of a step its
// numbers ("train/loss", "train/losses/mlm", "train/learning_rate" …), of an evaluation its metrics
// ("valid/accuracy" …). The form is TensorFlow's record file (length, masked CRC-32C, data, masked
// CRC-32C) of event.proto messages, as tensorflow/core/lib/io/record_writer.h and
// tensorflow/core/util/event.proto describe them.
class TensorBoardWriter {
 public:
  static constexpr const char* kFile = "events.out.tfevents.polyphase";

  // Writes the file in `folder` anew from what metrics.jsonl holds: so it never has steps that a
  // resumed phase makes again. SystemError when it cannot.
  TensorBoardWriter(const std::filesystem::path& folder,
                    const std::vector<nlohmann::json>& records);
  ~TensorBoardWriter();

  // A record of metrics.jsonl; one without scalars adds nothing.
  void append(const nlohmann::json& record);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

namespace tensorboard {

// CRC-32C (Castagnoli; RFC 3720, appendix B.4), masked as TensorFlow stores it.
std::uint32_t masked_crc32c(const std::string& bytes);

// One record of the file: the scalars of a record of metrics.jsonl at a time in seconds since 1970;
// empty where it has none.
std::string event_record(const nlohmann::json& record, double wall_seconds);

}  // namespace tensorboard
}  // namespace polyphase
