// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <fstream>

#include "corpus/batch_stream.hpp"
#include "tests/corpus/corpus_fixture.hpp"

namespace polyphase {
namespace {

std::int64_t resident_bytes() {
  std::int64_t num_pages = 0;
  std::ifstream("/proc/self/statm") >> num_pages >> num_pages;
  return num_pages * sysconf(_SC_PAGESIZE);
}

class StreamMemoryTest : public CorpusTest {
 protected:
  // Sentences of 5 tokens, two a document.
  DatasetShard write_large_shard(std::int64_t num_tokens) {
    const std::string path = (folder_ / "large.h5").string();
    ShardWriter writer(path, {.corpus = "corpus",
                              .split = "train",
                              .vocab_size = kVocabSize,
                              .tokenizer_digest = "t",
                              .source_digest = "s"});
    ShardText text;
    text.sentence_starts = {0, 5, 10};
    text.tokens.resize(10);
    for (std::int64_t token = 0; token < num_tokens; token += 10) {
      for (std::int64_t i = 0; i < 10; ++i) {
        text.tokens[i] = static_cast<std::int32_t>(kFirstToken + (token + i) % 50000);
      }
      writer.append(text);
    }
    const ShardSummary summary = writer.finish();
    return {.path = path,
            .num_documents = summary.num_documents,
            .num_sentences = summary.num_sentences,
            .num_tokens = summary.num_tokens};
  }
};

// 20 million tokens take 40 MB, and the starts of their sentences and documents 48 MB more. A
// stream that kept either would be found out.
TEST_F(StreamMemoryTest, LargeCorpusIsStreamedInBoundedMemory) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer keeps freed memory: resident bytes tell nothing";
#endif
  const DatasetShard shard = write_large_shard(20'000'000);
  ::malloc_trim(0);
  const std::int64_t before = resident_bytes();
  StreamSettings settings;
  settings.sample = {.kinds = {SampleKind::kNextSentence}, .max_tokens = 64};
  settings.sizes.sequences = 256;
  settings.micro_batch = 64;
  BatchStream stream(dataset_of(DatasetKind::kText, {shard}), settings);
  std::int64_t num_tokens = 0;
  for (int step = 0; step < 200; ++step) {  // 51,200 samples from all over the corpus
    for (const Batch& batch : stream.next_step().micro_batches) num_tokens += batch.num_tokens();
  }
  EXPECT_GT(num_tokens, 51'200 * 10);
  const double growth_mib = static_cast<double>(resident_bytes() - before) / (1 << 20);
  RecordProperty("growth_mib", std::to_string(growth_mib));
  EXPECT_LT(growth_mib, 16.0);
}

}  // namespace
}  // namespace polyphase
