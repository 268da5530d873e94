// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5_messages.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

namespace polyphase::hdf5 {
namespace {

static_assert(std::endian::native == std::endian::little, "files of ours are read as they lie");

namespace fs = std::filesystem;
using std::string_view_literals::operator""sv;

constexpr std::size_t kMaxTextBytes = 65536;

}  // namespace

// Class, byte order and sign, size, offset and precision in bits; of real numbers also where
// exponent and mantissa lie, and the exponent's bias.
ElementType element_type_of(const std::string& type, const fs::path& path,
                            const std::string& name) {
  static const std::array<std::pair<std::string_view, ElementType>, 5> kTypes = {{
      {"\x10\0\0\0\2\0\0\0\0\0\x10\0"sv, ElementType::kUint16},
      {"\x10\0\0\0\4\0\0\0\0\0\x20\0"sv, ElementType::kUint32},
      {"\x10\x08\0\0\4\0\0\0\0\0\x20\0"sv, ElementType::kInt32},
      {"\x10\x08\0\0\x08\0\0\0\0\0\x40\0"sv, ElementType::kInt64},
      {"\x11\x20\x1f\0\4\0\0\0\0\0\x20\0\x17\x08\0\x17\x7f\0\0\0"sv, ElementType::kFloat32},
  }};
  for (const auto& [bytes, known] : kTypes) {
    if (type.starts_with(bytes)) return known;
  }
  refuse(path, name, "is of a type other than uint16, uint32, int32, int64 and float32");
}

std::vector<std::int64_t> shape_of(const std::string& space, const fs::path& path,
                                   const std::string& name) {
  Bytes bytes(space, path);
  const auto version = bytes.take<std::uint8_t>();
  const std::size_t rank = bytes.take<std::uint8_t>();
  const auto flags = bytes.take<std::uint8_t>();
  if (version != 1 || rank < 1 || rank > kMaxRank) refuse(path, name, "has a rank outside 1 to 8");
  bytes.take(5);
  std::vector<std::int64_t> shape;
  for (std::size_t d = 0; d < rank; ++d) {
    const auto extent = bytes.take<std::uint64_t>();
    if (extent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      refuse(path, name, "has an extent that can grow or does not fit");
    shape.push_back(static_cast<std::int64_t>(extent));
  }
  for (std::size_t d = 0; d < rank && (flags & 1) != 0; ++d) {
    if (bytes.take<std::uint64_t>() != static_cast<std::uint64_t>(shape[d]))
      refuse(path, name, "has an extent that can grow or does not fit");
  }
  return shape;
}

void read_attribute(const std::string& data, const fs::path& path, FileContents& contents) {
  const auto padded = [](std::size_t size) { return (size + 7) / 8 * 8; };
  Bytes bytes(data, path);
  const auto version = bytes.take<std::uint8_t>();
  bytes.take(1);
  const auto name_bytes = bytes.take<std::uint16_t>(), type_bytes = bytes.take<std::uint16_t>(),
             space_bytes = bytes.take<std::uint16_t>();
  if (version != 1) refuse(path, "", "has an attribute of a newer form");
  std::string name(bytes.take(padded(name_bytes)));
  name.resize(std::min(name.find('\0'), name.size()));
  const std::string_view type = bytes.take(padded(type_bytes));
  const std::string_view space = bytes.take(padded(space_bytes));
  if (!is_allowed_name(name)) refuse(path, name, "has a name that is not allowed");
  if (space.substr(0, 2) != "\1\0"sv) refuse(path, name, "is not a single value");
  if (type.starts_with("\x10\x08\0\0\x08\0\0\0\0\0\x40\0"sv)) {
    contents.numbers[name] = bytes.take<std::int64_t>();
    return;
  }
  Bytes words(type, path);
  const auto kind = words.take<std::uint8_t>();
  words.take(3);
  const std::size_t size = words.take<std::uint32_t>();
  if (kind != 0x13 || size > kMaxTextBytes)
    refuse(path, name, "is neither a 64-bit number nor a short fixed-length text");
  const std::string text(bytes.take(size));
  contents.texts[name] = text.substr(0, text.find('\0'));
}

}  // namespace polyphase::hdf5
