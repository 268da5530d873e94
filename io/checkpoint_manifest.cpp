// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoint_manifest.hpp"

#include "base/error.hpp"
#include "io/file.hpp"
#include "io/folder.hpp"
#include "io/sealed_json.hpp"

namespace polyphase {
namespace {

constexpr const char* kFormat = "polyphase checkpoint";  // on disk: never rename

nlohmann::json to_json(const StoredPart& part) {
  return {{"file", part.file},     {"dimension", part.split_dimension},
          {"begin", part.begin},   {"shape", part.shape},
          {"offset", part.offset}, {"digest", part.digest}};
}

StoredPart part_from(const nlohmann::json& json) {
  StoredPart part;
  json.at("file").get_to(part.file);
  json.at("dimension").get_to(part.split_dimension);
  json.at("begin").get_to(part.begin);
  json.at("shape").get_to(part.shape);
  part.offset = json.value("offset", part.offset);
  json.at("digest").get_to(part.digest);
  return part;
}

Manifest manifest_from(const nlohmann::json& content) {
  Manifest manifest;
  manifest.state = content.at("state");
  content.at("files").get_to(manifest.files);
  manifest.digests = content.value("digests", manifest.digests);
  for (const auto& [name, stored] : content.at("tensors").items()) {
    StoredTensor& tensor = manifest.tensors[name];
    stored.at("shape").get_to(tensor.shape);
    for (const nlohmann::json& part : stored.at("parts")) tensor.parts.push_back(part_from(part));
  }
  return manifest;
}

std::string fault_of_split(const StoredTensor& tensor) {
  const int dimension = tensor.parts.front().split_dimension;
  std::int64_t covered = 0;
  for (const StoredPart& part : tensor.parts) {
    if (part.split_dimension != dimension) return "is split along different dimensions";
    std::vector<std::int64_t> expected = tensor.shape;
    if (dimension >= 0) {
      const auto d = static_cast<std::size_t>(dimension);
      if (d >= tensor.shape.size() || part.shape.size() != tensor.shape.size()) {
        return "is split along a dimension that it lacks";
      }
      if (part.begin != covered) {
        return fmt::format("has a gap or an overlap: {} follows {} along dimension {}", part.begin,
                           covered, dimension);
      }
      if (part.shape[d] < 1 || part.shape[d] > tensor.shape[d] - covered) {
        return "has a part that reaches outside";
      }
      expected[d] = part.shape[d];
      covered += part.shape[d];
    }
    if (part.shape != expected) return "has a part of another shape";
  }
  if (dimension < 0) return tensor.parts.size() == 1 ? "" : "is given more than once";
  return covered == tensor.shape[static_cast<std::size_t>(dimension)] ? ""
                                                                      : "is not covered to its end";
}

}  // namespace

std::vector<std::int64_t> corner_of(const StoredPart& part) {
  std::vector<std::int64_t> corner(part.shape.size(), 0);
  if (part.split_dimension >= 0)
    corner[static_cast<std::size_t>(part.split_dimension)] = part.begin;
  return corner;
}

std::string fault_of(const std::string& name, const StoredTensor& tensor) {
  if (!hdf5::is_allowed_name(name)) return "has a name that is not allowed";
  if (tensor.shape.empty() || tensor.shape.size() > 8 || hdf5::checked_product(tensor.shape) < 1) {
    return "has a shape that is not allowed";
  }
  return tensor.parts.empty() ? "has no parts" : fault_of_split(tensor);
}

std::map<std::string, hdf5::VirtualDataset> virtual_view(const Manifest& manifest) {
  std::map<std::string, hdf5::VirtualDataset> view;
  for (const auto& [name, tensor] : manifest.tensors) {
    hdf5::VirtualDataset& dataset = view[name];
    dataset.shape = tensor.shape;
    for (const StoredPart& part : tensor.parts) {
      dataset.sources.push_back({part.file, name, corner_of(part), part.shape});
    }
  }
  return view;
}

void write_manifest(const std::filesystem::path& folder, const Manifest& manifest) {
  nlohmann::json content = {
      {"state", manifest.state}, {"files", manifest.files}, {"digests", manifest.digests}};
  // Filled in place: lists in braces would copy all of it, level by level.
  nlohmann::json& tensors = content["tensors"] = nlohmann::json::object();
  for (const auto& [name, tensor] : manifest.tensors) {
    nlohmann::json& stored = tensors[name];
    stored["shape"] = tensor.shape;
    nlohmann::json& parts = stored["parts"] = nlohmann::json::array();
    for (const StoredPart& part : tensor.parts) parts.push_back(to_json(part));
  }
  write_file_atomically(folder / kManifestFile,
                        seal(std::move(content), kFormat, kCheckpointFormatVersion));
}

Manifest read_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kManifestFile;
  if (!is_there(path)) {
    fail<DataError>("{}: no {}; it is no checkpoint, or one that was never finished: use another",
                    folder.string(), kManifestFile);
  }
  const nlohmann::json content = unseal(path, kFormat, kCheckpointFormatVersion);
  Manifest manifest;
  try {
    manifest = manifest_from(content);
  } catch (const nlohmann::json::exception& error) {
    fail<DataError>("{}: {}; go back to the previous checkpoint", path.string(), error.what());
  }
  for (const auto& [file, num_bytes] : manifest.files) {
    if (file.find('/') != std::string::npos || !hdf5::is_allowed_name(file) || num_bytes < 0) {
      fail<DataError>("{}: \"{}\" is not a plain file name; do not use this checkpoint",
                      path.string(), file);
    }
  }
  for (const auto& [name, tensor] : manifest.tensors) {
    std::string fault = fault_of(name, tensor);
    for (const StoredPart& part : tensor.parts) {
      if (manifest.files.count(part.file) == 0) fault = "lies in a file that is not listed";
    }
    if (!fault.empty()) {
      fail<DataError>("{}: tensor {} {}; do not use this checkpoint", path.string(), name, fault);
    }
  }
  return manifest;
}

}  // namespace polyphase
