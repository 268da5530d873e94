// SPDX-License-Identifier: Apache-2.0
#include "corpus/batch_stream.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "corpus/batch_builder.hpp"
#include "corpus/read_ahead.hpp"
#include "corpus/sample_order.hpp"
#include "corpus/training_samples.hpp"

namespace polyphase {
namespace {

std::int64_t divide_up(std::int64_t count, std::int64_t parts) {
  return (count + parts - 1) / parts;
}

void check_rank(int data_rank, int num_data_ranks) {
  POLYPHASE_PROMISE(num_data_ranks >= 1 && data_rank >= 0 && data_rank < num_data_ranks,
                    "data rank {} of {}", data_rank, num_data_ranks);
}

StreamSettings checked(StreamSettings settings) {
  check_rank(settings.data_rank, settings.num_data_ranks);
  POLYPHASE_PROMISE(settings.sizes.sequences >= 1 && settings.micro_batch >= 0 &&
                        settings.first_step >= 0 && settings.queue_steps >= 1,
                    "{} sequences in micro-batches of {} from step {}, {} ahead",
                    settings.sizes.sequences, settings.micro_batch, settings.first_step,
                    settings.queue_steps);
  POLYPHASE_PROMISE(!settings.sample.evaluation, "training draws masks anew in every epoch");
  if (settings.micro_batch == 0) {
    settings.micro_batch = divide_up(settings.sizes.at(0), settings.num_data_ranks);
  }
  return settings;
}

EvaluationSettings checked(EvaluationSettings settings) {
  check_rank(settings.data_rank, settings.num_data_ranks);
  POLYPHASE_PROMISE(settings.micro_batch >= 1, "micro-batches of {}", settings.micro_batch);
  settings.sample.evaluation = true;
  return settings;
}

// Lays samples, made one by one, into micro-batches.
class MicroBatchMaker {
 public:
  explicit MicroBatchMaker(const SampleSettings& settings) : builder_(settings) {}

  // `make` fills a sample.
  template <class Make>
  void add(std::int64_t global_sample, const Make& make) {
    make(sample_);
    builder_.add(sample_, static_cast<std::uint64_t>(global_sample));
    num_truncated_ += sample_.truncated ? 1 : 0;
  }
  Batch finish() { return builder_.finish(); }
  std::int64_t take_num_truncated() { return std::exchange(num_truncated_, 0); }

 private:
  BatchBuilder builder_;
  Sample sample_;
  std::int64_t num_truncated_ = 0;
};

}  // namespace

struct BatchStream::Impl {
  Impl(const std::vector<TrainingSource>& sources, const StreamSettings& wanted)
      : settings(checked(wanted)),
        samples(sources, settings.sample,
                {.temperature = settings.temperature,
                 .curriculum = settings.curriculum,
                 .sizes = settings.sizes}),
        maker(settings.sample),
        samples_per_epoch(samples.samples_per_epoch()),
        step(settings.first_step),
        ahead(static_cast<std::size_t>(settings.queue_steps),
              [this](const std::stop_token& stop) { return make_step(stop); }) {}

  // Runs in the reader thread.
  std::optional<StepBatches> make_step(const std::stop_token& stop) {
    const std::int64_t first = settings.sizes.before(step), sequences = settings.sizes.at(step);
    const std::int64_t num_micro = divide_up(sequences, settings.micro_batch);
    const bool in_turn = settings.dealing == Dealing::kInTurn;
    const std::int64_t ranks = settings.num_data_ranks, rank = settings.data_rank;
    const std::int64_t begin = in_turn ? rank : rank * num_micro / ranks;
    const std::int64_t end = in_turn ? num_micro : (rank + 1) * num_micro / ranks;
    StepBatches result;
    result.step = step;
    result.epoch = static_cast<double>(first + sequences) / static_cast<double>(samples_per_epoch);
    for (std::int64_t micro = begin; micro < end; micro += in_turn ? ranks : 1) {
      const std::int64_t behind = std::min(sequences, (micro + 1) * settings.micro_batch);
      for (std::int64_t place = micro * settings.micro_batch; place < behind; ++place) {
        if (stop.stop_requested()) return std::nullopt;
        maker.add(first + place, [&](Sample& sample) {
          result.samples.push_back(samples.make(first + place, sample));
        });
      }
      result.micro_batches.push_back(maker.finish());
    }
    result.num_truncated = maker.take_num_truncated();
    ++step;
    return result;
  }

