// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "corpus/dataset.hpp"
#include "corpus/sample.hpp"
#include "recipe/recipe.hpp"
#include "train/phase_model.hpp"

namespace polyphase {

// A phase's number for random keys: of its name, so that phases added before it change nothing.
std::uint64_t phase_key(const std::string& phase_name);

// The prepared corpus that a phase trains on, and how samples are made of it.
class PhaseCorpus {
 public:
  // Throws DataError when the corpus is not prepared in data_dir.
  PhaseCorpus(const recipe::Recipe& recipe, const recipe::Phase& phase,
              const std::string& data_dir);

  const std::string& name() const { return name_; }
  // Digests of the tokenizer and of all prepared tokens and labels: what a checkpoint was trained
  // on.
  const std::string& tokenizer_digest() const { return tokenizer_digest_; }
  const std::string& content_digest() const { return content_digest_; }
  PhaseData phase_data() const;
  bool has(const std::string& part) const { return parts_.contains(part); }
  std::shared_ptr<Dataset> train() const { return train_; }
  std::shared_ptr<Dataset> open(const std::string& part) const;
  SampleSettings sample_settings(std::uint64_t phase_key) const;
  std::int64_t max_train_samples() const;  // 0: all

 private:
  const recipe::Recipe& recipe_;
  const recipe::Phase& phase_;
  std::string data_dir_, name_, tokenizer_digest_, content_digest_;
  std::set<std::string> parts_;
  std::shared_ptr<Dataset> train_;
};

}  // namespace polyphase
