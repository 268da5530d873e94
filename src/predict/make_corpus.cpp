// SPDX-License-Identifier: Apache-2.0
#include "predict/make_corpus.hpp"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/philox.hpp"
#include "comm/agreement.hpp"
#include "predict/corpus_files.hpp"
#include "predict/generate_text.hpp"
#include "recipe/load.hpp"
#include "train/largest_batch.hpp"
#include "train/planned_model.hpp"

namespace polyphase {
namespace {

using nlohmann::json;

// Groups of texts that a data-parallel rank works on between two looks at the others: so many that
// long and short ones even out.
constexpr std::int64_t kGroupsARound = 4;

GenerationSettings settings_of(const PhaseJob& job) {
  const recipe::Generate& generate = *phase_of(job).generate;
  return {.max_new_tokens = generate.max_new_tokens,
          .temperature = generate.temperature,
          .top_k = generate.top_k,
          .top_p = generate.top_p,
          .seed = random_key(job.recipe.seed, Purpose::kGenerate, {phase_key(phase_of(job).name)}),
          .beams = generate.beams,
          .length_penalty = generate.length_penalty};
}

// Keys and values that a generation keeps of all tokens, of sources too.
std::int64_t cache_bytes(const recipe::Recipe& recipe, const recipe::Phase& phase,
                         const recipe::Generate& generate, std::int64_t num_sequences) {
  const recipe::Model model = recipe::model_of(recipe, phase);
  const bool decodes = recipe::has_decoder(model, phase);
  const std::int64_t layers =
      decodes ? 2 * recipe::num_decoder_layers_of(model) : model.num_layers;  // itself, the source
  const std::int64_t columns =
      2 * recipe::num_key_heads_of(model) * recipe::head_width_of(model) / recipe.parallel.tensor;
  // Room is made for the longest prompt and all that may follow; a decoder alone has its source as
  // the prompt, which leaves half of the positions or what may be written.
  const std::int64_t most = recipe::max_tokens_of(recipe, phase);
  const std::int64_t written = std::min(generate.max_new_tokens, most - 1);
  const std::int64_t rows = decodes ? most : most - std::min(written, most / 2) + written;
  const std::int64_t number_bytes = recipe.precision == recipe::Precision::kBf16 ? 2 : 4;
  const std::int64_t copies = layers + (generate.beams > 1 ? 1 : 0);  // beams change places
  return copies * num_sequences * rows * columns * number_bytes;
}

// One job's part of making a corpus. What rank 0 has in its files, the others hear of.
class CorpusMaking {
 public:
  CorpusMaking(const PhaseJob& job, const TrainedPhaseChoice& model)
      : job_(job), trained_(model, job.world), settings_(settings_of(job)) {
    const std::string counts = from_rank_0(job.world, [&] {
      files_ =
          std::make_unique<CorpusFiles>(job, trained_.checkpoint(), trained_.tokenizer().digest());
      return json{files_->num_texts(), files_->num_done()}.dump();
    });
    num_texts_ = json::parse(counts).at(0);
    num_done_ = json::parse(counts).at(1);
    if (num_done_ > 0 && num_done_ < num_texts_)
      log_info("{}: going on from text {} of {}", phase_of(job).name, num_done_, num_texts_);
  }

  PhaseOutcome run() {
    while (num_done_ < num_texts_) {
      if (job_.stop.agreed(job_.world)) return outcome(false);
      round();
    }
    agree_on(job_.world, [&] {
      if (files_) files_->finish();
    });
    return outcome(true);
  }

 private:
  void round() {
    const double begin = now_seconds();
    const std::vector<std::string> texts = json::parse(from_rank_0(job_.world, [&] {
      return json(files_->next(kGroupsARound * kTextsTogether * trained_.grid().data.size()))
          .dump(-1, ' ', false, json::error_handler_t::replace);
    }));
    if (texts.empty()) {
      throw AgreedError(
          fmt::format("phase {}: {} has fewer texts than when this job began; run it again once "
                      "nobody writes to its files",
                      phase_of(job_).name, phase_of(job_).generate->of),
          ExitCode::kData);
    }
    const std::vector<WrittenText> written =
        write_texts(trained_, job_.world, texts, settings_, num_done_);
    const double seconds = now_seconds() - begin;
    agree_on(job_.world, [&] {
      if (files_) files_->append(written, seconds);
    });
    num_done_ += static_cast<std::int64_t>(texts.size());
    if (!job_.progress || !files_) return;
    std::int64_t num_tokens = 0;
    for (const WrittenText& text : written) num_tokens += text.num_tokens;
    job_.progress({.step = files_->step(),
                   .total_steps = total_steps(),
                   .loss = std::nullopt,
                   .tokens_per_second = static_cast<double>(num_tokens) / seconds});
  }

  std::int64_t total_steps() const { return (num_texts_ + kTextsTogether - 1) / kTextsTogether; }

  // Complete on rank 0, which alone notes it.
  PhaseOutcome outcome(bool finished) const {
    PhaseOutcome result;
    result.finished = finished;
    result.total_steps = total_steps();
    if (!files_) return result;
    result.step = files_->step();
    result.num_samples = num_done_;
    result.num_tokens = files_->num_tokens();
    result.seconds = files_->seconds();
    if (files_->num_cut() > 0) {
      log_warning("{}: {} texts did not fit into max_tokens ({}) and were cut", phase_of(job_).name,
                  files_->num_cut(), trained_.sample_settings().max_tokens);
    }
    return result;
  }

  const PhaseJob& job_;
  TrainedPhase trained_;
  GenerationSettings settings_;
  std::int64_t num_texts_ = 0, num_done_ = 0;
  std::unique_ptr<CorpusFiles> files_;  // on rank 0
};

}  // namespace

PhaseOutcome make_corpus(const PhaseJob& job, const TrainedPhaseChoice& model) {
  return CorpusMaking(job, model).run();
}

PlannedMemory plan_corpus(const recipe::Recipe& recipe, const recipe::Phase& phase) {
  const recipe::Phase& writer = *recipe::find_phase(recipe, phase.from);
  const Communicator tensor = planning_communicator(static_cast<int>(recipe.parallel.tensor));
  const auto model = planned_model(recipe, writer, tensor);
  const std::int64_t num_sequences = kTextsTogether * phase.generate->beams;
  Batch largest = largest_batch(recipe, writer, num_sequences, kAssumedLabels);
  largest.target_rows_M.assign(
      static_cast<std::size_t>(round_up(num_sequences, kTargetRowMultiple)), 0);
  largest.target_labels_M = largest.target_rows_M;  // one row of each sequence says what follows
  PlannedMemory plan;
  plan.num_parameters = model->parameters().global_count();
  plan.state_bytes = model->parameters().total_count() * std::int64_t{sizeof(float)};
  plan.state_bytes += static_cast<std::int64_t>(model->plan_kept_weights(largest));
  plan.activation_bytes = static_cast<std::int64_t>(model->plan_arena_bytes(largest, false)) +
                          cache_bytes(recipe, writer, *phase.generate, num_sequences);
  return plan;
}

}  // namespace polyphase
