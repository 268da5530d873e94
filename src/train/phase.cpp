// SPDX-License-Identifier: Apache-2.0
#include "train/phase.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "comm/agreement.hpp"
#include "corpus/batch_stream.hpp"
#include "optimizer/schedule.hpp"
#include "recipe/load.hpp"
#include "train/largest_batch.hpp"
#include "train/pass_dropout.hpp"
#include "train/phase_checkpoint.hpp"
#include "train/phase_evaluation.hpp"
#include "train/phase_guard.hpp"
#include "train/phase_teaching.hpp"
#include "train/sample_log.hpp"
#include "train/step.hpp"
#include "train/unigram.hpp"

namespace polyphase {
namespace {

PhaseCorpus open_corpus(const PhaseJob& job) {
  std::optional<PhaseCorpus> corpus;
  agree_on(job.world,
           [&] { corpus.emplace(job.recipe, phase_of(job), job.data_dir, CorpusUse::kTraining); });
  return *corpus;
}

CurriculumSettings curriculum_of(const recipe::Phase& phase) {
  const auto& curriculum = phase.sampling.curriculum;
  if (!curriculum) return {};
  return {.by_score = curriculum->by == recipe::CurriculumOrder::kScore,
          .start = curriculum->start,
          .steps = curriculum->steps};
}

// A phase while it runs. One step is train_step(); around it are evaluation, checkpoints, metrics
// and stopping.
class PhaseRun {
 public:
  // `rollback`: of the run before this one, if that ended so.
  PhaseRun(const PhaseJob& job, const std::optional<Rollback>& rollback)
      : job_(job),
        phase_(phase_of(job)),
        corpus_(open_corpus(job)),
        model_(make_phase_model(job.recipe, phase_, corpus_.phase_data(), job.grid.tensor,
                                &job.grid.pipeline)),
        evaluation_(job, corpus_, *model_),
        micro_batch_(recipe::micro_batch_of(phase_)),
        phase_key_(phase_key(phase_.name)),
        writer_(checkpoints_of(job.folder), static_cast<int>(job.recipe.checkpoint.keep), job.world,
                job.grid) {
    const std::int64_t local_micro_batches =
        phase_.batch.sequences / micro_batch_ / job.grid.data.size();
    const Batch largest =
        largest_batch(job.recipe, phase_, micro_batch_,
                      static_cast<std::int64_t>(corpus_.phase_data().label_names.size()));
    if (phase_.adaptation.distil) teaching_.emplace(job, corpus_, *model_);
    const Shards shards = make_shards(job.recipe, phase_, model_->parameters(),
                                      job.grid.data.rank(), job.grid.data.size());
    optimizer_.emplace(model_->parameters(), phase_, job.grid.tensor, shards);
    optimizer_->allocate();
    if (phase_.regularisation.average)
      average_.emplace(model_->parameters(), phase_, shards, job.grid.data);
    optimizer_->mark_trained(model_->parameters());
    model_->plan_micro_batches(local_micro_batches);
    // Training last: the vocabulary's blocks are as wide as the last pass counted makes them.
    model_->plan_arena_bytes(largest, false);
    model_->plan_arena_bytes(largest, true);
    model_->allocate_training(GradientReducer::num_gradient_sets(local_micro_batches),
                              optimizer_->plan_arena_bytes(model_->parameters()), shards,
                              job.grid.data);
    reducer_.emplace(model_->exec(), model_->parameters(), job.grid.data, shards,
                     job.recipe.parallel.sequence ? &job.grid.tensor : nullptr);
    const PhaseStart start =
        start_phase(job, corpus_, model_->parameters(), *optimizer_, average());
    state_ = start.state;
    if (teaching_) teaching_->note(job, start, state_.lineage);
    if (start.resumed) saved_step_ = state_.step;
    log_.emplace(job, start, model_->objective_names());
    if (!start.resumed) log_->lineage(state_.lineage);
    if (!start.resumed && phase_.objectives.contains("mlm") && corpus_.num_corpora() == 1)
      log_->corpus(unigram_entropy(*corpus_.train(), job_.grid.data));
    if (rollback) go_on_after(*rollback, job, state_, *log_);
    open_stream();
    sample_log_.emplace(job, state_.step);
  }

  // What made run() end before anything was finished or stopped.
  const std::optional<Rollback>& rollback() const { return rollback_; }

