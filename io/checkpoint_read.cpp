// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/checkpoint_manifest.hpp"
#include "io/file.hpp"
#include "io/folder.hpp"
#include "io/stored_digest.hpp"
#include "io/tensor_box.hpp"

namespace polyphase {
namespace {

using Datasets = std::map<std::string, hdf5::StoredDataset>;

struct WriterFile {
  CheckedFile file;
  Datasets datasets;
};

// The parts that lie in a writer's file, by tensor.
std::map<std::string, const StoredPart*> parts_in(const Manifest& manifest,
                                                  const std::string& name) {
  std::map<std::string, const StoredPart*> parts;
  for (const auto& [tensor_name, tensor] : manifest.tensors) {
    for (const StoredPart& part : tensor.parts) {
      if (part.file == name) parts[tensor_name] = &part;
    }
  }
  return parts;
}

// What a writer's file itself says that it holds. DataError unless that is what the manifest
// promises.
Datasets datasets_by_file(const std::filesystem::path& path, const Manifest& manifest) {
  Datasets datasets = hdf5::inspect(path).datasets;
  const auto parts = parts_in(manifest, path.filename().string());
  for (const auto& [name, part] : parts) {
    const auto found = datasets.find(name);
    if (found == datasets.end() || found->second.shape != part->shape ||
        found->second.type != hdf5::ElementType::kFloat32 ||
        (part->offset >= 0 && found->second.offset != part->offset)) {
      fail<DataError>(
          "{}: /{} is missing, or of another shape or place than in the manifest; go back to the "
          "previous checkpoint",
          path.string(), name);
    }
  }
  if (parts.size() != datasets.size()) {
    fail<DataError>(
        "{}: {} datasets, where the manifest lists {}; go back to the previous checkpoint",
        path.string(), datasets.size(), parts.size());
  }
  return datasets;
}

// What the manifest says of a writer's file; nothing when an older one does not say where it lies.
std::optional<Datasets> datasets_by_manifest(const std::filesystem::path& path,
                                             const Manifest& manifest) {
  Datasets datasets;
  const std::int64_t file_bytes = manifest.files.at(path.filename().string());
  for (const auto& [name, part] : parts_in(manifest, path.filename().string())) {
    if (part->offset < 0) return std::nullopt;
    const std::int64_t count = hdf5::checked_product(part->shape);
    const auto element_bytes = static_cast<std::int64_t>(sizeof(float));
    if (count > file_bytes / element_bytes || part->offset > file_bytes - count * element_bytes) {
      fail<DataError>("{}: /{} reaches beyond the file; do not use this checkpoint", path.string(),
                      name);
    }
    datasets[name] = {hdf5::ElementType::kFloat32, part->shape, part->offset,
                      count * element_bytes};
  }
  return datasets;
}

// Opens a writer's file and finds what it holds, by the manifest where possible.
WriterFile open_writer_file(const std::filesystem::path& folder, const Manifest& manifest,
                            const std::string& name) {
  const std::filesystem::path path = folder / name;
  if (!is_there(path)) {
    fail<DataError>("{}: is missing; go back to the previous checkpoint", path.string());
  }
  WriterFile opened{CheckedFile::open_read(path), {}};
  const std::int64_t expected_bytes = manifest.files.at(name);
  if (opened.file.size() != expected_bytes) {
    fail<DataError>(
        "{}: {} bytes, where the manifest promises {}; go back to the previous checkpoint",
        path.string(), opened.file.size(), expected_bytes);
  }
  std::optional<Datasets> known = datasets_by_manifest(path, manifest);
  opened.datasets = known ? *std::move(known) : datasets_by_file(path, manifest);
  return opened;
}

std::string digest_fault(const std::filesystem::path& path, const std::string& dataset) {
  return fmt::format(
      "{}: /{} was altered: its digest is not the manifest's; go back to the previous checkpoint",
      path.string(), dataset);
}

void check_values(const std::filesystem::path& folder, const Manifest& manifest,
                  const std::string& name, std::vector<std::string>& faults) {
  const WriterFile writer = open_writer_file(folder, manifest, name);
  for (const auto& [tensor, part] : parts_in(manifest, name)) {
    if (digest_of(writer.file, writer.datasets.at(tensor)) != part->digest)
      faults.push_back(digest_fault(folder / name, tensor));
  }
}

// For what lies outside of the tensors.
void check_whole_file(const std::filesystem::path& path, const Manifest& manifest) {
  const auto listed = manifest.digests.find(path.filename().string());
  if (listed == manifest.digests.end()) return;  // of an earlier version of the program
  if (digest_of(CheckedFile::open_read(path)) != listed->second) {
    fail<DataError>(
        "{}: was altered: its digest is not the manifest's; go back to the previous checkpoint",
        path.string());
  }
}

void check_model_file(const std::filesystem::path& folder, const Manifest& manifest,
                      std::vector<std::string>& faults) {
  const std::filesystem::path path = folder / kModelFile;
  const std::int64_t num_bytes = CheckedFile::open_read(path).size();
  if (manifest.files.at(kModelFile) != num_bytes) {
    faults.push_back(
        fmt::format("{}: {} bytes, which the manifest does not promise", path.string(), num_bytes));
  }
  const auto expected = virtual_view(manifest);
  const auto found = hdf5::inspect_virtual(path);
  for (const auto& [name, dataset] : found) {
    const auto entry = expected.find(name);
    if (entry == expected.end() || !(entry->second == dataset)) {
      faults.push_back(
          fmt::format("{}: /{} does not show the writers' files of this folder; read the "
                      "tensors from those instead",
                      path.string(), name));
    }
  }
  if (found.size() != expected.size()) {
    faults.push_back(fmt::format("{}: {} tensors, where the manifest lists {}", path.string(),
                                 found.size(), expected.size()));
  }
}

}  // namespace

struct CheckpointReader::State {
  std::filesystem::path folder;
  Manifest manifest;
  std::map<std::string, std::vector<std::int64_t>> shapes;
  std::map<std::string, WriterFile> files;
  const StoredPart* cached = nullptr;
  std::vector<float> cache;

