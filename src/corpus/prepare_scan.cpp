// SPDX-License-Identifier: Apache-2.0
#include "corpus/prepare_scan.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>

#include "base/error.hpp"
#include "recipe/load.hpp"

namespace polyphase::prepare {
namespace {

constexpr std::size_t kMaxLabels = 65536;

// Size and time of the last change.
FileScan::File stat_of(const std::string& path) {
  FileScan::File file;
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return file;  // the reader has said why, or will
  file.num_bytes = status.st_size;
  file.modified_ns =
      static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
  return file;
}

// Where the validation tail of a raw text begins: the first byte of a character, with text on
// either side.
std::int64_t tail_begin(const SourceFile& source, std::int64_t num_bytes) {
  auto begin = static_cast<std::int64_t>(
      std::floor((1.0 - source.valid_tail) * static_cast<double>(num_bytes)));
  std::ifstream file(source.path(), std::ios::binary);
  for (; begin > 0; --begin) {
    file.seekg(begin);
    if ((file.get() & 0xC0) != 0x80) break;
  }
  if (begin <= 0 || begin >= num_bytes) {
    fail<DataError>(
        "{}: {} bytes are too few to be split into training and validation; give valid files, or "
        "set valid_fraction to 0",
        source.path(), num_bytes);
  }
  return begin;
}

void note_labels(const SourceFile& source, const text::SourceSample& sample, FileScan& scan) {
  for (std::size_t i = 0; i < sample.labels.size(); ++i) {
    const std::int64_t line = sample.word_lines.empty() ? sample.line : sample.word_lines[i];
    scan.labels.try_emplace(sample.labels[i], line);
    if (scan.labels.size() > kMaxLabels) {
      fail<DataError>("{}:{}: more than {} different labels; is this the column of the label?",
                      source.path(), line, kMaxLabels);
    }
  }
}

void note(const SourceFile& source, const text::SourceSample& sample, FileScan& scan) {
  ++scan.num_documents;
  scan.num_sentences += source.settings.kind == CorpusKind::kTagging
                            ? 1
                            : static_cast<std::int64_t>(sample.texts.size());
  if (source.settings.kind == CorpusKind::kText && !source.is_raw()) {
    const std::uint64_t hash = document_hash(sample.texts);
    scan.min_hash = std::min(scan.min_hash, hash);
    scan.max_hash = std::max(scan.max_hash, hash);
  }
  if (has_label_names(source.settings.kind)) note_labels(source, sample, scan);
}

// Notes a document bound where reading stands, when it is far enough for the next stretch.
void cut_at_bound(const text::SourceReader& reader, std::int64_t part_bytes, std::int64_t end,
                  FileScan& scan) {
  const FileScan::Cut& last = scan.cuts.back();
  const std::int64_t offset = reader.end_offset(0);
  if (!reader.at_boundary() || offset - last.offsets[0] < part_bytes || offset >= end) return;
  FileScan::Cut cut{{}, reader.end_line() + 1, last.part};
  for (std::size_t f = 0; f < last.offsets.size(); ++f) cut.offsets.push_back(reader.end_offset(f));
  scan.cuts.push_back(std::move(cut));
}

// Reads from the last cut to byte `end` of the first file.
class StretchScan {
 public:
  StretchScan(const SourceFile& source, std::int64_t part_bytes, FileScan& scan)
      : source_(source), part_bytes_(part_bytes), scan_(scan), digests_(source.paths.size()) {}

  void read_to(std::int64_t end) {
    text::SourceInput input;
    for (std::size_t f = 0; f < source_.paths.size(); ++f) {
      const std::int64_t end_of_file = f == 0 ? end : scan_.files[f].num_bytes;
      input.parts.push_back(
          {source_.paths[f], scan_.cuts.back().offsets[f], end_of_file, scan_.cuts.back().line});
      input.digests.push_back(&digests_[f]);
    }
    input.shape = scan_.shape;
    input.bad_lines = &bad_;
    const auto reader = text::open_source(source_.settings, std::move(input));
    text::SourceSample sample;
    while (reader->next(sample)) {
      note(source_, sample, scan_);
      cut_at_bound(*reader, part_bytes_, end, scan_);
    }
    scan_.shape = reader->shape();
    scan_.num_loose_inside = reader->num_loose_inside();
    end_line_ = reader->end_line();
  }

  // Another part of the corpus begins at byte `offset` of the one file, where reading stands.
  void begin_part(std::int64_t offset, const std::string& part) {
    std::ifstream file(source_.path(), std::ios::binary);
    file.seekg(offset - 1);
    const bool within_line = file.get() != '\n';
    scan_.cuts.push_back({{offset}, end_line_ + (within_line ? 0 : 1), part});
  }

  void finish() {
    for (std::size_t f = 0; f < digests_.size(); ++f) scan_.files[f].digest = digests_[f].value();
    const bool refuse = source_.bad_lines == BadLines::kRefuse;
    if (bad_.count() == 0 || (!refuse && scan_.num_documents > 0)) return;
    fail<DataError>("{}\n{}: {} bad line{}{}; correct {}{}", fmt::join(bad_.first(), "\n"),
                    source_.path(), bad_.count(), bad_.count() == 1 ? "" : "s",
                    refuse ? "" : " and no good one", bad_.count() == 1 ? "it" : "them",
                    refuse ? ", or leave such lines out with bad_lines: skip" : "");
  }

