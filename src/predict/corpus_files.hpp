// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "corpus/given_texts.hpp"
#include "io/file.hpp"
#include "io/lineage.hpp"
#include "io/metrics.hpp"
#include "predict/generate_text.hpp"
#include "train/phase.hpp"

namespace polyphase {

// The files of a corpus in the making (io/made_corpus.hpp), with the phase's metrics. Belongs to
// rank 0.
class CorpusFiles {
 public:
  // Goes on behind the whole groups of texts that an earlier job wrote. RecipeError where that job
  // began the corpus with another model (that of `checkpoint`), other texts or other settings.
  CorpusFiles(const PhaseJob& job, const std::filesystem::path& checkpoint,
              const std::string& tokenizer);

  std::int64_t num_texts() const { return num_texts_; }
  std::int64_t num_done() const { return num_done_; }
  std::int64_t step() const { return (num_done_ + kTextsTogether - 1) / kTextsTogether; }
  // Written so far, over all jobs.
  std::int64_t num_tokens() const { return num_tokens_; }
  double seconds() const { return seconds_; }
  std::int64_t num_cut() const { return num_cut_; }  // of the given texts, by this job

  // The next texts, so many at most.
  const std::vector<std::string>& next(std::int64_t most);
  // What was written of them.
  void append(const std::vector<WrittenText>& written, double seconds);
  // Completes the corpus. RecipeError where nothing at all was written.
  void finish();

 private:
  void make_folder() const;
  Lineage new_record(const std::filesystem::path& checkpoint, const std::string& tokenizer) const;
  void go_on();
  void keep(const std::vector<std::int64_t>& ends);

  const PhaseJob& job_;
  GivenTexts given_;
  std::int64_t num_texts_ = 0, num_done_ = 0, num_tokens_ = 0, num_cut_ = 0;
  double seconds_ = 0;
  Lineage record_;
  std::vector<std::string> round_;  // the texts that next() gave
  std::optional<MetricsWriter> metrics_;
  std::optional<CheckedFile> pairs_;
};

}  // namespace polyphase
