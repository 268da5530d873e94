// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace polyphase::report {

// A made-up run in a folder of its own, removed at the end of a test.
class RunFolder {
 public:
  RunFolder();
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& file, const std::string& text) const;  // creates folders on the way

 private:
  std::filesystem::path path_;
};

// status.json of two phases: "pretrain" (mlm + nsp, done) in folder "p1" and "topic"
// (classification, interrupted) in "p2".
std::string two_phase_status();

// `steps` lines of metrics of one objective, losses falling from 5, with an evaluation every
// `every` steps.
std::string step_lines(int steps, const std::string& objective, int every);

}  // namespace polyphase::report
