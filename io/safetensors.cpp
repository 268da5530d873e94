// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors.hpp"

#include <bit>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "io/file.hpp"

namespace polyphase {
namespace {

static_assert(std::endian::native == std::endian::little, "values are written as they lie");

// Readers map the file: values begin at a multiple of this.
constexpr std::size_t kAlignment = 8;

std::int64_t num_bytes(const SafeTensor& tensor) {
  std::int64_t count = sizeof(float);
  for (const std::int64_t extent : tensor.shape) count *= extent;
  return count;
}

std::string header_of(const std::vector<SafeTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = {{"__metadata__", metadata}};
  std::int64_t offset = 0;
  for (const SafeTensor& tensor : tensors) {
    POLYPHASE_PROMISE(!header.contains(tensor.name), "tensors of a file have names of their own");
    const std::int64_t end = offset + num_bytes(tensor);
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  return text;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, const std::vector<SafeTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::string header = header_of(tensors, metadata);
  const std::uint64_t length = header.size();
  const std::filesystem::path unfinished = path.string() + ".tmp";
  std::error_code ignored;
  std::filesystem::remove(unfinished, ignored);  // of an export that was killed
  CheckedFile file = CheckedFile::create(unfinished);
  file.write(&length, sizeof length);
  file.write(header.data(), static_cast<std::int64_t>(header.size()));
  for (const SafeTensor& tensor : tensors) {
    const std::vector<float> values = tensor.values();
    const auto bytes = static_cast<std::int64_t>(values.size() * sizeof(float));
    POLYPHASE_PROMISE(bytes == num_bytes(tensor), "a tensor has as many values as its shape says");
    file.write(values.data(), bytes);
  }
  file.sync();
  file.close();
  rename_durably(unfinished, path);
}

}  // namespace polyphase
