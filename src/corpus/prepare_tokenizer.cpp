// SPDX-License-Identifier: Apache-2.0
#include "corpus/prepare_tokenizer.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/philox.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "recipe/load.hpp"
#include "text/source.hpp"

namespace polyphase::prepare {
namespace {

namespace fs = std::filesystem;

// Raised when the same text and settings would give another tokenizer.
constexpr int kTokenizerVersion = 2;
constexpr std::uint64_t kTokenizerSample = 1;  // apart from other keyed subsets

const char* tokenizer_kind(recipe::TokenizerKind kind) {
  switch (kind) {
    case recipe::TokenizerKind::kUnigram:
      return "unigram";
    case recipe::TokenizerKind::kBpe:
      return "bpe";
    case recipe::TokenizerKind::kWord:
      return "word";
    case recipe::TokenizerKind::kChar:
      return "char";
  }
  return "";
}

bool keeps_white_space(const recipe::Tokenizer& settings) {
  return settings.whitespace == recipe::WhiteSpace::kKeep;
}

fs::path settings_path(const fs::path& data_dir) { return data_dir / "tokenizer.json"; }

// Indices of the sources that train the tokenizer.
std::vector<std::size_t> chosen_sources(const recipe::Recipe& recipe, const Plan& plan) {
  const std::vector<std::string> names = recipe::tokenizer_corpora(recipe);
  std::vector<std::size_t> chosen;
  for (std::size_t s = 0; s < plan.sources.size(); ++s) {
    const std::string& name = recipe.corpora[plan.sources[s].corpus].name;
    if (plan.sources[s].part == "train" &&
        std::find(names.begin(), names.end(), name) != names.end()) {
      chosen.push_back(s);
    }
  }
  return chosen;
}

// A keyed choice among the sentences of the chosen sources, one after the other.
class SentenceSample {
 public:
  SentenceSample(const Plan& plan, std::vector<std::size_t> sources, std::uint64_t seed,
                 std::int64_t max_sentences)
      : plan_(plan),
        sources_(std::move(sources)),
        key_(random_key(seed, Purpose::kSubset, {kTokenizerSample})) {
    double num_sentences = 0, num_bytes = 0;
    for (const std::size_t s : sources_) {
      num_sentences += static_cast<double>(plan.scans[s].num_sentences);
      num_bytes += static_cast<double>(plan.scans[s].num_bytes());
    }
    fraction_ = std::min({1.0, static_cast<double>(max_sentences) / std::max(1.0, num_sentences),
                          static_cast<double>(kMaxTokenizerBytes) / std::max(1.0, num_bytes)});
  }

  bool next(std::string& sentence) {
    while (true) {
      while (place_ == document_.size()) {
        if (!next_document()) return false;
      }
      const std::uint32_t draw = philox(key_, count_++, 0).word[0];
      const bool taken = static_cast<double>(draw) < std::ldexp(fraction_, 32);
      if (taken) sentence = std::move(document_[place_]);
      ++place_;
      if (taken) return true;
    }
  }

 private:
  bool next_document() {
    place_ = 0;
    while (!documents_ || !documents_(document_)) {
      document_.clear();
      if (next_source_ == sources_.size()) return false;
      documents_ = training_documents(plan_, sources_[next_source_++]);
    }
    return true;
  }

