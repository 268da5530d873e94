// SPDX-License-Identifier: Apache-2.0
#pragma once

// Private to io: the one wrapper around HDF5. No other file of the project calls HDF5 or sees its
// header, and no public header of io includes this one.

#include <hdf5.h>

#include <filesystem>
#include <mutex>
#include <string>
#include <utility>

#include "base/error.hpp"

namespace polyphase::hdf5 {

// Holds the lock that every use of HDF5 in this process takes; it may be taken again by the same
// thread. The first one prepares the library: no clean-up at exit, since after a failed write that
// clean-up writes again and can crash the process; every handle is closed by its owner instead. No
// thread gets error prints of HDF5's own.
class Session {
 public:
  Session();

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

// A call of HDF5 that failed: because the system refused one of its own (the error stack then holds
// an errno), or by what HDF5 found in a file.
struct CallError : SystemError {
  CallError(const std::string& words, bool refused_by_system)
      : SystemError(words), by_system(refused_by_system) {}
  bool by_system;
};

// Throws CallError with `path`, what was tried and the deepest words of HDF5's error stack.
[[noreturn]] void fail_call(const std::filesystem::path& path, const char* tried);

// Passes on a result of HDF5 that is not negative.
template <class Result>
Result check(Result result, const std::filesystem::path& path, const char* tried) {
  if (result < 0) fail_call(path, tried);
  return result;
}

// Owns an HDF5 identifier of any kind and closes it by `Close`.
template <herr_t (*Close)(hid_t)>
class Handle {
 public:
  Handle(hid_t id, const std::filesystem::path& path, const char* tried)
      : id_(check(id, path, tried)) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (id_ >= 0) Close(id_);
  }
  operator hid_t() const { return id_; }

  // Closes now, with the result checked; after writing this is a must.
  void close(const std::filesystem::path& path) {
    check(Close(std::exchange(id_, H5I_INVALID_HID)), path, "close");
  }

 private:
  hid_t id_;
};

using File = Handle<H5Fclose>;
using Group = Handle<H5Gclose>;
using Object = Handle<H5Oclose>;
using Dataset = Handle<H5Dclose>;
using Space = Handle<H5Sclose>;
using Type = Handle<H5Tclose>;
using Attribute = Handle<H5Aclose>;
using Properties = Handle<H5Pclose>;

// Access properties that every open and create of ours uses: no flock (which network file systems
// lack), datasets of 64 KiB and more on pages, and the oldest format, with what 1.10 adds where it
// is needed (virtual datasets). The newer superblocks carry a checksum that does not hold in a copy
// of a file in memory (seen in 1.10.8).
Properties file_access(const std::filesystem::path& path);

// Opens for reading. DataError when it is no HDF5 file or was cut short, SystemError when it can't
// be opened at all.
File open_to_read(const std::filesystem::path& path);

// Does work that reads a file. What HDF5 finds wrong in it is DataError, what the system refuses
// stays SystemError.
template <class Work>
void read_with(const Work& work) {
  try {
    work();
  } catch (const CallError& error) {
    if (error.by_system) throw;
    throw DataError(error.what());
  }
}

}  // namespace polyphase::hdf5
