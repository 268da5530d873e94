// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

namespace polyphase {

// The wall's clock, or what this process has had of the processors: for a busy machine, and a rank
// and thread that wait for no other.
double seconds_by(bool processor_time);

// Begins to sum up time inside each kernel region, without that of regions inside it.
void watch_kernels(bool by_processor_time);
void stop_watching_kernels();
// Milliseconds and calls of each, of one of so many equal parts of the time watched.
nlohmann::json watched_kernels(double num_parts);

// Of the device where there is one: all that is allocated there now, which is the most; else of the
// process.
double peak_memory_mib();

}  // namespace polyphase
