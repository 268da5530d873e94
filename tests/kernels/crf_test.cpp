// SPDX-License-Identifier: Apache-2.0
#include "kernels/crf.hpp"

#include "kernels/device.hpp"
#include "reference/crf.hpp"

namespace polyphase::test {
namespace {

using reference::Crf;

// Sentences of given lengths with random scores, tags O, B-x, I-x, B-y as far as there are tags.
struct Case {
  std::int64_t num_tags;
  std::vector<std::int32_t> lengths;
  bool ruled = false;
  double limit = 2.0;  // of every score
  std::int64_t num_padding = 2;
};

constexpr std::int64_t kOutside = 0, kBegin = 1, kInside = 2;

struct CrfData {
  Case shape;
  Crf crf;
  std::vector<Crf::Sentence> emissions;
  std::vector<Crf::Path> labels;
  std::vector<std::int32_t> transition_rules, start_rules;

  explicit CrfData(const Case& of) : shape(of) {
    const std::int64_t k = of.num_tags;
    crf = {k, random_reals(1, k * k, -of.limit, of.limit), random_reals(2, k, -of.limit, of.limit),
           random_reals(3, k, -of.limit, of.limit)};
    if (of.ruled) {
      transition_rules.assign(k * k, 1), start_rules.assign(k, 1);
      start_rules[kInside] = 0;
      for (std::int64_t from = 0; from < k; ++from) {
        if (from != kBegin && from != kInside) transition_rules[from * k + kInside] = 0;
      }
      for (std::int64_t i = 0; i < k * k; ++i) {
        if (transition_rules[i] == 0) crf.transition[i] = kForbiddenScore;
      }
      crf.start[kInside] = kForbiddenScore;
    }
    for (std::size_t b = 0; b < of.lengths.size(); ++b) {
      emissions.push_back(random_reals(10 + b, of.lengths[b] * k, -of.limit, of.limit));
      Crf::Path path;
      for (std::int32_t t = 0; t < of.lengths[b]; ++t) {
        std::int32_t tag = philox(7, b, t).word[0] % k;
        const bool open = !path.empty() && (path.back() == kBegin || path.back() == kInside);
        if (of.ruled && tag == kInside && !open) tag = kOutside;
        path.push_back(tag);
      }
      labels.push_back(path);
    }
  }

  double nats() const {
    double total = 0.0;
    for (std::size_t b = 0; b < labels.size(); ++b) {
      if (!labels[b].empty()) total += crf.nats(emissions[b], labels[b]);
    }
    return total;
  }

  std::int64_t num_words() const {
    std::int64_t total = shape.num_padding;
    for (const std::int32_t length : shape.lengths) total += length;
    return total;
  }
};

// The data on the device.
struct CrfRun {
  Device device;
  CrfWords words;
  CrfParameters parameters, scores;
  CrfRules rules;
  CrfForward forward;
  std::vector<double> nats;

  explicit CrfRun(const CrfData& data) {
    const std::int64_t k = data.shape.num_tags, m = data.num_words();
    std::vector<double> emission;
    std::vector<std::int32_t> label, starts{0};
    for (std::size_t b = 0; b < data.labels.size(); ++b) {
      emission.insert(emission.end(), data.emissions[b].begin(), data.emissions[b].end());
      label.insert(label.end(), data.labels[b].begin(), data.labels[b].end());
      starts.push_back(static_cast<std::int32_t>(label.size()));
    }
    emission.resize(m * k, 5.0), label.resize(m, -1);
    words = {device.put_real<float>(emission, m, k), device.put(label), device.put(starts)};
    parameters = {device.put_real<float>(data.crf.transition, k, k),
                  device.put_real<float>(data.crf.start), device.put_real<float>(data.crf.end)};
    if (data.shape.ruled) {
      // Forbidden transitions have parameters too, which nothing may depend on.
      for (std::int64_t i = 0; i < k * k; ++i) {
        if (data.transition_rules[i] == 0) set(parameters.transition_KK.data() + i, 50.0F);
      }
      set(parameters.start_K.data() + kInside, 50.0F);
      rules = {device.put(data.transition_rules, k, k), device.put(data.start_rules)};
    }
    scores = crf_scores(device.exec(), parameters, rules);
    forward = {device.arena().take2<float>(m, k), device.arena().take1<float>(m)};
    const auto nats_B = device.arena().take1<double>(data.labels.size());
    crf_forward(device.exec(), nats_B, forward, words, scores);
    nats = device.get(nats_B);
  }

