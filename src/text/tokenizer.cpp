// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.hpp"

#include <sentencepiece_processor.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "text/model_check.hpp"

namespace polyphase::text {
namespace {

constexpr std::string_view kWordStart = "\xE2\x96\x81";  // U+2581, SentencePiece's mark
constexpr const char* kSpecialPieces[kNumSpecialIds] = {"<pad>", "<unk>", "[CLS]", "[SEP]",
                                                        "[MASK]"};
constexpr std::int64_t kMaxModelBytes = std::int64_t{256} << 20;

std::string read_model(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::int64_t num_bytes = file ? static_cast<std::int64_t>(file.tellg()) : -1;
  if (num_bytes < 0 || num_bytes > kMaxModelBytes) {
    fail<DataError>(
        "{}: cannot be read as a tokenizer model ({}); give a SentencePiece model file", path,
        num_bytes < 0 ? std::strerror(errno) : fmt::format("larger than {} bytes", kMaxModelBytes));
  }
  std::string bytes(static_cast<std::size_t>(num_bytes), '\0');
  file.seekg(0);
  if (!file.read(bytes.data(), num_bytes)) {
    fail<DataError>("{}: cannot be read as a tokenizer model ({}); give a SentencePiece model file",
                    path, std::strerror(errno));
  }
  return bytes;
}

// Exceptions of the library (memory, its trie) mean the model at hand was not made by it.
void load_into(sentencepiece::SentencePieceProcessor& processor, const std::string& model,
               const std::string& name) {
  std::string fault = fault_of_model(model);
  if (fault.empty()) {
    try {
      const auto status = processor.LoadFromSerializedProto(model);
      if (!status.ok()) fault = status.message();
    } catch (const std::exception& error) {
      fault = error.what();
    }
  }
  if (!fault.empty()) {
    fail<DataError>("{}: damaged or not a SentencePiece model: {}; make it again", name, fault);
  }
}

}  // namespace

struct Tokenizer::State {
  sentencepiece::SentencePieceProcessor processor;
  std::string model;
  std::string digest;
  bool keeps_white_space = false;
};

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::load(const std::string& path) { return from_bytes(read_model(path), path); }

Tokenizer Tokenizer::from_bytes(const std::string& model, const std::string& name) {
  auto state = std::make_unique<State>();
  load_into(state->processor, model, name);
  state->model = model;
  state->digest = polyphase::digest(model);
  for (std::int32_t id = 0; id < kNumSpecialIds; ++id) {
    const auto& processor = state->processor;
    if (processor.GetPieceSize() <= id || processor.IdToPiece(id) != kSpecialPieces[id]) {
      fail<DataError>(
          "{}: piece {} is \"{}\", expected \"{}\"; train it with --pad_id=0 --unk_id=1 "
          "--bos_id=-1 "
          "--eos_id=-1 --control_symbols=[CLS],[SEP],[MASK]",
          name, id, processor.GetPieceSize() > id ? processor.IdToPiece(id) : "",
          kSpecialPieces[id]);
    }
  }
  Tokenizer tokenizer(std::move(state));
  const std::string blanks = "  \n \n";
  tokenizer.state_->keeps_white_space = tokenizer.decode(tokenizer.encode(blanks)) == blanks;
  return tokenizer;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids;
  const auto status = state_->processor.Encode(text, &ids);
  POLYPHASE_PROMISE(status.ok(), "encode: {}", status.message());
  return ids;
}

EncodedText Tokenizer::encode_with_places(std::string_view text) const {
  EncodedText result;
  const auto proto = state_->processor.EncodeAsImmutableProto(text);
  for (const auto& piece : proto.pieces()) {
    result.ids.push_back(static_cast<std::int32_t>(piece.id()));
    result.bytes.push_back({piece.begin(), piece.end()});
  }
  return result;
}

EncodedWords Tokenizer::encode_words(const std::vector<std::string>& words) const {
  EncodedWords result;
  std::vector<std::int32_t> ids;
  const bool mark_start = keeps_white_space();
  for (const std::string& word : words) {
    // Where white space is kept, the library adds no mark of a word's start; a blank is the mark.
    const bool marked = mark_start && !result.ids.empty();
    result.first_pieces.push_back(static_cast<std::int32_t>(result.ids.size()));
    const auto status = state_->processor.Encode(marked ? fmt::format(" {}", word) : word, &ids);
    POLYPHASE_PROMISE(status.ok(), "encode: {}", status.message());
    // A word that normalisation leaves nothing of still needs a place for its tag.
    if (ids.empty()) ids.push_back(kUnkId);
    result.ids.insert(result.ids.end(), ids.begin(), ids.end());
  }
  return result;
}

std::string Tokenizer::decode(const std::vector<std::int32_t>& ids) const {
  for (const std::int32_t id : ids) {
    POLYPHASE_PROMISE(id >= 0 && id < vocab_size(), "id {} of {} pieces", id, vocab_size());
  }
  std::string text;
  const auto status = state_->processor.Decode(ids, &text);
  POLYPHASE_PROMISE(status.ok(), "decode: {}", status.message());
  return text;
}

bool Tokenizer::keeps_white_space() const { return state_->keeps_white_space; }

std::int64_t Tokenizer::vocab_size() const { return state_->processor.GetPieceSize(); }

std::string Tokenizer::piece(std::int64_t id) const {
  POLYPHASE_PROMISE(id >= 0 && id < vocab_size(), "id {} of {} pieces", id, vocab_size());
  return state_->processor.IdToPiece(static_cast<int>(id));
}

bool Tokenizer::starts_word(std::int64_t id) const { return piece(id).starts_with(kWordStart); }

std::string Tokenizer::model_bytes() const { return state_->model; }

std::string Tokenizer::digest() const { return state_->digest; }

}  // namespace polyphase::text
