// SPDX-License-Identifier: Apache-2.0
// Attention beyond a tensor of queries, keys and values of one sequence: separate keys, grouped
// heads, prefixes, relative positions, and all of them at once.
#include "kernels/attention_fixture.hpp"
#include "kernels/relative_positions.hpp"

namespace polyphase::test {
namespace {

const AttentionCase kGrouped{.starts = {0, 21, 24},
                             .num_rows = 32,
                             .num_heads = 6,
                             .head_width = 12,
                             .causal = true,
                             .rate = 0.1,
                             .num_key_heads = 2};
const AttentionCase kCross{.starts = {0, 5, 75},
                           .num_rows = 80,
                           .head_width = 20,
                           .rate = 0.2,
                           .key_starts = {0, 70, 81},
                           .num_key_rows = 96};
const AttentionCase kCached{.starts = {0, 1, 2, 5},
                            .num_rows = 5,
                            .causal = true,
                            .key_starts = {0, 30, 31, 100},
                            .num_key_rows = 100};
const AttentionCase kOneQuery{.starts = {0, 1, 2, 3},
                              .num_rows = 5,
                              .num_heads = 4,
                              .head_width = 20,
                              .causal = true,
                              .rate = 0.1,
                              .num_key_heads = 2,
                              .key_starts = {0, 40, 40, 47},
                              .num_key_rows = 48,
                              .num_buckets = 8,
                              .bidirectional = false,
                              .max_distance = 20.0};
// Queries and keys without a partner, and causal queries that see nothing.
const AttentionCase kLonely{.starts = {0, 3, 3, 12, 18},
                            .num_rows = 20,
                            .causal = true,
                            .key_starts = {0, 4, 9, 9, 12},
                            .num_key_rows = 16};
const AttentionCase kPrefixed{
    .starts = {0, 9, 79, 80}, .num_rows = 80, .causal = true, .prefix = {0, 37, 5}};
const AttentionCase kPositioned{
    .starts = {0, 9, 159}, .num_rows = 160, .num_buckets = 32, .score_scale = 1.0};
const AttentionCase kAll{.starts = {0, 9, 80, 80, 86},
                         .num_rows = 96,
                         .num_heads = 4,
                         .head_width = 24,
                         .first_head = 8,
                         .causal = true,
                         .rate = 0.1,
                         .num_key_heads = 2,
                         .key_starts = {0, 20, 60, 63, 63},
                         .num_key_rows = 64,
                         .prefix = {3, 30, 9, 0},
                         .num_buckets = 8,
                         .bidirectional = false,
                         .max_distance = 20.0};

template <class Real>
class AttentionFeaturesTest : public testing::Test {
 protected:
  static void expect_as_plain_loops(const AttentionCase& c) {
    const Attention a = make<Real>(c);
    for (const Implementation which : {Implementation::kFast, Implementation::kPortable}) {
      SCOPED_TRACE(which == Implementation::kFast ? "fast" : "portable");
      AttentionOnDevice<Real> on_device(a);
      expect_as_reference(a, on_device.run(which));
      EXPECT_TRUE(on_device.left_the_rest_alone());
    }
  }
};
using Reals = testing::Types<float, bf16>;
TYPED_TEST_SUITE(AttentionFeaturesTest, Reals);

TYPED_TEST(AttentionFeaturesTest, QueryHeadsShareKeyHeads) {
  this->expect_as_plain_loops(kGrouped);
}
TYPED_TEST(AttentionFeaturesTest, QueriesReadAnotherTensorsKeys) {
  this->expect_as_plain_loops(kCross);
}
TYPED_TEST(AttentionFeaturesTest, FewQueriesStandBehindACacheOfKeys) {
  this->expect_as_plain_loops(kCached);
}
TYPED_TEST(AttentionFeaturesTest, OneQueryOfEachSequence) {
  this->expect_as_plain_loops(kOneQuery);
}
TYPED_TEST(AttentionFeaturesTest, QueriesThatSeeNothingGetZeros) {
  this->expect_as_plain_loops(kLonely);
}
TYPED_TEST(AttentionFeaturesTest, APrefixIsSeenFromEverywhere) {
  this->expect_as_plain_loops(kPrefixed);
}
TYPED_TEST(AttentionFeaturesTest, ScoresGetRelativePositions) {
  this->expect_as_plain_loops(kPositioned);
  AttentionCase causal = kPositioned;
  causal.causal = true, causal.bidirectional = false, causal.score_scale = 0.0;
  this->expect_as_plain_loops(causal);
}
TYPED_TEST(AttentionFeaturesTest, AllAtOnce) { this->expect_as_plain_loops(kAll); }

// The reference's own gradients, of every feature.
TEST(AttentionReferenceTest, GradientIsThatOfCentralDifferences) {
  AttentionCase small = kAll;
  small.starts = {0, 3, 10, 10, 12}, small.num_rows = 12, small.head_width = 4;
  small.key_starts = {0, 5, 11, 13, 13}, small.num_key_rows = 14;
  small.prefix = {2, 4, 1, 0};
  small.rate = 0.25;
  Attention a = make<float>(small);
  const auto backward = a.backward();
  const auto expect_gradient = [&](std::vector<double>& x, const reference::Bounded& dx) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = central_difference(&x[i], [&] { return a.loss(); });
      EXPECT_NEAR(dx.value[i], expected, kDifferenceError * 10) << i;
    }
  };
  expect_gradient(a.q, backward.dq);
  expect_gradient(a.k, backward.dk);
  expect_gradient(a.v, backward.dv);
  expect_gradient(a.table, backward.dtable);
}

