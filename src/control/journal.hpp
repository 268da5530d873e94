// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "recipe/variants.hpp"

// What was decided in a run, as plain data: RUN/decisions.json.
namespace polyphase {

inline constexpr const char* kJournalFile = "decisions.json";

// A strategy that was looked at, with what its condition saw in the kept round.
struct Considered {
  std::string strategy, condition;
  bool holds = false;
  std::map<std::string, double> numbers;  // by name; of words also what defines them
  std::string note;                       // why it was passed over although it holds
};

// The comparison of a round's scores on single validation samples with its parent's.
struct PairedTest {
  std::int64_t num_samples = 0, num_resamples = 0;
  double share_better = 0;  // of the resamples, those in which the round is better
};

struct Verdict {
  bool kept = false;
  double score = 0;   // of the target's metric on the whole validation part; may be not-a-number
  double gain = 0;    // over the parent, positive when better
  double margin = 0;  // that was asked for
  double confidence = 0;  // likewise; 0: no test
  std::optional<PairedTest> test;
  std::string reason;
};

// Where a phase of a round lies: in the folder of the round that trained it.
struct PhaseUse {
  std::string name;
  std::size_t number = 0;  // in the recipe
  std::int64_t round = 1;  // that trained it
  std::string folder;      // relative to the run's
};

struct Round {
  std::int64_t number = 1;
  std::int64_t parent = 0;  // 0: none
  std::string adds;         // what distinguishes it from its parent, in words
  double margin = 0;
  recipe::Variant variant;
  std::vector<std::string> changes;  // "phases.pretrain.stop.steps: 100 → 200"
  std::vector<Considered> considered;
  std::vector<PhaseUse> phases;  // in the order of the recipe
  std::optional<Verdict> verdict;

  const PhaseUse* find(const std::string& phase) const;  // nullptr when it has none
};

struct Journal {
  std::vector<Round> rounds;
  // Rounds that are foreseen to follow (ahead.hpp), and trained beside the last one. Nothing is
  // decided of them: when its turn comes, a round is decided as if it had not been foreseen.
  std::vector<Round> ahead;
  std::string ended;                   // why nothing more is tried; empty: it goes on
  std::vector<Considered> considered;  // at the end
};

// The round that is best so far: the last one kept. nullptr before the first verdict.
const Round* kept_round(const Journal& journal);

void to_json(nlohmann::json& json, const Journal& journal);
void from_json(const nlohmann::json& json, Journal& journal);

// An empty journal when there is no such file; DataError when it cannot be read.
Journal read_journal(const std::filesystem::path& file);
void write_journal(const std::filesystem::path& file, const Journal& journal);

}  // namespace polyphase
