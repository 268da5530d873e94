// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "io/hdf5_layout.hpp"

namespace polyphase::hdf5 {

// Private to io: what describes one object in the header of an HDF5 file (HDF5 File Format
// Specification, version 3.0, IV.A.2), for files that are read without HDF5.

inline constexpr std::size_t kMaxRank = 8;

[[noreturn]] inline void refuse(const std::filesystem::path& path, const std::string& name,
                                const std::string& what) {
  fail<DataError>("{}: /{} {}; this file was not written by this program: do not use it",
                  path.string(), name, what);
}

// Bytes that are taken from the front.
class Bytes {
 public:
  Bytes(std::string_view bytes, const std::filesystem::path& path) : rest_(bytes), path_(path) {}

  template <class Number>
  Number take() {
    Number value;
    std::memcpy(&value, take(sizeof(Number)).data(), sizeof(Number));
    return value;
  }
  std::string_view take(std::size_t count) {
    if (count > rest_.size())
      fail<DataError>("{}: ends inside a word of its own; it was cut short: make it again",
                      path_.string());
    const std::string_view front = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return front;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  const std::filesystem::path& path_;
};

// Of the messages "datatype" (IV.A.2.d) and "dataspace" (IV.A.2.b), what files of ours hold.
ElementType element_type_of(const std::string& type, const std::filesystem::path& path,
                            const std::string& name);
std::vector<std::int64_t> shape_of(const std::string& space, const std::filesystem::path& path,
                                   const std::string& name);
// Adds what the message "attribute" (IV.A.2.m) says: a 64-bit number or a text.
void read_attribute(const std::string& data, const std::filesystem::path& path,
                    FileContents& contents);

}  // namespace polyphase::hdf5