TEST(AttentionTestOnFloats, BackwardIsTheCentralDifferenceOfTheReference) {
  Attention a = make<float>({.starts = {0, 3, 10}, .num_rows = 12, .head_width = 4, .rate = 0.25});
  const Results results = run<float>(a, Implementation::kFast);
  const auto backward = a.backward();
  const auto expect_gradient = [&](std::vector<double>& x, const reference::Bounded& bound,
                                   const std::vector<double>& dx) {
    for (std::size_t i = 0; i < x.size(); i += 3) {
      const double expected = central_difference(&x[i], [&] { return a.loss(); });
      EXPECT_NEAR(dx[i], expected, bound.error[i] + kDifferenceError * 10) << i;
    }
  };
  expect_gradient(a.q, backward.dq, results.dq);
  expect_gradient(a.k, backward.dk, results.dk);
  expect_gradient(a.v, backward.dv, results.dv);
}

// A sequence's rows have the same bits when the others are not there, with every feature.
TYPED_TEST(AttentionFeaturesTest, PlaceInTheBatchChangesNoBit) {
  const Attention whole = make<TypeParam>(kAll);
  Attention alone = whole;
  alone.starts = {0, 71}, alone.num_rows = 71, alone.prefix = {30};
  alone.key_starts = {0, 40}, alone.num_key_rows = 40;
  const auto cut = [](auto& x, std::int64_t begin, std::int64_t end, std::int64_t width) {
    x.assign(x.begin() + begin * width, x.begin() + end * width);
  };
  cut(alone.row_ids, 9, 80, 1);
  for (auto* const x : {&alone.q, &alone.dout}) cut(*x, 9, 80, whole.width());
  for (auto* const x : {&alone.k, &alone.v}) cut(*x, 20, 60, whole.key_width());
  for (const Implementation which : {Implementation::kFast, Implementation::kPortable}) {
    Results expected = run<TypeParam>(whole, which);
    for (auto* const x : {&expected.out, &expected.dq}) cut(*x, 9, 80, whole.width());
    for (auto* const x : {&expected.dk, &expected.dv}) cut(*x, 20, 60, whole.key_width());
    const Results results = run<TypeParam>(alone, which);
    EXPECT_EQ(results.out, expected.out);
    EXPECT_EQ(results.dq, expected.dq);
    EXPECT_EQ(results.dk, expected.dk);
    EXPECT_EQ(results.dv, expected.dv);
  }
}

