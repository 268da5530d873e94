// SPDX-License-Identifier: Apache-2.0
#include "report/terminal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace polyphase::report {

namespace {

int columns_of(int terminal) {
  winsize size{};
  if (ioctl(terminal, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefaultColumns;
  return size.ws_col;
}

bool is_pipe(int descriptor) {
  struct stat status {};
  return fstat(descriptor, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

}  // namespace

std::optional<int> terminal_columns(int descriptor) {
  if (isatty(descriptor) != 0) return columns_of(descriptor);
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr || !is_pipe(descriptor)) return std::nullopt;
  const std::string launcher = fmt::format("/proc/{}/fd/2", getppid());
  struct stat status {};
  // Only a character device is opened: to open a pipe or a file for a look could block or touch it.
  if (stat(launcher.c_str(), &status) != 0 || !S_ISCHR(status.st_mode)) return std::nullopt;
  const int terminal = open(launcher.c_str(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (terminal < 0) return std::nullopt;
  std::optional<int> columns;
  if (isatty(terminal) != 0) columns = columns_of(terminal);
  close(terminal);
  return columns;
}

}  // namespace polyphase::report
