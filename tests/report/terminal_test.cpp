// SPDX-License-Identifier: Apache-2.0
#include "report/terminal.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace polyphase::report {
namespace {

// A terminal made by the program itself, 77 columns wide.
class Terminal {
 public:
  Terminal() : master_(posix_openpt(O_RDWR | O_NOCTTY)) {
    if (master_ < 0 || grantpt(master_) != 0 || unlockpt(master_) != 0) return;
    const char* const name = ptsname(master_);
    slave_ = name == nullptr ? -1 : open(name, O_RDWR | O_NOCTTY);
    winsize size{};
    size.ws_col = 77;
    size.ws_row = 20;
    ioctl(slave_, TIOCSWINSZ, &size);
  }
  ~Terminal() {
    close(slave_);
    close(master_);
  }
  int descriptor() const { return slave_; }

 private:
  int master_;
  int slave_ = -1;
};

TEST(TerminalTest, ATerminalTellsItsWidth) {
  const Terminal terminal;
  ASSERT_GE(terminal.descriptor(), 0);
  EXPECT_EQ(terminal_columns(terminal.descriptor()), 77);
}

TEST(TerminalTest, FilesAndPipesAreNoTerminal) {
  unsetenv("OMPI_COMM_WORLD_RANK");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(terminal_columns(ends[1]), std::nullopt);
  const int file = open("/dev/null", O_WRONLY);
  EXPECT_EQ(terminal_columns(file), std::nullopt);
  setenv("OMPI_COMM_WORLD_RANK", "0", 1);
  EXPECT_EQ(terminal_columns(file), std::nullopt);  // redirected by the person: a log
  unsetenv("OMPI_COMM_WORLD_RANK");
  for (const int descriptor : {ends[0], ends[1], file}) close(descriptor);
}

}  // namespace
}  // namespace polyphase::report
