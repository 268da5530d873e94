// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace polyphase {

// Replaces the file at `path` by `text` so that a kill at any moment leaves the old or the new
// file, whole: temporary name beside it, fsync, rename, fsync of the folder. Throws SystemError.
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

// Returns the whole file. Throws SystemError when it can't be read, DataError above `max_bytes`.
std::string read_file(const std::filesystem::path& path,
                      std::int64_t max_bytes = std::int64_t{1} << 30);

// Removes a file; nothing to do when it is not there. Throws SystemError.
void remove_file(const std::filesystem::path& path);

// What the names of scratch files begin with; one that a killed process left is nobody's.
inline constexpr const char* kScratchPrefix = ".scratch-";

// Makes the names in `folder` (new, renamed, removed ones) survive a power cut.
void sync_folder(const std::filesystem::path& folder);

// Renames `from` to `to` (replacing a file, or an empty folder) and syncs the folder around. Throws
// SystemError.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

// The folder that a file lies in: "." for a bare name.
std::filesystem::path folder_of(const std::filesystem::path& path);

// Bytes that an ordinary user may still write in the file system of `path` (of its nearest existing
// folder).
std::int64_t free_bytes(const std::filesystem::path& path);

// Throws SystemError with needed and free bytes unless `num_bytes` more fit beside `path`.
void require_free_space(const std::filesystem::path& path, std::int64_t num_bytes);

// An open file descriptor whose every call is checked: short counts are continued, and errors are
// SystemError with path, what was tried, the system's words and, for a full disk, bytes needed and
// bytes free.
class CheckedFile {
 public:
  static CheckedFile open_read(const std::filesystem::path& path);
  static CheckedFile create(const std::filesystem::path& path);  // O_EXCL: never replaces a file
  static CheckedFile open_append(const std::filesystem::path& path);
  static CheckedFile scratch(
      const std::filesystem::path& folder);  // read and write, without a name
  CheckedFile(CheckedFile&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  CheckedFile& operator=(CheckedFile&&) = delete;
  ~CheckedFile();

  std::int64_t size() const;
  // Reads exactly `num_bytes` at `offset`; DataError when the file ends before.
  void read_at(std::int64_t offset, void* out, std::int64_t num_bytes) const;
  void write(const void* data, std::int64_t num_bytes);
  // Writes the pieces one behind the other, in as few calls as the system allows.
  void write_all(std::span<const std::span<const std::byte>> pieces);
  // Appends, in one write(2) unless that comes short; of a line that did not fit nothing stays.
  void write_once(std::string_view text);
  // Reserves blocks, so that a full disk shows now and not in mid-write. File systems without this
  // call are asked for their free space instead.
  void reserve(std::int64_t num_bytes);
  void truncate(std::int64_t num_bytes);
  void sync();
  void close();  // checked, unlike the destructor's
  const std::filesystem::path& path() const { return path_; }

 private:
  CheckedFile(std::filesystem::path path, int flags);
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace polyphase