  const Plan& plan_;
  std::vector<std::size_t> sources_;
  std::uint64_t key_;
  double fraction_ = 1;
  std::function<bool(std::vector<std::string>&)> documents_;
  std::vector<std::string> document_;
  std::size_t place_ = 0, next_source_ = 0;
  std::uint64_t count_ = 0;
};

std::string training_key(const recipe::Recipe& recipe, const Plan& plan,
                         const std::vector<std::size_t>& sources, std::int64_t max_sentences) {
  const recipe::Tokenizer& settings = recipe.tokenizer;
  nlohmann::json texts = nlohmann::json::array();
  for (const std::size_t s : sources) {
    const SourceFile& source = plan.sources[s];
    nlohmann::json parts = nlohmann::json::array();
    const std::vector<text::FilePart> own = own_parts_of(source, plan.scans[s]);
    for (std::size_t f = 0; f < own.size(); ++f) {
      parts.push_back({plan.scans[s].files[f].digest, own[f].end});
    }
    texts.push_back({settings_key(source), parts, plan.corpora[source.corpus].valid_below});
  }
  const nlohmann::json all = {kTokenizerVersion,
                              tokenizer_kind(settings.kind),
                              settings.vocab_size,
                              settings.lowercase,
                              keeps_white_space(settings),
                              settings.byte_fallback,
                              recipe.seed,
                              max_sentences,
                              kMaxTokenizerBytes,
                              texts};
  return digest(all.dump());
}

// Whether the value is an object with this text under that name; a damaged file may hold anything.
bool says(const nlohmann::json& json, const char* name, const std::string& text) {
  return json.is_object() && json.contains(name) && json.at(name) == text;
}

// Whether tokenizer.json vouches, under this key, for the model that lies beside it.
bool is_current(const fs::path& data_dir, const std::string& key) {
  std::error_code error;
  if (!fs::exists(settings_path(data_dir), error) || !fs::exists(tokenizer_path(data_dir), error)) {
    return false;
  }
  const auto json = parse_json_or_discard(read_file(settings_path(data_dir)));
  return says(json, "key", key) &&
         says(json, "digest", digest(read_file(tokenizer_path(data_dir))));
}

void store(const fs::path& data_dir, const text::Tokenizer& tokenizer, const std::string& key,
           const recipe::Tokenizer& settings) {
  remove_file(settings_path(data_dir));
  write_file_atomically(tokenizer_path(data_dir), tokenizer.model_bytes());
  const nlohmann::json json = {
      {"key", key},
      {"digest", tokenizer.digest()},
      {"kind", settings.model.empty() ? tokenizer_kind(settings.kind) : "given"},
      {"vocab_size", tokenizer.vocab_size()},
      {"vocab_size_asked", settings.vocab_size},
      {"lowercase", settings.lowercase},
      {"whitespace", tokenizer.keeps_white_space() ? "keep" : "collapse"},
      {"byte_fallback", settings.byte_fallback}};
  write_file_atomically(settings_path(data_dir), json.dump(2) + "\n");
}

}  // namespace

fs::path tokenizer_path(const fs::path& data_dir) { return data_dir / "tokenizer.model"; }

std::function<bool(std::vector<std::string>&)> training_documents(const Plan& plan,
                                                                  std::size_t number) {
  const SourceFile& source = plan.sources[number];
  const std::uint64_t valid_below = plan.corpora[source.corpus].valid_below;
  const bool raw = source.is_raw();
  const CorpusKind kind = source.settings.kind;
  struct Reading {
    text::BadLineList ignored;  // the scan has told, or they are to be skipped
    std::unique_ptr<text::SourceReader> reader;
    text::SourceSample sample;
    std::string context;  // of the question before
  };
  const auto reading = std::make_shared<Reading>();
  text::SourceInput input{
      own_parts_of(source, plan.scans[number]), plan.scans[number].shape, {}, &reading->ignored};
  reading->reader = text::open_source(source.settings, std::move(input));
  return [=](std::vector<std::string>& sentences) {
    text::SourceSample& sample = reading->sample;
    do {
      if (!reading->reader->next(sample)) return false;
    } while (kind == CorpusKind::kText && !raw && document_hash(sample.texts) < valid_below);
    sentences = std::move(sample.texts);
    if (kind == CorpusKind::kTagging) {
      sentences.assign(1, fmt::format("{}", fmt::join(sentences, " ")));
    } else if (kind == CorpusKind::kQuestionAnswering) {
      // Several questions share a context, which counts once.
      if (sentences[1] == reading->context) {
        sentences.pop_back();
      } else {
        reading->context = sentences[1];
      }
    } else if (raw) {
      for (std::string& line : sentences) {
        if (line.ends_with('\n')) line.pop_back();
      }
    }
    return true;
  };
}

text::Tokenizer make_tokenizer(const fs::path& data_dir, const recipe::Recipe& recipe,
                               const Plan& plan, std::int64_t max_sentences, bool& trained) {
  trained = false;
  if (!recipe.tokenizer.model.empty()) {
    text::Tokenizer given = text::Tokenizer::load(recipe.tokenizer.model);
    const std::string key = digest("given " + given.digest());
    if (!is_current(data_dir, key)) store(data_dir, given, key, recipe.tokenizer);
    return given;
  }
  const std::vector<std::size_t> sources = chosen_sources(recipe, plan);
  const std::string key = training_key(recipe, plan, sources, max_sentences);
  if (is_current(data_dir, key)) return text::Tokenizer::load(tokenizer_path(data_dir));
  trained = true;
  SentenceSample sample(plan, sources, recipe.seed, max_sentences);
  text::TokenizerOptions options;
  options.kind = tokenizer_kind(recipe.tokenizer.kind);
  options.vocab_size = recipe.tokenizer.vocab_size;
  options.lowercase = recipe.tokenizer.lowercase;
  options.byte_fallback = recipe.tokenizer.byte_fallback;
  options.keep_white_space = keeps_white_space(recipe.tokenizer);
  text::Tokenizer made =
      text::Tokenizer::train(options, [&](std::string& sentence) { return sample.next(sentence); });
  for (const std::size_t s : sources) require_unchanged(plan.sources[s], plan.scans[s]);
  store(data_dir, made, key, recipe.tokenizer);
  return made;
}

void require_white_space(const recipe::Recipe& recipe, const text::Tokenizer& tokenizer) {
  if (tokenizer.keeps_white_space()) return;
  for (const recipe::Corpus& corpus : recipe.corpora) {
    if (corpus.layout != TextLayout::kRaw) continue;
    fail<RecipeError>(
        "corpora.{}.layout is raw, every byte of the text, but the tokenizer does not keep white "
        "space; choose another model, train one with whitespace: keep, or write layout: sentences",
        corpus.name);
  }
}

text::Tokenizer load_tokenizer(const fs::path& data_dir) {
  text::Tokenizer tokenizer = text::Tokenizer::load(tokenizer_path(data_dir));
  std::error_code error;
  const bool known = fs::exists(settings_path(data_dir), error);
  const auto json =
      known ? parse_json_or_discard(read_file(settings_path(data_dir))) : nlohmann::json::object();
  if (!says(json, "digest", tokenizer.digest())) {
    fail<DataError>("{}: is not the model that tokenizer.json beside it describes; prepare again",
                    tokenizer_path(data_dir).string());
  }
  return tokenizer;
}

}  // namespace polyphase::prepare
