// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "recipe/recipe.hpp"
#include "text/line_reader.hpp"

namespace polyphase::prepare {

// One source file in its role: which corpus, and which part of it (train, valid, test).
struct SourceFile {
  std::size_t corpus = 0;  // index into the recipe's corpora
  recipe::CorpusKind kind = recipe::CorpusKind::kText;
  std::string part;
  std::string path;
};

// All source files of a recipe, in the order of the recipe: train, valid, test of each corpus.
// Throws RecipeError for a corpus without training files.
std::vector<SourceFile> source_files(const recipe::Recipe& recipe);

// What one reading of a source file tells.
struct FileScan {
  std::string digest;  // of its bytes
  std::int64_t num_bytes = 0;
  std::int64_t modified_ns = 0;    // time of the last change, to notice one while shards are made
  std::int64_t num_documents = 0;  // documents, samples, or tagged sentences
  std::int64_t num_sentences = 0;
  int num_columns = 0;                // labelled kinds
  std::int64_t num_loose_inside = 0;  // tagging: I- tags that continue nothing
  // Text: the smallest and largest document_hash, which bound what a validation fraction can
  // choose.
  std::uint64_t min_hash = ~std::uint64_t{0}, max_hash = 0;
  // Starts of the parts that become one shard each: byte and line. The first is byte 0, line 1.
  struct Cut {
    std::int64_t offset = 0, line = 1;
  };
  std::vector<Cut> cuts;
  std::map<std::string, std::int64_t> labels;  // label → line where it first stands
};

// Reads the whole file; a part ends at the first document bound at least `part_bytes` behind its
// start. Throws DataError for every fault of the format, and for a file without a document or with
// more than 65,536 labels.
FileScan scan_file(const SourceFile& source, std::int64_t part_bytes);

// Lines of part `number` of the file.
text::FilePart part_of(const SourceFile& source, const FileScan& scan, std::size_t number);

// Throws DataError when the file is no longer the one that was scanned.
void require_unchanged(const SourceFile& source, const FileScan& scan);

// A document's place in [0, 2^64), by its text alone: equal documents are never on both sides of a
// split.
std::uint64_t document_hash(const std::vector<std::string>& sentences);

// Scans travel between ranks as JSON text.
std::string scan_to_json(const FileScan& scan);
FileScan scan_from_json(const std::string& json, const std::string& name);

}  // namespace polyphase::prepare
