// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "predict/trained_phase.hpp"
#include "train/stop_request.hpp"

namespace polyphase {

// A Tally of one sample and one objective, of which most counts are 0.
struct SampleTally {
  double nats = 0;
  std::int64_t num_terms = 0;
  std::size_t num_counts = 0;
  std::vector<std::pair<std::size_t, std::int64_t>> counts;  // place and value of those not 0
  std::vector<double> records;
};

// What a model does on every sample of a part by itself, so that two models can be compared sample
// by sample, in any of the metrics: tallies[sample][objective], in the order of the index.
using SampleTallies = std::vector<std::vector<SampleTally>>;

// Runs the phase's model over the whole of a part, one sequence a pass. Collective; all ranks get
// the same. Empty when a stop was asked for.
std::optional<SampleTallies> sample_tallies(TrainedPhase& phase, const std::string& part,
                                            const Communicator& world, StopRequest& stop);

// A metric of the samples, each taken so many times; of all of them once where `times` is empty.
double metric_of_samples(const PhaseModel& model, const SampleTallies& tallies,
                         const std::vector<std::int32_t>& times, const std::string& metric);

// One line of JSON a sample (io/FORMATS.md), written atomically. Reading gives nothing where there
// is no such file, or none that is whole.
void write_sample_tallies(const std::filesystem::path& file, const SampleTallies& tallies);
std::optional<SampleTallies> read_sample_tallies(const std::filesystem::path& file);

}  // namespace polyphase
