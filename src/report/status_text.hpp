// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace polyphase::report {

// The answer to `polyphase status RUN`: the run, its phases, how far the current one is and why the
// last one stopped. Its table is for lines of `columns` characters. DataError when the folder holds
// no readable status.json.
std::string status_text(const std::filesystem::path& run_folder, int columns);

// The tables that end a run: its phases and, where its recipe changes itself, its rounds.
std::string tables_text(const std::filesystem::path& run_folder, int columns);

}  // namespace polyphase::report
