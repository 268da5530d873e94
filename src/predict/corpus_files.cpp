// SPDX-License-Identifier: Apache-2.0
#include "predict/corpus_files.hpp"

#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/log.hpp"
#include "io/made_corpus.hpp"
#include "train/phase_checkpoint.hpp"
#include "train/phase_data.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json to_json(const recipe::Generate& generate) {
  return {{"max_new_tokens", generate.max_new_tokens},
          {"temperature", generate.temperature},
          {"top_k", generate.top_k},
          {"top_p", generate.top_p},
          {"beams", generate.beams},
          {"length_penalty", generate.length_penalty}};
}

// All that the texts follow from.
json what_decides(Lineage record) {
  record.versions.clear();
  record.digest.clear();
  if (!record.generation.is_object()) record.generation = json::object();  // not of ours
  record.generation.erase("empty");
  return record;
}

}  // namespace

CorpusFiles::CorpusFiles(const PhaseJob& job, const fs::path& checkpoint,
                         const std::string& tokenizer)
    : job_(job), given_(job.recipe, phase_of(job).generate->of) {
  make_folder();
  for (std::string text; given_.next(text);) ++num_texts_;
  record_ = new_record(checkpoint, tokenizer);
  go_on();
  const fs::path metrics = job.folder / "metrics.jsonl";
  metrics_.emplace(metrics);
  metrics_->truncate_after(num_done_ == 0 ? -1 : step());
  if (num_done_ == 0) metrics_->append({{"kind", "lineage"}, {"step", 0}, {"lineage", record_}});
  for (const json& earlier : read_metrics(metrics)) {
    num_tokens_ += earlier.value("tokens", std::int64_t{0});
    seconds_ += earlier.value("seconds", 0.0);
  }
  pairs_.emplace(CheckedFile::open_append(job.folder / kPairsFile));
}

void CorpusFiles::make_folder() const {
  std::error_code error;
  fs::create_directories(job_.folder, error);
  if (!error) return;
  fail<SystemError>("{}: cannot make the folder: {}; check permissions and disk",
                    job_.folder.string(), error.message());
}

Lineage CorpusFiles::new_record(const fs::path& checkpoint, const std::string& tokenizer) const {
  const recipe::Generate& generate = *phase_of(job_).generate;
  const CorpusIndex given =
      read_corpus_index(fs::path(job_.data_dir) / generate.of / "corpus.json");
  json generation = to_json(generate);
  generation["texts"] = num_texts_;
  Lineage record = lineage_of(job_);
  record.tokenizer = tokenizer;
  record.corpora = {{generate.of, digest_of_contents(given)}};
  record.from = std::make_shared<const Lineage>(lineage_of_checkpoint(checkpoint));
  record.generation = generation;
  return record;
}

void CorpusFiles::go_on() {
  const std::optional<Lineage> before = read_made_record(job_.folder);
  std::vector<std::int64_t> ends;  // of pairs that may stay: a record tells what wrote them
  if (before) {
    if (what_decides(*before) != what_decides(record_)) {
      fail<RecipeError>(
          "{}: phase {} began to make its corpus of something else (see {}); bring the files back "
          "as they were, or remove the folder {} to make it anew",
          (job_.folder / kMadeFile).string(), record_.phase, kMadeFile, job_.folder.string());
    }
    record_.versions = before->versions;
    if (record_.versions.empty() || record_.versions.back() != job_.run.version)
      record_.versions.push_back(job_.run.version);
    given_.rewind();
    ends = leading_pairs(job_.folder / kPairsFile,
                         [this](std::string& text) { return given_.next(text); });
  }
  write_made_record(job_.folder, record_);
  keep(ends);
}

// The whole groups of these pairs, and what is given from there on.
void CorpusFiles::keep(const std::vector<std::int64_t>& ends) {
  num_done_ = static_cast<std::int64_t>(ends.size());
  if (num_done_ < num_texts_) num_done_ -= num_done_ % kTextsTogether;
  const fs::path pairs = job_.folder / kPairsFile;
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

const std::vector<std::string>& CorpusFiles::next(std::int64_t most) {
  round_.clear();
  std::string text;
  while (static_cast<std::int64_t>(round_.size()) < most && given_.next(text))
    round_.push_back(text);
  return round_;
}

void CorpusFiles::append(const std::vector<WrittenText>& written, double seconds) {
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
  // Before the texts: the record of texts that a kill then leaves out is taken back.
  metrics_->append({{"kind", "step"},
                    {"step", step()},
                    {"samples", num_done_},
                    {"tokens", num_tokens},
                    {"seconds", seconds},
                    {"tokens_per_second", static_cast<double>(num_tokens) / seconds}});
  pairs_->write(lines.data(), static_cast<std::int64_t>(lines.size()));
  pairs_->sync();
}

void CorpusFiles::finish() {
  const fs::path pairs = job_.folder / kPairsFile;
  const PairsSummary summary = sum_up_pairs(pairs);
  if (summary.num_empty == summary.num_pairs) {
    fail<RecipeError>(
        "phase {}: the model of {} wrote nothing for any of the {} texts; train it longer, "
        "in another folder (--set run_dir=…)",
        record_.phase, phase_of(job_).from, summary.num_pairs);
  }
  record_.digest = summary.digest;
  record_.generation["empty"] = summary.num_empty;
  write_made_record(job_.folder, record_);
  log_info("{}: {} pairs in {}, made of the texts of {}", record_.phase,
           summary.num_pairs - summary.num_empty, pairs.string(), phase_of(job_).generate->of);
  if (summary.num_empty > 0)
    log_warning("{}: nothing was written for {} texts", record_.phase, summary.num_empty);
}

}  // namespace polyphase
