// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>

#include "text/readers.hpp"

namespace polyphase::text {
namespace {

using Json = nlohmann::json;

class JsonLinesReader final : public SourceReader {
 public:
  JsonLinesReader(const SourceSettings& settings, SourceInput input)
      : SourceReader(std::move(input)), settings_(settings), lines_(lines_of(input_, 0)) {}

  std::int64_t end_offset(std::size_t) const override { return lines_.offset(); }
  std::int64_t end_line() const override { return lines_.line_number(); }

 protected:
  bool read(SourceSample& sample) override {
    std::string_view line;
    if (!lines_.next(line)) return false;
    sample.line = lines_.line_number();
    const Json object = parsed(line);
    switch (settings_.kind) {
      case CorpusKind::kText:
        read_document(object, sample);
        break;
      case CorpusKind::kTagging:
        read_words(object, sample);
        break;
      case CorpusKind::kGeneration:
        read_generation(object, sample);
        break;
      default:
        read_labelled(object, sample);
    }
    read_score(object, sample);
    return true;
  }

 private:
  void read_score(const Json& object, SourceSample& sample) const {
    const std::string& key = settings_.columns.score;
    if (!settings_.reads_score) return;
    const Json& score = member(object, key);
    sample.value =
        number_of(score.is_string() ? text_of(score, key) : score.dump(), lines_.place());
  }

  Json parsed(std::string_view line) const {
    if (is_blank(line)) fail<BadLine>("{}: empty line; remove it", lines_.place());
    Json object;
    try {
      object = Json::parse(line);
    } catch (const Json::exception& error) {
      fail<BadLine>("{}: not JSON ({}); write one object a line", lines_.place(), error.what());
    }
    if (!object.is_object()) {
      fail<BadLine>("{}: JSON, but not an object; write {{\"key\": …}}", lines_.place());
    }
    return object;
  }

  static std::string key_of(const std::string& given, const char* usual) {
    return given.empty() ? usual : given;
  }

  const Json& member(const Json& object, const std::string& key) const {
    const auto found = object.find(key);
    if (found == object.end()) {
      std::vector<std::string> keys;
      for (const auto& [name, value] : object.items()) keys.push_back(name);
      const std::string near = nearest(key, keys);
      fail<BadLine>("{}: no key \"{}\"{}", lines_.place(), key,
                    near.empty() ? std::string("; name the keys under columns")
                                 : fmt::format("; did you mean \"{}\"?", near));
    }
    return *found;
  }

  std::string text_of(const Json& value, const std::string& key) const {
    if (!value.is_string()) {
      fail<BadLine>("{}: \"{}\" is not a text; write it in quotes", lines_.place(), key);
    }
    const std::string text(trimmed(value.get_ref<const std::string&>()));
    if (valid_utf8_prefix(text) != text.size()) {
      fail<BadLine>("{}: \"{}\" holds a NUL character; remove it", lines_.place(), key);
    }
    if (text.empty()) {
      fail<BadLine>("{}: \"{}\" is empty; write its text or remove the line", lines_.place(), key);
    }
    return text;
  }

  std::string text_at(const Json& object, const std::string& key) const {
    return text_of(member(object, key), key);
  }

  std::vector<std::string> texts_at(const Json& object, const std::string& key) const {
    const Json& list = member(object, key);
    if (!list.is_array()) {
      fail<BadLine>("{}: \"{}\" is not a list; write [\"…\", \"…\"]", lines_.place(), key);
    }
    std::vector<std::string> texts;
    for (const Json& item : list) texts.push_back(text_of(item, key));
    return texts;
  }

  // Sentences are the lines of the text, and of the second text where one is named.
  void read_document(const Json& object, SourceSample& sample) const {
    add_lines(text_at(object, key_of(settings_.columns.text, "text")), sample);
    const std::string& pair = settings_.columns.text_pair;
    if (!pair.empty()) add_lines(text_at(object, pair), sample);
    if (sample.texts.empty()) fail<BadLine>("{}: a text of blank lines", lines_.place());
  }

  void read_words(const Json& object, SourceSample& sample) {
    sample.texts = texts_at(object, key_of(settings_.columns.token, "tokens"));
    sample.labels = texts_at(object, key_of(settings_.columns.tag, "tags"));
    if (sample.texts.empty() || sample.texts.size() != sample.labels.size()) {
      fail<BadLine>("{}: {} tokens but {} tags; write one tag a token", lines_.place(),
                    sample.texts.size(), sample.labels.size());
    }
    sample.word_lines.assign(sample.texts.size(), sample.line);
    num_loose_inside_ += count_loose_inside(sample.labels);
  }

  void read_generation(const Json& object, SourceSample& sample) const {
    const bool prompts = object.contains("prompt");
    sample.texts = {
        text_at(object, key_of(settings_.columns.source, prompts ? "prompt" : "source")),
        text_at(object, key_of(settings_.columns.target, prompts ? "answer" : "target"))};
  }

  void read_labelled(const Json& object, SourceSample& sample) {
    sample.texts = {text_at(object, key_of(settings_.columns.text, "text"))};
    const std::string pair = key_of(settings_.columns.text_pair, "text_pair");
    if (!settings_.columns.text_pair.empty() || object.contains(pair)) {
      sample.texts.push_back(text_at(object, pair));
    }
    read_label(object, sample);
    const int num_texts = static_cast<int>(sample.texts.size());
    int& expected = input_.shape.num_texts;
    if (expected == 0) expected = num_texts;
    if (expected != num_texts) {
      fail<BadLine>("{}: {} text{}, but the file's first line has {}; write as many on every line",
                    lines_.place(), num_texts, num_texts == 1 ? "" : "s", expected);
    }
  }

  void read_label(const Json& object, SourceSample& sample) const {
    const std::string key = key_of(settings_.columns.label, "label");
    const Json& label = member(object, key);
    if (settings_.kind == CorpusKind::kMultiLabel) {
      for (const std::string& name : texts_at(object, key)) {
        const bool known =
            std::find(sample.labels.begin(), sample.labels.end(), name) != sample.labels.end();
        if (!known) sample.labels.push_back(name);
      }
    } else if (label.is_structured() || label.is_null()) {
      fail<BadLine>("{}: \"{}\" is no single label", lines_.place(), key);
    } else {
      set_label(settings_.kind, label.is_string() ? text_of(label, key) : label.dump(),
                lines_.place(), sample);
    }
  }

  SourceSettings settings_;
  LineReader lines_;
};

}  // namespace

std::unique_ptr<SourceReader> open_json_lines(const SourceSettings& settings, SourceInput input) {
  return std::make_unique<JsonLinesReader>(settings, std::move(input));
}

}  // namespace polyphase::text
