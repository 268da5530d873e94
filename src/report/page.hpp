// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace polyphase::report {

// A whole page around its sections, with the style sheet inside.
std::string page_html(const std::string& title, const std::string& body);

// Puts a page in place; SystemError when it cannot, and an older page then stays as it was.
void write_page(const std::filesystem::path& path, const std::string& page);

// Empty when there is no such file.
std::string text_of_file(const std::filesystem::path& path);

}  // namespace polyphase::report
