// SPDX-License-Identifier: Apache-2.0
#include "io/kept_outputs.hpp"

#include <unistd.h>

#include <system_error>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/file.hpp"
#include "io/folder.hpp"
#include "io/hdf5_create.hpp"
#include "io/run_lock.hpp"

namespace polyphase {
namespace {

constexpr const char* kFormat = "polyphase teacher outputs";
constexpr std::int64_t kVersion = 1;
constexpr const char* kOutputs = "outputs";

std::string digest_of_values(const KeptOutputs& outputs) {
  return digest(outputs.values.data(), outputs.values.size() * sizeof(float));
}

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& what) {
  fail<DataError>("{}: {}; remove the file, and the teacher is asked again", path.string(), what);
}

std::string text_of(const hdf5::FileContents& contents, const char* name) {
  const auto found = contents.texts.find(name);
  return found == contents.texts.end() ? "" : found->second;
}

}  // namespace

void write_kept_outputs(const std::filesystem::path& path, const KeptOutputs& outputs,
                        const std::string& made_of) {
  std::error_code error;
  std::filesystem::create_directories(folder_of(path), error);
  if (error) fail<SystemError>("{}: cannot be made: {}", folder_of(path).string(), error.message());
  // Groups of ranks may write the same table side by side, on several nodes.
  const std::filesystem::path beside =
      path.string() + fmt::format(".{}.{}.tmp", host_name(), getpid());
  remove_tree(beside);
  const hdf5::NewFile layout = {
      .datasets = {{.name = kOutputs, .shape = {outputs.num_samples(), outputs.num_outputs}}},
      .texts = {{"format", kFormat}, {"made_of", made_of}, {"digest", digest_of_values(outputs)}},
      .numbers = {{"version", kVersion}}};
  hdf5::PreparedFile file(beside, layout);
  file.write(kOutputs, 0, std::ssize(outputs.values), outputs.values.data());
  file.finish();
  rename_durably(beside, path);
}

KeptOutputs read_kept_outputs(const std::filesystem::path& path, const std::string& made_of,
                              std::int64_t num_samples, std::int64_t num_outputs) {
  const hdf5::FileContents contents = hdf5::inspect(path);
  const auto version = contents.numbers.find("version");
  if (text_of(contents, "format") != kFormat || version == contents.numbers.end() ||
      version->second != kVersion)
    refuse(path, fmt::format("is no \"{}\" of version {}", kFormat, kVersion));
  const auto found = contents.datasets.find(kOutputs);
  if (found == contents.datasets.end() || contents.datasets.size() != 1 ||
      found->second.type != hdf5::ElementType::kFloat32 ||
      found->second.shape != std::vector<std::int64_t>{num_samples, num_outputs})
    refuse(path, fmt::format("holds no table of {} × {} outputs", num_samples, num_outputs));
  if (text_of(contents, "made_of") != made_of)
    refuse(path, fmt::format("was made of {}, not of {}", text_of(contents, "made_of"), made_of));
  const hdf5::StoredDataset& stored = found->second;
  KeptOutputs outputs = {.num_outputs = num_outputs, .values = {}};
  outputs.values.resize(static_cast<std::size_t>(stored.num_bytes) / sizeof(float));
  CheckedFile::open_read(path).read_at(stored.offset, outputs.values.data(), stored.num_bytes);
  if (digest_of_values(outputs) != text_of(contents, "digest"))
    refuse(path, "the outputs are not those that its digest vouches for");
  return outputs;
}

}  // namespace polyphase
