// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/lineage.hpp"

namespace polyphase::report {

// What happened to the parameters when a phase took over a model.
struct Handover {
  // Parameter names; "new" in the file is `fresh` here.
  std::vector<std::string> carried;
  std::vector<std::string> copied;  // into layers that were not there: "NAME from NAME"
  std::vector<std::string> fresh, left;
  std::vector<std::string> state;  // the optimizer's, where it was converted: "NAME: … from …"
};

// A phase of another run that a phase starts from or learns from.
struct OtherPhase {
  std::string run, phase;  // as the recipe names it
  Lineage lineage;         // of the checkpoint that was taken
};

// One phase of one round, as status.json tells it. Fields that the file lacks keep these defaults.
struct PhaseState {
  std::string name;
  std::string state = "pending";  // pending, running, interrupted, done, rejected, failed
  std::int64_t round = 1;
  std::string folder;              // relative to the run folder
  std::string from;                // name of the phase whose model it took; empty: from scratch
  std::string from_folder;         // where that lies, maybe in another round's folder
  std::string teacher_folder;      // of the phase it learns from; empty: none
  std::vector<OtherPhase> others;  // as it found them when it began
  std::string task;                // for instance "mlm + nsp", "classification"
  std::int64_t step = 0, total_steps = 0;
  std::int64_t samples = 0, tokens = 0;  // whole job
  double seconds = 0;
  double share = 1;  // of the job's ranks, that trained it last; others trained beside it
  std::map<std::string, double> metrics;  // "valid.loss", "test.accuracy", …; may hold not-a-number
  Handover handover;
  std::string reason;  // why it stopped or failed

  // Whether it trains a model; else it makes a corpus.
  bool trains() const { return task != "generate"; }
};

// One round of a run whose recipe changes itself.
struct RoundState {
  std::int64_t number = 1;
  std::int64_t parent = 0;              // 0: none
  std::string state = "running";        // running, kept, rejected
  std::string adds;                     // what distinguishes it from its parent
  std::vector<std::string> changes;     // key path: before → now
  std::vector<std::string> considered;  // what was looked at before it was begun
  double score = 0;    // of the target's metric, of a round that was judged; may be not-a-number
  std::string reason;  // why it was kept or rejected
  std::map<std::string, std::string> folders;  // of each phase, also of one that another round made
};

// The rounds of a run, and what they are for.
struct RoundsState {
  std::string phase, metric;            // of the target
  std::string target;                   // in words
  std::string ended;                    // why no further round follows; empty: one may
  std::vector<std::string> considered;  // at the end
  std::int64_t best = 0;                // number of the round that is kept; 0: none yet
  std::vector<RoundState> rounds;       // in order; empty: the recipe does not iterate
};

struct RunState {
  std::string name;
  std::string recipe_hash;
  std::string version;  // of the program
  std::vector<PhaseState> phases;
  RoundsState rounds;
};

// The round of that number; nullptr when there is none.
const RoundState* find_round(const RoundsState& rounds, std::int64_t number);

// Reads RUN/status.json, and for the rounds that jobs of their own train what these say of them in
// RUN/round-N/status.json. DataError when the run's is missing, or one of them is not JSON or has a
// field of the wrong type.
RunState read_run_state(const std::filesystem::path& run_folder);
// The same of a run that may not have begun: empty when the file is missing.
RunState run_state_so_far(const std::filesystem::path& run_folder);

// RUN/round-N.
std::filesystem::path round_folder(const std::filesystem::path& run_folder, std::int64_t round);

}  // namespace polyphase::report
