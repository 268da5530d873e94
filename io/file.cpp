// SPDX-License-Identifier: Apache-2.0
#include "io/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <vector>

#include "base/error.hpp"
#include "io/folder.hpp"

namespace polyphase {
namespace {

// Linux moves at most 0x7ffff000 bytes a call; smaller pieces keep the count well inside it.
constexpr std::int64_t kPieceBytes = std::int64_t{1} << 30;

std::string words_of(int error) { return std::generic_category().message(error); }

[[noreturn]] void fail_call(const std::filesystem::path& path, const char* tried, int error) {
  fail<SystemError>("{}: cannot {}: {}; check the path, its permissions and the disk",
                    path.string(), tried, words_of(error));
}

[[noreturn]] void fail_write(const std::filesystem::path& path, std::int64_t num_bytes, int error) {
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    fail<SystemError>(
        "{}: no room: {} ({} bytes needed, {} bytes free); free some space or move the folder to "
        "another disk",
        path.string(), words_of(error), num_bytes, free_bytes(path));
  }
  fail_call(path, "write", error);
}

}  // namespace

CheckedFile::CheckedFile(std::filesystem::path path, int flags) : path_(std::move(path)) {
  do {
    descriptor_ = ::open(path_.c_str(), flags | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) fail_call(path_, (flags & O_CREAT) != 0 ? "create" : "open", errno);
}

CheckedFile::~CheckedFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

CheckedFile CheckedFile::open_read(const std::filesystem::path& path) { return {path, O_RDONLY}; }

CheckedFile CheckedFile::create(const std::filesystem::path& path) {
  return {path, O_RDWR | O_CREAT | O_EXCL};
}

CheckedFile CheckedFile::open_append(const std::filesystem::path& path) {
  return {path, O_RDWR | O_CREAT | O_APPEND};
}

CheckedFile CheckedFile::scratch(const std::filesystem::path& folder) {
  std::string name = (folder / (std::string(kScratchPrefix) + "XXXXXX")).string();
  const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor < 0) fail_call(name, "create a scratch file", errno);
  ::close(descriptor);
  CheckedFile file(name, O_RDWR);
  if (::unlink(name.c_str()) != 0) fail_call(name, "remove", errno);
  return file;
}

std::int64_t CheckedFile::size() const {
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0) fail_call(path_, "look at", errno);
  return status.st_size;
}

