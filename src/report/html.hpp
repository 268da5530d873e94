// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace polyphase::report {

// Writes one page that needs no other file or network. It is made from status.json, recipe.yaml and
// every phase's metrics.jsonl; what is missing or not-a-number leaves a gap. DataError when
// status.json is not readable, SystemError when the page cannot be written; an older page then
// stays as it was.
void write_report(const std::filesystem::path& run_folder, const std::filesystem::path& page);

// The same as RUN/report.html; its path.
std::filesystem::path write_report(const std::filesystem::path& run_folder);

// The page itself.
std::string report_html(const std::filesystem::path& run_folder);

}  // namespace polyphase::report
