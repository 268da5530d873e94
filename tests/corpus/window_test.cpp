// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/corpus/corpus_fixture.hpp"

namespace polyphase {
namespace {

using Tokens = std::vector<std::int32_t>;

// A row as a causal language model sees it: what it reads, what it should say next.
struct Row {
  std::int64_t document;
  std::int32_t input, label;  // -1: the virtual begin; nothing follows in this document
  bool operator==(const Row&) const = default;
};

std::vector<Row> rows_of(const std::vector<WindowPiece>& pieces) {
  std::vector<Row> rows;
  for (const WindowPiece& piece : pieces) {
    Tokens inputs = piece.tokens;
    if (!piece.ends_document) inputs.pop_back();
    if (piece.begins_document) inputs.insert(inputs.begin(), -1);
    const std::size_t lead = piece.begins_document ? 0 : 1;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::size_t next = i + lead;
      const bool known = next < piece.tokens.size();
      rows.push_back({piece.document, inputs[i], known ? piece.tokens[next] : -1});
    }
  }
  return rows;
}

class WindowTest : public CorpusTest {
 protected:
  // Five documents in two shards, and the rows of their stream written out.
  WindowTest() {
    const std::vector<TestDocument> first = {
        {.sentences = {{10, 11}, {12}}}, {.sentences = {{20}}}, {.sentences = {{30, 31, 32, 33}}}};
    const std::vector<TestDocument> second = {{.sentences = {{40}, {41}}},
                                              {.sentences = {{50, 51, 52}}}};
    dataset_ = dataset_of(DatasetKind::kText, {write_shard(DatasetKind::kText, first),
                                               write_shard(DatasetKind::kText, second)});
    const std::vector<Tokens> documents = {
        {10, 11, 12}, {20}, {30, 31, 32, 33}, {40, 41}, {50, 51, 52}};
    for (std::size_t d = 0; d < documents.size(); ++d) {
      std::int32_t input = -1;
      for (const std::int32_t token : documents[d]) {
        all_.push_back({static_cast<std::int64_t>(d), input, token});
        input = token;
      }
      all_.push_back({static_cast<std::int64_t>(d), input, -1});
    }
  }

  std::shared_ptr<Dataset> dataset_;
  std::vector<Row> all_;
};

TEST_F(WindowTest, EveryWindowHoldsItsRowsOfTheStream) {
  ASSERT_EQ(dataset_->num_window_rows(), static_cast<std::int64_t>(all_.size()));
  std::vector<WindowPiece> pieces;
  for (std::int64_t first = 0; first < dataset_->num_window_rows(); ++first) {
    for (std::int64_t count = 1; count <= dataset_->num_window_rows() - first; ++count) {
      dataset_->read_window(first, count, pieces);
      const std::vector<Row> expected(all_.begin() + first, all_.begin() + first + count);
      ASSERT_EQ(rows_of(pieces), expected) << "rows " << first << " + " << count;
    }
  }
}

TEST_F(WindowTest, PiecesSayWhereDocumentsBeginAndEnd) {
  std::vector<WindowPiece> pieces(9);
  dataset_->read_window(2, 6, pieces);  // 11 and 12 | begin, 20 | begin, 30
  ASSERT_EQ(pieces.size(), 3U);
  EXPECT_EQ(pieces[0].document, 0);
  EXPECT_EQ(pieces[0].first, 1);
  EXPECT_EQ(pieces[0].tokens, (Tokens{11, 12}));
  EXPECT_FALSE(pieces[0].begins_document);
  EXPECT_TRUE(pieces[0].ends_document);
  EXPECT_TRUE(pieces[1].begins_document);
  EXPECT_TRUE(pieces[1].ends_document);
  EXPECT_TRUE(pieces[1].ends_document);
  EXPECT_EQ(pieces[2].first, 0);
  EXPECT_EQ(pieces[2].tokens, (Tokens{30, 31}));
  EXPECT_FALSE(pieces[2].ends_document);
  EXPECT_THROW(dataset_->read_window(0, dataset_->num_window_rows() + 1, pieces), std::logic_error);
}

TEST_F(WindowTest, ALongCorpusIsReadFromAnyPlace) {
  const auto dataset = make(DatasetKind::kText, counting_documents(2000, 4, nullptr));
  std::vector<WindowPiece> pieces;
  std::int32_t token = kFirstToken;
  for (std::int64_t row = 0; row < dataset->num_window_rows(); row += 64) {
    const std::int64_t count = std::min<std::int64_t>(64, dataset->num_window_rows() - row);
    dataset->read_window(row, count, pieces);
    for (const Row& each : rows_of(pieces)) {
      if (each.input >= 0) {
        ASSERT_EQ(each.input, token++);
      }
    }
  }
  EXPECT_EQ(token - kFirstToken, dataset->num_tokens());
}

}  // namespace
}  // namespace polyphase
