// SPDX-License-Identifier: Apache-2.0
#include "io/stored_digest.hpp"

#include <algorithm>
#include <vector>

#include "base/digest.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kPieceBytes = std::int64_t{1} << 20;

std::string digest_of_range(const CheckedFile& file, std::int64_t offset, std::int64_t num_bytes) {
  StreamingDigest sum;
  std::vector<char> piece(static_cast<std::size_t>(std::min(kPieceBytes, num_bytes)));
  for (std::int64_t done = 0; done < num_bytes; done += kPieceBytes) {
    const std::int64_t num = std::min(kPieceBytes, num_bytes - done);
    file.read_at(offset + done, piece.data(), num);
    sum.update(piece.data(), static_cast<std::size_t>(num));
  }
  return sum.value();
}

}  // namespace

std::string digest_of(const CheckedFile& file, const hdf5::StoredDataset& stored) {
  return digest_of_range(file, stored.offset, stored.num_bytes);
}

std::string digest_of(const CheckedFile& file) { return digest_of_range(file, 0, file.size()); }

}  // namespace polyphase
