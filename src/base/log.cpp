// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace polyphase {
namespace {

int log_rank = 0;

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = spdlog::stderr_logger_mt("polyphase");
    made->set_pattern("%H:%M:%S %v");
    return made;
  }();
  return *instance;
}

}  // namespace

void set_log_rank(int rank) { log_rank = rank; }

void log_info_line(const std::string& line) {
  if (log_rank == 0) logger().info("{}", line);
}

void log_warning_line(const std::string& line) {
  if (log_rank == 0) {
    logger().warn("warning: {}", line);
  } else {
    logger().warn("[rank {}] warning: {}", log_rank, line);
  }
}

}  // namespace polyphase
