// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.hpp"

#include <random>

#include "base/error.hpp"
#include "tests/text/text_file.hpp"

namespace polyphase::text {
namespace {

using Strings = std::vector<std::string>;
using Ids = std::vector<std::int32_t>;

Strings some_sentences() {
  const Strings subjects = {"The grey cat", "A tall woman", "My neighbour", "The old engine"};
  const Strings verbs = {"watched", "remembered", "carried", "painted", "followed"};
  const Strings objects = {"the river", "a wooden boat", "seven lanterns", "the caf\xC3\xA9 door"};
  const Strings ends = {"yesterday.", "in the rain.", "without a word."};
  Strings all;
  for (const auto& subject : subjects) {
    for (const auto& verb : verbs) {
      for (const auto& object : objects) {
        for (const auto& end : ends) all.push_back(subject + " " + verb + " " + object + " " + end);
      }
    }
  }
  return all;
}

Tokenizer train_on(const Strings& sentences, const TokenizerOptions& options) {
  std::size_t next = 0;
  return Tokenizer::train(options, [&](std::string& sentence) {
    if (next == sentences.size()) return false;
    sentence = sentences[next++];
    return true;
  });
}

TokenizerOptions options_of(const std::string& kind, std::int64_t vocab_size) {
  TokenizerOptions options;
  options.kind = kind;
  options.vocab_size = vocab_size;
  return options;
}

class EveryKind : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Kinds, EveryKind, testing::Values("unigram", "bpe", "word", "char"));

TEST_P(EveryKind, TrainsTheSameBytesTwiceWithSpecialPiecesInTheirPlaces) {
  const Tokenizer a = train_on(some_sentences(), options_of(GetParam(), 60));
  const Tokenizer b = train_on(some_sentences(), options_of(GetParam(), 60));
  EXPECT_EQ(a.digest(), b.digest());
  EXPECT_EQ(a.model_bytes(), b.model_bytes());
  EXPECT_EQ(a.piece(kPadId), "<pad>");
  EXPECT_EQ(a.piece(kUnkId), "<unk>");
  EXPECT_EQ(a.piece(kClsId), "[CLS]");
  EXPECT_EQ(a.piece(kSepId), "[SEP]");
  EXPECT_EQ(a.piece(kMaskId), "[MASK]");
  EXPECT_GT(a.vocab_size(), kNumSpecialIds);
  EXPECT_LE(a.vocab_size(), 60);
}

TEST_P(EveryKind, GivesBackTheTextThatItEncoded) {
  const Tokenizer tokenizer = train_on(some_sentences(), options_of(GetParam(), 60));
  for (const std::string& sentence : some_sentences()) {
    const Ids ids = tokenizer.encode(sentence);
    EXPECT_EQ(tokenizer.decode(ids), sentence);
    for (const std::int32_t id : ids) ASSERT_GE(id, kNumSpecialIds);
  }
}

TEST_P(EveryKind, ShrinksAVocabularyThatTheTextCannotFill) {
  const Tokenizer tokenizer = train_on({"a tiny text"}, options_of(GetParam(), 8192));
  EXPECT_GT(tokenizer.vocab_size(), kNumSpecialIds);
  EXPECT_LT(tokenizer.vocab_size(), 8192);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a tiny text")), "a tiny text");
}

TEST(Tokenizer, LoadsWhatItSaved) {
  const TestFolder folder;
  const Tokenizer made = train_on(some_sentences(), options_of("unigram", 60));
  const Tokenizer loaded = Tokenizer::load(folder.write("m", made.model_bytes()));
  EXPECT_EQ(loaded.digest(), made.digest());
  EXPECT_EQ(loaded.vocab_size(), 60);
  EXPECT_EQ(loaded.encode("The old boat."), made.encode("The old boat."));
}

TEST(Tokenizer, EncodesWordsOneByOneAndSaysWhereTheyBegin) {
  const Tokenizer tokenizer = train_on(some_sentences(), options_of("unigram", 60));
  const Strings words = {"The", "lanternscat", "\xE2\x80\x8B", "boat",
                         "."};  // the third: a zero-width space
  const EncodedWords encoded = tokenizer.encode_words(words);
  ASSERT_EQ(encoded.first_pieces.size(), words.size());
  Ids expected;
  for (std::size_t i = 0; i < words.size(); ++i) {
    EXPECT_EQ(encoded.first_pieces[i], static_cast<std::int32_t>(expected.size()));
    Ids ids = tokenizer.encode(words[i]);
    if (i == 2) {
      EXPECT_TRUE(ids.empty());
      ids = {kUnkId};
    } else {
      EXPECT_TRUE(tokenizer.starts_word(ids.front()));
    }
    expected.insert(expected.end(), ids.begin(), ids.end());
  }
  EXPECT_EQ(encoded.ids, expected);
}

TEST(Tokenizer, NormalisesAndLowersCaseOnlyWhenAsked) {
  const Strings text = some_sentences();
  TokenizerOptions options = options_of("unigram", 60);
  const Tokenizer plain = train_on(text, options);
  options.lowercase = true;
  const Tokenizer lower = train_on(text, options);
  EXPECT_EQ(lower.encode("THE OLD BOAT"), lower.encode("the old boat"));
  EXPECT_NE(plain.encode("THE OLD BOAT"), plain.encode("the old boat"));
  // NFKC: the ligature fi, and an accent given as a letter and a mark.
  EXPECT_EQ(plain.encode("\xEF\xAC\x81ve cafe\xCC\x81"), plain.encode("five caf\xC3\xA9"));
}

TEST(Tokenizer, NeverReadsSpecialPiecesOutOfText) {
  const Tokenizer tokenizer = train_on(some_sentences(), options_of("unigram", 60));
  for (const std::int32_t id : tokenizer.encode("[MASK] the [CLS] <pad> [SEP]")) {
    EXPECT_TRUE(id == kUnkId || id >= kNumSpecialIds) << id;
  }
  EXPECT_TRUE(tokenizer.encode("").empty());
  EXPECT_TRUE(tokenizer.encode("  \t ").empty());
}

TEST(Tokenizer, ByteFallbackLeavesNothingUnknown) {
  TokenizerOptions options = options_of("unigram", 310);
  options.byte_fallback = true;
  const Tokenizer tokenizer = train_on(some_sentences(), options);
  const Ids ids = tokenizer.encode("\xE6\xBC\xA2");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), kUnkId), 0);
  EXPECT_EQ(tokenizer.decode(ids), "\xE6\xBC\xA2");
}

