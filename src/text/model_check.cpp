// SPDX-License-Identifier: Apache-2.0
#include "text/model_check.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

namespace polyphase::text {
namespace {

static_assert(std::endian::native == std::endian::little, "the tables are read in place");

// Field numbers of sentencepiece_model.proto.
constexpr std::uint32_t kPieces = 1, kNormalizer = 3, kDenormalizer = 5;
constexpr std::uint32_t kPieceText = 1, kPieceType = 3, kCharacterMap = 2;
constexpr std::uint64_t kByteType = 6;
constexpr std::int64_t kMaxPieces = 1 << 24;

// Fields of one serialised message, in order.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}

  bool next() {
    if (rest_.empty() || broken_) return false;
    std::uint64_t tag = 0;
    if (!varint(tag)) return false;
    number = static_cast<std::uint32_t>(tag >> 3);
    bytes = {};
    value = 0;
    switch (tag & 7) {
      case 0:
        return varint(value);
      case 1:
        return take(8);
      case 2: {
        std::uint64_t length = 0;
        return varint(length) && take(length);
      }
      case 5:
        return take(4);
      default:
        broken_ = true;
        return false;
    }
  }

  bool broken() const { return broken_; }

  std::uint32_t number = 0;
  std::uint64_t value = 0;  // of a varint
  std::string_view bytes;   // of anything else

 private:
  bool varint(std::uint64_t& result) {
    result = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      result |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return true;
    }
    broken_ = true;
    return false;
  }

  bool take(std::uint64_t length) {
    if (length > rest_.size()) {
      broken_ = true;
      return false;
    }
    bytes = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return true;
  }

  std::string_view rest_;
  bool broken_ = false;
};

// A unit of a double-array trie as the Darts-clone library lays it out: bits 0 to 7 and 31 the
// label, bit 8 "has a leaf", bit 9 the scale of the offset in bits 10 to 30.
std::uint32_t offset_of(std::uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); }
std::uint32_t label_of(std::uint32_t unit) { return unit & ((1U << 31) | 0xFFU); }
bool has_leaf(std::uint32_t unit) { return ((unit >> 8) & 1U) != 0; }

// Follows every path of the trie, as a look-up with any text could, and checks that it stays inside
// `units` and that every value starts a string inside the table of `num_text_bytes`.
std::string fault_of_trie(const std::vector<std::uint32_t>& units, std::size_t num_text_bytes) {
  std::vector<bool> seen(units.size());
  std::vector<std::uint32_t> open = {0};
  while (!open.empty()) {
    const std::uint32_t node = open.back();
    open.pop_back();
    const std::uint32_t base = node ^ offset_of(units[node]);
    if ((base | 0xFFU) >= units.size()) return "its character map points outside itself";
    // The root's leaf flag is never read.
    if (node != 0 && has_leaf(units[node]) && (units[base] & 0x7FFFFFFFU) >= num_text_bytes) {
      return "its character map points outside its strings";
    }
    for (std::uint32_t byte = 1; byte < 256; ++byte) {
      const std::uint32_t child = base ^ byte;
      if (label_of(units[child]) != byte || seen[child]) continue;
      seen[child] = true;
      open.push_back(child);
    }
  }
  return "";
}

std::string fault_of_character_map(std::string_view map) {
  if (map.empty()) return "";
  std::uint32_t num_trie_bytes = 0;
  if (map.size() <= sizeof num_trie_bytes) return "its character map is cut off";
  std::memcpy(&num_trie_bytes, map.data(), sizeof num_trie_bytes);
  map.remove_prefix(sizeof num_trie_bytes);
  if (num_trie_bytes >= map.size() || num_trie_bytes % 4 != 0 || num_trie_bytes < 1024) {
    return "its character map has a wrong size";
  }
  std::vector<std::uint32_t> units(num_trie_bytes / 4);
  std::memcpy(units.data(), map.data(), num_trie_bytes);
  if (map.back() != '\0') return "its character map does not end its last string";
  return fault_of_trie(units, map.size() - num_trie_bytes);
}

std::string fault_of_normalizer(std::string_view message) {
  Fields fields(message);
  while (fields.next()) {
    if (fields.number != kCharacterMap) continue;
    if (const std::string fault = fault_of_character_map(fields.bytes); !fault.empty()) {
      return fault;
    }
  }
  return fields.broken() ? "its normaliser is cut off" : "";
}

bool is_byte_piece(std::string_view piece) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return piece.size() == 6 && piece.starts_with("<0x") && piece[5] == '>' &&
         kDigits.find(piece[3]) != kDigits.npos && kDigits.find(piece[4]) != kDigits.npos;
}

std::string fault_of_piece(std::string_view message, std::int64_t id) {
  Fields fields(message);
  std::string_view piece;
  std::uint64_t type = 1;
  while (fields.next()) {
    if (fields.number == kPieceText) piece = fields.bytes;
    if (fields.number == kPieceType) type = fields.value;
  }
  if (fields.broken()) return fmt::format("piece {} is cut off", id);
  if (piece.empty() || piece.find('\0') != piece.npos) {
    return fmt::format("piece {} is empty or holds a NUL byte", id);
  }
  if (type == kByteType && !is_byte_piece(piece)) {
    return fmt::format("byte piece {} does not name a byte", id);
  }
  return "";
}

}  // namespace

std::string fault_of_model(std::string_view model) {
  Fields fields(model);
  std::int64_t num_pieces = 0;
  while (fields.next()) {
    std::string fault;
    if (fields.number == kPieces) fault = fault_of_piece(fields.bytes, num_pieces++);
    if (fields.number == kNormalizer || fields.number == kDenormalizer) {
      fault = fault_of_normalizer(fields.bytes);
    }
    if (!fault.empty()) return fault;
    if (num_pieces > kMaxPieces) return fmt::format("it has more than {} pieces", kMaxPieces);
  }
  if (fields.broken()) return "it is cut off or not a SentencePiece model";
  if (num_pieces == 0) return "it has no pieces";
  return "";
}

}  // namespace polyphase::text
