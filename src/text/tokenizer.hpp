// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace polyphase::text {

// Pieces that every tokenizer has, at these ids (on disk: never renumber).
inline constexpr std::int32_t kPadId = 0;   // <pad>
inline constexpr std::int32_t kUnkId = 1;   // <unk>
inline constexpr std::int32_t kClsId = 2;   // [CLS]
inline constexpr std::int32_t kSepId = 3;   // [SEP]
inline constexpr std::int32_t kMaskId = 4;  // [MASK]
inline constexpr std::int32_t kNumSpecialIds = 5;

struct TokenizerOptions {
  std::string kind = "unigram";    // unigram, bpe, word, char
  std::int64_t vocab_size = 8192;  // pieces, special ones among them
  bool lowercase = false;          // nmt_nfkc_cf instead of nmt_nfkc
  bool byte_fallback = false;      // unknown characters become pieces of one byte instead of <unk>
  // No normalisation, every blank counts, and line end and tab are pieces of their own: what is
  // encoded decodes to itself but for characters that the training text lacks (with byte_fallback,
  // all of them) and U+2581, which stands for a blank in pieces. Every character of the training
  // text is a piece.
  bool keep_white_space = false;
};

// Gives the next sentence; false when there are no more.
using SentenceSource = std::function<bool(std::string& sentence)>;

struct EncodedWords {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> first_pieces;  // of each word, an index into ids
};

// Piece ids of a text, and the bytes of it that each piece stands for: [begin, end), rising, maybe
// empty (the mark of a word's start has no bytes).
struct EncodedText {
  struct Bytes {
    std::int64_t begin = 0, end = 0;
  };
  std::vector<std::int32_t> ids;
  std::vector<Bytes> bytes;  // one a piece
};

// Text to piece ids and back, by the SentencePiece library. A loaded tokenizer is only read:
// threads may share it.
class Tokenizer {
 public:
  // Trains on `sentences`; the same sentences and options give the same bytes. Where the text has
  // too few pieces the vocabulary is smaller than asked, with a warning. Throws DataError when
  // there is no text at all and RecipeError when vocab_size is below the number of characters.
  static Tokenizer train(const TokenizerOptions& options, const SentenceSource& sentences);

  // Throws DataError for a file that is missing, damaged, or lacks a special piece at its id.
  static Tokenizer load(const std::string& path);
  static Tokenizer from_bytes(const std::string& model, const std::string& name);

  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Piece ids of a text, without special ones; none when nothing of the text survives
  // normalisation.
  std::vector<std::int32_t> encode(std::string_view text) const;

  // The same pieces, each with its place in `text`.
  EncodedText encode_with_places(std::string_view text) const;

  // Each word by itself, with the mark of a word's start; at least one piece a word.
  EncodedWords encode_words(const std::vector<std::string>& words) const;

  // The text of `ids`; special pieces vanish, unknown ones show as " ⁇ ".
  std::string decode(const std::vector<std::int32_t>& ids) const;

  // Whether blanks and line ends survive encoding and decoding (TokenizerOptions).
  bool keeps_white_space() const;

  std::int64_t vocab_size() const;
  std::string piece(std::int64_t id) const;  // id in [0, vocab_size)
  bool starts_word(std::int64_t id) const;   // the piece begins with the mark of a word's start
  std::string model_bytes() const;           // what load() reads
  std::string digest() const;                // of model_bytes()

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace polyphase::text
