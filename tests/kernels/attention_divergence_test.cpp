// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention_divergence.hpp"

#include "kernels/attention_fixture.hpp"
#include "reference/attention_divergence.hpp"

namespace polyphase::test {
namespace {

using reference::AttentionDivergence;

// A teacher of the same rows that knows other things of them.
template <class Real>
Attention teacher_of(AttentionCase c, std::int64_t head_width, std::int64_t num_key_heads,
                     std::int64_t num_buckets = 0, double score_scale = 0.0) {
  c.head_width = head_width, c.num_key_heads = num_key_heads, c.num_buckets = num_buckets;
  c.score_scale = score_scale, c.rate = 0.0;
  Attention a = make<Real>(c);
  a.q = random_reals(11, static_cast<std::int64_t>(a.q.size()));
  a.k = random_reals(12, static_cast<std::int64_t>(a.k.size()));
  return a;
}

template <class Real>
class AttentionDivergenceTest : public testing::Test {
 protected:
  struct Results {
    std::vector<double> divergence, dq, dk, dtable;
  };

  static constexpr double kFactor = 0.5;
  static reference::Values before(std::uint64_t seed, std::size_t count) {
    return random_reals(seed, static_cast<std::int64_t>(count), -0.25, 0.25);
  }

  // The fast ones and the portable ones.
  static Results run(const Attention& student, const Attention& teacher, Implementation which) {
    AttentionOnDevice<Real> own(student), other(teacher);
    Device& device = own.device();
    const DoneAttention<Real> mine = done(own, student), theirs = done(other, teacher);
    const Exec exec = device.exec();
    const auto divergence =
        device.arena().template take2<float>(student.num_rows, student.num_heads);
    const auto dq = device.template put_real<Real>(before(21, student.q.size()), student.num_rows,
                                                   student.width());
    const auto dk = device.template put_real<Real>(before(22, student.k.size()),
                                                   student.num_key_rows, student.key_width());
    const auto dtable = device.template put_real<float>(before(23, student.table.size()),
                                                        student.num_buckets(), student.num_heads);
    const bool fast = which == Implementation::kFast;
    (fast ? attention_divergence<Real> : attention_divergence_portable<Real>)(exec, divergence,
                                                                              mine, theirs);
    (fast ? attention_divergence_backward<Real>
          : attention_divergence_backward_portable<Real>)(exec, {dq, 0}, {dk, 0}, dtable, mine,
                                                          theirs, kFactor);
    return {device.get_real(divergence), device.get_real(dq), device.get_real(dk),
            device.get_real(dtable)};
  }

  static DoneAttention<Real> done(AttentionOnDevice<Real>& on_device, const Attention& a) {
    Device& device = on_device.device();
    const AttentionInput<Real> input = on_device.input();
    const auto out = device.arena().template take2<Real>(a.num_rows, a.width());
    const auto log_sum = device.arena().template take2<float>(a.num_rows, a.num_heads);
    attention_forward<Real>(device.exec(), out, log_sum, input, {});
    return {input, log_sum};
  }

