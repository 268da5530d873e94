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
// by sample, in any of the metrics.
struct SampleTallies {
  std::vector<std::vector<SampleTally>> samples;  // [sample][objective], in the order of the index
  std::vector<std::string> corpora;  // each sample's, where the phase trains on several; else empty

  std::size_t size() const { return samples.size(); }
};

// The samples of one corpus; none where the corpora are not known.
SampleTallies of_corpus(const SampleTallies& all, const std::string& corpus);

// Runs the phase's model over the whole of a part, one sample a pass, in each kind that the phase
// makes of it. Collective; all ranks get the same. Empty when a stop was asked for.
std::optional<SampleTallies> sample_tallies(TrainedPhase& phase, const std::string& part,
                                            const Communicator& world, StopRequest& stop);

// A metric of the samples, each taken so many times; of all of them once where `times` is empty.
// Not a number without samples.
double metric_of_samples(const PhaseModel& model, const SampleTallies& tallies,
                         const std::vector<std::int32_t>& times, const std::string& metric);

// One line of JSON a sample (io/FORMATS.md), written atomically. Reading gives nothing where there
// is no such file, or none that is whole.
void write_sample_tallies(const std::filesystem::path& file, const SampleTallies& tallies);
std::optional<SampleTallies> read_sample_tallies(const std::filesystem::path& file);

}  // namespace polyphase
