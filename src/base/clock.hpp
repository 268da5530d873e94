// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace polyphase {

// Seconds since some moment in the past, for differences only: the clock never steps back.
inline double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The time of day.
inline double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace polyphase