 private:
  const SourceFile& source_;
  std::int64_t part_bytes_;
  FileScan& scan_;
  std::vector<StreamingDigest> digests_;
  text::BadLineList bad_;
  std::int64_t end_line_ = 0;
};

void append_sources(const recipe::Corpus& corpus, SourceFile source, const std::string& part,
                    const std::vector<std::string>& paths, std::vector<SourceFile>& sources) {
  source.part = part;
  const bool splits = source.is_raw() && part == "train" && corpus.valid.empty();
  source.valid_tail = splits ? corpus.valid_fraction : 0;
  const std::size_t step = source.settings.format == CorpusFormat::kParallel ? 2 : 1;
  if (paths.size() % step != 0) {
    fail<RecipeError>("corpora.{}.{}: {} files; parallel text comes in pairs, source then target",
                      corpus.name, part, paths.size());
  }
  for (std::size_t i = 0; i < paths.size(); i += step) {
    source.paths.assign(paths.begin() + static_cast<std::ptrdiff_t>(i),
                        paths.begin() + static_cast<std::ptrdiff_t>(i + step));
    sources.push_back(source);
  }
}

}  // namespace

std::vector<SourceFile> source_files(const recipe::Recipe& recipe) {
  std::vector<SourceFile> sources;
  for (std::size_t i = 0; i < recipe.corpora.size(); ++i) {
    const recipe::Corpus& corpus = recipe.corpora[i];
    if (corpus.files.empty() && corpus.train.empty()) {
      fail<RecipeError>("corpora.{}: no training files; give files or train", corpus.name);
    }
    SourceFile source;
    source.corpus = i;
    source.settings = {corpus.kind, recipe::format_of(corpus), corpus.layout, corpus.header,
                       corpus.columns};
    source.bad_lines = corpus.bad_lines;
    source.settings.reads_score = !corpus.columns.score.empty();
    append_sources(corpus, source, "train", corpus.files, sources);
    append_sources(corpus, source, "train", corpus.train, sources);
    source.settings.reads_score = false;
    append_sources(corpus, source, "valid", corpus.valid, sources);
    append_sources(corpus, source, "test", corpus.test, sources);
  }
  return sources;
}

std::int64_t FileScan::num_bytes() const {
  std::int64_t total = 0;
  for (const File& file : files) total += file.num_bytes;
  return total;
}

bool has_label_names(CorpusKind kind) {
  return kind == CorpusKind::kClassification || kind == CorpusKind::kMultiLabel ||
         kind == CorpusKind::kTagging;
}

FileScan scan_file(const SourceFile& source, std::int64_t part_bytes) {
  FileScan scan;
  for (const std::string& path : source.paths) scan.files.push_back(stat_of(path));
  scan.cuts = {{std::vector<std::int64_t>(source.paths.size(), 0), 1, source.part}};
  StretchScan stretch(source, part_bytes, scan);
  const std::int64_t end = scan.files[0].num_bytes;
  if (source.valid_tail > 0 && end > 0) {
    const std::int64_t tail = tail_begin(source, end);
    stretch.read_to(tail);
    stretch.begin_part(tail, "valid");
  }
  stretch.read_to(end);
  stretch.finish();
  if (scan.num_documents == 0) {
    fail<DataError>("{}: holds blank lines or comments only; a corpus needs text", source.path());
  }
  return scan;
}

std::vector<text::FilePart> parts_of(const SourceFile& source, const FileScan& scan,
                                     std::size_t number) {
  const bool last = number + 1 == scan.cuts.size();
  std::vector<text::FilePart> parts;
  for (std::size_t f = 0; f < source.paths.size(); ++f) {
    parts.push_back({source.paths[f], scan.cuts[number].offsets[f],
                     last ? scan.files[f].num_bytes : scan.cuts[number + 1].offsets[f],
                     scan.cuts[number].line});
  }
  return parts;
}

std::vector<text::FilePart> own_parts_of(const SourceFile& source, const FileScan& scan) {
  std::vector<text::FilePart> parts = parts_of(source, scan, 0);
  for (std::size_t number = 1; number < scan.cuts.size(); ++number) {
    if (scan.cuts[number].part != source.part) break;
    const std::vector<text::FilePart> next = parts_of(source, scan, number);
    for (std::size_t f = 0; f < parts.size(); ++f) parts[f].end = next[f].end;
  }
  return parts;
}

void require_unchanged(const SourceFile& source, const FileScan& scan) {
  for (std::size_t f = 0; f < source.paths.size(); ++f) {
    const FileScan::File now = stat_of(source.paths[f]);
    if (now.num_bytes != scan.files[f].num_bytes || now.modified_ns != scan.files[f].modified_ns) {
      fail<DataError>("{}: changed while its corpus was prepared; prepare it again",
                      source.paths[f]);
    }
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

}  // namespace polyphase::prepare
