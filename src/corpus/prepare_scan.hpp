// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "recipe/recipe.hpp"
#include "text/source.hpp"

namespace polyphase::prepare {

// One source file (of parallel text, two) in its role: which corpus, and which part of it (train,
// valid, test).
struct SourceFile {
  std::size_t corpus = 0;  // index into the recipe's corpora
  text::SourceSettings settings;
  BadLines bad_lines = BadLines::kRefuse;
  std::string part;
  std::vector<std::string> paths;
  // Raw text: this fraction of the file's bytes, at its end, belongs to the validation part.
  double valid_tail = 0;

  const std::string& path() const { return paths.front(); }  // for messages
  bool is_raw() const { return settings.layout == TextLayout::kRaw; }
};

// All source files of a recipe, in the order of the recipe: train, valid, test of each corpus.
// Throws RecipeError for a corpus without training files.
std::vector<SourceFile> source_files(const recipe::Recipe& recipe);

// What one reading of a source file tells.
struct FileScan {
  struct File {
    std::string digest;  // of its bytes
    std::int64_t num_bytes = 0;
    std::int64_t modified_ns = 0;  // time of the last change, to notice one while shards are made
  };
  std::vector<File> files;         // one a path
  std::int64_t num_documents = 0;  // documents, samples, or tagged sentences
  std::int64_t num_sentences = 0;
  text::SourceShape shape;
  std::int64_t num_loose_inside = 0;  // tagging: I- tags that continue nothing
  // Text: the smallest and largest document_hash, which bound what a validation fraction can
  // choose.
  std::uint64_t min_hash = ~std::uint64_t{0}, max_hash = 0;
  // Starts of the stretches that become one shard each: a byte of every file, a line of the first,
  // and the part of the corpus. The first is byte 0, line 1.
  struct Cut {
    std::vector<std::int64_t> offsets;
    std::int64_t line = 1;
    std::string part;
  };
  std::vector<Cut> cuts;
  std::map<std::string, std::int64_t> labels;  // label → line where it first stands

  std::int64_t num_bytes() const;  // of all files
};

// Reads the whole file; a stretch ends at the first document bound at least `part_bytes` behind its
// start. Throws DataError for every fault of the format, with the first ten bad lines (unless they
// are to be skipped), and for a file without a document or with more than 65,536 labels.
FileScan scan_file(const SourceFile& source, std::int64_t part_bytes);

// What lies between cut `number` and the next, a part of every file.
std::vector<text::FilePart> parts_of(const SourceFile& source, const FileScan& scan,
                                     std::size_t number);

// All of the file that belongs to the source's own part.
std::vector<text::FilePart> own_parts_of(const SourceFile& source, const FileScan& scan);

// Throws DataError when the file is no longer the one that was scanned.
void require_unchanged(const SourceFile& source, const FileScan& scan);

// A document's place in [0, 2^64), by its text alone: equal documents are never on both sides of a
// split.
std::uint64_t document_hash(const std::vector<std::string>& sentences);

// Whether the labels of a kind are names out of a set.
bool has_label_names(CorpusKind kind);

// Scans travel between ranks as JSON text.
std::string scan_to_json(const FileScan& scan);
FileScan scan_from_json(const std::string& json, const std::string& name);

// What of a source's settings shapes its samples, as JSON text; for digests.
std::string settings_key(const SourceFile& source);

}  // namespace polyphase::prepare
