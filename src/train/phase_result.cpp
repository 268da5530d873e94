// SPDX-License-Identifier: Apache-2.0
#include "train/phase_result.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "io/checkpoint.hpp"
#include "train/phase_state.hpp"

namespace polyphase {

namespace fs = std::filesystem;

fs::path checkpoints_of(const fs::path& phase_folder) { return phase_folder / "checkpoints"; }

fs::path result_checkpoint(const fs::path& phase_folder) {
  const std::vector<CheckpointEntry> complete = find_checkpoints(checkpoints_of(phase_folder));
  if (complete.empty()) return {};
  const CheckpointEntry& newest = complete.back();
  PhaseState state;
  try {
    CheckpointReader(newest.folder).state().at("phase_state").get_to(state);
  } catch (const nlohmann::json::exception& error) {
    fail<DataError>(
        "{}: its state is not that of a phase ({}); was another program's version here?",
        newest.folder.string(), error.what());
  }
  for (const CheckpointEntry& entry : complete) {
    if (entry.step == state.result_step) return entry.folder;
  }
  fail<DataError>(
      "{} names the checkpoint of step {} as the phase's result, and there is no such complete "
      "checkpoint; bring it back, or remove the folder {} to train the phase again",
      newest.folder.string(), state.result_step, phase_folder.string());
}

}  // namespace polyphase
