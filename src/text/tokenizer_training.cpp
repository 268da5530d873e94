// SPDX-License-Identifier: Apache-2.0
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <string>
#include <unordered_map>

#include "base/error.hpp"
#include "base/log.hpp"
#include "text/line_reader.hpp"
#include "text/tokenizer.hpp"

namespace polyphase::text {
namespace {

// Hands sentences to the library one by one; it stores them itself.
class SourceIterator : public sentencepiece::SentenceIterator {
 public:
  explicit SourceIterator(const SentenceSource& source) : source_(source) { Next(); }

  bool done() const override { return done_; }
  const std::string& value() const override { return sentence_; }
  sentencepiece::util::Status status() const override { return {}; }

  void Next() override {
    do {
      done_ = !source_(sentence_);
    } while (!done_ && is_blank(sentence_));
  }

 private:
  const SentenceSource& source_;
  std::string sentence_;
  bool done_ = false;
};

std::unordered_map<std::string, std::string> trainer_settings(const TokenizerOptions& options) {
  std::unordered_map<std::string, std::string> settings = {
      {"model_type", options.kind},
      {"vocab_size", std::to_string(options.vocab_size)},
      // A short text then gives a small vocabulary, not a failure.
      {"hard_vocab_limit", "false"},
      {"normalization_rule_name", options.lowercase ? "nmt_nfkc_cf" : "nmt_nfkc"},
      {"byte_fallback", options.byte_fallback ? "true" : "false"},
      {"pad_id", std::to_string(kPadId)},
      {"unk_id", std::to_string(kUnkId)},
      {"bos_id", "-1"},
      {"eos_id", "-1"},
      {"control_symbols", "[CLS],[SEP],[MASK]"},
      // Sums of expected counts depend on the number of threads, so it is fixed.
      {"num_threads", "2"},
      {"input_sentence_size", "0"},
      {"shuffle_input_sentence", "false"},
      // The library's million seeds cost time and memory, and on the glosses of WordNet gave
      // 0.7 % more pieces.
      {"seed_sentencepiece_size",
       std::to_string(std::max<std::int64_t>(100'000, 16 * options.vocab_size))},
      {"max_sentence_length", std::to_string(kMaxLineBytes + 1)},
      {"minloglevel", "3"}};
  if (options.keep_white_space) {
    settings["normalization_rule_name"] = "identity";
    settings["add_dummy_prefix"] = "false";
    settings["remove_extra_whitespaces"] = "false";
    // The library leaves tabs out of its alphabet, so they are a piece of their own, too.
    settings["user_defined_symbols"] = "\n,\t";
    settings["character_coverage"] = "1.0";
  }
  return settings;
}

}  // namespace

Tokenizer Tokenizer::train(const TokenizerOptions& options, const SentenceSource& sentences) {
  SourceIterator iterator(sentences);
  if (iterator.done())
    fail<DataError>("no sentence to train a tokenizer on; give a corpus with text");
  POLYPHASE_PROMISE(!options.keep_white_space || !options.lowercase,
                    "a tokenizer that keeps every character cannot lower their case");
  if (options.vocab_size <= kNumSpecialIds) {
    fail<RecipeError>("tokenizer: vocab_size {} leaves no room beside {} special pieces; raise it",
                      options.vocab_size, kNumSpecialIds);
  }
  std::string model;
  sentencepiece::util::Status status;
  try {
    status =
        sentencepiece::SentencePieceTrainer::Train(trainer_settings(options), &iterator, &model);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    fail<SystemError>("the tokenizer's training failed: {}; is there enough memory?", error.what());
  }
  if (!status.ok()) {
    fail<RecipeError>(
        "tokenizer: a {} vocabulary of {} pieces cannot be made from this text ({}); change "
        "tokenizer.vocab_size or tokenizer.kind",
        options.kind, options.vocab_size, status.message());
  }
  Tokenizer tokenizer = from_bytes(model, "the trained tokenizer");
  if (tokenizer.vocab_size() < options.vocab_size) {
    log_warning("the text gives {} pieces, not the {} of tokenizer.vocab_size",
                tokenizer.vocab_size(), options.vocab_size);
  }
  return tokenizer;
}

}  // namespace polyphase::text
