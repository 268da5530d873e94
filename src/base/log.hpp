// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

namespace polyphase {

// Lines for a person, on standard error. Rank 0 speaks; other ranks only warn, with their rank in
// front.
void set_log_rank(int rank);
void log_info_line(const std::string& line);     // rank 0 only
void log_warning_line(const std::string& line);  // every rank

template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_info_line(fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_warning_line(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace polyphase