// A cache holds each sequence's keys in 80 rows of its own, of which the first are in use.
TYPED_TEST(AttentionFeaturesTest, ACacheWithRoomToGrowGivesTheSameBits) {
  AttentionOnDevice<TypeParam> on_device(make<TypeParam>(kCached));
  for (const auto forward :
       {&attention_forward<TypeParam>, &attention_forward_portable<TypeParam>}) {
    const auto expected = on_device.output(forward, on_device.input());
    EXPECT_EQ(on_device.output(forward, on_device.input_with_room(80)), expected);
    for (const double x : expected) EXPECT_TRUE(std::isfinite(x));
  }
}

TEST(AttentionPositionsTest, GradientsOfATableAreAddedToWhatIsThere) {
  Device device;
  const auto x = device.put(std::vector<float>{1, 2, 3, 4}, 2, 2);
  const auto partial = device.put(std::vector<float>{1, 10, 100, 1000, 5, 50, 500, 5000}, 2, 4);
  add_position_gradients(device.exec(), x, Write::kAccumulate, partial, 0.5F);
  EXPECT_EQ(device.get_real(x), (std::vector<double>{4, 32, 303, 3004}));
  add_position_gradients(device.exec(), x, Write::kOverwrite, partial, 0.5F);
  EXPECT_EQ(device.get_real(x), (std::vector<double>{3, 30, 300, 3000}));
}

// Numbers from T5Attention._relative_position_bucket of transformers 5 with 32 buckets up to 128.
TEST(AttentionPositionsTest, BucketsAreThoseOfT5) {
  struct Known {
    std::int64_t offset, bidirectional, causal;
  };
  for (const Known& known :
       {Known{-200, 15, 31}, {-128, 15, 31}, {-91, 15, 29}, {-90, 14, 29}, {-64, 14, 26},
        Known{-63, 13, 26},  {-46, 13, 24},  {-45, 12, 23}, {-32, 12, 21}, {-31, 11, 21},
        Known{-23, 11, 18},  {-22, 10, 18},  {-16, 10, 16}, {-15, 9, 15},  {-12, 9, 12},
        Known{-11, 8, 11},   {-8, 8, 8},     {-7, 7, 7},    {-1, 1, 1},    {0, 0, 0},
        Known{1, 17, 0},     {5, 21, 0},     {12, 25, 0},   {16, 26, 0},   {32, 28, 0},
        Known{64, 30, 0},    {128, 31, 0},   {300, 31, 0}}) {
    EXPECT_EQ(relative_bucket(known.offset, 32, true, 128), known.bidirectional) << known.offset;
    EXPECT_EQ(relative_bucket(known.offset, 32, false, 128), known.causal) << known.offset;
    EXPECT_EQ(reference::position_bucket(known.offset, 32, true, 128), known.bidirectional);
    EXPECT_EQ(reference::position_bucket(known.offset, 32, false, 128), known.causal);
  }
}

// Broken promises are found before anything is read.
TEST(AttentionPromisesTest, TensorsThatDoNotFitAreRefused) {
  const Attention a = make<float>({.starts = {0, 4}, .num_rows = 4, .num_buckets = 8});
  AttentionOnDevice<float> on_device(a);
  const Exec exec = on_device.device().exec();
  const auto refused = [&](const auto& change) {
    AttentionInput<float> input = on_device.input();
    change(input);
    EXPECT_THROW(attention_forward<float>(exec, {}, {}, input, {}), std::logic_error);
  };
  refused([](auto& input) { input.shape.num_key_heads = 3; });
  refused([](auto& input) { input.shape.score_scale = 0.0F; });
  refused([](auto& input) { input.value.first_column += 1; });
  refused([](auto& input) { input.positions.max_distance = 2; });
}

}  // namespace
}  // namespace polyphase::test
