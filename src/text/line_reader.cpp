// SPDX-License-Identifier: Apache-2.0
#include "text/line_reader.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.hpp"

namespace polyphase::text {
namespace {

constexpr std::size_t kReadBytes = std::size_t{256} << 10;

int open_regular(const std::string& path, std::int64_t& num_bytes) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    fail<DataError>("{}: cannot be opened: {}; give the path of a readable text file", path,
                    std::strerror(errno));
  }
  struct stat status {};
  const bool known = ::fstat(file, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(file);
    fail<DataError>("{}: is {}; give the path of a text file", path,
                    known && S_ISDIR(status.st_mode) ? "a folder" : "not a regular file");
  }
  num_bytes = status.st_size;
  return file;
}

// The length of the well-formed UTF-8 character at `p`, or 0. Bounds of the second byte exclude
// overlong forms, surrogates and code points above U+10FFFF (RFC 3629, section 4).
std::size_t character_bytes(const unsigned char* p, std::size_t available) {
  const unsigned char first = p[0];
  const std::size_t length = first < 0xC2   ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length == 0 || length > available) return 0;
  const unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (p[1] < low || p[1] > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((p[i] & 0xC0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t") == line.npos; }

std::size_t valid_utf8_prefix(std::string_view bytes) {
  constexpr std::uint64_t kHigh = 0x8080808080808080ULL, kOnes = 0x0101010101010101ULL;
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t i = 0;
  while (i < bytes.size()) {
    // Eight plain characters at once: no high bit, no zero byte.
    for (std::uint64_t word; i + 8 <= bytes.size(); i += 8) {
      std::memcpy(&word, p + i, 8);
      if (((word | (word - kOnes)) & kHigh) != 0) break;
    }
    if (i == bytes.size()) break;
    if (p[i] == 0) return i;
    const std::size_t length = p[i] < 0x80 ? 1 : character_bytes(p + i, bytes.size() - i);
    if (length == 0) return i;
    i += length;
  }
  return bytes.size();
}

LineReader::LineReader(FilePart part, StreamingDigest* digest)
    : part_(std::move(part)), digest_(digest) {
  file_ = open_regular(part_.path, file_bytes_);
  if (part_.end < 0) part_.end = file_bytes_;
  const bool shrank = part_.end > file_bytes_ || part_.begin > part_.end;
  const bool empty = file_bytes_ == 0;
  if (shrank || empty) {
    ::close(file_);
    if (empty) fail<DataError>("{}: is empty; a corpus needs text", part_.path);
    fail<DataError>("{}: has {} bytes, of which {} to {} were asked; it changed while it was read",
                    part_.path, file_bytes_, part_.begin, part_.end);
  }
  read_offset_ = offset_ = part_.begin;
  line_number_ = part_.first_line - 1;
  buffer_.resize(static_cast<std::size_t>(kMaxLineBytes) + kReadBytes);
}

LineReader::~LineReader() { ::close(file_); }

std::string LineReader::place() const { return fmt::format("{}:{}", part_.path, line_number_); }

bool LineReader::fill() {
  if (read_offset_ == part_.end) return false;
  if (head_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + head_, tail_ - head_);
    tail_ -= head_;
    head_ = 0;
  }
  const auto wanted = static_cast<std::size_t>(part_.end - read_offset_);
  const std::size_t space = std::min({wanted, buffer_.size() - tail_, kReadBytes});
  ssize_t got = 0;
  do {
    got = ::pread(file_, buffer_.data() + tail_, space, read_offset_);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    fail<SystemError>("{}: cannot be read at byte {}: {}; check the disk", part_.path, read_offset_,
                      std::strerror(errno));
  }
  if (got == 0) {
    fail<DataError>("{}: ends at byte {} instead of {}; it changed while it was read", part_.path,
                    read_offset_, part_.end);
  }
  if (digest_ != nullptr) digest_->update(buffer_.data() + tail_, static_cast<std::size_t>(got));
  tail_ += static_cast<std::size_t>(got);
  read_offset_ += got;
  return true;
}

bool LineReader::next(std::string_view& line) {
  const bool first_of_file = offset_ == 0;
  if (!next_whole(line)) return false;
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (first_of_file && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  return true;
}

bool LineReader::next_whole(std::string_view& line) {
  std::size_t searched = 0;  // bytes behind head_ known to hold no line end
  const char* end = nullptr;
  while (true) {
    const char* start = buffer_.data() + head_;
    const std::size_t available = tail_ - head_;
    end = static_cast<const char*>(std::memchr(start + searched, '\n', available - searched));
    const std::size_t length = end != nullptr ? static_cast<std::size_t>(end - start) : available;
    if (length > static_cast<std::size_t>(kMaxLineBytes)) {
      fail<DataError>("{}:{}: line of more than {} bytes; text has one sentence a line", part_.path,
                      line_number_ + 1, kMaxLineBytes);
    }
    if (end != nullptr) break;
    searched = available;
    if (!fill()) break;
  }
  const std::size_t length =
      end != nullptr ? static_cast<std::size_t>(end - (buffer_.data() + head_)) + 1 : tail_ - head_;
  if (length == 0) return false;
  line = std::string_view(buffer_.data() + head_, length);
  head_ += length;
  offset_ += static_cast<std::int64_t>(length);
  ++line_number_;
  check(line);
  return true;
}

void LineReader::check(std::string_view line) const {
  const std::size_t valid = valid_utf8_prefix(line);
  if (valid == line.size()) return;
  const auto byte = static_cast<unsigned char>(line[valid]);
  if (byte == 0) {
    fail<BadLine>("{}: NUL byte at column {}: this is a binary file (or UTF-16); give UTF-8 text",
                  place(), valid + 1);
  }
  fail<BadLine>(
      "{}: byte 0x{:02X} at column {} is not UTF-8; convert the file, for instance with iconv -t "
      "UTF-8",
      place(), byte, valid + 1);
}

}  // namespace polyphase::text