  static void expect_as_plain_loops(const Attention& student, const Attention& teacher) {
    const AttentionDivergence reference{student, teacher};
    const auto forward = reference.forward();
    const auto backward =
        reference.backward(kFactor, before(21, student.q.size()), before(22, student.k.size()),
                           before(23, student.table.size()));
    for (const Implementation which : {Implementation::kFast, Implementation::kPortable}) {
      SCOPED_TRACE(which == Implementation::kFast ? "fast" : "portable");
      const Results actual = run(student, teacher, which);
      expect_close("divergence", actual.divergence, forward.divergence.value,
                   forward.divergence.error);
      expect_close("dq", actual.dq, backward.dq.value, backward.dq.error);
      expect_close("dk", actual.dk, backward.dk.value, backward.dk.error);
      expect_close("dtable", actual.dtable, backward.dtable.value, backward.dtable.error);
    }
  }
};
using Reals = testing::Types<float, bf16>;
TYPED_TEST_SUITE(AttentionDivergenceTest, Reals);

const AttentionCase kPlain{.starts = {0, 21, 24, 24, 173}, .num_rows = 192, .head_width = 20};
const AttentionCase kCausal{.starts = {0, 9, 79, 80},
                            .num_rows = 96,
                            .num_heads = 6,
                            .head_width = 12,
                            .first_head = 6,
                            .causal = true,
                            .num_key_heads = 2,
                            .prefix = {0, 37, 5}};
const AttentionCase kPositioned{
    .starts = {0, 9, 79}, .num_rows = 96, .num_heads = 4, .num_buckets = 8, .max_distance = 20.0};
// Sequences without keys or queries, and queries that see nothing.
const AttentionCase kLonely{.starts = {0, 3, 3, 12, 18},
                            .num_rows = 20,
                            .causal = true,
                            .key_starts = {0, 4, 9, 9, 12},
                            .num_key_rows = 16};

TYPED_TEST(AttentionDivergenceTest, IsThatOfPlainLoops) {
  this->expect_as_plain_loops(make<TypeParam>(kPlain), teacher_of<TypeParam>(kPlain, 20, 2));
}
// Heads of another width, grouped in another way, on another scale.
TYPED_TEST(AttentionDivergenceTest, TeachersHeadsMayBeOthers) {
  this->expect_as_plain_loops(make<TypeParam>(kCausal),
                              teacher_of<TypeParam>(kCausal, 24, 3, 0, 0.1));
}
TYPED_TEST(AttentionDivergenceTest, EitherMayHaveRelativePositions) {
  this->expect_as_plain_loops(make<TypeParam>(kPositioned),
                              teacher_of<TypeParam>(kPositioned, 16, 4));
  AttentionCase without = kPositioned;
  without.num_buckets = 0;
  this->expect_as_plain_loops(make<TypeParam>(without),
                              teacher_of<TypeParam>(kPositioned, 8, 4, 16, 1.0));
}
TYPED_TEST(AttentionDivergenceTest, WhatSeesNothingGetsNothing) {
  this->expect_as_plain_loops(make<TypeParam>(kLonely), teacher_of<TypeParam>(kLonely, 8, 2));
}

// A teacher that is the student has nothing to say, exactly.
TYPED_TEST(AttentionDivergenceTest, FromItselfIsZero) {
  const Attention a = make<TypeParam>(kCausal);
  for (const Implementation which : {Implementation::kFast, Implementation::kPortable}) {
    const auto actual = this->run(a, a, which);
    for (const double divergence : actual.divergence) EXPECT_EQ(divergence, 0.0);
    EXPECT_EQ(actual.dq, this->before(21, a.q.size()));
    EXPECT_EQ(actual.dk, this->before(22, a.k.size()));
  }
}

TEST(AttentionDivergenceReferenceTest, GradientIsThatOfCentralDifferences) {
  AttentionCase small{.starts = {0, 3, 10, 10, 12},
                      .num_rows = 12,
                      .num_heads = 4,
                      .head_width = 4,
                      .causal = true,
                      .num_key_heads = 2,
                      .key_starts = {0, 5, 11, 13, 13},
                      .num_key_rows = 14,
                      .prefix = {2, 4, 1, 0},
                      .num_buckets = 8,
                      .bidirectional = false,
                      .max_distance = 20.0};
  Attention student = make<float>(small);
  const Attention teacher = teacher_of<float>(small, 6, 4, 8);
  const AttentionDivergence divergence{student, teacher};
  const auto zeros = [](const reference::Values& x) { return reference::Values(x.size(), 0.0); };
  const auto backward =
      divergence.backward(1.0, zeros(student.q), zeros(student.k), zeros(student.table));
  const auto expect_gradient = [&](reference::Values& x, const reference::Bounded& dx) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = central_difference(&x[i], [&] { return divergence.loss(); });
      EXPECT_NEAR(dx.value[i], expected, kDifferenceError * 10) << i;
    }
  };
  expect_gradient(student.q, backward.dq);
  expect_gradient(student.k, backward.dk);
  expect_gradient(student.table, backward.dtable);
}

TEST(AttentionDivergencePromisesTest, OtherHeadsAndSequencesAreRefused) {
  const Attention student = make<float>({.starts = {0, 4}, .num_rows = 4});
  const auto refused = [&](const AttentionCase& c) {
    const Attention teacher = make<float>(c);
    AttentionOnDevice<float> own(student), other(teacher);
    const DoneAttention<float> mine{own.input(), {}}, theirs{other.input(), {}};
    EXPECT_THROW(attention_divergence<float>(own.device().exec(), {}, mine, theirs),
                 std::logic_error);
  };
  refused({.starts = {0, 4}, .num_rows = 4, .num_heads = 4});
  refused({.starts = {0, 3}, .num_rows = 4});
  refused({.starts = {0, 4}, .num_rows = 4, .causal = true});
  refused({.starts = {0, 4}, .num_rows = 4, .first_head = 2});
}

}  // namespace
}  // namespace polyphase::test
