// SPDX-License-Identifier: Apache-2.0
#include "corpus/given_texts.hpp"

#include <limits>
#include <utility>

#include "base/error.hpp"
#include "corpus/prepare_tokenizer.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

// The corpus alone, with its training files under absolute paths.
recipe::Recipe training_part_of(const recipe::Recipe& recipe, const std::string& name) {
  recipe::Recipe alone = recipe;
  alone.tokenizer.model.clear();
  alone.phases.clear();
  std::erase_if(alone.corpora, [&](const recipe::Corpus& corpus) { return corpus.name != name; });
  POLYPHASE_PROMISE(alone.corpora.size() == 1, "no corpus {}", name);
  recipe::resolve(alone);
  return alone;
}

}  // namespace

GivenTexts::GivenTexts(const recipe::Recipe& recipe, const std::string& corpus) {
  const recipe::Recipe alone = training_part_of(recipe, corpus);
  only_sources_ = alone.corpora.front().kind == CorpusKind::kGeneration;
  std::vector<prepare::SourceFile> sources = prepare::source_files(alone);
  std::vector<prepare::FileScan> scans;
  for (const prepare::SourceFile& source : sources)
    scans.push_back(prepare::scan_file(source, std::numeric_limits<std::int64_t>::max()));
  plan_ = prepare::make_plan(alone, std::move(sources), std::move(scans));
  for (std::size_t s = 0; s < plan_.sources.size(); ++s) {
    if (plan_.sources[s].part == "train") sources_.push_back(s);
  }
}

void GivenTexts::rewind() {
  next_source_ = place_ = 0;
  document_.clear();
  documents_ = {};
}

bool GivenTexts::next(std::string& text) {
  while (place_ == document_.size()) {
    place_ = 0;
    while (!documents_ || !documents_(document_)) {
      document_.clear();
      documents_ = {};
      if (next_source_ == sources_.size()) return false;
      documents_ = prepare::training_documents(plan_, sources_[next_source_++]);
    }
    if (only_sources_) document_.resize(1);
  }
  text = std::move(document_[place_++]);
  return true;
}

}  // namespace polyphase
