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
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

// Walking upwards, the first entry is the deepest: it holds the driver's own words (errno and its
// text).
herr_t keep_first(unsigned number, const H5E_error2_t* entry, void* words) {
  if (number == 0 && entry->desc != nullptr) *static_cast<std::string*>(words) = entry->desc;
  return 0;
}

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
}

void fail_call(const std::filesystem::path& path, const char* tried) {
  fail<SystemError>(
      "{}: HDF5 cannot {}: {} ({} bytes free on the disk); check the disk and the file",
      path.string(), tried, deepest_words(), free_bytes(path));
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
    fail<DataError>(
        "{}: not a whole HDF5 file: {}; it was cut short, never closed, or is something else: make "
        "it "
        "again",
        path.string(), deepest_words());
  }
  return File(id, path, "open");
}

}  // namespace polyphase::hdf5
