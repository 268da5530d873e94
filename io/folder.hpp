// SPDX-License-Identifier: Apache-2.0
#pragma once

// Private to io: names in folders, asked for, exchanged and removed so that what the system refuses
// is told.

#include <filesystem>
#include <vector>

namespace polyphase {

// Removes a file, or a folder with all that is in it; nothing to do when it is not there. Throws
// SystemError.
void remove_tree(const std::filesystem::path& path);

// What lies in a folder; nothing when it is not there. Throws SystemError.
std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder);

// Lets two names, both there, change places in one step and syncs the folder around `b`. False
// where the file system cannot.
bool exchange_durably(const std::filesystem::path& a, const std::filesystem::path& b);

// Whether anything has that name. Throws SystemError when the system cannot tell.
bool is_there(const std::filesystem::path& path);

}  // namespace polyphase
