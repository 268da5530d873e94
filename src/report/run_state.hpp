// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace polyphase::report {

// What happened to the parameters when a phase took over a model.
struct Handover {
  // Parameter names; "new" in the file is `fresh` here.
  std::vector<std::string> carried, fresh, left;
};

// One phase of one round, as status.json tells it. Fields that the file lacks keep these defaults.
struct PhaseState {
  std::string name;
  std::string state = "pending";  // pending, running, interrupted, done, rejected, failed
  std::int64_t round = 1;
  std::string folder;  // relative to the run folder
  std::string from;    // name of the phase whose model it took; empty: from scratch
  std::string task;    // for instance "mlm + nsp", "classification"
  std::int64_t step = 0, total_steps = 0;
  std::int64_t samples = 0, tokens = 0;  // whole job
  double seconds = 0;
  std::map<std::string, double> metrics;  // "valid.loss", "test.accuracy", …; may hold not-a-number
  Handover handover;
  std::string reason;  // why it stopped or failed
};

struct RunState {
  std::string name;
  std::string recipe_hash;
  std::string version;  // of the program
  std::vector<PhaseState> phases;
};

// Reads RUN/status.json. DataError when it is missing, is not JSON or has a field of the wrong
// type.
RunState read_run_state(const std::filesystem::path& run_folder);

}  // namespace polyphase::report
