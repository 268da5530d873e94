// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace polyphase {

// Where the checkpoints of a phase go.
std::filesystem::path checkpoints_of(const std::filesystem::path& phase_folder);

// The checkpoint that is the phase's result, so far or for good: the one that the newest complete
// checkpoint names in its state. Empty when there is no complete checkpoint; DataError when the one
// that is named is gone or a state is not that of a phase.
std::filesystem::path result_checkpoint(const std::filesystem::path& phase_folder);

}  // namespace polyphase
