// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>

#include "base/error.hpp"
#include "base/log.hpp"
#include "io/checkpoint_manifest.hpp"
#include "io/file.hpp"
#include "io/folder.hpp"

namespace polyphase {
namespace {

constexpr std::string_view kPrefix = "step-";

// "step-000500", or the same with `suffix` behind: 500; anything else is not ours.
std::optional<std::int64_t> step_of(std::string_view name, std::string_view suffix) {
  if (!name.starts_with(kPrefix) || !name.ends_with(suffix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  name.remove_suffix(std::min(name.size(), suffix.size()));
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  const bool whole = error == std::errc() && end == name.data() + name.size() && step >= 0;
  return whole ? std::optional(step) : std::nullopt;
}

bool is_complete(const std::filesystem::path& folder) {
  try {
    read_manifest(folder);
    return true;
  } catch (const DataError&) {  // an error of the system says nothing of the checkpoint
    return false;
  }
}

std::vector<std::filesystem::path> folders_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  for (const std::filesystem::path& entry : entries_of(folder)) {
    std::error_code unknown;
    const auto status = std::filesystem::symlink_status(entry, unknown);
    if (std::filesystem::is_directory(status)) found.push_back(entry);
  }
  return found;
}

// The manifest goes first, for good, so that no reader trusts a folder that is half removed.
void remove_checkpoint(const std::filesystem::path& folder) {
  if (is_there(folder / kManifestFile)) {
    remove_tree(folder / kManifestFile);
    sync_folder(folder);
  }
  remove_tree(folder);
}

}  // namespace

std::string checkpoint_name(std::int64_t step) { return fmt::format("step-{:06d}", step); }

std::vector<CheckpointEntry> find_checkpoints(const std::filesystem::path& folder) {
  std::vector<CheckpointEntry> found;
  for (const std::filesystem::path& entry : folders_in(folder)) {
    const std::optional<std::int64_t> step = step_of(entry.filename().string(), "");
    if (step && is_complete(entry)) found.push_back({entry, *step});
  }
  std::sort(found.begin(), found.end(),
            [](const CheckpointEntry& a, const CheckpointEntry& b) { return a.step < b.step; });
  return found;
}

std::vector<std::string> unusable_checkpoints(const std::filesystem::path& folder,
                                              std::int64_t step) {
  std::vector<std::string> found;
  for (const std::filesystem::path& entry : folders_in(folder)) {
    const std::string name = entry.filename().string();
    if (step_of(name, ".tmp").value_or(step) > step) {
      found.push_back(fmt::format("{}: was being written when its job ended", entry.string()));
    } else if (step_of(name, "").value_or(step) > step) {
      try {
        read_manifest(entry);
      } catch (const DataError& error) {
        found.emplace_back(error.what());
      }
    }
  }
  return found;
}

void remove_old_checkpoints(const std::filesystem::path& folder, int keep,
                            const std::set<std::int64_t>& kept_steps) {
  POLYPHASE_PROMISE(keep >= 1, "{}: {} checkpoints to keep", folder.string(), keep);
  const std::vector<CheckpointEntry> complete = find_checkpoints(folder);
  const auto num_kept =
      static_cast<std::ptrdiff_t>(std::min(complete.size(), static_cast<std::size_t>(keep)));
  // Whether `entry` is a complete one, `first` or newer.
  const auto holds = [&](auto first, const std::filesystem::path& entry) {
    return std::any_of(first, complete.end(),
                       [&](const CheckpointEntry& known) { return known.folder == entry; });
  };
  for (const std::filesystem::path& entry : folders_in(folder)) {
    const std::string name = entry.filename().string();
    const std::optional<std::int64_t> step = step_of(name, "");
    const bool ours = step || step_of(name, ".tmp") || step_of(name, ".old");
    const bool kept = holds(complete.end() - num_kept, entry) ||
                      (step && kept_steps.contains(*step) && holds(complete.begin(), entry));
    if (!ours || kept) continue;
    // A manifest that is damaged, or newer than this program, is for a person to judge.
    const bool unclear = step && is_there(entry / kManifestFile) && !holds(complete.begin(), entry);
    if (unclear) {
      log_warning("{}: kept, though its manifest cannot be read; remove it by hand",
                  entry.string());
    } else {
      remove_checkpoint(entry);
    }
  }
}

}  // namespace polyphase
