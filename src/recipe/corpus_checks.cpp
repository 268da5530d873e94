// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>

#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/load.hpp"

namespace polyphase::recipe {
namespace {

// Columns by the names that recipes use, in the order of the struct.
std::vector<std::pair<std::string, std::string>> named(const CorpusColumns& columns) {
  return {{"text", columns.text},     {"text_pair", columns.text_pair},
          {"label", columns.label},   {"token", columns.token},
          {"tag", columns.tag},       {"source", columns.source},
          {"target", columns.target}, {"score", columns.score}};
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() <= 4 && text != "0" &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::vector<std::string> names_of(const std::vector<CorpusFormat>& formats) {
  std::vector<std::string> names;
  for (const CorpusFormat format : formats) names.push_back(name_of(format));
  return names;
}

class CorpusChecks {
 public:
  CorpusChecks(const Recipe& recipe, const std::map<std::string, Place>& places, Faults& faults)
      : recipe_(recipe), places_(places), faults_(faults) {}

  void check_all() {
    check_tokenizer();
    for (const Corpus& corpus : recipe_.corpora) check_corpus(corpus);
  }

 private:
  bool has(const std::string& path) const { return places_.count(path) > 0; }

  template <class... Args>
  void fault(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
    const std::string message = fmt::format(format, std::forward<Args>(args)...);
    faults_.add_unless_known(nearest_place(places_, path), message);
  }

  void check_tokenizer() {
    const Tokenizer& tokenizer = recipe_.tokenizer;
    std::vector<std::string> known;
    for (const Corpus& corpus : recipe_.corpora) known.push_back(corpus.name);
    for (std::size_t i = 0; i < tokenizer.corpora.size(); ++i) {
      const std::string& name = tokenizer.corpora[i];
      if (find_corpus(recipe_, name) != nullptr) continue;
      fault(fmt::format("tokenizer.corpora[{}]", i), "tokenizer.corpora names no corpus {}{}",
            quoted(name), suggestion(name, known, "corpora"));
    }
    if (!tokenizer.model.empty() && has("tokenizer.corpora")) {
      fault("tokenizer.corpora",
            "tokenizer.model is given, so nothing is trained; remove one of corpora and model");
    }
    if (tokenizer.whitespace != WhiteSpace::kKeep || !tokenizer.model.empty()) return;
    if (tokenizer.lowercase) {
      fault("tokenizer.lowercase",
            "tokenizer.whitespace keep leaves every character as it is, lowercase does not; remove "
            "one of them");
    }
    if (tokenizer.kind == TokenizerKind::kWord) {
      fault("tokenizer.kind",
            "a tokenizer of kind word splits at white space, which whitespace: keep makes part of "
            "the text; use unigram, bpe or char");
    }
  }

  void check_corpus(const Corpus& corpus) {
    const std::string path = "corpora." + corpus.name;
    if (!corpus.made_by.empty()) return;  // check_generation() looks at it
    const bool is_text = corpus.kind == CorpusKind::kText;
    if (has(path + ".files") && !is_text) {
      fault(path + ".files", "files is for text; {} has train, valid and test",
            name_of(corpus.kind));
    }
    if (has(path + ".files") && has(path + ".train")) {
      fault(path + ".train", "files and train mean the same for text; remove one");
    }
    if (corpus.train.empty() && corpus.files.empty() && !has(path + ".files") &&
        has(path + ".kind")) {
      fault(path, "{} lacks the key \"{}\": the files to train on", path,
            is_text ? "files" : "train");
    }
    check_format(corpus, path);
    check_layout(corpus, path);
    check_columns(corpus, path);
  }

  void check_format(const Corpus& corpus, const std::string& path) {
    const CorpusFormat format = format_of(corpus);
    if (!has_format(corpus.kind, format)) {
      // At the kind's place: silent where the kind is misspelt.
      fault(path + ".kind", "{}.format is {}, but the kind {} is read from {}", path,
            name_of(format), name_of(corpus.kind),
            alternatives(names_of(row_of(corpus.kind).formats)));
    }
    const bool of_columns = format == CorpusFormat::kTsv || format == CorpusFormat::kCsv;
    if (corpus.header && !of_columns) {
      fault(path + ".header", "{}.header is for tsv and csv; the format is {}: remove it", path,
            name_of(format));
    }
    if (format != CorpusFormat::kParallel) return;
    for (const auto& [part, files] :
         {std::pair{".train", &corpus.train}, {".valid", &corpus.valid}, {".test", &corpus.test}}) {
      if (files->size() % 2 == 0) continue;
      fault(path + part,
            "{}{} names {} file{}; parallel text comes in pairs, source then target: [a.en, a.de]",
            path, part, files->size(), files->size() == 1 ? "" : "s");
    }
  }

  void check_layout(const Corpus& corpus, const std::string& path) {
    if (corpus.layout != TextLayout::kRaw) return;
    if (corpus.kind != CorpusKind::kText || format_of(corpus) != CorpusFormat::kText) {
      fault(path + ".layout", "{}.layout raw is for text files of kind text", path);
    } else if (recipe_.tokenizer.whitespace != WhiteSpace::kKeep &&
               recipe_.tokenizer.model.empty()) {
      fault(path + ".layout",
            "{}.layout is raw, every byte of the text, but the tokenizer collapses white space; "
            "write tokenizer: {{whitespace: keep}}, or layout: sentences",
            path);
    }
  }

  void check_columns(const Corpus& corpus, const std::string& path) {
    const std::vector<std::string>& known = row_of(corpus.kind).columns;
    for (const auto& [name, where] : named(corpus.columns)) {
      if (where.empty()) continue;
      const std::string key = path + ".columns." + name;
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        fault(key, "{} is no column of the kind {}{}", key, name_of(corpus.kind),
              known.empty() ? std::string("; remove it") : suggestion(name, known, "its columns"));
      } else {
        check_column(corpus, key, name, where);
      }
    }
  }

  void check_column(const Corpus& corpus, const std::string& key, const std::string& name,
                    const std::string& where) {
    static const std::vector<std::string> conllu_tags = {"upos", "xpos", "feats", "deprel"};
    switch (format_of(corpus)) {
      case CorpusFormat::kTsv:
      case CorpusFormat::kCsv:
        if (corpus.header || is_number(where)) return;
        return fault(key, "{} is {}; without a header expected the number of a column, from 1", key,
                     quoted(where));
      case CorpusFormat::kConll:
        if (is_number(where)) return;
        return fault(key, "{} is {}; expected the number of a column, from 1", key, quoted(where));
      case CorpusFormat::kConllu:
        if (name == "tag" &&
            std::find(conllu_tags.begin(), conllu_tags.end(), where) != conllu_tags.end()) {
          return;
        }
        return name == "tag"
                   ? fault(key, "{} is {}; expected {}", key, quoted(where),
                           alternatives(conllu_tags))
                   : fault(key, "{}: the words of conllu are its column FORM; remove the key", key);
      case CorpusFormat::kJsonl:
        return;
      case CorpusFormat::kText:
      case CorpusFormat::kSquad:
      case CorpusFormat::kParallel:
        return fault(key, "{}: the format {} has no columns; remove the key", key,
                     name_of(format_of(corpus)));
    }
  }

  const Recipe& recipe_;
  const std::map<std::string, Place>& places_;
  Faults& faults_;
};

}  // namespace

void check_corpora(const Recipe& recipe, const std::map<std::string, Place>& places,
                   Faults& faults) {
  CorpusChecks(recipe, places, faults).check_all();
}

}  // namespace polyphase::recipe