  PhaseOutcome run() {
    if (teaching_ && teaching_->was_stopped()) return interrupted();
    while (!done()) {
      if (state_.evaluation_due && !evaluate_valid()) return interrupted();
      if (done()) break;
      if (job_.stop.agreed(job_.world)) return interrupted();
      step();
      stalled_by([&] { writer_.poll(); });
      if (rollback_) {
        writer_.finish();
        return outcome(false);
      }
      state_.evaluation_due = evaluation_.falls_due(state_.step, total_steps_, *stream_);
      if (state_.evaluation_due && !evaluate_valid()) return interrupted();
      if (!done() && job_.recipe.checkpoint.every_steps > 0 &&
          state_.step % job_.recipe.checkpoint.every_steps == 0) {
        save();
      }
    }
    save();
    return finish();
  }

 private:
  bool done() const {
    return !state_.evaluation_due && (state_.stopped_early || state_.step >= total_steps_);
  }
  void open_stream() {
    StreamSettings settings = {.sample = corpus_.sample_settings(phase_key_),
                               .sizes = batch_sizes_of(phase_),
                               .micro_batch = micro_batch_,
                               .data_rank = job_.grid.data.rank(),
                               .num_data_ranks = job_.grid.data.size(),
                               .dealing = dealing_of(optimizer_->shards()),
                               .first_step = state_.step + state_.guard.data_offset,
                               .temperature = phase_.sampling.temperature,
                               .curriculum = curriculum_of(phase_)};
    agree_on(job_.world, [&] { stream_.emplace(corpus_.training_sources(), settings); });
    const std::string choice = corpus_.choice_text(*stream_);
    if (!choice.empty()) log_info("{}: {}", phase_.name, choice);
    total_steps_ =
        phase_.stop.steps ? *phase_.stop.steps : stream_->steps_of_epochs(*phase_.stop.epochs);
  }

  void step() {
    const double begin = now_seconds();
    StepBatches batches = stream_->next_step();
    if (teaching_) teaching_->attach(batches);
    num_truncated_ += batches.num_truncated;
    num_seen_ += batch_sizes_of(phase_).at(state_.step + state_.guard.data_offset);
    const StepPlan plan = {.step = state_.step,
                           .learning_rate = learning_rate(),
                           .max_grad_norm = phase_.optimizer.max_grad_norm,
                           .max_grad_value = phase_.optimizer.max_grad_value,
                           .dropout = dropout_of_step(job_.recipe, phase_, phase_key_, state_.step),
                           .penalty = {.l1 = phase_.regularisation.l1.value_or(0.0),
                                       .l2 = phase_.regularisation.l2.value_or(0.0)},
                           .guard = phase_.guard ? &*phase_.guard : nullptr,
                           .losses_before = &state_.guard.losses};
    const StepRecord record = train_step(plan, batches, *model_, *reducer_, *optimizer_, job_.grid);
    const double seconds = now_seconds() - begin;
    ++state_.step;
    if (average_ && !record.fault)
      average_->update(model_->exec(), model_->parameters(), state_.step);
    state_.num_tokens += record.num_tokens;
    state_.seconds += seconds;
    log_->step(state_, plan, batches, record, seconds);
    sample_log_->step(state_.step, batches.samples);
    if (phase_.guard) rollback_ = judge_step(job_, record, state_, *log_);
    if (job_.progress) {
      job_.progress({.step = state_.step,
                     .total_steps = total_steps_,
                     .loss = record.loss,
                     .tokens_per_second = static_cast<double>(record.num_tokens) / seconds});
    }
  }

  double learning_rate() const {
    return learning_rate_at(phase_.optimizer, state_.step, total_steps_) *
           learning_rate_factor(phase_, state_.guard);
  }

  WeightAverage* average() { return average_ ? &*average_ : nullptr; }
  bool keeps_best() const { return phase_.stop.early && phase_.stop.early->keeps_best; }

  bool evaluate_valid() {
    std::optional<PartMetrics> valid;
    {
      const AveragedParameters averaged(*model_, average());
      valid = evaluation_.metrics_of("valid", state_.step, state_, *log_);
    }
    if (!valid) return false;
    state_.evaluation_due = false;
    if (counts_for_early_stop() && runs_out_of_patience(state_, *phase_.stop.early, *valid)) {
      state_.stopped_early = true;
      log_info("{}: {} has not improved for {} evaluations; stopping at step {}", phase_.name,
               phase_.stop.early->metric, phase_.stop.early->patience, state_.step);
    }
    const bool is_best = keeps_best() && state_.best_step == state_.step;
    if (is_among_kept(*valid) || is_best) {
      saved_step_ = -1;  // what was saved before this evaluation does not know of it
      save();
    }
    return true;
  }

