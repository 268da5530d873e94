// SPDX-License-Identifier: Apache-2.0
// Shards and checkpoints.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "io/checkpoint.hpp"
#include "io/checkpoint_manifest.hpp"
#include "io/file.hpp"
#include "io/hdf5_layout.hpp"
#include "io/kept_outputs.hpp"
#include "io/lineage.hpp"
#include "io/sealed_json.hpp"
#include "io/shard.hpp"
#include "tests/fuzz/targets.hpp"

namespace polyphase::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMostElements = 1 << 16;  // of a tensor that is read

const std::vector<float>& values() {
  static const std::vector<float> all(60, 1.5F);
  return all;
}

// Two writers; one tensor is split, one whole.
const fs::path& sound_checkpoint() {
  static const fs::path folder = [] {
    const fs::path made = scratch() / "step-000012", tmp = scratch() / "step-000012.tmp";
    std::vector<PartReport> reports;
    for (int writer = 0; writer < 2; ++writer) {
      std::vector<TensorPart> parts = {
          {"parameters/a.weight", {6, 4}, 0, 3 * writer, {3, 4}, values().data()}};
      if (writer == 1) parts.push_back({"parameters/b", {5}, -1, 0, {5}, values().data()});
      reports.push_back(write_checkpoint_part(tmp, writer, parts));
    }
    const Lineage lineage = {.run = "r", .phase = "topic"};
    commit_checkpoint(tmp, made, reports,
                      {{"phase", "topic"}, {"phase_state", {{"step", 12}}}, {"lineage", lineage}});
    return made;
  }();
  return folder;
}

std::string without_seal(const fs::path& file) {
  const std::string text = read_file(file);
  return text.substr(0, text.rfind(",\n \"digest\": "));
}

void read_tensors(const fs::path& folder) {
  CheckpointReader reader(folder);
  reader.digest();
  for (const auto& tensor : reader.tensors()) {
    const std::string& name = tensor.first;
    const std::vector<std::int64_t>& shape = tensor.second;
    const std::int64_t count = hdf5::checked_product(shape);
    POLYPHASE_PROMISE(count > 0, "tensor {} of {} elements", name, count);
    if (count > kMostElements) continue;
    std::vector<float> whole(static_cast<std::size_t>(count));
    may_refuse<DataError>([&] { reader.read(name, -1, 0, shape, whole.data()); });
    std::vector<std::int64_t> row = shape;
    row[0] = 1;
    may_refuse<DataError>([&] { reader.read(name, 0, shape[0] - 1, row, whole.data()); });
  }
}

void read_manifest_of_checkpoint(std::string_view bytes) {
  const fs::path& folder = sound_checkpoint();
  put("step-000012/manifest.json", sealed_text(std::string(bytes)));
  may_refuse<DataError>([&] { read_tensors(folder); });
  may_refuse<DataError>([&] { lineage_of_checkpoint(folder); });
  verify_checkpoint(folder);
}

std::vector<std::string> manifests() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> texts = {without_seal(sound_checkpoint() / kManifestFile)};
    nlohmann::json older = nlohmann::json::parse(texts[0] + "\n}");
    older.erase("digests");
    for (auto& tensor : older["tensors"]) {
      for (auto& part : tensor["parts"]) part.erase("offset");
    }
    texts.push_back(older.dump(1));
    texts.back().resize(texts.back().size() - 2);
    return texts;
  }();
  return all;
}

void read_shard(std::string_view bytes) {
  const fs::path file = put("shard.h5", bytes);
  may_refuse<DataError>([&] {
    ShardReader reader(file);
    ShardText text;
    for (std::int64_t d = 0; d < std::min<std::int64_t>(reader.num_documents(), 100); ++d) {
      may_refuse<DataError>([&] { reader.read_document(d, text); });
      may_refuse<DataError>([&] { reader.first_token_of(d); });
    }
    for (std::int64_t s = 0; s < std::min<std::int64_t>(reader.num_sentences(), 100); ++s) {
      may_refuse<DataError>([&] { reader.document_of(s); });
      may_refuse<DataError>([&] { reader.read_sentences(s, 1, text); });
    }
    may_refuse<DataError>([&] { reader.read_tokens(0, reader.num_tokens(), text.tokens); });
  });
}

std::string shard_of(std::int64_t vocab_size, bool labels, bool value, bool token_labels) {
  const fs::path file = scratch() / "sound.h5";
  ShardWriter writer(file, {.corpus = "c",
                            .split = "train",
                            .vocab_size = vocab_size,
                            .tokenizer_digest = "t",
                            .source_digest = "s",
                            .has_labels = labels,
                            .has_values = value,
                            .has_token_labels = token_labels});
  for (int d = 0; d < 3; ++d) {
    ShardText text{{5, 6, 7}, {0, 1, 3}, {}, {}, 0};
    if (labels) text.labels = {d};
    if (token_labels) text.token_labels = {-1, 0, 1};
    writer.append(text);
  }
  writer.finish();
  return read_file(file);
}

std::vector<std::string> shards() {
  return {shard_of(100, false, false, false), shard_of(100000, true, false, true),
          shard_of(100, false, true, false)};
}

void read_outputs(std::string_view bytes) {
  const fs::path file = put("outputs.h5", bytes);
  may_refuse<DataError>([&] { read_kept_outputs(file, "a teacher", 12, 5); });
}

std::vector<std::string> outputs() {
  const fs::path file = scratch() / "sound-outputs.h5";
  write_kept_outputs(file, {.num_outputs = 5, .values = values()}, "a teacher");
  return {read_file(file)};
}

void read_writer_file(std::string_view bytes) {
  const fs::path file = put("writer-0000.h5", bytes);
  may_refuse<DataError>([&] { hdf5::inspect(file); });
}

std::vector<std::string> writer_files() {
  return {read_file(sound_checkpoint() / "writer-0000.h5"),
          read_file(sound_checkpoint() / "writer-0001.h5")};
}

}  // namespace

std::vector<Target> tensor_targets() {
  return {{"manifest", read_manifest_of_checkpoint, manifests, true},
          {"shard", read_shard, shards},
          {"teacher_outputs", read_outputs, outputs},
          {"writer_file", read_writer_file, writer_files}};
}

}  // namespace polyphase::fuzz
