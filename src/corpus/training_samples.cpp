// SPDX-License-Identifier: Apache-2.0
#include "corpus/training_samples.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/philox.hpp"

namespace polyphase {
namespace {

bool within(const SampleChoice& choice, std::int64_t num_tokens) {
  return num_tokens >= choice.min_tokens &&
         (choice.max_tokens == 0 || num_tokens <= choice.max_tokens);
}

// The smaller of two bounds of which 0 means none.
std::int64_t smaller(std::int64_t a, std::int64_t b) {
  return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

TrainingOrder order_of(const TrainingSource& source, const SampleMaker& maker,
                       const SampleSettings& settings) {
  const SampleChoice& choice = source.choice;
  if (choice.min_tokens <= 1 && choice.max_tokens == 0) {
    return {maker.num_samples(), smaller(choice.max_of_corpus, choice.max_of_phase), settings.seed,
            settings.phase};
  }
  const TrainingOrder all(maker.num_samples(), choice.max_of_corpus, settings.seed, settings.phase);
  std::vector<std::int64_t> kept;
  for (std::int64_t member = 0; member < all.samples_per_epoch(); ++member) {
    const std::int64_t sample = all.chosen(member);
    if (!within(choice, source.dataset->num_tokens_of_sample(sample))) continue;
    kept.push_back(sample);
    if (static_cast<std::int64_t>(kept.size()) == choice.max_of_phase) break;
  }
  if (kept.empty()) {
    fail<RecipeError>(
        "{}: of {} samples the phase's filter leaves none; widen min_tokens ({}) and "
        "max_tokens ({})",
        source.dataset->name(), all.samples_per_epoch(), choice.min_tokens,
        choice.max_tokens == 0 ? "none" : fmt::format("{}", choice.max_tokens));
  }
  return {std::move(kept), settings.seed, settings.phase};
}

Curriculum curriculum_of(Dataset& dataset, const TrainingOrder& order, bool by_score,
                         const SampleSettings& settings) {
  std::vector<std::int64_t> samples;
  std::vector<double> difficulties;
  for (std::int64_t member = 0; member < order.samples_per_epoch(); ++member)
    samples.push_back(order.chosen(member));
  std::sort(samples.begin(), samples.end());
  for (const std::int64_t sample : samples) {
    difficulties.push_back(by_score ? dataset.score_of_sample(sample)
                                    : static_cast<double>(dataset.num_tokens_of_sample(sample)));
  }
  return {samples, difficulties, random_key(settings.seed, Purpose::kCurriculum, {settings.phase})};
}

void check_quotas(const std::vector<TrainingSource>& sources,
                  const std::vector<std::int64_t>& quotas) {
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (quotas[i] > 0) continue;
    fail<RecipeError>(
        "{}: its share of the mixture is below half a sample of {}, so none would be seen; raise "
        "its weight or data_temperature, or leave the corpus out",
        sources[i].dataset->name(), kMixtureBlock);
  }
}

}  // namespace

struct TrainingSamples::Walk {
  Walk(const TrainingSource& source, const SampleSettings& settings)
      : dataset(source.dataset),
        maker(*dataset, settings),
        order(order_of(source, maker, settings)) {}

  const std::shared_ptr<Dataset> dataset;
  SampleMaker maker;
  TrainingOrder order;
  std::optional<Curriculum> curriculum;
};

TrainingSamples::TrainingSamples(const std::vector<TrainingSource>& sources,
                                 const SampleSettings& settings, const TrainingPlan& plan)
    : plan_(plan) {
  std::vector<double> weights;
  std::vector<std::int64_t> sizes;
  for (const TrainingSource& source : sources) {
    add_walk(source, settings);
    weights.push_back(source.weight);
    sizes.push_back(walks_.back()->order.samples_per_epoch());
  }
  const auto quotas = mixture_quotas(tempered_weights(weights, sizes, plan.temperature));
  check_quotas(sources, quotas);
  mixture_.emplace(quotas, settings.seed, settings.phase);
}

void TrainingSamples::add_walk(const TrainingSource& source, const SampleSettings& settings) {
  walks_.push_back(std::make_shared<Walk>(source, settings));
  Walk& walk = *walks_.back();
  if (plan_.curriculum.steps > 0)
    walk.curriculum.emplace(
        curriculum_of(*walk.dataset, walk.order, plan_.curriculum.by_score, settings));
}

std::int64_t TrainingSamples::num_samples(std::size_t corpus) const {
  return walks_.at(corpus)->order.samples_per_epoch();
}

std::int64_t TrainingSamples::samples_per_epoch() const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < walks_.size(); ++i) sum += num_samples(i);
  return sum;
}

TrainingSamples::Choice TrainingSamples::at(std::int64_t global_sample) {
  const Mixture::Place place = mixture_->at(global_sample);
  Walk& walk = *walks_[place.corpus];
  Choice choice = {.corpus = place.corpus, .epoch = place.index / walk.order.samples_per_epoch()};
  const std::int64_t step = plan_.sizes.step_of(global_sample);
  const bool learning = walk.curriculum && step < plan_.curriculum.steps;
  choice.sample = learning ? walk.curriculum->draw(competence(plan_.curriculum, step),
                                                   static_cast<std::uint64_t>(global_sample))
                           : walk.order.sample_of(place.index);
  return choice;
}

TrainingSamples::Choice TrainingSamples::make(std::int64_t global_sample, Sample& result) {
  const Choice choice = at(global_sample);
  SampleMaker& maker = walks_[choice.corpus]->maker;
  const auto number = static_cast<std::uint64_t>(global_sample);
  maker.make(choice.sample,
             {.global_sample = number, .epoch = choice.epoch, .turn = number % maker.num_kinds()},
             result);
  return choice;
}

}  // namespace polyphase
