// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace polyphase {

// What made a checkpoint: the phase that trained it, and the same of the checkpoints that this
// phase started from and learnt from, and of the corpora that phases made for it, back to their
// beginnings. Part of the state in every checkpoint's manifest, under its digest, and the first
// record of metrics.jsonl (io/FORMATS.md).
//
// Likewise, what made such a corpus: the phase that wrote it, from `corpora`, by the model of the
// checkpoint `from`.
struct Lineage {
  std::string run;  // its name
  std::int64_t round = 1;
  std::string phase;
  std::int64_t step = 0;  // of the checkpoint; 0: of the phase, whichever its checkpoint
  // CheckpointReader::digest(), of parents and teachers alone; of a corpus, that of its text.
  std::string digest;
  std::uint64_t seed = 0;
  std::vector<std::string> versions;  // of the programs that trained the phase, in order
  std::vector<std::string> changes;  // of the recipe by rounds: "phases.topic.dropout: 0.1 → 0.2"
  std::string tokenizer;             // digest
  std::map<std::string, std::string> corpora;  // name → digest
  std::shared_ptr<const Lineage> from, teacher;
  std::map<std::string, std::shared_ptr<const Lineage>> made;  // of `corpora`, those that are made
  nlohmann::json generation;  // of a corpus: settings, and how many texts; else null
};

void to_json(nlohmann::json& json, const Lineage& lineage);
// What an older program left out stays at its default.
void from_json(const nlohmann::json& json, Lineage& lineage);

// The record that a checkpoint's state holds, as a parent's: with its step and digest. A checkpoint
// without a record gives these and its phase alone. DataError when the record is none.
Lineage lineage_of_checkpoint(const std::filesystem::path& checkpoint);

}  // namespace polyphase
