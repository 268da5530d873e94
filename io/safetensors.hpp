// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace polyphase {

// A tensor of float32 for a file. Its values, row-major, are asked for when their turn comes, so
// that no more than one tensor lies in memory.
struct SafeTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::function<std::vector<float>()> values;
};

// Writes a file of the safetensors format (github.com/huggingface/safetensors, "Format"): the
// length of a JSON header in 8 bytes, the header (name → type, shape, offsets), the values one
// behind the other. Whole or not at all: an unfinished file has another name. Throws SystemError.
void write_safetensors(const std::filesystem::path& path, const std::vector<SafeTensor>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace polyphase
