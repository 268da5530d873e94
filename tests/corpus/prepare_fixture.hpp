// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "corpus/prepare.hpp"
#include "tests/text/text_file.hpp"

namespace polyphase {

// Three small corpora of all kinds, as files and as a recipe.
class PrepareTest : public testing::Test {
 protected:
  PrepareTest() {
    std::string notes, topics, tags;
    for (int i = 0; i < 120; ++i) {
      const std::string thing = kThings[i % 6], verb = kVerbs[i % 5];
      notes += fmt::format("The {} {} near house {}.\nIt {} again on day {}.\n\n", thing, verb, i,
                           verb, i);
      topics += fmt::format("a {} that {} {} times\t{}\n", thing, verb, i,
                            i % 6 < 3 ? "animal" : "object");
      tags += fmt::format("The\tO\nsmall\tB-size\n{}\tI-size\n{}\tO\n\n", thing, verb);
    }
    recipe_.name = "small";
    recipe_.tokenizer.vocab_size = 90;
    recipe_.tokenizer.corpora = {"notes"};
    recipe::Corpus text;
    text.name = "notes";
    text.files = {folder_.write("notes.txt", notes)};
    text.valid_fraction = 0.1;
    recipe::Corpus classes;
    classes.name = "topics";
    classes.kind = recipe::CorpusKind::kClassification;
    classes.train = {folder_.write("topics-train.tsv", topics)};
    classes.valid = {folder_.write("topics-valid.tsv", "a cat that slept\tanimal\n")};
    classes.test = {folder_.write("topics-test.tsv", "a lamp that fell\tobject\n")};
    recipe::Corpus spans;
    spans.name = "tags";
    spans.kind = recipe::CorpusKind::kTagging;
    spans.train = {folder_.write("tags-train.conll", tags)};
    spans.valid = {folder_.write("tags-valid.conll", "The\tO\ncat\tB-size\n")};
    recipe_.corpora = {text, classes, spans};
  }

  PrepareOptions options(const std::string& data, int rank = 0, int num_ranks = 1) const {
    PrepareOptions options;
    options.data_dir = folder_.path(data);
    options.rank = rank;
    options.num_ranks = num_ranks;
    options.shard_text_bytes = 1500;
    return options;
  }

  // Ranks in turn, a stage at a time, as barriers would have it.
  std::vector<PrepareSummary> prepare(const std::string& data, int num_ranks = 1) const {
    std::vector<std::unique_ptr<Preparation>> ranks;
    for (int rank = 0; rank < num_ranks; ++rank) {
      ranks.push_back(std::make_unique<Preparation>(recipe_, options(data, rank, num_ranks)));
    }
    for (const PrepareStage stage : kPrepareStages) {
      for (const auto& rank : ranks) rank->run_stage(stage);
    }
    std::vector<PrepareSummary> summaries;
    for (const auto& rank : ranks) summaries.push_back(rank->summary());
    return summaries;
  }

  // Bytes of every file below a folder, by its path in it.
  std::map<std::string, std::string> bytes_below(const std::string& data) const {
    std::map<std::string, std::string> all;
    const std::filesystem::path root = folder_.path(data);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      all[entry.path().lexically_relative(root).string()] =
          std::string(std::istreambuf_iterator<char>(file), {});
    }
    return all;
  }

  // Numbers of the files below a folder, which change when a file is written again.
  std::map<std::string, std::uint64_t> inodes_below(const std::string& data) const {
    std::map<std::string, std::uint64_t> all;
    for (const auto& [name, bytes] : bytes_below(data)) {
      struct stat status {};
      EXPECT_EQ(::stat(folder_.path(data + "/" + name).c_str(), &status), 0);
      all[name] = status.st_ino + static_cast<std::uint64_t>(status.st_mtim.tv_nsec) * 1000003U;
    }
    return all;
  }

  bool exists(const std::string& name) const { return std::filesystem::exists(folder_.path(name)); }

  static constexpr const char* kThings[] = {"cat", "dog", "heron", "lamp", "chair", "kettle"};
  static constexpr const char* kVerbs[] = {"slept", "moved", "fell", "waited", "turned"};

  TestFolder folder_;
  recipe::Recipe recipe_;
};

}  // namespace polyphase
