// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace polyphase::text {

inline constexpr std::int64_t kMaxLineBytes = std::int64_t{1} << 20;

// A line, or a sample of several, that breaks its format: reading can go on behind it.
struct BadLine : DataError {
  using DataError::DataError;
};

// A stretch of whole lines of a file: bytes [begin, end), the first of which is line `first_line`
// (from 1).
struct FilePart {
  std::string path;
  std::int64_t begin = 0;
  std::int64_t end = -1;  // -1: to the end of the file
  std::int64_t first_line = 1;
};

// Lines of UTF-8 text, read in pieces: memory stays below a few MiB whatever the file's size. LF
// and CR LF both end a line, the last one may lack its end, and a byte order mark at the start of a
// file is dropped. Throws DataError, with file:line, for a file that cannot be opened, is a folder,
// is empty, shrank since its parts were cut, or has a line longer than kMaxLineBytes; BadLine for a
// line that holds a NUL byte or bad UTF-8; SystemError when the disk fails.
class LineReader {
 public:
  // Feeds every byte read to `digest` when one is given.
  explicit LineReader(FilePart part, StreamingDigest* digest = nullptr);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line without its end; false behind the last one. The view holds until the next call.
  bool next(std::string_view& line);

  // The same with its end, byte for byte: a byte order mark stays, too.
  bool next_whole(std::string_view& line);

  std::int64_t line_number() const { return line_number_; }  // of the line given last
  std::int64_t offset() const { return offset_; }            // of the first byte behind it
  std::int64_t file_bytes() const { return file_bytes_; }
  const std::string& path() const { return part_.path; }
  std::string place() const;  // "file:line" of the line given last

 private:
  bool fill();
  void check(std::string_view line) const;

  FilePart part_;
  StreamingDigest* digest_;
  int file_ = -1;
  std::int64_t file_bytes_ = 0;
  std::int64_t read_offset_ = 0;  // of the next byte to read from the file
  std::int64_t offset_ = 0;
  std::int64_t line_number_ = 0;
  std::vector<char> buffer_;
  std::size_t head_ = 0, tail_ = 0;  // unread bytes of the buffer
};

// True for a line of blanks and tabs only.
bool is_blank(std::string_view line);

// Number of leading bytes of `bytes` that are well-formed UTF-8 without NUL (RFC 3629: no
// surrogates, no overlong forms); bytes.size() when all are.
std::size_t valid_utf8_prefix(std::string_view bytes);

}  // namespace polyphase::text
