// SPDX-License-Identifier: Apache-2.0
#include "io/shard.hpp"

#include "base/error.hpp"
#include "base/philox.hpp"
#include "scratch_folder.hpp"

namespace polyphase {
namespace {

ShardHeader header_for(std::int64_t vocab_size) {
  ShardHeader header;
  header.corpus = "glosses";
  header.split = "train";
  header.vocab_size = vocab_size;
  header.tokenizer_digest = "0123";
  header.source_digest = "4567";
  return header;
}

// Document d, made from its number alone: 1–4 sentences of 1–30 tokens.
ShardText document(std::int64_t d, std::int64_t vocab_size, bool labelled) {
  ShardText text;
  text.sentence_starts.push_back(0);
  const auto number = static_cast<std::uint64_t>(d);
  const int num_sentences = 1 + static_cast<int>(philox(1, number, 0).word[0] % 4);
  for (int s = 0; s < num_sentences; ++s) {
    const PhiloxWords words = philox(2, number, static_cast<std::uint64_t>(s));
    const int num_tokens = 1 + static_cast<int>(words.word[0] % 30);
    for (int t = 0; t < num_tokens; ++t) {
      const std::uint64_t value =
          philox(3, number, static_cast<std::uint64_t>(100 * s + t)).word[0];
      text.tokens.push_back(
          static_cast<std::int32_t>(value % static_cast<std::uint64_t>(vocab_size)));
      if (labelled) text.token_labels.push_back(t % 3 - 1);
    }
    text.sentence_starts.push_back(static_cast<std::int64_t>(text.tokens.size()));
  }
  if (labelled) {
    for (std::int32_t i = 0; i < d % 4; ++i) text.labels.push_back(10 * i);
    text.value = static_cast<float>(d) / 8;
  }
  return text;
}

ShardSummary write_shard(const std::filesystem::path& path, std::int64_t vocab_size, bool labelled,
                         std::int64_t num_documents) {
  ShardHeader header = header_for(vocab_size);
  header.has_labels = header.has_values = labelled;
  header.has_token_labels = labelled;
  ShardWriter writer(path, header);
  for (std::int64_t d = 0; d < num_documents; ++d) writer.append(document(d, vocab_size, labelled));
  return writer.finish();
}

void expect_equal(const ShardText& got, const ShardText& expected) {
  EXPECT_EQ(got.tokens, expected.tokens);
  EXPECT_EQ(got.sentence_starts, expected.sentence_starts);
  EXPECT_EQ(got.token_labels, expected.token_labels);
  EXPECT_EQ(got.labels, expected.labels);
  EXPECT_EQ(got.value, expected.value);
}

class ShardKinds : public ::testing::TestWithParam<std::tuple<std::int64_t, bool>> {};

TEST_P(ShardKinds, EveryDocumentComesBackInAnyOrder) {
  const auto [vocab_size, labelled] = GetParam();
  const ScratchFolder folder;
  constexpr std::int64_t kDocuments = 3000;  // several blocks of starts
  const ShardSummary summary = write_shard(folder / "s.h5", vocab_size, labelled, kDocuments);
  ShardReader reader(folder / "s.h5");
  ASSERT_EQ(reader.num_documents(), kDocuments);
  EXPECT_EQ(reader.num_documents(), summary.num_documents);
  EXPECT_EQ(reader.num_sentences(), summary.num_sentences);
  EXPECT_EQ(reader.num_tokens(), summary.num_tokens);
  EXPECT_EQ(reader.header().corpus, "glosses");
  EXPECT_EQ(reader.header().split, "train");
  EXPECT_EQ(reader.header().tokenizer_digest, "0123");
  EXPECT_EQ(reader.header().source_digest, "4567");
  ShardText text;
  for (std::int64_t i = 0; i < kDocuments; ++i) {
    const std::int64_t d = i * 1009 % kDocuments;
    reader.read_document(d, text);
    expect_equal(text, document(d, vocab_size, labelled));
  }
}

INSTANTIATE_TEST_SUITE_P(All, ShardKinds,
                         ::testing::Combine(::testing::Values(8192, 65536, 65537, 1000000),
                                            ::testing::Bool()));

TEST(Shard, SentencesKnowTheirDocument) {
  const ScratchFolder folder;
  write_shard(folder / "s.h5", 100, false, 2500);
  ShardReader reader(folder / "s.h5");
  ShardText one;
  for (std::int64_t d = 0; d < 2500; ++d) {
    const ShardReader::Range range = reader.sentences_of(d);
    const ShardText whole = document(d, 100, false);
    for (std::int64_t s = range.first; s < range.end; ++s) {
      ASSERT_EQ(reader.document_of(s), d);
      const auto k = static_cast<std::size_t>(s - range.first);
      reader.read_sentences(s, 1, one);
      ASSERT_EQ(one.tokens,
                std::vector<std::int32_t>(whole.tokens.begin() + whole.sentence_starts[k],
                                          whole.tokens.begin() + whole.sentence_starts[k + 1]));
      ASSERT_EQ(reader.num_tokens_of(s), static_cast<std::int64_t>(one.tokens.size()));
    }
  }
}

TEST(Shard, ShardBeyondTheBuffersOfItsWriterIsWhole) {
  const ScratchFolder folder;
  const ShardSummary summary = write_shard(folder / "s.h5", 70000, true, 60000);  // tokens: 9 MB
  ASSERT_GT(summary.num_tokens * 4, 2 << 20);
  EXPECT_EQ(verify_shard(folder.path(), summary), std::vector<std::string>());
}

TEST(Shard, TheSameDocumentsGiveTheSameBytes) {
  const ScratchFolder folder;
  write_shard(folder / "a.h5", 100, true, 50);
  write_shard(folder / "b.h5", 100, true, 50);
  EXPECT_EQ(bytes_of(folder / "a.h5"), bytes_of(folder / "b.h5"));
}

TEST(Shard, TruncatedShardIsRefused) {
  const ScratchFolder folder;
  write_shard(folder / "s.h5", 8192, true, 200);
  const std::string bytes = bytes_of(folder / "s.h5");
  for (const std::size_t part :
       {std::size_t{0}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    put_bytes(folder / "cut.h5", bytes.substr(0, part));
    EXPECT_THROW(ShardReader(folder / "cut.h5"), DataError) << part << " of " << bytes.size();
  }
}

TEST(Shard, AFileThatIsNoShardIsRefused) {
  const ScratchFolder folder;
  put_bytes(folder / "s.h5", std::string(5000, 'x'));
  const std::string message = message_of<DataError>([&] { ShardReader reader(folder / "s.h5"); });
  EXPECT_TRUE(contains(message, (folder / "s.h5").string())) << message;
}

TEST(Shard, AnUnfinishedWriterLeavesNothing) {
  const ScratchFolder folder;
  {
    ShardWriter writer(folder / "s.h5", header_for(100));
    writer.append(document(0, 100, false));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Shard, DocumentsThatWouldMakeNoSenseAreRefused) {
  const ScratchFolder folder;
  ShardWriter writer(folder / "s.h5", header_for(100));
  EXPECT_THROW(writer.append(ShardText{{1, 2}, {0}, {}, {}, 0}), DataError);
  EXPECT_THROW(writer.append(ShardText{{1, 2}, {0, 2, 2}, {}, {}, 0}), DataError);
  EXPECT_THROW(writer.append(ShardText{{1, 2}, {0, 1}, {}, {}, 0}), DataError);
  EXPECT_THROW(writer.append(ShardText{{1, 100}, {0, 2}, {}, {}, 0}), DataError);
  EXPECT_THROW(writer.append(ShardText{{1, -1}, {0, 2}, {}, {}, 0}), DataError);
  EXPECT_THROW(writer.finish(), DataError);  // nothing was added
}

TEST(Shard, LabelsThatWouldMakeNoSenseAreRefused) {
  const ScratchFolder folder;
  ShardHeader header = header_for(100);
  ShardWriter without(folder / "a.h5", header);
  EXPECT_THROW(without.append(ShardText{{1, 2}, {0, 2}, {}, {0}, 0}), DataError);
  header.has_labels = true;
  ShardWriter with(folder / "b.h5", header);
  EXPECT_THROW(with.append(ShardText{{1, 2}, {0, 2}, {}, {-1}, 0}), DataError);
}

TEST(Shard, DocumentsWithoutAnyLabelComeBackWithoutOne) {
  const ScratchFolder folder;
  ShardHeader header = header_for(100);
  header.has_labels = true;
  ShardWriter writer(folder / "s.h5", header);
  writer.append(ShardText{{1, 2}, {0, 2}, {}, {}, 0});
  const ShardSummary summary = writer.finish();
  EXPECT_EQ(verify_shard(folder.path(), summary), std::vector<std::string>());
  ShardReader reader(folder / "s.h5");
  EXPECT_TRUE(reader.header().has_labels);
  ShardText text;
  text.labels = {7};
  reader.read_document(0, text);
  EXPECT_TRUE(text.labels.empty());
}

TEST(Shard, TheStreamOfTokensIsReadAcrossDocuments) {
  const ScratchFolder folder;
  write_shard(folder / "s.h5", 100, false, 300);
  ShardReader reader(folder / "s.h5");
  std::vector<std::int32_t> expected, got;
  for (std::int64_t d = 0; d < 300; ++d) {
    ASSERT_EQ(reader.first_token_of(d), static_cast<std::int64_t>(expected.size()));
    const ShardText text = document(d, 100, false);
    expected.insert(expected.end(), text.tokens.begin(), text.tokens.end());
  }
  EXPECT_EQ(reader.first_token_of(300), reader.num_tokens());
  reader.read_tokens(0, reader.num_tokens(), got);
  EXPECT_EQ(got, expected);
  reader.read_tokens(1000, 77, got);
  EXPECT_EQ(got, std::vector<std::int32_t>(expected.begin() + 1000, expected.begin() + 1077));
}

TEST(Shard, ALabelBelowZeroAndAValueThatIsNoNumberAreRefused) {
  const ScratchFolder folder;
  ShardHeader header = header_for(100);
  header.has_labels = header.has_values = true;
  for (const bool break_label : {true, false}) {
    ShardWriter writer(folder / "s.h5", header);
    writer.append(ShardText{{1}, {0, 1}, {}, {0x41424344}, break_label ? 1.0F : 12.078431F});
    writer.finish();
    std::string bytes = bytes_of(folder / "s.h5");
    // 12.078431 is 0x41414141: set the exponent's bits, or the label's sign.
    const std::size_t at = bytes.find(break_label ? "DCBA" : "AAAA");
    ASSERT_NE(at, std::string::npos);
    bytes.replace(at, 4, break_label ? "DCB\xC1" : std::string("\0\0\x80\x7F", 4));
    put_bytes(folder / "s.h5", bytes);
    ShardReader reader(folder / "s.h5");
    ShardText text;
    const std::string message = message_of<DataError>([&] { reader.read_document(0, text); });
    EXPECT_TRUE(contains(message, break_label ? "is below 0" : "is not finite")) << message;
  }
}

TEST(Shard, AnAlteredTokenIsFoundByTheDigest) {
  const ScratchFolder folder;
  ShardWriter writer(folder / "s.h5", header_for(30000));
  writer.append({{0x4241, 0x4443, 0x4645}, {0, 3}, {}, {}, 0});
  const ShardSummary summary = writer.finish();
  EXPECT_EQ(verify_shard(folder.path(), summary), std::vector<std::string>());
  flip_bit_at(folder / "s.h5", "ABCDEF");
  const std::vector<std::string> faults = verify_shard(folder.path(), summary);
  ASSERT_EQ(faults.size(), 1U);
  EXPECT_TRUE(contains(faults[0], "/tokens was altered")) << faults[0];
}

TEST(Shard, ATokenOutsideTheVocabularyIsNamedWithItsPosition) {
  const ScratchFolder folder;
  ShardWriter writer(folder / "s.h5", header_for(0x5959));
  writer.append({{7, 0x4241, 0x4443, 0x5958}, {0, 4}, {}, {}, 0});
  writer.finish();
  flip_bit_at(folder / "s.h5", "XY");  // 0x5958 becomes 0x5959
  ShardReader reader(folder / "s.h5");
  ShardText text;
  const std::string message = message_of<DataError>([&] { reader.read_document(0, text); });
  EXPECT_TRUE(contains(message, "token 22873 at position 3")) << message;
  EXPECT_TRUE(contains(message, (folder / "s.h5").string())) << message;
}

TEST(Shard, StartsThatDescendAreRefused) {
  const ScratchFolder folder;
  ShardWriter writer(folder / "s.h5", header_for(100));
  ShardText text{std::vector<std::int32_t>(40, 5), {0, 33, 40}, {}, {}, 0};
  writer.append(text);
  writer.finish();
  std::string bytes = bytes_of(folder / "s.h5");
  const std::size_t where = bytes.find(std::string("\x21\0\0\0\0\0\0\0\x28\0\0\0\0\0\0\0", 16));
  ASSERT_NE(where, std::string::npos);
  bytes[where + 7] = 0x7f;
  put_bytes(folder / "s.h5", bytes);
  ShardReader reader(folder / "s.h5");
  EXPECT_THROW(reader.read_document(0, text), DataError);
}

}  // namespace
}  // namespace polyphase
