// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace polyphase::hdf5 {

// Private to io: what an HDF5 file holds, by allow-list. HDF5 is not made for hostile files, and
// can end the process on one of which a few bytes are wrong (1.10.8 did, of one shard in a few
// hundred): external storage can read any file, and 2 kB can declare 1 TiB. So a file of ours holds
// groups and plain numbers, nothing else, and every declared byte is really there.

enum class ElementType { kUint16, kUint32, kInt32, kInt64, kFloat32 };
std::int64_t size_bytes(ElementType type);
const char* name_of(ElementType type);

// A contiguous, unfiltered dataset: its bytes are [offset, offset + num_bytes) of the file,
// little-endian.
struct StoredDataset {
  ElementType type = ElementType::kFloat32;
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;
  std::int64_t num_bytes = 0;
};

struct FileContents {
  std::int64_t num_bytes = 0;
  std::map<std::string, StoredDataset> datasets;  // by path without leading '/'
  std::map<std::string, std::string> texts;       // attributes of the root: fixed-length strings
  std::map<std::string, std::int64_t> numbers;    // attributes of the root: 64-bit integers
};

// Opens and lists a file of ours, without HDF5. Throws DataError for anything beyond contiguous
// datasets of the five types: links other than one hard link, names with odd characters, other
// object types, external storage, filters, virtual or chunked layouts, variable-length or reference
// types, ranks above 8, bytes outside the file, overlaps, and any form but the oldest, which ours
// are written in.
FileContents inspect(const std::filesystem::path& path);

// A box of a virtual dataset and where its bytes come from.
struct VirtualSource {
  std::string file;
  std::string dataset;
  std::vector<std::int64_t> begin;
  std::vector<std::int64_t> shape;
  bool operator==(const VirtualSource&) const = default;
};

struct VirtualDataset {
  std::vector<std::int64_t> shape;
  std::vector<VirtualSource> sources;
  bool operator==(const VirtualDataset&) const = default;
};

// As inspect, for a file in which every dataset is a virtual one of float32; by HDF5, so for one
// whose bytes are known to be sound.
std::map<std::string, VirtualDataset> inspect_virtual(const std::filesystem::path& path);

// True for names that the files of ours may hold: up to 8 parts apart by '/', of letters, digits,
// '_', '-' and '.', none of them "." or "..", 512 bytes at most.
bool is_allowed_name(const std::string& name);

// The product of `shape`, or -1 when it does not fit or an extent is negative.
std::int64_t checked_product(const std::vector<std::int64_t>& shape);

}  // namespace polyphase::hdf5
