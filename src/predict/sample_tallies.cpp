// SPDX-License-Identifier: Apache-2.0
#include "predict/sample_tallies.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>

#include "comm/agreement.hpp"
#include "io/file.hpp"
#include "train/evaluate.hpp"

namespace polyphase {
namespace {

using nlohmann::json;

SampleTally sparse(const Tally& tally) {
  SampleTally sample = {.nats = tally.nats,
                        .num_terms = tally.num_terms,
                        .num_counts = tally.counts.size(),
                        .counts = {},
                        .records = tally.records};
  for (std::size_t place = 0; place < tally.counts.size(); ++place) {
    if (tally.counts[place] != 0) sample.counts.emplace_back(place, tally.counts[place]);
  }
  return sample;
}

void add(const SampleTally& sample, std::int32_t times, Tally& sum) {
  sum.nats += times * sample.nats;
  sum.num_terms += times * sample.num_terms;
  sum.counts.resize(std::max(sum.counts.size(), sample.num_counts));
  for (const auto& [place, count] : sample.counts) sum.counts[place] += times * count;
  for (std::int32_t time = 0; time < times; ++time)
    sum.records.insert(sum.records.end(), sample.records.begin(), sample.records.end());
}

// A loss that is not finite would not survive JSON as a number.
json nats_json(double nats) { return std::isfinite(nats) ? json(nats) : json(nullptr); }

json tally_json(const SampleTally& tally) {
  return {nats_json(tally.nats), tally.num_terms, tally.num_counts, tally.counts, tally.records};
}

SampleTally tally_of(const json& list) {
  return {.nats = list.at(0).is_null() ? std::nan("") : list.at(0).get<double>(),
          .num_terms = list.at(1),
          .num_counts = list.at(2),
          .counts = list.at(3),
          .records = list.at(4)};
}

std::string line_of(const std::vector<SampleTally>& objectives) {
  json line = json::array();
  for (const SampleTally& tally : objectives) line.push_back(tally_json(tally));
  return line.dump();
}

std::vector<SampleTally> sample_of(const std::string& line) {
  std::vector<SampleTally> objectives;
  const json list = json::parse(line);
  for (const json& tally : list) objectives.push_back(tally_of(tally));
  return objectives;
}

// Lines of all ranks to samples in the order of the index: batches are dealt to the ranks in turn,
// and where a rank had none its line is "[]".
SampleTallies in_order(const std::vector<std::string>& texts) {
  std::vector<std::istringstream> ranks(texts.begin(), texts.end());
  SampleTallies all;
  for (std::string line;;) {
    for (std::istringstream& rank : ranks) {
      if (!std::getline(rank, line)) return all;
      std::vector<SampleTally> sample = sample_of(line);
      if (!sample.empty()) all.push_back(std::move(sample));
    }
  }
}

// Of this rank's samples; empty when a stop was asked for.
std::optional<std::string> lines_of(PhaseModel& model, EvaluationStream& stream,
                                    const Communicator& world, StopRequest& stop) {
  std::string lines;
  while (const std::optional<EvaluationBatch> next = stream.next()) {
    if (stop.agreed(world)) return std::nullopt;
    std::vector<SampleTally> sample;
    if (next->batch.num_sequences() > 0) {
      for (const Tally& tally : model.evaluate(next->batch)) sample.push_back(sparse(tally));
    }
    lines += line_of(sample) + "\n";
  }
  return lines;
}

}  // namespace

std::optional<SampleTallies> sample_tallies(TrainedPhase& phase, const std::string& part,
                                            const Communicator& world, StopRequest& stop) {
  std::vector<CorpusPart> parts;
  agree_on(world, [&] { parts = phase.corpus().open(part); });
  phase.allow_sequences(1);
  SampleTallies all;
  for (const CorpusPart& each : parts) {
    EvaluationStream stream(each.dataset, {.sample = phase.sample_settings(),
                                           .micro_batch = 1,
                                           .data_rank = phase.grid().data.rank(),
                                           .num_data_ranks = phase.grid().data.size()});
    const std::optional<std::string> lines = lines_of(phase.model(), stream, world, stop);
    if (!lines) return std::nullopt;
    SampleTallies more = in_order(phase.grid().data.gather(*lines));
    std::move(more.begin(), more.end(), std::back_inserter(all));
  }
  return all;
}

double metric_of_samples(const PhaseModel& model, const SampleTallies& tallies,
                         const std::vector<std::int32_t>& times, const std::string& metric) {
  POLYPHASE_PROMISE(times.empty() || times.size() == tallies.size(), "{} multiplicities of {}",
                    times.size(), tallies.size());
  std::vector<Tally> sums(model.objective_names().size());
  for (std::size_t s = 0; s < tallies.size(); ++s) {
    const std::int32_t count = times.empty() ? 1 : times[s];
    if (count == 0) continue;
    for (std::size_t o = 0; o < sums.size(); ++o) add(tallies[s].at(o), count, sums[o]);
  }
  const std::map<std::string, double> metrics = model.metrics(sums);
  const auto found = metrics.find(metric);
  POLYPHASE_PROMISE(found != metrics.end(), "no metric {}", metric);
  return found->second;
}

void write_sample_tallies(const std::filesystem::path& file, const SampleTallies& tallies) {
  std::string text;
  for (const std::vector<SampleTally>& sample : tallies) text += line_of(sample) + "\n";
  write_file_atomically(file, text);
}

std::optional<SampleTallies> read_sample_tallies(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return std::nullopt;
  std::istringstream text(read_file(file));
  SampleTallies tallies;
  try {
    for (std::string line; std::getline(text, line);) tallies.push_back(sample_of(line));
  } catch (const json::exception&) {
    return std::nullopt;
  }
  return tallies;
}

}  // namespace polyphase
