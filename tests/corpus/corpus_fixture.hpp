// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "corpus/dataset.hpp"
#include "io/shard.hpp"

namespace polyphase {

// A document as a test writes it: its sentences, and labels where the corpus has some.
struct TestDocument {
  std::vector<std::vector<std::int32_t>> sentences;
  std::int32_t label = -1;  // one class; or else `labels`
  std::vector<std::int32_t> token_labels = {};
  std::vector<std::int32_t> labels = {};
  float value = 0;
};

// Tests that read real shards from a folder of their own.
class CorpusTest : public ::testing::Test {
 protected:
  CorpusTest() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(::testing::TempDir()) /
              (std::string("polyphase_") + test->test_suite_name() + "_" + test->name() + "_" +
               std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  ~CorpusTest() override { std::filesystem::remove_all(folder_); }

  // Writes one shard and says what it holds.
  DatasetShard write_shard(DatasetKind kind, const std::vector<TestDocument>& documents,
                           bool scored = false) {
    const std::string path =
        (folder_ / ("train-" + std::to_string(num_shards_++) + ".h5")).string();
    ShardWriter writer(path, {.corpus = "corpus",
                              .split = "train",
                              .vocab_size = kVocabSize,
                              .tokenizer_digest = "t",
                              .source_digest = "s",
                              .has_labels = kind == DatasetKind::kClassification ||
                                            kind == DatasetKind::kMultiLabel ||
                                            kind == DatasetKind::kQuestionAnswering,
                              .has_values = scored || kind == DatasetKind::kRegression,
                              .has_token_labels = kind == DatasetKind::kTagging});
    ShardText text;
    for (const TestDocument& document : documents) {
      text.tokens.clear();
      text.sentence_starts = {0};
      for (const auto& sentence : document.sentences) {
        text.tokens.insert(text.tokens.end(), sentence.begin(), sentence.end());
        text.sentence_starts.push_back(static_cast<std::int64_t>(text.tokens.size()));
      }
      text.labels = document.labels;
      if (document.label >= 0) text.labels.assign(1, document.label);
      text.value = document.value;
      text.token_labels = document.token_labels;
      writer.append(text);
    }
    const ShardSummary summary = writer.finish();
    return {.path = path,
            .num_documents = summary.num_documents,
            .num_sentences = summary.num_sentences,
            .num_tokens = summary.num_tokens};
  }

  static std::shared_ptr<Dataset> dataset_of(DatasetKind kind, std::vector<DatasetShard> shards) {
    return std::make_shared<Dataset>(DatasetContents{
        .name = "corpus (train)",
        .kind = kind,
        .vocab_size = kVocabSize,
        .label_names = kind == DatasetKind::kText ? std::vector<std::string>{}
                                                  : std::vector<std::string>{"x", "y", "z"},
        .shards = std::move(shards)});
  }

  std::shared_ptr<Dataset> make(DatasetKind kind, const std::vector<TestDocument>& documents,
                                bool scored = false) {
    return dataset_of(kind, {write_shard(kind, documents, scored)});
  }

  // Documents whose tokens count up from kFirstToken through the whole corpus: a token tells its
  // place. Document d has 1 + d mod `most_sentences` sentences of 2 to 12 tokens; `document_starts`
  // gets the first token of each and the end.
  static std::vector<TestDocument> counting_documents(int num_documents, int most_sentences,
                                                      std::vector<std::int32_t>* document_starts) {
    std::vector<TestDocument> documents;
    std::int32_t token = kFirstToken;
    int sentence_number = 0;
    for (int d = 0; d < num_documents; ++d) {
      if (document_starts != nullptr) document_starts->push_back(token);
      TestDocument document;
      for (int s = 0; s < 1 + d % most_sentences; ++s) {
        std::vector<std::int32_t> sentence(2 + (sentence_number++ * 7) % 11);
        for (std::int32_t& piece : sentence) piece = token++;
        document.sentences.push_back(sentence);
      }
      documents.push_back(document);
    }
    if (document_starts != nullptr) document_starts->push_back(token);
    return documents;
  }

  static constexpr std::int64_t kVocabSize = 60000;
  static constexpr std::int32_t kFirstToken = 5;
  std::filesystem::path folder_;
  int num_shards_ = 0;
};

}  // namespace polyphase
