// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "io/file.hpp"

namespace polyphase::hdf5 {
namespace {

std::recursive_mutex& library_lock() {
  static std::recursive_mutex lock;
  return lock;
}

void prepare_library() {
  H5dont_atexit();  // must come before anything else
  H5open();
}

// Walking upwards, the first entry is the deepest: it holds the driver's own words (errno and its
// text).
herr_t keep_first(unsigned number, const H5E_error2_t* entry, void* words) {
  if (number == 0 && entry->desc != nullptr) *static_cast<std::string*>(words) = entry->desc;
  return 0;
}

bool holds_errno(const std::string& words) { return words.find("errno = ") != std::string::npos; }

std::string deepest_words() {
  std::string words = "no reason given";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &words);
  std::replace(words.begin(), words.end(), '\n', ' ');
  return words;
}

}  // namespace

Session::Session() : lock_(library_lock()) {
  static const bool prepared = (prepare_library(), true);
  static_cast<void>(prepared);
  // Where HDF5 is built for threads, each has an error stack of its own.
  thread_local const herr_t quiet = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  static_cast<void>(quiet);
}

void fail_call(const std::filesystem::path& path, const char* tried) {
  const std::string words = deepest_words();
  throw CallError(
      fmt::format("{}: HDF5 cannot {}: {} ({} bytes free on the disk); check the disk and the file",
                  path.string(), tried, words, free_bytes(path)),
      holds_errno(words));
}

Properties file_access(const std::filesystem::path& path) {
  Properties access(H5Pcreate(H5P_FILE_ACCESS), path, "make access properties");
  check(H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V110), path,
        "choose the format");
  check(H5Pset_file_locking(access, false, true), path, "switch off file locks");
  check(H5Pset_alignment(access, 65536, 4096), path, "set the alignment");
  check(H5Pset_fclose_degree(access, H5F_CLOSE_STRONG), path, "set the way of closing");
  return access;
}

File open_to_read(const std::filesystem::path& path) {
  CheckedFile::open_read(path).close();  // says plainly what is wrong with path or permissions
  const Properties access = file_access(path);
  const hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access);
  if (id < 0) {
    const std::string words = deepest_words();
    if (holds_errno(words)) fail_call(path, "open");
    fail<DataError>(
        "{}: not a whole HDF5 file: {}; it was cut short, never closed, or is something else: make "
        "it "
        "again",
        path.string(), words);
  }
  return File(id, path, "open");
}

}  // namespace polyphase::hdf5