  const StreamSettings settings;
  TrainingSamples samples;
  MicroBatchMaker maker;
  const std::int64_t samples_per_epoch;
  std::int64_t step;
  ReadAhead<StepBatches> ahead;  // last: its thread uses all of the above
};

BatchStream::BatchStream(const std::vector<TrainingSource>& sources, const StreamSettings& settings)
    : impl_(std::make_unique<Impl>(sources, settings)) {}

BatchStream::BatchStream(std::shared_ptr<Dataset> dataset, const StreamSettings& settings)
    : BatchStream(std::vector<TrainingSource>{{.dataset = std::move(dataset), .choice = {}}},
                  settings) {}

BatchStream::~BatchStream() = default;

StepBatches BatchStream::next_step() {
  std::optional<StepBatches> step = impl_->ahead.next();
  POLYPHASE_PROMISE(step.has_value(), "a training stream has no end");
  return std::move(*step);
}

std::int64_t BatchStream::samples_per_epoch() const { return impl_->samples_per_epoch; }

std::vector<std::int64_t> BatchStream::quotas() const { return impl_->samples.quotas(); }

std::vector<std::int64_t> BatchStream::num_samples() const {
  std::vector<std::int64_t> counts;
  for (std::size_t corpus = 0; corpus < quotas().size(); ++corpus)
    counts.push_back(impl_->samples.num_samples(corpus));
  return counts;
}

std::int64_t BatchStream::steps_of_epochs(std::int64_t epochs) const {
  return impl_->settings.sizes.steps_for(epochs * impl_->samples_per_epoch);
}

struct EvaluationStream::Impl {
  Impl(std::shared_ptr<Dataset> from, const EvaluationSettings& wanted)
      : settings(checked(wanted)),
        dataset(std::move(from)),
        samples(*dataset, settings.sample),
        maker(settings.sample),
        order(samples.num_samples(), settings.max_samples, settings.sample.seed),
        num_micro(divide_up(order.size(), settings.micro_batch)),
        num_batches(divide_up(num_micro * static_cast<std::int64_t>(samples.num_kinds()),
                              settings.num_data_ranks)),
        ahead(kBatchesAhead, [this](const std::stop_token& stop) { return make_batch(stop); }) {}

  // Runs in the reader thread.
  std::optional<EvaluationBatch> make_batch(const std::stop_token& stop) {
    if (round == num_batches) return std::nullopt;
    EvaluationBatch result;
    result.number = round * settings.num_data_ranks + settings.data_rank;
    const auto turn = static_cast<std::size_t>(result.number / num_micro);
    const std::int64_t begin = result.number % num_micro * settings.micro_batch;
    const std::int64_t end =
        turn < samples.num_kinds() ? std::min(order.size(), begin + settings.micro_batch) : begin;
    for (std::int64_t place = begin; place < end; ++place) {
      if (stop.stop_requested()) return std::nullopt;
      const std::int64_t sample = order.at(place);
      maker.add(sample, [&](Sample& made) {
        samples.make(sample, {.global_sample = static_cast<std::uint64_t>(sample), .turn = turn},
                     made);
      });
    }
    result.batch = maker.finish();
    result.num_truncated = maker.take_num_truncated();
    ++round;
    return result;
  }

  static constexpr std::size_t kBatchesAhead = 8;
  const EvaluationSettings settings;
  const std::shared_ptr<Dataset> dataset;
  SampleMaker samples;
  MicroBatchMaker maker;
  const EvaluationOrder order;
  const std::int64_t num_micro;  // of each kind of samples
  const std::int64_t num_batches;
  std::int64_t round = 0;
  ReadAhead<EvaluationBatch> ahead;  // last: its thread uses all of the above
};

EvaluationStream::EvaluationStream(std::shared_ptr<Dataset> dataset,
                                   const EvaluationSettings& settings)
    : impl_(std::make_unique<Impl>(std::move(dataset), settings)) {}

EvaluationStream::~EvaluationStream() = default;

std::optional<EvaluationBatch> EvaluationStream::next() { return impl_->ahead.next(); }

std::int64_t EvaluationStream::num_batches() const { return impl_->num_batches; }

std::int64_t EvaluationStream::num_samples() const { return impl_->order.size(); }

}  // namespace polyphase
