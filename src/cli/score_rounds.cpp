// SPDX-License-Identifier: Apache-2.0
#include "cli/score_rounds.hpp"

#include "comm/agreement.hpp"
#include "control/paired_test.hpp"
#include "predict/sample_tallies.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kNumResamples = 1000;
const std::string kPart = "valid";

std::filesystem::path samples_file(const ScoredPhases& phases, const std::string& folder) {
  return std::filesystem::path(phases.run) / folder / "valid-samples.jsonl";
}

// "valid.topics.accuracy": the corpus topics' accuracy; "valid.accuracy": that of all samples.
struct MetricName {
  std::string corpus, metric;

  explicit MetricName(const std::string& name) : metric(name.substr(kPart.size() + 1)) {
    const std::size_t dot = metric.rfind('.');
    if (dot == std::string::npos) return;
    corpus = metric.substr(0, dot);
    metric = metric.substr(dot + 1);
  }
};

// The samples that the score is of; nothing where they are not measured, or it is not known which
// they are.
std::optional<SampleTallies> read_samples(const ScoredPhases& phases, const std::string& folder) {
  std::optional<SampleTallies> all = read_sample_tallies(samples_file(phases, folder));
  const std::string corpus = MetricName(phases.metric).corpus;
  if (!all || corpus.empty()) return all;
  if (all->corpora.empty()) return std::nullopt;
  return of_corpus(*all, corpus);
}

// On rank 0; elsewhere nothing is read, and what is measured there is the same.
bool is_measured(const ScoredPhases& phases, const std::string& folder, const Communicator& world) {
  return from_rank_0(world, [&] { return read_samples(phases, folder) ? "yes" : "no"; }) == "yes";
}

// False: a stop was asked for.
bool measure_samples(const ScoredPhases& phases, const std::string& folder, TrainedPhase& phase,
                     const Communicator& world, StopRequest& stop) {
  const std::optional<SampleTallies> tallies = sample_tallies(phase, kPart, world, stop);
  if (!tallies) return false;
  agree_on(world, [&] {
    if (world.rank() == 0) write_sample_tallies(samples_file(phases, folder), *tallies);
  });
  return true;
}

// On rank 0, from the files.
RoundScore compare(const ScoredPhases& phases, const PhaseModel& model) {
  const std::string metric = MetricName(phases.metric).metric;
  const auto read = [&](const std::string& folder) { return read_samples(phases, folder).value(); };
  const SampleTallies mine = read(phases.folder);
  RoundScore result;
  result.score = metric_of_samples(model, mine, {}, metric);
  if (phases.parent_folder.empty()) return result;
  const SampleTallies parents = read(phases.parent_folder);
  result.parent_score = metric_of_samples(model, parents, {}, metric);
  if (mine.size() != parents.size()) return result;
  result.test = paired_bootstrap(
      static_cast<std::int64_t>(mine.size()), kNumResamples, [&](const Multiplicities& times) {
        const double gain = metric_of_samples(model, mine, times, metric) -
                            metric_of_samples(model, parents, times, metric);
        return phases.lower_is_better ? -gain : gain;
      });
  return result;
}

std::string to_text(const RoundScore& score) {
  nlohmann::json object = {{"score", fmt::format("{}", score.score)}};
  if (score.parent_score) object["parent"] = fmt::format("{}", *score.parent_score);
  if (score.test) {
    object["test"] = {score.test->num_samples, score.test->num_resamples, score.test->share_better};
  }
  return object.dump();
}

RoundScore from_text(const std::string& text) {
  const nlohmann::json object = nlohmann::json::parse(text);
  RoundScore score = {
      .score = std::stod(object.at("score").get<std::string>()), .parent_score = {}, .test = {}};
  if (object.contains("parent"))
    score.parent_score = std::stod(object.at("parent").get<std::string>());
  if (object.contains("test")) {
    const nlohmann::json& test = object.at("test");
    score.test = {
        .num_samples = test.at(0), .num_resamples = test.at(1), .share_better = test.at(2)};
  }
  return score;
}

}  // namespace

std::optional<RoundScore> score_round(const ScoredPhases& phases, const Communicator& world,
                                      StopRequest& stop) {
  if (!phases.parent_folder.empty() && !is_measured(phases, phases.parent_folder, world)) {
    TrainedPhase parent(
        {.run = phases.run, .tensor = phases.tensor, .folder = phases.parent_folder}, world);
    if (!measure_samples(phases, phases.parent_folder, parent, world, stop)) return std::nullopt;
  }
  TrainedPhase phase({.run = phases.run, .tensor = phases.tensor, .folder = phases.folder}, world);
  if (!is_measured(phases, phases.folder, world) &&
      !measure_samples(phases, phases.folder, phase, world, stop)) {
    return std::nullopt;
  }
  return from_text(from_rank_0(world, [&] { return to_text(compare(phases, phase.model())); }));
}

}  // namespace polyphase