  void set(const float* where, float value) {
    copy_to_device<float>(device.exec(), Tensor1<float>(const_cast<float*>(where), 1), &value);
  }
};

const Case kCases[] = {
    {.num_tags = 3, .lengths = {4, 1, 0, 5}},
    {.num_tags = 4, .lengths = {5, 2, 3, 1, 4, 5, 0, 2, 5, 3, 4}, .num_padding = 0},
    {.num_tags = 4, .lengths = {0, 5, 3, 4, 1, 2, 5, 5, 4, 0}, .ruled = true},
    {.num_tags = 3, .lengths = {2, 5, 1}, .ruled = true, .limit = 12.0},
    {.num_tags = 1, .lengths = {3, 1}},
};

// Every word adds a logarithm of a sum of exponentials (2e-7 of the sum, so an absolute 2e-7) and
// some ten roundings of scores that stay below 4 times the limit.
double word_error(const Case& shape) { return 1e-6 + 40.0 * kFloatEpsilon * shape.limit; }

TEST(Crf, LossEqualsTheSumOverAllPaths) {
  for (const Case& shape : kCases) {
    const CrfData data(shape);
    const CrfRun run(data);
    for (std::size_t b = 0; b < data.labels.size(); ++b) {
      const double exact =
          data.labels[b].empty() ? 0.0 : data.crf.nats(data.emissions[b], data.labels[b]);
      EXPECT_NEAR(run.nats[b], exact, data.labels[b].size() * word_error(shape)) << b;
    }
  }
}

TEST(Crf, DecodesThePathThatNoOtherBeats) {
  for (const Case& shape : kCases) {
    const CrfData data(shape);
    CrfRun run(data);
    const auto best_M = run.device.arena().take1<std::int32_t>(data.num_words());
    crf_decode(run.device.exec(), best_M, run.words, run.scores);
    std::vector<std::int32_t> expected;
    for (const Crf::Sentence& emission : data.emissions) {
      if (emission.empty()) continue;
      const Crf::Path path = data.crf.best(emission);
      expected.insert(expected.end(), path.begin(), path.end());
    }
    expected.resize(data.num_words(), -1);
    EXPECT_EQ(run.device.get(best_M), expected);
  }
}

TEST(Crf, EqualScoresDecodeToTheLowestTags) {
  CrfData data({.num_tags = 3, .lengths = {4}});
  for (auto* values : {&data.crf.transition, &data.crf.start, &data.crf.end, &data.emissions[0]})
    std::fill(values->begin(), values->end(), 0.5);
  CrfRun run(data);
  const auto best_M = run.device.arena().take1<std::int32_t>(6);
  crf_decode(run.device.exec(), best_M, run.words, run.scores);
  EXPECT_EQ(run.device.get(best_M), (std::vector<std::int32_t>{0, 0, 0, 0, -1, -1}));
}

// Derivatives of the summed loss by all of a vector's elements.
std::vector<double> differences(CrfData& data, std::vector<double>& values, double scale) {
  std::vector<double> gradient;
  for (double& value : values)
    gradient.push_back(scale * central_difference(&value, [&] { return data.nats(); }));
  return gradient;
}

template <class Real>
void check_backward(const Case& shape, Write write) {
  CrfData data(shape);
  CrfRun run(data);
  Device& device = run.device;
  constexpr float kScale = 0.25F;
  const std::int64_t k = shape.num_tags, m = data.num_words();
  const double before = write == Write::kAccumulate ? 3.0 : 1e30;
  const auto dtransition = device.put_real<float>(std::vector<double>(k * k, before), k, k);
  const auto dstart = device.put_real<float>(std::vector<double>(k, before)),
             dend = device.put_real<float>(std::vector<double>(k, before));
  const auto demission = device.arena().take2<Real>(m, k);
  crf_backward<Real>(device.exec(), demission, {dtransition, dstart, dend}, write, run.forward,
                     run.words, run.scores, run.rules, kScale);

  // A marginal is an exponential of a sum of logarithms, each with the error of its words' losses.
  const double marginal_error = kScale * 5.0 * word_error(shape) + 10 * kDifferenceError;
  std::vector<double> by_emission, emission_error;
  for (Crf::Sentence& emission : data.emissions) {
    const std::vector<double> part = differences(data, emission, kScale);
    by_emission.insert(by_emission.end(), part.begin(), part.end());
  }
  by_emission.resize(m * k, 0.0);
  for (const double value : by_emission)
    emission_error.push_back(marginal_error + std::abs(value) * kStoreError<Real>);
  expect_close("demission", device.get_real(demission), by_emission, emission_error);

  const double added = write == Write::kAccumulate ? 3.0 : 0.0;
  const double sum_error = m * marginal_error + added * kFloatEpsilon;
  const auto check = [&](const char* what, const Tensor1<float>& actual,
                         std::vector<double>& values) {
    std::vector<double> expected = differences(data, values, kScale);
    for (double& value : expected) value += added;
    expect_close(what, device.get_real(actual), expected, sum_error);
  };
  check("dtransition", flat(dtransition), data.crf.transition);
  check("dstart", dstart, data.crf.start);
  check("dend", dend, data.crf.end);
}

TEST(Crf, GradientsEqualCentralDifferences) {
  for (const Case& shape : kCases) {
    check_backward<float>(shape, Write::kOverwrite);
    check_backward<float>(shape, Write::kAccumulate);
    check_backward<bf16>(shape, Write::kOverwrite);
  }
}

// Of words whose labels nobody gives: a soft label's part.
TEST(Crf, WithoutLabelsGradientsAreMarginals) {
  for (const Case& shape : kCases) {
    if (shape.limit > 2.0) continue;
    const CrfData data(shape);
    CrfRun run(data);
    Device& device = run.device;
    const std::int64_t k = shape.num_tags, m = data.num_words();
    run.words.label_M = device.put(std::vector<std::int32_t>(m, -1));
    const auto log_sum_B = device.arena().take1<double>(data.labels.size());
    crf_forward(device.exec(), log_sum_B, run.forward, run.words, run.scores);
    const auto tags = device.arena().take2<float>(m, k), pairs = device.arena().take2<float>(k, k);
    const auto first = device.arena().take1<float>(k), last = device.arena().take1<float>(k);
    crf_backward<float>(device.exec(), tags, {pairs, first, last}, Write::kOverwrite, run.forward,
                        run.words, run.scores, run.rules, 1.0F);

    std::vector<double> tag(m * k, 0.0), pair(k * k, 0.0), start(k, 0.0), end(k, 0.0);
    std::int64_t word = 0;
    for (std::size_t b = 0; b < data.labels.size(); ++b) {
      const auto length = static_cast<std::int64_t>(data.labels[b].size());
      if (length == 0) continue;
      const double log_sum = data.crf.log_sum(data.emissions[b]);
      EXPECT_NEAR(device.get(log_sum_B)[b], log_sum, length * word_error(shape)) << b;
      data.crf.each_path(length, [&](const Crf::Path& path) {
        const double p = std::exp(data.crf.score(data.emissions[b], path) - log_sum);
        start[path.front()] += p, end[path.back()] += p;
        for (std::int64_t t = 0; t < length; ++t) {
          tag[(word + t) * k + path[t]] += p;
          if (t > 0) pair[path[t - 1] * k + path[t]] += p;
        }
      });
      word += length;
    }
    const double error = 5.0 * word_error(shape);
    expect_close("tags", device.get_real(tags), tag, error);
    expect_close("pairs", device.get_real(flat(pairs)), pair, m * error);
    expect_close("first", device.get_real(first), start, m * error);
    expect_close("last", device.get_real(last), end, m * error);
  }
}

TEST(Crf, LabelsThatBreakTheRulesCostMuchButNotInfinitely) {
  CrfData data({.num_tags = 3, .lengths = {3, 2}, .ruled = true});
  data.labels[0] = {kOutside, kInside, kInside};
  CrfRun run(data);
  EXPECT_NEAR(run.nats[0], -kForbiddenScore, 50.0);
  EXPECT_LT(run.nats[1], 50.0);
  const auto demission = run.device.arena().take2<float>(data.num_words(), 3);
  const auto dtransition = run.device.arena().take2<float>(3, 3);
  const auto dstart = run.device.arena().take1<float>(3), dend = run.device.arena().take1<float>(3);
  crf_backward<float>(run.device.exec(), demission, {dtransition, dstart, dend}, Write::kOverwrite,
                      run.forward, run.words, run.scores, run.rules, 1.0F);
  EXPECT_TRUE(all_finite(run.device.exec(), flat(demission)));
  EXPECT_TRUE(all_finite(run.device.exec(), flat(dtransition)));
  EXPECT_EQ(run.device.get_real(dtransition)[kOutside * 3 + kInside], 0.0);
  EXPECT_EQ(run.device.get_real(dstart)[kInside], 0.0);
}

// Words of one sentence and its scores scaled up: what enters is of the order of thousands, and the
// loss keeps the precision of single words.
TEST(Crf, LongSentencesKeepTheirPrecision) {
  constexpr std::int32_t kLength = 2000;
  const CrfData data({.num_tags = 4, .lengths = {kLength}, .limit = 4.0, .num_padding = 0});
  // The forward algorithm in float64.
  std::vector<double> alpha(4);
  double score = 0.0;
  for (std::int32_t t = 0; t < kLength; ++t) {
    std::vector<double> next(4);
    for (int k = 0; k < 4; ++k) {
      double sum = t == 0 ? std::exp(data.crf.start[k]) : 0.0;
      double shift = t == 0 ? 0.0 : alpha[0];
      for (int i = 0; i < 4 && t > 0; ++i)
        sum += std::exp(alpha[i] - shift + data.crf.transition[i * 4 + k]);
      next[k] = shift + std::log(sum) + data.emissions[0][t * 4 + k];
    }
    alpha = next;
  }
  double sum = 0.0;
  for (int k = 0; k < 4; ++k) sum += std::exp(alpha[k] - alpha[0] + data.crf.end[k]);
  score = data.crf.score(data.emissions[0], data.labels[0]);
  const double exact = alpha[0] + std::log(sum) - score;
  const CrfRun run(data);
  EXPECT_NEAR(run.nats[0], exact, kLength * word_error(data.shape));
  EXPECT_LT(std::abs(run.nats[0] - exact), 1e-6 * exact);
}

TEST(Crf, NaNReachesTheLoss) {
  CrfData data({.num_tags = 3, .lengths = {4, 2}});
  data.emissions[0][5] = std::numeric_limits<double>::quiet_NaN();
  const CrfRun run(data);
  EXPECT_TRUE(std::isnan(run.nats[0]));
  EXPECT_FALSE(std::isnan(run.nats[1]));
}

TEST(Crf, NoSentencesGiveZeroGradients) {
  const CrfData data({.num_tags = 3, .lengths = {0, 0}});
  CrfRun run(data);
  const auto demission = run.device.arena().take2<float>(2, 3);
  const auto dtransition = run.device.arena().take2<float>(3, 3);
  const auto dstart = run.device.arena().take1<float>(3), dend = run.device.arena().take1<float>(3);
  crf_backward<float>(run.device.exec(), demission, {dtransition, dstart, dend}, Write::kOverwrite,
                      run.forward, run.words, run.scores, run.rules, 1.0F);
  EXPECT_EQ(run.nats, (std::vector<double>{0.0, 0.0}));
  EXPECT_EQ(run.device.get_real(demission), std::vector<double>(6, 0.0));
  EXPECT_EQ(run.device.get_real(dtransition), std::vector<double>(9, 0.0));
  EXPECT_EQ(run.device.get_real(dend), std::vector<double>(3, 0.0));
}

}  // namespace
}  // namespace polyphase::test
