// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/checkpoint.hpp"
#include "io/hdf5_layout.hpp"

namespace polyphase {

// Private to io: what manifest.json says of a checkpoint.
inline constexpr const char* kManifestFile = "manifest.json";  // on disk: never rename
inline constexpr const char* kModelFile = "model.h5";          // on disk: never rename

struct StoredPart {
  std::string file;
  int split_dimension = -1;
  std::int64_t begin = 0;
  std::vector<std::int64_t> shape;
  std::int64_t offset = -1;  // of its bytes in the file; -1: the file says (older checkpoints)
  std::string digest;
};

struct StoredTensor {
  std::vector<std::int64_t> shape;
  std::vector<StoredPart> parts;  // by rising begin
};

struct Manifest {
  nlohmann::json state;
  std::map<std::string, std::int64_t> files;   // name → bytes; model.h5 and one a writer
  std::map<std::string, std::string> digests;  // of these files, all their bytes; older ones: none
  std::map<std::string, StoredTensor> tensors;
};

// The first corner of a part in the whole tensor.
std::vector<std::int64_t> corner_of(const StoredPart& part);

// What is wrong with a tensor's parts, in words: names, shapes, gaps, overlaps. Empty when they
// cover it exactly once.
std::string fault_of(const std::string& name, const StoredTensor& tensor);

// The virtual datasets that show the whole tensors.
std::map<std::string, hdf5::VirtualDataset> virtual_view(const Manifest& manifest);

void write_manifest(const std::filesystem::path& folder, const Manifest& manifest);

// Throws DataError unless the manifest is there, whole, of this version, and every tensor is
// covered exactly once.
Manifest read_manifest(const std::filesystem::path& folder);

}  // namespace polyphase
