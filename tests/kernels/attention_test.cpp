// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention_fixture.hpp"

namespace polyphase::test {
namespace {

const AttentionCase kCases[] = {
    {.starts = {0, 1}, .num_rows = 1},
    {.starts = {0, 1, 1, 6, 23}, .num_rows = 32, .num_heads = 3, .head_width = 5},
    {.starts = {0, 16, 47}, .num_rows = 48, .head_width = 32, .first_head = 4, .rate = 0.1},
    {.starts = {0, 15, 79}, .num_rows = 96, .head_width = 24, .causal = true},
    {.starts = {0, 65, 73}, .num_rows = 80, .head_width = 64, .causal = true, .rate = 0.3},
    {.starts = {0, 150}, .num_rows = 150, .num_heads = 1, .head_width = 33, .rate = 0.1},
};

template <class Real>
class AttentionTest : public testing::Test {};
using Reals = testing::Types<float, bf16>;
TYPED_TEST_SUITE(AttentionTest, Reals);

TYPED_TEST(AttentionTest, AgreesWithPlainLoops) {
  for (const AttentionCase& c : kCases) {
    SCOPED_TRACE(testing::Message() << "width " << c.head_width);
    const Attention a = make<TypeParam>(c);
    expect_as_reference(a, run<TypeParam>(a, Implementation::kFast));
  }
}

TYPED_TEST(AttentionTest, PortableImplementationAgreesWithPlainLoops) {
  for (const AttentionCase& c : kCases) {
    SCOPED_TRACE(testing::Message() << "width " << c.head_width);
    const Attention a = make<TypeParam>(c);
    expect_as_reference(a, run<TypeParam>(a, Implementation::kPortable));
  }
}

TYPED_TEST(AttentionTest, PaddingRowsGetZeros) {
  const Attention a = make<TypeParam>({.starts = {0, 5, 9}, .num_rows = 16});
  const Results results = run<TypeParam>(a, Implementation::kFast);
  const auto expect_zeros = [&](const std::vector<double>& x) {
    const std::size_t first = 9 * x.size() / 16;
    EXPECT_EQ(std::vector<double>(x.begin() + first, x.end()),
              std::vector<double>(x.size() - first, 0.0));
  };
  expect_zeros(results.out);
  expect_zeros(results.log_sum);
  expect_zeros(results.dq);
  expect_zeros(results.dk);
  expect_zeros(results.dv);
}

// Scores near +-1e4 overflow exp unless the largest is taken off first.
TYPED_TEST(AttentionTest, LargeScoresStayFinite) {
  Attention a = make<TypeParam>({.starts = {0, 20}, .num_rows = 20});
  for (double& x : a.q) x *= 64.0;
  for (double& x : a.k) x *= 64.0;
  for (const double x : run<TypeParam>(a, Implementation::kFast).out) EXPECT_TRUE(std::isfinite(x));
}

TYPED_TEST(AttentionTest, NaNsInASequenceAreSeenThereAndNowhereElse) {
  Attention a = make<TypeParam>({.starts = {0, 4, 8}, .num_rows = 8});
  a.k[a.key_at(1, 0, 0)] = std::nan("");
  const Results results = run<TypeParam>(a, Implementation::kFast);
  EXPECT_TRUE(std::isnan(results.out[0]));
  for (std::int64_t i = 4 * a.width(); i < 8 * a.width(); ++i)
    EXPECT_TRUE(std::isfinite(results.out[i]));
}

// The same sequence, at another place of another micro-batch, gives the same bits.
TYPED_TEST(AttentionTest, PlaceInTheBatchChangesNoBit) {
  const Attention whole =
      make<TypeParam>({.starts = {0, 7, 77, 90}, .num_rows = 90, .head_width = 32, .rate = 0.1});
  Attention alone = whole;
  alone.starts = alone.key_starts = {0, 70}, alone.num_rows = alone.num_key_rows = 70;
  const auto cut = [](auto& x, std::int64_t width) {
    x.assign(x.begin() + 7 * width, x.begin() + 77 * width);
  };
  for (auto* const x : {&alone.q, &alone.k, &alone.v, &alone.dout}) cut(*x, whole.width());
  cut(alone.row_ids, 1);
  Results expected = run<TypeParam>(whole, Implementation::kFast);
  for (auto* const x : {&expected.out, &expected.dq, &expected.dk, &expected.dv}) {
    cut(*x, whole.width());
  }
  const Results results = run<TypeParam>(alone, Implementation::kFast);
  EXPECT_EQ(results.out, expected.out);
  EXPECT_EQ(results.dq, expected.dq);
  EXPECT_EQ(results.dk, expected.dk);
  EXPECT_EQ(results.dv, expected.dv);
}

// An arena of the size that counting found is enough for a real pass, and one byte less is not.
void expect_counted_peak(Implementation implementation) {
  const Attention a =
      make<bf16>({.starts = {0, 70}, .num_rows = 70, .head_width = 32, .num_buckets = 32});
  AttentionOnDevice<bf16> on_device(a);
  Arena& memory_arena = on_device.device().arena();
  const AttentionInput<bf16> input = on_device.input();
  const auto dqkv = memory_arena.take2<bf16>(a.num_rows, 3 * a.width());
  const auto out = memory_arena.take2<bf16>(a.num_rows, a.width());
  const auto log_sum = memory_arena.take2<float>(a.num_rows, a.num_heads);
  const auto dtable = memory_arena.take2<float>(a.num_buckets(), a.num_heads);
  const auto forward_and_backward = [&](Arena& arena) {
    const Exec exec{Space(), &arena};
    const bool portable = implementation == Implementation::kPortable;
    (portable ? attention_forward_portable<bf16> : attention_forward<bf16>)(exec, out, log_sum,
                                                                            input, {});
    (portable ? attention_backward_portable<bf16>
              : attention_backward<bf16>)(exec, {dqkv, 0}, {dqkv, a.width()}, {dqkv, 2 * a.width()},
                                          dtable, Write::kOverwrite, out, out, log_sum, input, {});
  };
  Arena counting;
  forward_and_backward(counting);
  ASSERT_GT(counting.peak_bytes(), 0U);
  EXPECT_EQ(counting.used_bytes(), 0U);
  const auto memory = memory_arena.take1<std::byte>(counting.peak_bytes());
  Arena exact(memory.data(), counting.peak_bytes());
  EXPECT_NO_THROW(forward_and_backward(exact));
  Arena too_small(memory.data(), counting.peak_bytes() - 1);
  EXPECT_THROW(forward_and_backward(too_small), std::logic_error);
}

TEST(AttentionWorkspaceTest, CountingFindsThePeakOfARealPass) {
  expect_counted_peak(Implementation::kFast);
  expect_counted_peak(Implementation::kPortable);
}

}  // namespace
}  // namespace polyphase::test
