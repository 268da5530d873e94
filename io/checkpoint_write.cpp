// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <set>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/checkpoint_manifest.hpp"
#include "io/file.hpp"
#include "io/folder.hpp"
#include "io/hdf5_create.hpp"
#include "io/hdf5_template.hpp"
#include "io/json.hpp"
#include "io/stored_digest.hpp"

namespace polyphase {

struct CheckpointTemplates::State {
  std::optional<hdf5::FileTemplate> part;
  std::map<std::string, hdf5::VirtualDataset> view;
  std::string model_file;  // the bytes of model.h5 that shows `view`; empty: none yet
};

CheckpointTemplates::CheckpointTemplates() : state_(std::make_unique<State>()) {}
CheckpointTemplates::~CheckpointTemplates() = default;

namespace {

void check_part(const TensorPart& part) {
  std::vector<std::int64_t> expected = part.global_shape;
  bool holds = part.local_shape.size() == expected.size() &&
               hdf5::checked_product(part.global_shape) > 0 &&
               part.split_dimension < static_cast<int>(expected.size());
  if (holds && part.split_dimension >= 0) {
    const auto d = static_cast<std::size_t>(part.split_dimension);
    holds = part.begin >= 0 && part.local_shape[d] >= 0 &&
            part.local_shape[d] <= expected[d] - part.begin;
    expected[d] = part.local_shape[d];
  }
  POLYPHASE_PROMISE(holds && part.local_shape == expected,
                    "tensor {}: a part that does not fit into the whole", part.name);
}

void remove_foreign_files(const std::filesystem::path& folder, const std::set<std::string>& known) {
  for (const std::filesystem::path& entry : entries_of(folder)) {
    if (!known.contains(entry.filename().string())) remove_tree(entry);
  }
}

Manifest manifest_of(const std::vector<PartReport>& reports, const nlohmann::json& state) {
  Manifest manifest;
  manifest.state = state;
  for (const PartReport& report : reports) {
    if (report.datasets.empty()) continue;
    manifest.files[report.file] = report.num_bytes;
    manifest.digests[report.file] = report.digest;
    for (const PartReport::Dataset& dataset : report.datasets) {
      StoredTensor& tensor = manifest.tensors[dataset.name];
      POLYPHASE_PROMISE(tensor.parts.empty() || tensor.shape == dataset.global_shape,
                        "tensor {}: writers differ on its shape", dataset.name);
      tensor.shape = dataset.global_shape;
      tensor.parts.push_back({report.file, dataset.split_dimension, dataset.begin,
                              dataset.local_shape, dataset.offset, dataset.digest});
    }
  }
  for (auto& [name, tensor] : manifest.tensors) {
    std::sort(tensor.parts.begin(), tensor.parts.end(),
              [](const StoredPart& a, const StoredPart& b) { return a.begin < b.begin; });
    const std::string fault = fault_of(name, tensor);
    POLYPHASE_PROMISE(fault.empty(), "tensor {} {}", name, fault);
  }
  return manifest;
}

// Puts the complete folder in the place of whatever stands there: a checkpoint of the same step,
// from before its evaluation, may be the only one.
void put_in_place(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (!is_there(to)) return rename_durably(from, to);
  if (exchange_durably(from, to)) return remove_tree(from);
  const std::filesystem::path old = to.string() + ".old";
  remove_tree(old);
  rename_durably(to, old);
  rename_durably(from, to);
  remove_tree(old);
}

struct WrittenFile {
  std::int64_t num_bytes = 0;
  std::string digest;
};

// Creates and syncs a writer's file.
WrittenFile write_part_file(const std::filesystem::path& path, const hdf5::NewFile& layout,
                            std::span<const void* const> data,
                            std::optional<hdf5::FileTemplate>& known) {
  if (known && known->layout() == layout) return {known->write(path, data), known->digest(data)};
  known.reset();
  hdf5::PreparedFile file(path, layout);
  for (std::size_t i = 0; i < data.size(); ++i) {
    const hdf5::NewDataset& dataset = layout.datasets[i];
    file.write(dataset.name, 0, hdf5::checked_product(dataset.shape), data[i]);
  }
  const std::int64_t num_bytes = file.finish();
  known.emplace(path, layout);
  // What HDF5 itself wrote is looked at: it may report success for what did not reach the disk.
  const std::string expected = known->digest(data);
  if (digest_of(CheckedFile::open_read(path)) != expected) {
    known.reset();
    fail<SystemError>("{}: the disk did not keep what was written ({} bytes free); check the disk",
                      path.string(), free_bytes(path));
  }
  return {num_bytes, expected};
}

// Creates and syncs model.h5.
WrittenFile write_model_file(const std::filesystem::path& path,
                             std::map<std::string, hdf5::VirtualDataset> view,
                             CheckpointTemplates::State& known) {
  if (known.model_file.empty() || known.view != view) {
    hdf5::NewFile attributes;
    attributes.texts["format"] = "polyphase checkpoint view";
    attributes.numbers["version"] = kCheckpointFormatVersion;
    known.model_file = hdf5::virtual_file(path, view, attributes);
    known.view = std::move(view);
  }
  const auto num_bytes = static_cast<std::int64_t>(known.model_file.size());
  CheckedFile file = CheckedFile::create(path);
  file.write(known.model_file.data(), num_bytes);
  file.sync();
  file.close();
  return {num_bytes, digest(known.model_file)};
}

}  // namespace

std::string to_text(const PartReport& report) {
  nlohmann::json datasets = nlohmann::json::array();
  for (const PartReport::Dataset& dataset : report.datasets) {
    datasets.push_back({{"name", dataset.name},
                        {"global_shape", dataset.global_shape},
                        {"dimension", dataset.split_dimension},
                        {"begin", dataset.begin},
                        {"local_shape", dataset.local_shape},
                        {"offset", dataset.offset},
                        {"digest", dataset.digest}});
  }
  nlohmann::json json = {
      {"writer", report.writer}, {"file", report.file}, {"num_bytes", report.num_bytes}};
  json["digest"] = report.digest;
  json["datasets"] = std::move(datasets);
  return json.dump();
}

PartReport part_report_from_text(const std::string& text) {
  PartReport report;
  try {
    const nlohmann::json json = parse_json(text);
    json.at("writer").get_to(report.writer);
    json.at("file").get_to(report.file);
    json.at("num_bytes").get_to(report.num_bytes);
    json.at("digest").get_to(report.digest);
    for (const nlohmann::json& entry : json.at("datasets")) {
      PartReport::Dataset dataset;
      entry.at("name").get_to(dataset.name);
      entry.at("global_shape").get_to(dataset.global_shape);
      entry.at("dimension").get_to(dataset.split_dimension);
      entry.at("begin").get_to(dataset.begin);
      entry.at("local_shape").get_to(dataset.local_shape);
      entry.at("offset").get_to(dataset.offset);
      entry.at("digest").get_to(dataset.digest);
      report.datasets.push_back(std::move(dataset));
    }
  } catch (const nlohmann::json::exception& error) {
    fail<DataError>("report of a checkpoint's writer: {}; write the checkpoint again",
                    error.what());
  }
  return report;
}

PartReport write_checkpoint_part(const std::filesystem::path& tmp_folder, int writer,
                                 std::span<const TensorPart> parts) {
  CheckpointTemplates none;
  return write_checkpoint_part(tmp_folder, writer, parts, none);
}

PartReport write_checkpoint_part(const std::filesystem::path& tmp_folder, int writer,
                                 std::span<const TensorPart> parts,
                                 CheckpointTemplates& templates) {
  PartReport report;
  report.writer = writer;
  report.file = fmt::format("writer-{:04d}.h5", writer);
  hdf5::NewFile layout;
  layout.numbers["version"] = kCheckpointFormatVersion;
  layout.numbers["writer"] = writer;
  layout.texts["format"] = "polyphase checkpoint part";
  std::vector<const void*> data;
  for (const TensorPart& part : parts) {
    check_part(part);
    const std::int64_t count = hdf5::checked_product(part.local_shape);
    if (count == 0) continue;
    POLYPHASE_PROMISE(part.data != nullptr, "tensor {}: a part without data", part.name);
    layout.datasets.push_back({part.name, hdf5::ElementType::kFloat32, part.local_shape});
    report.datasets.push_back({part.name, part.global_shape, part.split_dimension, part.begin,
                               part.local_shape, -1,
                               digest(part.data, static_cast<std::size_t>(count) * sizeof(float))});
    data.push_back(part.data);
  }
  std::error_code error;
  std::filesystem::create_directories(tmp_folder, error);
  if (error) {
    fail<SystemError>("{}: cannot make the folder: {}; check permissions and disk",
                      tmp_folder.string(), error.message());
  }
  const std::filesystem::path path = tmp_folder / report.file;
  std::filesystem::remove(path, error);
  if (report.datasets.empty()) return report;
  const WrittenFile written = write_part_file(path, layout, data, templates.state().part);
  report.num_bytes = written.num_bytes;
  report.digest = written.digest;
  const std::vector<std::int64_t> offsets = templates.state().part->offsets();
  for (std::size_t i = 0; i < offsets.size(); ++i) report.datasets[i].offset = offsets[i];
  sync_folder(tmp_folder);
  return report;
}

void commit_checkpoint(const std::filesystem::path& tmp_folder,
                       const std::filesystem::path& final_folder,
                       const std::vector<PartReport>& reports, const nlohmann::json& state) {
  CheckpointTemplates none;
  commit_checkpoint(tmp_folder, final_folder, reports, state, none);
}

void commit_checkpoint(const std::filesystem::path& tmp_folder,
                       const std::filesystem::path& final_folder,
                       const std::vector<PartReport>& reports, const nlohmann::json& state,
                       CheckpointTemplates& templates) {
  Manifest manifest = manifest_of(reports, state);
  std::set<std::string> known;
  for (const auto& [file, num_bytes] : manifest.files) {
    known.insert(file);
    const std::int64_t found = CheckedFile::open_read(tmp_folder / file).size();
    if (found != num_bytes) {
      fail<SystemError>(
          "{}: {} bytes where its writer reported {}; check the disk (a network file "
          "system may lag behind)",
          (tmp_folder / file).string(), found, num_bytes);
    }
  }
  remove_foreign_files(tmp_folder, known);
  const WrittenFile model =
      write_model_file(tmp_folder / kModelFile, virtual_view(manifest), templates.state());
  manifest.files[kModelFile] = model.num_bytes;
  manifest.digests[kModelFile] = model.digest;
  sync_folder(tmp_folder);
  write_manifest(tmp_folder, manifest);
  put_in_place(tmp_folder, final_folder);
}

}  // namespace polyphase
