// SPDX-License-Identifier: Apache-2.0
#include "text/source.hpp"

#include "text/readers.hpp"

namespace polyphase::text {

void SourceSample::clear() {
  texts.clear();
  labels.clear();
  value = 0;
  answer_begin = answer_end = 0;
  id.clear();
  answers.clear();
  line = 0;
  word_lines.clear();
}

void BadLineList::add(const std::string& fault) {
  ++count_;
  if (first_.size() < kMaxKept) first_.push_back(fault);
}

bool SourceReader::next(SourceSample& sample) {
  while (true) {
    sample.clear();
    try {
      return read(sample);
    } catch (const BadLine& bad) {
      report(bad);
    }
  }
}

void SourceReader::report(const BadLine& bad) {
  if (input_.bad_lines == nullptr) throw bad;
  input_.bad_lines->add(bad.what());
}

std::string SourceReader::place(std::int64_t line) const {
  return fmt::format("{}:{}", input_.parts.front().path, line);
}

std::unique_ptr<SourceReader> open_source(const SourceSettings& settings, SourceInput input) {
  POLYPHASE_PROMISE(has_format(settings.kind, settings.format), "{} from {}",
                    name_of(settings.kind), name_of(settings.format));
  POLYPHASE_PROMISE(input.parts.size() == (settings.format == CorpusFormat::kParallel ? 2U : 1U),
                    "{} files of format {}", input.parts.size(), name_of(settings.format));
  switch (settings.format) {
    case CorpusFormat::kText:
      return settings.layout == TextLayout::kRaw ? open_raw_text(std::move(input))
                                                 : open_sentences(std::move(input));
    case CorpusFormat::kTsv:
    case CorpusFormat::kCsv:
      return open_table(settings, std::move(input));
    case CorpusFormat::kJsonl:
      return open_json_lines(settings, std::move(input));
    case CorpusFormat::kConllu:
      if (settings.kind == CorpusKind::kText) return open_treebank_text(std::move(input));
      [[fallthrough]];
    case CorpusFormat::kConll:
      return open_tagged(settings, std::move(input));
    case CorpusFormat::kSquad:
      return open_squad(std::move(input));
    case CorpusFormat::kParallel:
      return open_parallel(std::move(input));
  }
  broken_promise(__FILE__, __LINE__, "an unknown format");
}

}  // namespace polyphase::text
