// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "base/log_label.hpp"

namespace polyphase {
namespace {

int log_rank = 0;
std::string log_label;

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
void set_log_label(const std::string& label) { log_label = label; }

void log_info_line(const std::string& line) {
  if (log_rank == 0) logger().info("{}{}", log_label, line);
}

void log_warning_line(const std::string& line) {
  if (log_rank == 0) {
    logger().warn("warning: {}{}", log_label, line);
  } else {
    logger().warn("[rank {}] warning: {}{}", log_rank, log_label, line);
  }
}

}  // namespace polyphase
