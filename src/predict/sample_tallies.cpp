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

std::string line_of(const std::vector<SampleTally>& objectives, const std::string& corpus = "") {
  json line = json::array();
  for (const SampleTally& tally : objectives) line.push_back(tally_json(tally));
  if (!corpus.empty()) line.push_back(corpus);
  return line.dump();
}

// One sample's: tallies by objective, and behind them the name of its corpus if there is one.
void add_line(const std::string& line, SampleTallies& tallies) {
  std::vector<SampleTally> objectives;
  const json list = json::parse(line);
  for (const json& entry : list) {
    if (entry.is_string()) {
      tallies.corpora.push_back(entry);
    } else {
      objectives.push_back(tally_of(entry));
    }
  }
  if (!objectives.empty()) tallies.samples.push_back(std::move(objectives));
}

// Lines of all ranks to samples in the order of the index: batches are dealt to the ranks in turn,
// and where a rank had none its line is "[]".
SampleTallies in_order(const std::vector<std::string>& texts) {
  std::vector<std::istringstream> ranks(texts.begin(), texts.end());
  SampleTallies all;
  for (std::string line;;) {
    for (std::istringstream& rank : ranks) {
      if (!std::getline(rank, line)) return all;
      add_line(line, all);
    }
  }
}

// Samples that were made in several kinds, one kind behind the other: what each gave in all.
void join_kinds(std::size_t num_samples, SampleTallies& all) {
  for (std::size_t s = num_samples; s < all.size(); ++s) {
    std::vector<SampleTally>& joined = all.samples[s % num_samples];
    for (std::size_t o = 0; o < joined.size(); ++o) {
      Tally sum;
      add(joined[o], 1, sum);
      add(all.samples[s].at(o), 1, sum);
      joined[o] = sparse(sum);
    }
  }
  all.samples.resize(num_samples);
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

SampleTallies of_corpus(const SampleTallies& all, const std::string& corpus) {
  SampleTallies some;
  for (std::size_t s = 0; s < all.corpora.size(); ++s)
    if (all.corpora[s] == corpus) some.samples.push_back(all.samples[s]);
  return some;
}

std::optional<SampleTallies> sample_tallies(TrainedPhase& phase, const std::string& part,
                                            const Communicator& world, StopRequest& stop) {
  std::vector<CorpusPart> parts;
  agree_on(world, [&] { parts = phase.corpus().open(part); });
  phase.allow_sequences(1);
  const bool several = phase.phase().data.size() > 1;
  SampleTallies all;
  for (const CorpusPart& each : parts) {
    EvaluationStream stream(each.dataset, {.sample = phase.sample_settings(),
                                           .micro_batch = 1,
                                           .data_rank = phase.grid().data.rank(),
                                           .num_data_ranks = phase.grid().data.size()});
    const std::optional<std::string> lines = lines_of(phase.model(), stream, world, stop);
    if (!lines) return std::nullopt;
    SampleTallies more = in_order(phase.grid().data.gather(*lines));
    join_kinds(static_cast<std::size_t>(stream.num_samples()), more);
    std::move(more.samples.begin(), more.samples.end(), std::back_inserter(all.samples));
    if (several) all.corpora.resize(all.size(), each.corpus);
  }
  return all;
}

double metric_of_samples(const PhaseModel& model, const SampleTallies& tallies,
                         const std::vector<std::int32_t>& times, const std::string& metric) {
  POLYPHASE_PROMISE(times.empty() || times.size() == tallies.size(), "{} multiplicities of {}",
                    times.size(), tallies.size());
  if (tallies.samples.empty()) return std::nan("");
  std::vector<Tally> sums(model.objective_names().size());
  for (std::size_t s = 0; s < tallies.size(); ++s) {
    const std::int32_t count = times.empty() ? 1 : times[s];
    if (count == 0) continue;
    for (std::size_t o = 0; o < sums.size(); ++o) add(tallies.samples[s].at(o), count, sums[o]);
  }
  const std::map<std::string, double> metrics = model.metrics(sums);
  const auto found = metrics.find(metric);
  POLYPHASE_PROMISE(found != metrics.end(), "no metric {}", metric);
  return found->second;
}

void write_sample_tallies(const std::filesystem::path& file, const SampleTallies& tallies) {
  std::string text;
  for (std::size_t s = 0; s < tallies.size(); ++s) {
    text += line_of(tallies.samples[s], tallies.corpora.empty() ? "" : tallies.corpora[s]) + "\n";
  }
  write_file_atomically(file, text);
}

std::optional<SampleTallies> read_sample_tallies(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return std::nullopt;
  std::istringstream text(read_file(file));
  SampleTallies tallies;
  try {
    for (std::string line; std::getline(text, line);) add_line(line, tallies);
  } catch (const json::exception&) {
    return std::nullopt;
  }
  if (!tallies.corpora.empty() && tallies.corpora.size() != tallies.size()) return std::nullopt;
  return tallies;
}

}  // namespace polyphase
