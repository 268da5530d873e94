// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/hdf5_layout.hpp"

namespace polyphase::hdf5 {

// Private to io: new HDF5 files that a full disk cannot ruin. After a failed H5Dwrite HDF5's flush
// and close still report success, and metadata that could not be written can crash the process at
// exit. So the metadata is made in memory, written by plain checked write(2), and the blocks of all
// data are reserved, before HDF5 opens the file on disk.

struct NewDataset {
  std::string name;
  ElementType type = ElementType::kFloat32;
  std::vector<std::int64_t> shape;
  bool operator==(const NewDataset&) const = default;
};

struct NewFile {
  std::vector<NewDataset> datasets;
  std::map<std::string, std::string> texts;
  std::map<std::string, std::int64_t> numbers;
  bool operator==(const NewFile&) const = default;
};

// A file in the making. After any throw it accepts nothing more, and its destructor removes the
// file, as it does when finish() was not called.
class PreparedFile {
 public:
  // Creates `path` anew with room for everything. SystemError with bytes needed and free when there
  // is none.
  PreparedFile(const std::filesystem::path& path, const NewFile& layout);
  ~PreparedFile();

  // Writes elements [first, first + count) of a dataset, counted over all of it in row-major order.
  // Ranges of datasets of rank above 1 are whole (first 0, count the product).
  void write(const std::string& dataset, std::int64_t first, std::int64_t count, const void* data);

  // Closes and syncs; returns the file's size in bytes.
  std::int64_t finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Returns the bytes of a file of virtual datasets; source files are named relative to its folder.
// `path` is where it will lie, for messages.
std::string virtual_file(const std::filesystem::path& path,
                         const std::map<std::string, VirtualDataset>& datasets,
                         const NewFile& attributes);

}  // namespace polyphase::hdf5
