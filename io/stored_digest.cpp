// SPDX-License-Identifier: Apache-2.0
#include "io/stored_digest.hpp"

#include <algorithm>
#include <vector>

#include "base/digest.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kPieceBytes = std::int64_t{1} << 20;

}  // namespace

std::string digest_of(const CheckedFile& file, const hdf5::StoredDataset& stored) {
  StreamingDigest sum;
  std::vector<char> piece(static_cast<std::size_t>(std::min(kPieceBytes, stored.num_bytes)));
  for (std::int64_t done = 0; done < stored.num_bytes; done += kPieceBytes) {
    const std::int64_t num = std::min(kPieceBytes, stored.num_bytes - done);
    file.read_at(stored.offset + done, piece.data(), num);
    sum.update(piece.data(), static_cast<std::size_t>(num));
  }
  return sum.value();
}

}  // namespace polyphase
