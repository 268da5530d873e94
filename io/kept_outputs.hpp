// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace polyphase {

// What a teacher's head says of every training sample of a corpus (io/FORMATS.md), as it was
// computed once.
struct KeptOutputs {
  std::int64_t num_outputs = 0;  // of a sample
  std::vector<float> values;     // samples × outputs

  std::int64_t num_samples() const { return std::ssize(values) / num_outputs; }
};

// Writes beside `path` and renames; makes its folder. `made_of` says what the outputs were made
// of. SystemError.
void write_kept_outputs(const std::filesystem::path& path, const KeptOutputs& outputs,
                        const std::string& made_of);

// DataError for a file that is no such table of so many rows and columns, was altered or was made
// of something else.
KeptOutputs read_kept_outputs(const std::filesystem::path& path, const std::string& made_of,
                              std::int64_t num_samples, std::int64_t num_outputs);

}  // namespace polyphase
