// SPDX-License-Identifier: Apache-2.0
#include "predict/make_corpus.hpp"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/philox.hpp"
#include "comm/agreement.hpp"
#include "corpus/given_texts.hpp"
#include "io/file.hpp"
#include "io/made_corpus.hpp"
#include "io/metrics.hpp"
#include "predict/generate_text.hpp"
#include "recipe/load.hpp"
#include "train/largest_batch.hpp"
#include "train/planned_model.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;
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

json to_json(const recipe::Generate& generate) {
  return {{"max_new_tokens", generate.max_new_tokens},
          {"temperature", generate.temperature},
          {"top_k", generate.top_k},
          {"top_p", generate.top_p},
          {"beams", generate.beams},
          {"length_penalty", generate.length_penalty}};
}

// Keys and values that a generation keeps of all tokens, of sources too.
std::int64_t cache_bytes(const recipe::Recipe& recipe, const recipe::Phase& phase,
                         std::int64_t num_sequences, bool reorders) {
  const recipe::Model model = recipe::model_of(recipe, phase);
  const bool decodes = recipe::has_decoder(model, phase);
  const std::int64_t layers =
      decodes ? 2 * recipe::num_decoder_layers_of(model) : model.num_layers;  // itself, the source
  const std::int64_t columns =
      2 * recipe::num_key_heads_of(model) * recipe::head_width_of(model) / recipe.parallel.tensor;
  const std::int64_t number_bytes = recipe.precision == recipe::Precision::kBf16 ? 2 : 4;
  return (layers + (reorders ? 1 : 0)) * num_sequences * recipe::max_tokens_of(recipe, phase) *
         columns * number_bytes;
}

// All that the texts follow from.
json what_decides(Lineage record) {
  record.versions.clear();
  record.digest.clear();
  record.generation.erase("empty");
  return record;
}

// The files of a corpus in the making. Belongs to rank 0.
class CorpusFiles {
 public:
  CorpusFiles(const PhaseJob& job, const fs::path& checkpoint, const std::string& tokenizer)
      : job_(job), given_(job.recipe, phase_of(job).generate->of) {
    make_folder();
    for (std::string text; given_.next(text);) ++num_texts_;
    record_ = new_record(checkpoint, tokenizer);
    go_on();
    metrics_.emplace(job.folder / "metrics.jsonl");
    metrics_->truncate_after(num_done_ == 0 ? -1 : step());
    if (num_done_ == 0) metrics_->append({{"kind", "lineage"}, {"step", 0}, {"lineage", record_}});
    for (const json& earlier : read_metrics(job.folder / "metrics.jsonl")) {
      num_tokens_ += earlier.value("tokens", std::int64_t{0});
      seconds_ += earlier.value("seconds", 0.0);
    }
    pairs_.emplace(CheckedFile::open_append(job.folder / kPairsFile));
  }

  std::int64_t num_texts() const { return num_texts_; }
  std::int64_t num_done() const { return num_done_; }
  std::int64_t num_tokens() const { return num_tokens_; }
  std::int64_t num_cut() const { return num_cut_; }
  double seconds() const { return seconds_; }

  // The next texts, so many at most.
  std::vector<std::string> next(std::int64_t most) {
    round_.clear();
    std::string text;
    while (static_cast<std::int64_t>(round_.size()) < most && given_.next(text))
      round_.push_back(text);
    return round_;
  }

  // What was written of them.
  void append(const std::vector<WrittenText>& written, double seconds) {
    POLYPHASE_PROMISE(written.size() == round_.size(), "{} texts of {}", written.size(),
                      round_.size());
    std::string lines;
    std::int64_t num_tokens = 0;
    for (std::size_t i = 0; i < written.size(); ++i) {
      lines += to_line({.source = written[i].text, .target = round_[i]});
      num_tokens += written[i].num_tokens;
      num_cut_ += written[i].is_of_cut ? 1 : 0;
    }
    num_done_ += static_cast<std::int64_t>(written.size());
    num_tokens_ += num_tokens;
    seconds_ += seconds;
    // Before the texts: a record too many is taken back with the texts that a kill left out.
    metrics_->append({{"kind", "step"},
                      {"step", step()},
                      {"samples", num_done_},
                      {"tokens", num_tokens},
                      {"seconds", seconds},
                      {"tokens_per_second", static_cast<double>(num_tokens) / seconds}});
    pairs_->write(lines.data(), static_cast<std::int64_t>(lines.size()));
    pairs_->sync();
  }