class KeepingKind : public testing::TestWithParam<const char*> {
 protected:
  static TokenizerOptions keeping(std::int64_t vocab_size) {
    TokenizerOptions options = options_of(GetParam(), vocab_size);
    options.keep_white_space = true;
    return options;
  }
};
INSTANTIATE_TEST_SUITE_P(Kinds, KeepingKind, testing::Values("unigram", "bpe", "char"));

TEST_P(KeepingKind, KeptWhiteSpaceComesBackByteForByte) {
  Strings text = some_sentences();
  text.push_back("\ttwo  blanks   and three, \xEF\xAC\x81 and cafe\xCC\x81 as written \r");
  const Tokenizer tokenizer = train_on(text, keeping(120));
  EXPECT_TRUE(tokenizer.keeps_white_space());
  for (const std::string line : {"\n", "The old boat.\n", "  two  blanks \n", "a\n\n b\n", " ",
                                 "\ta \t\r\n", "a. ", "\xEF\xAC\x81 cafe\xCC\x81 caf\xC3\xA9\n"}) {
    const Ids ids = tokenizer.encode(line);
    EXPECT_EQ(tokenizer.decode(ids), line);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), kUnkId), 0) << line;
    const bool ends = line.back() == '\n';
    EXPECT_EQ(tokenizer.piece(ids.back()) == "\n", ends) << line;
  }
  // The text of two lines is the text of one behind the other.
  Ids joined = tokenizer.encode("The cat\n");
  const Ids second = tokenizer.encode(" a boat\n");
  joined.insert(joined.end(), second.begin(), second.end());
  EXPECT_EQ(tokenizer.encode("The cat\n a boat\n"), joined);
}

TEST_P(KeepingKind, RareCharactersAreKeptToo) {
  Strings text = some_sentences();
  for (int i = 0; i < 40; ++i) text.insert(text.end(), text.begin(), text.begin() + 200);
  text.push_back("one \xE6\xBC\xA2 only");
  const Tokenizer tokenizer = train_on(text, keeping(120));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("\xE6\xBC\xA2 boat\n")), "\xE6\xBC\xA2 boat\n");
}

TEST(Tokenizer, WordsOfAKeepingTokenizerBeginWithABlank) {
  TokenizerOptions options = options_of("unigram", 60);
  options.keep_white_space = true;
  const Tokenizer tokenizer = train_on(some_sentences(), options);
  const EncodedWords words = tokenizer.encode_words({"The", "old", "boat"});
  EXPECT_EQ(tokenizer.decode(words.ids), "The old boat");
  EXPECT_FALSE(train_on(some_sentences(), options_of("unigram", 60)).keeps_white_space());
}