  // Whether its checkpoint is to stay (checkpoint.keep_best). Among skipped steps none is saved.
  bool is_among_kept(const PartMetrics& valid) {
    if (state_.guard.skipped_in_a_row > 0) return false;
    return is_among_best(state_, job_.recipe.checkpoint.keep_best,
                         phase_.stop.early ? phase_.stop.early->metric : "valid.loss", valid);
  }

  // A result must have been saved, and among skipped steps nothing is.
  bool counts_for_early_stop() const {
    return phase_.stop.early && !(keeps_best() && state_.guard.skipped_in_a_row > 0);
  }

  // Not among skipped steps: a rollback would go back to a state that has gone wrong already.
  void save() {
    if (saved_step_ == state_.step || (state_.guard.skipped_in_a_row > 0 && !done())) return;
    state_.result_step = keeps_best() && state_.best_step >= 0 ? state_.best_step : state_.step;
    stalled_by([&] {
      begin_to_save_phase(writer_, job_, corpus_, state_, model_->parameters(), *optimizer_,
                          average());
    });
    saved_step_ = state_.step;
    log_->save(state_.step, std::exchange(stall_seconds_, 0.0));
  }

  // Saving, as far as training waits for it.
  template <class Work>
  void stalled_by(const Work& work) {
    const double begin = now_seconds();
    work();
    stall_seconds_ += now_seconds() - begin;
  }

  PhaseOutcome outcome(bool finished) const {
    return {.finished = finished,
            .step = state_.step,
            .total_steps = total_steps_,
            .num_samples = batch_sizes_of(phase_).before(state_.step),
            .num_tokens = state_.num_tokens,
            .seconds = state_.seconds,
            .metrics = {},
            .hand_over = state_.hand_over};
  }

  PhaseOutcome interrupted() {
    save();
    writer_.finish();
    log_->event(state_.step, "stopped", job_.stop.reason());
    return outcome(false);
  }

  PhaseOutcome finish() {
    const bool last = state_.result_step == state_.step;
    if (!last) take_result();
    const AveragedParameters averaged(*model_, last ? average() : nullptr);
    PartMetrics metrics;
    for (const std::string part : {"valid", "test"}) {
      if (!corpus_.has(part)) continue;
      const auto values = evaluation_.metrics_of(part, state_.result_step, state_, *log_);
      if (!values) return interrupted();
      for (const auto& [name, value] : *values) metrics[part + "." + name] = value;
    }
    writer_.finish();
    PhaseOutcome result = outcome(true);
    count_truncated(result);
    result.metrics = metrics;
    return result;
  }

  // The best evaluated checkpoint in place of the last.
  void take_result() {
    writer_.finish();  // the newest checkpoint says which one it is
    load_result(job_, model_->parameters());
    const std::string what = fmt::format("the checkpoint of step {}, the best by {}",
                                         state_.result_step, phase_.stop.early->metric);
    log_info("{}: its result is {}", phase_.name, what);
    log_->event(state_.step, "result", what);
  }

  void count_truncated(PhaseOutcome& result) const {
    if (!phase_.task) return;
    result.num_seen = num_seen_;
    result.num_truncated = num_truncated_;
    job_.grid.data.sum(&result.num_truncated, 1);
  }

  const PhaseJob& job_;
  const recipe::Phase& phase_;
  PhaseCorpus corpus_;
  std::optional<PhaseTeaching> teaching_;
  std::unique_ptr<PhaseModel> model_;
  PhaseEvaluation evaluation_;
  std::int64_t micro_batch_;
  std::uint64_t phase_key_;
  CheckpointWriter writer_;
  std::int64_t total_steps_ = 0;
  std::optional<Optimizer> optimizer_;
  std::optional<WeightAverage> average_;
  std::optional<GradientReducer> reducer_;
  std::optional<BatchStream> stream_;
  std::optional<PhaseLog> log_;
  std::optional<SampleLog> sample_log_;
  PhaseState state_;
  std::int64_t saved_step_ = -1;
  double stall_seconds_ = 0;  // since the last checkpoint was begun
  // Since this job took the phase up: samples of all ranks, and those of this rank that were cut.
  std::int64_t num_seen_ = 0;
  std::int64_t num_truncated_ = 0;
  std::optional<Rollback> rollback_;
};

}  // namespace

PhaseOutcome run_phase(const PhaseJob& job) {
  std::optional<Rollback> rollback;
  for (;;) {
    PhaseRun run(job, rollback);
    const PhaseOutcome outcome = run.run();
    rollback = run.rollback();
    if (!rollback) return outcome;
  }
}

}  // namespace polyphase
