// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "io/shard.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {

// A document of a prepared corpus, its sentences decoded.
struct PreparedDocument {
  std::vector<std::string> sentences;
  ShardText text;
};

// All documents of one part of a corpus, in order; fails the test where a shard is not its corpus'.
inline std::vector<PreparedDocument> documents_of(const std::string& data,
                                                  const std::string& corpus,
                                                  const std::string& part) {
  const text::Tokenizer tokenizer = text::Tokenizer::load(data + "/tokenizer.model");
  const CorpusIndex index = read_corpus_index(data + "/" + corpus + "/corpus.json");
  std::vector<PreparedDocument> documents;
  for (const ShardSummary& shard : index.splits.at(part)) {
    EXPECT_EQ(verify_shard(data + "/" + corpus, shard), std::vector<std::string>());
    ShardReader reader(data + "/" + corpus + "/" + shard.file);
    EXPECT_EQ(reader.header().tokenizer_digest, tokenizer.digest());
    for (std::int64_t d = 0; d < reader.num_documents(); ++d) {
      PreparedDocument document;
      reader.read_document(d, document.text);
      const auto& starts = document.text.sentence_starts;
      for (std::size_t s = 0; s + 1 < starts.size(); ++s) {
        document.sentences.push_back(
            tokenizer.decode({document.text.tokens.begin() + starts[s],
                              document.text.tokens.begin() + starts[s + 1]}));
      }
      documents.push_back(std::move(document));
    }
  }
  return documents;
}

}  // namespace polyphase