TEST(Tokenizer, PlacesOfPiecesCoverTheText) {
  const Tokenizer tokenizer = train_on(some_sentences(), options_of("unigram", 60));
  const std::string text = " The  caf\xC3\xA9 \xEF\xAC\x81ve\tlanterns";  // a ligature fi
  const EncodedText encoded = tokenizer.encode_with_places(text);
  EXPECT_EQ(encoded.ids, tokenizer.encode(text));
  ASSERT_EQ(encoded.bytes.size(), encoded.ids.size());
  std::int64_t end = 0;
  std::string covered;
  for (const auto& [begin, piece_end] : encoded.bytes) {
    EXPECT_GE(begin, end);
    ASSERT_GE(piece_end, begin);
    ASSERT_LE(piece_end, static_cast<std::int64_t>(text.size()));
    covered +=
        text.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(piece_end - begin));
    end = piece_end;
  }
  // Only blanks may belong to no piece.
  const auto without_blanks = [](std::string from) {
    std::erase_if(from, [](char c) { return c == ' ' || c == '\t'; });
    return from;
  };
  EXPECT_EQ(without_blanks(covered), without_blanks(text));
}

TEST(Tokenizer, SaysWhatCannotBeTrained) {
  EXPECT_MENTIONS(fault_of<DataError>([] {
                    train_on({"", "  "}, options_of("unigram", 60));
                  }),
                  "no sentence");
  EXPECT_MENTIONS(
      fault_of<RecipeError>([] { train_on(some_sentences(), options_of("unigram", 8)); }),
      "vocab_size");
  EXPECT_MENTIONS(fault_of<RecipeError>([] { train_on(some_sentences(), options_of("bpe", 5)); }),
                  "no room");
}

TEST(Tokenizer, RefusesFilesThatAreNoModel) {
  const TestFolder folder;
  EXPECT_MENTIONS(fault_of<DataError>([&] { Tokenizer::load(folder.path("none")); }),
                  "No such file");
  EXPECT_MENTIONS(fault_of<DataError>([&] { Tokenizer::load(folder.path("")); }), "cannot be read");
  for (const std::string& text : {std::string(), std::string("hello"), std::string(4096, '\0')}) {
    EXPECT_MENTIONS(fault_of<DataError>([&] { Tokenizer::load(folder.write("m", text)); }), "m: ");
  }
}

// The special pieces must stand at their ids: "[MASK]" spelt otherwise is another vocabulary.
TEST(Tokenizer, RefusesAModelWithoutItsSpecialPieces) {
  std::string model = train_on(some_sentences(), options_of("unigram", 60)).model_bytes();
  const std::size_t at = model.find("[MASK]");
  ASSERT_NE(at, std::string::npos);
  model[at + 1] = 'T';
  EXPECT_MENTIONS(fault_of<DataError>([&] { Tokenizer::from_bytes(model, "m"); }),
                  "m: piece 4 is \"[TASK]\", expected \"[MASK]\"");
}

TEST(Tokenizer, DamagedModelsAreRefusedOrHarmless) {
  const std::string model = train_on(some_sentences(), options_of("unigram", 60)).model_bytes();
  std::mt19937_64 random(7);
  int refused = 0;
  const auto try_model = [&](const std::string& damaged) {
    try {
      const Tokenizer tokenizer = Tokenizer::from_bytes(damaged, "m");
      for (const char* text : {"The caf\xC3\xA9 \xEF\xAC\x81 \xE2\x91\xA0\xE3\x8D\xBF boat", "x"}) {
        const Ids ids = tokenizer.encode(text);
        for (const std::int32_t id : ids) ASSERT_LT(id, tokenizer.vocab_size());
        tokenizer.decode(ids);
      }
    } catch (const DataError&) {
      ++refused;
    }
  };
  for (int trial = 0; trial < 60; ++trial) {
    try_model(model.substr(0, random() % model.size()));
  }
  EXPECT_GE(refused, 58);  // a cut exactly between two fields can leave a smaller, sound model
  // Most of a model is its character map, so spread the damage: half of it into the pieces at the
  // front.
  refused = 0;
  for (int trial = 0; trial < 400; ++trial) {
    std::string damaged = model;
    const std::size_t range = trial % 2 == 0 ? model.size() : 4096;
    damaged[random() % range] ^= static_cast<char>(1U << (random() % 8));
    try_model(damaged);
  }
  EXPECT_GT(refused, 10);
}

}  // namespace
}  // namespace polyphase::text
