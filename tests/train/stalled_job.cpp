// SPDX-License-Identifier: Apache-2.0
// A job of some ranks that count steps together under a watchdog: stalled_job FOLDER
// loop|stop|pause. In the third step, rank 1 loops for good, stops itself, or takes a while.
#include <unistd.h>

#include <csignal>
#include <string>

#include "comm/session.hpp"
#include "train/watchdog.hpp"

int main(int argc, char** argv) {
  using namespace polyphase;
  const MpiSession session(&argc, &argv);
  if (argc != 3) return 64;
  const std::string how = argv[2];
  Watchdog watchdog(argv[1], 4.0, session.world());
  for (std::int64_t step = 1; step <= 5; ++step) {
    watchdog.at("counting", step);
    if (session.world().rank() == 1 && step == 3) {
      for (volatile bool forever = true; how == "loop" && forever;) continue;
      if (how == "stop") raise(SIGSTOP);
      if (how == "pause") usleep(1'500'000);
    }
    session.world().barrier();
  }
  return 0;
}