void CheckedFile::read_at(std::int64_t offset, void* out, std::int64_t num_bytes) const {
  char* to = static_cast<char*>(out);
  while (num_bytes > 0) {
    const auto piece = static_cast<std::size_t>(std::min(num_bytes, kPieceBytes));
    const ssize_t got = ::pread(descriptor_, to, piece, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_call(path_, "read", errno);
    if (got == 0) {
      fail<DataError>("{}: ends at byte {}, {} bytes too early; it was cut short: make it again",
                      path_.string(), offset, num_bytes);
    }
    to += got;
    offset += got;
    num_bytes -= got;
  }
}

void CheckedFile::write(const void* data, std::int64_t num_bytes) {
  const char* from = static_cast<const char*>(data);
  while (num_bytes > 0) {
    const auto piece = static_cast<std::size_t>(std::min(num_bytes, kPieceBytes));
    const ssize_t done = ::write(descriptor_, from, piece);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail_write(path_, num_bytes, errno);
    from += done;
    num_bytes -= done;
  }
}

void CheckedFile::write_all(std::span<const std::span<const std::byte>> pieces) {
  constexpr std::size_t kPiecesPerCall = 1024;  // Linux takes no more
  std::vector<iovec> rest;
  std::int64_t num_bytes = 0;
  for (const std::span<const std::byte> piece : pieces) {
    // writev(2) wants what it only reads without const.
    if (!piece.empty()) rest.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
    num_bytes += static_cast<std::int64_t>(piece.size());
  }
  for (std::size_t first = 0; first < rest.size();) {
    const std::size_t count = std::min(rest.size() - first, kPiecesPerCall);
    const ssize_t done = ::writev(descriptor_, rest.data() + first, static_cast<int>(count));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail_write(path_, num_bytes, errno);
    num_bytes -= done;
    auto left = static_cast<std::size_t>(done);
    while (first < rest.size() && left >= rest[first].iov_len) left -= rest[first++].iov_len;
    if (left == 0) continue;
    rest[first].iov_base = static_cast<std::byte*>(rest[first].iov_base) + left;
    rest[first].iov_len -= left;
  }
}

void CheckedFile::write_once(std::string_view text) {
  const std::int64_t before = size();
  try {
    write(text.data(), static_cast<std::int64_t>(text.size()));
  } catch (const SystemError&) {
    if (size() > before) truncate(before);
    throw;
  }
}

void CheckedFile::reserve(std::int64_t num_bytes) {
  int result = 0;
  do {
    result = ::fallocate(descriptor_, 0, 0, num_bytes);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return;
  if (errno != EOPNOTSUPP && errno != ENOSYS) fail_write(path_, num_bytes, errno);
  require_free_space(path_, num_bytes);
}

void CheckedFile::truncate(std::int64_t num_bytes) {
  if (::ftruncate(descriptor_, num_bytes) != 0) fail_call(path_, "shorten", errno);
}

void CheckedFile::sync() {
  if (::fsync(descriptor_) != 0) fail_write(path_, size(), errno);
}

void CheckedFile::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (descriptor >= 0 && ::close(descriptor) != 0) fail_write(path_, 0, errno);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  const std::filesystem::path beside = path.string() + ".new";
  std::error_code ignored;
  std::filesystem::remove(beside, ignored);  // what a killed process left
  try {
    CheckedFile file = CheckedFile::create(beside);
    file.write(text.data(), static_cast<std::int64_t>(text.size()));
    file.sync();
    file.close();
    rename_durably(beside, path);
  } catch (...) {
    std::filesystem::remove(beside, ignored);
    throw;
  }
}

std::string read_file(const std::filesystem::path& path, std::int64_t max_bytes) {
  const CheckedFile file = CheckedFile::open_read(path);
  const std::int64_t num_bytes = file.size();
  if (num_bytes > max_bytes) {
    fail<DataError>("{}: {} bytes, where at most {} make sense; it is not such a file",
                    path.string(), num_bytes, max_bytes);
  }
  std::string text(static_cast<std::size_t>(num_bytes), '\0');
  file.read_at(0, text.data(), num_bytes);
  return text;
}

void remove_file(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::remove(path, error);
  if (error) fail_call(path, "remove", error.value());
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail_call(to, "rename what is new to", errno);
  sync_folder(folder_of(to));
}

void remove_tree(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) {
    fail<SystemError>("{}: cannot remove it: {}; remove it by hand", path.string(),
                      error.message());
  }
}

std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    found.push_back(entry->path());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    fail<SystemError>("{}: cannot list the folder: {}; check its permissions", folder.string(),
                      error.message());
  }
  return found;
}

bool exchange_durably(const std::filesystem::path& a, const std::filesystem::path& b) {
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno == EINVAL || errno == ENOSYS) return false;
    fail_call(b, "rename what is new to", errno);
  }
  sync_folder(folder_of(b));
  return true;
}

bool is_there(const std::filesystem::path& path) {
  std::error_code error;
  const bool there = std::filesystem::exists(path, error);
  if (error) fail_call(path, "look at", error.value());
  return there;
}

void sync_folder(const std::filesystem::path& folder) {
  const std::filesystem::path name = folder.empty() ? "." : folder;
  const int descriptor = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail_call(name, "open the folder", errno);
  const int result = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  // Some network file systems have no fsync of folders and say EINVAL; their renames are
  // synchronous.
  if (result != 0 && error != EINVAL) fail_call(name, "sync the folder", error);
}

std::int64_t free_bytes(const std::filesystem::path& path) {
  std::error_code ignored;
  std::filesystem::path place = std::filesystem::absolute(path, ignored);
  while (!std::filesystem::exists(place, ignored) && place.has_relative_path()) {
    place = place.parent_path();
  }
  struct statvfs status = {};
  if (::statvfs(place.c_str(), &status) != 0) fail_call(place, "ask for the free space of", errno);
  return static_cast<std::int64_t>(status.f_bavail) * static_cast<std::int64_t>(status.f_frsize);
}

void require_free_space(const std::filesystem::path& path, std::int64_t num_bytes) {
  const std::int64_t num_free = free_bytes(path);
  if (num_free < num_bytes) {
    fail<SystemError>(
        "{}: no room: {} bytes needed, {} bytes free; free some space or move the folder to "
        "another "
        "disk",
        path.string(), num_bytes, num_free);
  }
}

}  // namespace polyphase