  // The record gets its digest.
  void finish() {
    const PairsSummary summary = sum_up_pairs(job_.folder / kPairsFile);
    if (summary.num_empty == summary.num_pairs) {
      fail<RecipeError>(
          "phase {}: the model of {} wrote nothing for any of the {} texts; train it longer",
          record_.phase, phase_of(job_).from, summary.num_pairs);
    }
    record_.digest = summary.digest;
    record_.generation["empty"] = summary.num_empty;
    write_made_record(job_.folder, record_);
    log_info("{}: {} pairs in {}, made of the texts of {}", record_.phase,
             summary.num_pairs - summary.num_empty, (job_.folder / kPairsFile).string(),
             phase_of(job_).generate->of);
    if (summary.num_empty > 0)
      log_warning("{}: nothing was written for {} texts", record_.phase, summary.num_empty);
  }

  std::int64_t step() const { return (num_done_ + kTextsTogether - 1) / kTextsTogether; }

 private:
  void make_folder() const {
    std::error_code error;
    fs::create_directories(job_.folder, error);
    if (!error) return;
    fail<SystemError>("{}: cannot make the folder: {}; check permissions and disk",
                      job_.folder.string(), error.message());
  }

  Lineage new_record(const fs::path& checkpoint, const std::string& tokenizer) const {
    const recipe::Generate& generate = *phase_of(job_).generate;
    json generation = to_json(generate);
    generation["texts"] = num_texts_;
    return {.run = job_.run.name,
            .round = job_.run.round,
            .phase = phase_of(job_).name,
            .step = 0,
            .digest = "",
            .seed = job_.recipe.seed,
            .versions = {job_.run.version},
            .changes = job_.run.changes,
            .tokenizer = tokenizer,
            .corpora = {{generate.of, digest_of_contents(read_corpus_index(
                                          fs::path(job_.data_dir) / generate.of / "corpus.json"))}},
            .from = std::make_shared<const Lineage>(lineage_of_checkpoint(checkpoint)),
            .teacher = nullptr,
            .made = {},
            .generation = generation};
  }

  // Keeps the whole groups that an earlier job wrote, and that job's program in the record.
  void go_on() {
    const fs::path pairs = job_.folder / kPairsFile;
    const std::optional<Lineage> before = read_made_record(job_.folder);
    if (before) {
      if (what_decides(*before) != what_decides(record_)) {
        fail<RecipeError>(
            "{}: phase {} began to make its corpus of something else (see {}); bring the files "
            "back as they were, or remove the folder {} to make it anew",
            (job_.folder / kMadeFile).string(), record_.phase, kMadeFile, job_.folder.string());
      }
      std::vector<std::string> versions = before->versions;
      if (versions.empty() || versions.back() != job_.run.version)
        versions.push_back(job_.run.version);
      record_.versions = versions;
    }
    given_.rewind();
    std::vector<std::int64_t> ends;  // of pairs that may stay: the record tells what wrote them
    if (before)
      ends = leading_pairs(pairs, [this](std::string& text) { return given_.next(text); });
    num_done_ = static_cast<std::int64_t>(ends.size());
    if (num_done_ < num_texts_) num_done_ -= num_done_ % kTextsTogether;
    write_made_record(job_.folder, record_);
    std::error_code error;
    if (fs::exists(pairs, error))
      fs::resize_file(pairs, num_done_ == 0 ? 0 : ends[num_done_ - 1], error);
    if (error) {
      fail<SystemError>("{}: cannot be cut: {}; check permissions and disk", pairs.string(),
                        error.message());
    }
    given_.rewind();
    std::string passed;
    for (std::int64_t i = 0; i < num_done_; ++i) given_.next(passed);
  }

  const PhaseJob& job_;
  GivenTexts given_;
  std::int64_t num_texts_ = 0, num_done_ = 0, num_tokens_ = 0;
  std::int64_t num_cut_ = 0;  // of the given texts, by this job
  double seconds_ = 0;
  Lineage record_;
  std::vector<std::string> round_;
  std::optional<MetricsWriter> metrics_;
  std::optional<CheckedFile> pairs_;
};

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
  plan.activation_bytes = static_cast<std::int64_t>(model->plan_arena_bytes(largest, false)) +
                          cache_bytes(recipe, writer, num_sequences, phase.generate->beams > 1);
  return plan;
}

}  // namespace polyphase
