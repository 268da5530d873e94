// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/watch.hpp"

#include <sys/resource.h>
#include <time.h>

#include <map>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "kernels/exec.hpp"

namespace polyphase {
namespace {

struct KernelTimes {
  struct Frame {
    std::string name;
    double begin = 0, inside = 0;
  };
  std::vector<Frame> stack;
  std::map<std::string, double> seconds;
  std::map<std::string, double> calls;
};
KernelTimes kernel_times;
bool by_processor_time = false;

// On a device kernels run behind the call that starts them: regions wait for theirs.
void push_region(const char* name) {
  Space().fence();
  kernel_times.stack.push_back({.name = name, .begin = seconds_by(by_processor_time)});
}

void pop_region() {
  Space().fence();
  const KernelTimes::Frame frame = kernel_times.stack.back();
  kernel_times.stack.pop_back();
  const double whole = seconds_by(by_processor_time) - frame.begin;
  kernel_times.seconds[frame.name] += whole - frame.inside;
  ++kernel_times.calls[frame.name];
  if (!kernel_times.stack.empty()) kernel_times.stack.back().inside += whole;
}

}  // namespace

double seconds_by(bool processor_time) {
  if (!processor_time) return now_seconds();
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void watch_kernels(bool processor_time) {
  by_processor_time = processor_time;
  Kokkos::Tools::Experimental::set_push_region_callback(push_region);
  Kokkos::Tools::Experimental::set_pop_region_callback(pop_region);
}

void stop_watching_kernels() {
  Kokkos::Tools::Experimental::set_push_region_callback(nullptr);
  Kokkos::Tools::Experimental::set_pop_region_callback(nullptr);
}

nlohmann::json watched_kernels(double num_parts) {
  nlohmann::json all = nlohmann::json::object();
  for (const auto& [name, seconds] : kernel_times.seconds) {
    all[name] = {{"milliseconds", 1e3 * seconds / num_parts},
                 {"calls", kernel_times.calls[name] / num_parts}};
  }
  return all;
}

double peak_memory_mib() {
#ifdef KOKKOS_ENABLE_CUDA
  std::size_t free_bytes = 0, total_bytes = 0;
  cudaMemGetInfo(&free_bytes, &total_bytes);
  return static_cast<double>(total_bytes - free_bytes) / (1024.0 * 1024.0);
#else
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
#endif
}

}  // namespace polyphase
