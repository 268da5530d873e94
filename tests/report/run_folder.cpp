// SPDX-License-Identifier: Apache-2.0
#include "report/run_folder.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <fstream>

namespace polyphase::report {

RunFolder::RunFolder() {
  static std::atomic<int> count{0};
  path_ = std::filesystem::temp_directory_path() /
          fmt::format("polyphase-report-{}-{}", getpid(), count++);
  std::filesystem::create_directories(path_);
}

RunFolder::~RunFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void RunFolder::write(const std::string& file, const std::string& text) const {
  std::filesystem::create_directories((path_ / file).parent_path());
  std::ofstream(path_ / file, std::ios::binary) << text;
}

std::string two_phase_status() {
  return R"({"name": "demo", "recipe_hash": "0123456789abcdef", "version": "0.1.0", "phases": [
    {"name": "pretrain", "state": "done", "round": 1, "folder": "p1", "from": "", "task": "mlm + nsp", "step": 40,
     "total_steps": 40, "samples": 640, "tokens": 12800, "seconds": 4.0, "metrics": {"valid.loss": 2.5},
     "handover": {"carried": [], "new": ["embedding.token.weight"], "left": []}, "reason": ""},
    {"name": "topic", "state": "interrupted", "round": 1, "folder": "p2", "from": "pretrain", "task": "classification",
     "step": 20, "total_steps": 50, "samples": 320, "tokens": 6400, "seconds": 2.0, "metrics": {"valid.accuracy": null},
     "handover": {"carried": ["embedding.token.weight"], "new": ["head.classification.output.weight"],
                  "left": ["head.mlm.bias"]}, "reason": "SIGTERM"}]})";
}

std::string step_lines(int steps, const std::string& objective, int every) {
  std::string lines;
  for (int step = 1; step <= steps; ++step) {
    const double loss = 1.0 + 4.0 / step;
    lines += fmt::format(
        "{{\"kind\":\"step\",\"step\":{},\"loss\":{},\"losses\":{{\"{}\":{}}},\"learning_rate\":0."
        "001,"
        "\"tokens_per_second\":3000}}\n",
        step, loss, objective, loss);
    if (step % every == 0) {
      lines += fmt::format(
          "{{\"kind\":\"evaluation\",\"step\":{},\"split\":\"valid\",\"metrics\":{{\"loss\":{},"
          "\"accuracy\":0.5}}}}\n",
          step, loss + 0.1);
    }
  }
  return lines;
}

}  // namespace polyphase::report
