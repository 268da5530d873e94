// SPDX-License-Identifier: Apache-2.0
#include "corpus/prepare_scan.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "text/readers.hpp"

namespace polyphase::prepare {
namespace {

constexpr std::size_t kMaxLabels = 65536;

// Size and time of the last change.
void stat_into(const std::string& path, FileScan& scan) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return;  // the reader has said why, or will
  scan.num_bytes = status.st_size;
  scan.modified_ns =
      static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
}

// Notes a document bound where reading stands, when it is far enough for the next part.
template <class Reader>
void cut_at_bound(const Reader& reader, std::int64_t part_bytes, FileScan& scan) {
  const std::int64_t offset = reader.end_offset();
  if (offset - scan.cuts.back().offset < part_bytes || offset >= scan.num_bytes) return;
  scan.cuts.push_back({offset, reader.end_line() + 1});
}

void note_label(const std::string& label, std::int64_t line, const std::string& path,
                FileScan& scan) {
  scan.labels.try_emplace(label, line);
  if (scan.labels.size() > kMaxLabels) {
    fail<DataError>("{}:{}: more than {} different labels; the last column must be the label", path,
                    line, kMaxLabels);
  }
}

void scan_text(const SourceFile& source, std::int64_t part_bytes, StreamingDigest& digest,
               FileScan& scan) {
  text::DocumentReader reader({source.path}, &digest);
  std::vector<std::string> sentences;
  while (reader.next(sentences)) {
    ++scan.num_documents;
    scan.num_sentences += static_cast<std::int64_t>(sentences.size());
    const std::uint64_t hash = document_hash(sentences);
    scan.min_hash = std::min(scan.min_hash, hash);
    scan.max_hash = std::max(scan.max_hash, hash);
    if (reader.at_boundary()) cut_at_bound(reader, part_bytes, scan);
  }
}

void scan_labelled(const SourceFile& source, std::int64_t part_bytes, StreamingDigest& digest,
                   FileScan& scan) {
  text::LabelledTextReader reader({source.path}, 0, &digest);
  text::LabelledText sample;
  while (reader.next(sample)) {
    ++scan.num_documents;
    scan.num_sentences += static_cast<std::int64_t>(sample.texts.size());
    note_label(sample.label, reader.line_number(), source.path, scan);
    cut_at_bound(reader, part_bytes, scan);
  }
  scan.num_columns = reader.num_columns();
}

void scan_tagged(const SourceFile& source, std::int64_t part_bytes, StreamingDigest& digest,
                 FileScan& scan) {
  text::TaggedSentenceReader reader({source.path}, 0, &digest);
  text::TaggedSentence sentence;
  while (reader.next(sentence)) {
    ++scan.num_documents;
    ++scan.num_sentences;
    for (std::size_t i = 0; i < sentence.tags.size(); ++i) {
      note_label(sentence.tags[i], reader.line_number() + static_cast<std::int64_t>(i), source.path,
                 scan);
    }
    cut_at_bound(reader, part_bytes, scan);
  }
  scan.num_columns = reader.num_columns();
  scan.num_loose_inside = reader.num_loose_inside();
}

void append_sources(std::size_t corpus, recipe::CorpusKind kind, const std::string& part,
                    const std::vector<std::string>& paths, std::vector<SourceFile>& sources) {
  for (const std::string& path : paths) sources.push_back({corpus, kind, part, path});
}

}  // namespace

std::vector<SourceFile> source_files(const recipe::Recipe& recipe) {
  std::vector<SourceFile> sources;
  for (std::size_t i = 0; i < recipe.corpora.size(); ++i) {
    const recipe::Corpus& corpus = recipe.corpora[i];
    if (corpus.files.empty() && corpus.train.empty()) {
      fail<RecipeError>("corpora.{}: no training files; give files or train", corpus.name);
    }
    append_sources(i, corpus.kind, "train", corpus.files, sources);
    append_sources(i, corpus.kind, "train", corpus.train, sources);
    append_sources(i, corpus.kind, "valid", corpus.valid, sources);
    append_sources(i, corpus.kind, "test", corpus.test, sources);
  }
  return sources;
}

FileScan scan_file(const SourceFile& source, std::int64_t part_bytes) {
  FileScan scan;
  stat_into(source.path, scan);
  scan.cuts = {{0, 1}};
  StreamingDigest digest;
  switch (source.kind) {
    case recipe::CorpusKind::kText:
      scan_text(source, part_bytes, digest, scan);
      break;
    case recipe::CorpusKind::kClassification:
      scan_labelled(source, part_bytes, digest, scan);
      break;
    case recipe::CorpusKind::kTagging:
      scan_tagged(source, part_bytes, digest, scan);
      break;
  }
  if (scan.num_documents == 0) {
    fail<DataError>("{}: holds blank lines or comments only; a corpus needs text", source.path);
  }
  scan.digest = digest.value();
  return scan;
}

text::FilePart part_of(const SourceFile& source, const FileScan& scan, std::size_t number) {
  const bool last = number + 1 == scan.cuts.size();
  return {source.path, scan.cuts[number].offset,
          last ? scan.num_bytes : scan.cuts[number + 1].offset, scan.cuts[number].line};
}

void require_unchanged(const SourceFile& source, const FileScan& scan) {
  FileScan now;
  stat_into(source.path, now);
  if (now.num_bytes != scan.num_bytes || now.modified_ns != scan.modified_ns) {
    fail<DataError>("{}: changed while its corpus was prepared; prepare it again", source.path);
  }
}

std::uint64_t document_hash(const std::vector<std::string>& sentences) {
  StreamingDigest digest;
  for (const std::string& sentence : sentences) {
    digest.update(sentence.data(), sentence.size());
    digest.update("\n", 1);
  }
  return std::stoull(digest.value().substr(0, 16), nullptr, 16);
}

std::string scan_to_json(const FileScan& scan) {
  nlohmann::json cuts = nlohmann::json::array();
  for (const auto& cut : scan.cuts) cuts.push_back({cut.offset, cut.line});
  const nlohmann::json json = {{"digest", scan.digest},
                               {"num_bytes", scan.num_bytes},
                               {"modified_ns", scan.modified_ns},
                               {"num_documents", scan.num_documents},
                               {"num_sentences", scan.num_sentences},
                               {"num_columns", scan.num_columns},
                               {"num_loose_inside", scan.num_loose_inside},
                               {"min_hash", scan.min_hash},
                               {"max_hash", scan.max_hash},
                               {"cuts", cuts},
                               {"labels", scan.labels}};
  return json.dump();
}

FileScan scan_from_json(const std::string& json_text, const std::string& name) {
  try {
    const auto json = nlohmann::json::parse(json_text);
    FileScan scan;
    json.at("digest").get_to(scan.digest);
    json.at("num_bytes").get_to(scan.num_bytes);
    json.at("modified_ns").get_to(scan.modified_ns);
    json.at("num_documents").get_to(scan.num_documents);
    json.at("num_sentences").get_to(scan.num_sentences);
    json.at("num_columns").get_to(scan.num_columns);
    json.at("num_loose_inside").get_to(scan.num_loose_inside);
    json.at("min_hash").get_to(scan.min_hash);
    json.at("max_hash").get_to(scan.max_hash);
    for (const auto& cut : json.at("cuts")) scan.cuts.push_back({cut.at(0), cut.at(1)});
    json.at("labels").get_to(scan.labels);
    return scan;
  } catch (const nlohmann::json::exception& error) {
    fail<DataError>("{}: not a scan of a source file ({}); prepare again", name, error.what());
  }
}

}  // namespace polyphase::prepare
