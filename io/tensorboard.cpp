// SPDX-License-Identifier: Apache-2.0
#include "io/tensorboard.hpp"

#include <bit>
#include <cstdint>

#include "base/clock.hpp"
#include "io/file.hpp"

namespace polyphase {
namespace {

using nlohmann::json;

// Little-endian bytes.
template <class T>
std::string fixed(T value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    bytes += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff);
  return bytes;
}

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

// Fields of protocol buffers: number and kind, then the value.
std::string varint_field(int number, std::uint64_t value) {
  return varint(static_cast<std::uint64_t>(number) << 3) + varint(value);
}
std::string double_field(int number, double value) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 1) +
         fixed(std::bit_cast<std::uint64_t>(value));
}
std::string bytes_field(int number, const std::string& bytes) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string float_field(int number, float value) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 5) +
         fixed(std::bit_cast<std::uint32_t>(value));
}

std::string framed(const std::string& data) {
  const std::string length = fixed(static_cast<std::uint64_t>(data.size()));
  return length + fixed(tensorboard::masked_crc32c(length)) + data +
         fixed(tensorboard::masked_crc32c(data));
}

// Numbers of an object, also those of objects in it, as values of a Summary.
std::string summary_of(const json& object, const std::string& path) {
  std::string summary;
  for (const auto& [name, value] : object.items()) {
    const std::string tag = path + "/" + name;
    if (value.is_object()) {
      summary += summary_of(value, tag);
    } else if (value.is_number()) {
      summary += bytes_field(1, bytes_field(1, tag) + float_field(2, value.get<float>()));
    }
  }
  return summary;
}

std::string first_record() {
  return framed(double_field(1, seconds_since_1970()) + bytes_field(3, "brain.Event:2"));
}

}  // namespace

namespace tensorboard {

std::uint32_t masked_crc32c(const std::string& bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? std::uint32_t{0x82f63b78} : 0);
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8;
}

std::string event_record(const json& record, double wall_seconds) {
  std::string summary;
  if (record.at("kind") == "step") {
    json numbers = record;
    numbers.erase("step");
    summary = summary_of(numbers, "train");
  } else if (record.at("kind") == "evaluation") {
    summary = summary_of(record.at("metrics"), record.value("split", "valid"));
  }
  if (summary.empty()) return "";
  return framed(double_field(1, wall_seconds) +
                varint_field(2, record.at("step").get<std::uint64_t>()) + bytes_field(5, summary));
}

}  // namespace tensorboard

struct TensorBoardWriter::State {
  CheckedFile file;
};

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder,
                                     const std::vector<json>& records) {
  const std::filesystem::path path = folder / kFile;
  std::string text = first_record();
  for (const json& record : records)
    text += tensorboard::event_record(record, seconds_since_1970());
  write_file_atomically(path, text);
  state_.reset(new State{CheckedFile::open_append(path)});
}

TensorBoardWriter::~TensorBoardWriter() = default;

void TensorBoardWriter::append(const json& record) {
  const std::string event = tensorboard::event_record(record, seconds_since_1970());
  if (!event.empty()) state_->file.write_once(event);
}

}  // namespace polyphase
