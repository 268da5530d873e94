// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "io/file.hpp"
#include "io/hdf5_layout.hpp"

namespace polyphase {

// Private to io: XXH3-128 of a stored dataset's bytes, or of a whole file's, read in pieces of 1
// MiB.
std::string digest_of(const CheckedFile& file, const hdf5::StoredDataset& stored);
std::string digest_of(const CheckedFile& file);

}  // namespace polyphase