  const WriterFile& file(const std::string& name) {
    auto found = files.find(name);
    if (found == files.end()) {
      found = files.emplace(name, open_writer_file(folder, manifest, name)).first;
    }
    return found->second;
  }

  // Reads a writer's whole dataset and checks its digest.
  void load(const std::string& name, const StoredPart& part, float* out) {
    const WriterFile& from = file(part.file);
    const hdf5::StoredDataset& stored = from.datasets.at(name);
    from.file.read_at(stored.offset, out, stored.num_bytes);
    if (polyphase::digest(out, static_cast<std::size_t>(stored.num_bytes)) != part.digest) {
      throw DataError(digest_fault(folder / part.file, name));
    }
  }

  const float* cached_data(const std::string& name, const StoredPart& part) {
    if (cached != &part) {
      cached = nullptr;
      // The file is looked at first: what it holds bounds what is allocated for it.
      const auto& stored = file(part.file).datasets.at(name);
      cache.resize(static_cast<std::size_t>(stored.num_bytes) / sizeof(float));
      load(name, part, cache.data());
      cached = &part;
    }
    return cache.data();
  }
};

CheckpointReader::CheckpointReader(const std::filesystem::path& folder)
    : state_(std::make_unique<State>()) {
  state_->folder = folder;
  state_->manifest = read_manifest(folder);
  for (const auto& [name, tensor] : state_->manifest.tensors) state_->shapes[name] = tensor.shape;
}

CheckpointReader::~CheckpointReader() = default;
CheckpointReader::CheckpointReader(CheckpointReader&&) noexcept = default;

const nlohmann::json& CheckpointReader::state() const { return state_->manifest.state; }

// Not of the files' names: the ranks that hold a tensor may be others when a phase is trained
// again.
std::string CheckpointReader::digest() const {
  StreamingDigest all;
  const auto add = [&all](const std::string& text) { all.update(text.data(), text.size()); };
  for (const auto& [name, tensor] : state_->manifest.tensors) {
    add(fmt::format("{} [{}]\n", name, fmt::join(tensor.shape, ", ")));
    for (const StoredPart& part : tensor.parts) {
      add(fmt::format("{} {} [{}] {}\n", part.split_dimension, part.begin,
                      fmt::join(part.shape, ", "), part.digest));
    }
  }
  return all.value();
}

const std::map<std::string, std::vector<std::int64_t>>& CheckpointReader::tensors() const {
  return state_->shapes;
}

void CheckpointReader::read(const std::string& name, int split_dimension, std::int64_t begin,
                            const std::vector<std::int64_t>& local_shape, float* out) {
  const auto found = state_->manifest.tensors.find(name);
  if (found == state_->manifest.tensors.end()) {
    fail<DataError>("{}: no tensor \"{}\"; the checkpoint is of another model",
                    state_->folder.string(), name);
  }
  const StoredTensor& tensor = found->second;
  const auto wanted = slice_of(tensor.shape, split_dimension, begin, local_shape);
  if (!wanted) {
    fail<DataError>(
        "{}: tensor {} is of shape [{}], where a slice [{}] from {} along dimension {} is "
        "wanted; the checkpoint is of another model",
        state_->folder.string(), name, fmt::join(tensor.shape, ", "), fmt::join(local_shape, ", "),
        begin, split_dimension);
  }
  for (const StoredPart& part : tensor.parts) {
    const TensorBox held = {.corner = corner_of(part), .shape = part.shape};
    if (held == *wanted) {
      state_->load(name, part, out);
      return;
    }
  }
  for (const StoredPart& part : tensor.parts) {
    const TensorBox held = {.corner = corner_of(part), .shape = part.shape};
    if (share_elements(*wanted, held)) {
      copy_shared(out, *wanted, state_->cached_data(name, part), held);
    }
  }
}

std::vector<std::string> verify_checkpoint(const std::filesystem::path& folder) {
  std::vector<std::string> faults;
  const auto note = [&faults](const auto& check) {
    try {
      check();
    } catch (const Error& error) {
      faults.emplace_back(error.what());
    }
  };
  Manifest manifest;
  note([&] { manifest = read_manifest(folder); });
  if (!faults.empty()) return faults;
  for (const auto& listed : manifest.files) {
    const std::string& name = listed.first;
    const std::size_t num_before = faults.size();
    if (name != kModelFile) note([&] { check_values(folder, manifest, name, faults); });
    // The rest of the file, and only then, with all of it as it was written, its own words and
    // HDF5's view.
    if (faults.size() == num_before) note([&] { check_whole_file(folder / name, manifest); });
    if (faults.size() > num_before) continue;
    note([&] {
      if (name == kModelFile) {
        check_model_file(folder, manifest, faults);
      } else {
        datasets_by_file(folder / name, manifest);
      }
    });
  }
  if (!manifest.files.contains(kModelFile)) {
    faults.push_back(fmt::format("{}: not in the manifest", (folder / kModelFile).string()));
  }
  return faults;
}

}  // namespace polyphase
