// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5_template.hpp"

#include <algorithm>
#include <utility>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/file.hpp"
#include "io/hdf5_layout.hpp"

namespace polyphase::hdf5 {

FileTemplate::FileTemplate(const std::filesystem::path& path, NewFile layout)
    : layout_(std::move(layout)) {
  const FileContents contents = inspect(path);
  num_bytes_ = contents.num_bytes;
  bool same = contents.datasets.size() == layout_.datasets.size();
  std::vector<std::pair<std::int64_t, std::size_t>> order;  // offset, index into the layout
  for (std::size_t i = 0; same && i < layout_.datasets.size(); ++i) {
    const NewDataset& wanted = layout_.datasets[i];
    const auto found = contents.datasets.find(wanted.name);
    same = found != contents.datasets.end() && found->second.type == wanted.type &&
           found->second.shape == wanted.shape;
    if (same) order.emplace_back(found->second.offset, i);
  }
  if (!same) {
    fail<DataError>("{}: its datasets are not those that were written a moment ago; check the disk",
                    path.string());
  }
  std::sort(order.begin(), order.end());
  const CheckedFile file = CheckedFile::open_read(path);
  std::int64_t done = 0;
  const auto keep_bytes = [&](std::int64_t until) {
    if (until == done) return;
    Piece piece{-1, static_cast<std::size_t>(until - done), {}};
    piece.bytes.resize(piece.num_bytes);
    file.read_at(done, piece.bytes.data(), until - done);
    pieces_.push_back(std::move(piece));
  };
  for (const auto& [offset, index] : order) {
    keep_bytes(offset);
    const std::int64_t num_bytes = contents.datasets.at(layout_.datasets[index].name).num_bytes;
    pieces_.push_back(
        {static_cast<std::ptrdiff_t>(index), static_cast<std::size_t>(num_bytes), {}});
    done = offset + num_bytes;
  }
  keep_bytes(num_bytes_);
}

std::vector<std::span<const std::byte>> FileTemplate::bytes_with(
    std::span<const void* const> data) const {
  POLYPHASE_PROMISE(data.size() == layout_.datasets.size(), "{} datasets, {} values",
                    layout_.datasets.size(), data.size());
  std::vector<std::span<const std::byte>> pieces;
  for (const Piece& piece : pieces_) {
    const void* from =
        piece.dataset < 0 ? piece.bytes.data() : data[static_cast<std::size_t>(piece.dataset)];
    pieces.emplace_back(static_cast<const std::byte*>(from), piece.num_bytes);
  }
  return pieces;
}

std::vector<std::int64_t> FileTemplate::offsets() const {
  std::vector<std::int64_t> offsets(layout_.datasets.size());
  std::int64_t offset = 0;
  for (const Piece& piece : pieces_) {
    if (piece.dataset >= 0) offsets[static_cast<std::size_t>(piece.dataset)] = offset;
    offset += static_cast<std::int64_t>(piece.num_bytes);
  }
  return offsets;
}

std::string FileTemplate::digest(std::span<const void* const> data) const {
  StreamingDigest sum;
  for (const std::span<const std::byte> piece : bytes_with(data))
    sum.update(piece.data(), piece.size());
  return sum.value();
}

std::int64_t FileTemplate::write(const std::filesystem::path& path,
                                 std::span<const void* const> data) const {
  const std::vector<std::span<const std::byte>> pieces = bytes_with(data);
  require_free_space(path, num_bytes_);
  CheckedFile file = CheckedFile::create(path);
  try {
    file.write_all(pieces);
    file.sync();
    file.close();
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    throw;
  }
  return num_bytes_;
}

}  // namespace polyphase::hdf5
