// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/hdf5_create.hpp"

namespace polyphase::hdf5 {

// Private to io: a file without the values of its datasets. HDF5 lays a file out anew each time, at
// a cost that grows with the number of datasets and not with their size; a further file of the same
// layout differs in the values alone, and is written from here by plain checked writes.
class FileTemplate {
 public:
  // Takes the layout from the file at `path`, which a PreparedFile of `layout` has finished.
  // DataError when it holds anything else.
  FileTemplate(const std::filesystem::path& path, NewFile layout);

  const NewFile& layout() const { return layout_; }

  // Where in the file the values of each dataset of the layout begin.
  std::vector<std::int64_t> offsets() const;

  // XXH3-128 of the bytes that write() would write.
  std::string digest(std::span<const void* const> data) const;

  // Creates `path` anew with data[i] as the values of dataset i of the layout, syncs it and returns
  // its size in bytes. SystemError, with bytes needed and free when the disk is full; nothing is
  // left at `path` then.
  std::int64_t write(const std::filesystem::path& path, std::span<const void* const> data) const;

 private:
  std::vector<std::span<const std::byte>> bytes_with(std::span<const void* const> data) const;

  // Pieces follow each other without gaps; a piece is either a dataset's values or bytes of HDF5's.
  struct Piece {
    std::ptrdiff_t dataset = -1;  // index into the layout
    std::size_t num_bytes = 0;
    std::string bytes;  // where dataset is -1
  };
  NewFile layout_;
  std::vector<Piece> pieces_;
  std::int64_t num_bytes_ = 0;
};

}  // namespace polyphase::hdf5
