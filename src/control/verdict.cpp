// SPDX-License-Identifier: Apache-2.0
#include "control/verdict.hpp"

#include <cmath>

#include "base/error.hpp"

namespace polyphase {
namespace {

constexpr double kRoundOff = 1e-12;  // of a difference of two scores

}  // namespace

double gain_of(const recipe::Target& target, double score, double parent_score) {
  return target.at_most ? parent_score - score : score - parent_score;
}

bool target_holds(const recipe::Target& target, double score) {
  return target.at_most ? score <= *target.at_most : score >= *target.at_least;
}

std::string shortfall_of(const recipe::Target& target, const Journal& journal) {
  const Round& best = *kept_round(journal);
  if (target_holds(target, best.verdict->score)) return "";
  return fmt::format("{} of {} is {:.6g} in round {}, the best, and is to be {} {:g}; {}",
                     target.metric, target.phase, best.verdict->score, best.number,
                     target.at_most ? "at most" : "at least",
                     target.at_most.value_or(target.at_least.value_or(0)), journal.ended);
}

Verdict judge(const recipe::Iterate& iterate, double margin, double score,
              std::optional<double> parent_score, const std::optional<PairedTest>& test) {
  Verdict verdict = {.kept = false,
                     .score = score,
                     .gain = 0,
                     .margin = margin,
                     .confidence = iterate.confidence,
                     .test = test,
                     .reason = {}};
  if (!parent_score) {
    verdict.kept = true;
    verdict.reason = "the first round, to which others are compared";
    return verdict;
  }
  verdict.gain = gain_of(iterate.target, score, *parent_score);
  const std::string scores = fmt::format("{:.4g} after {:.4g}", score, *parent_score);
  if (std::isnan(score)) {
    verdict.reason = "its score is not a number";
  } else if (std::isnan(*parent_score)) {
    verdict.kept = true;
    verdict.reason = "its parent's score is not a number";
  } else if (verdict.gain <= 0 || verdict.gain < margin - kRoundOff) {
    verdict.reason = fmt::format("{}: not better by the margin of {:g}", scores, margin);
  } else if (iterate.confidence > 0 && test && test->share_better < iterate.confidence) {
    verdict.reason = fmt::format(
        "{}: better in {:.1f} % of {} resamples of the {} validation samples, where {:g} % are "
        "asked for: it may be chance",
        scores, 100 * test->share_better, test->num_resamples, test->num_samples,
        100 * iterate.confidence);
  } else {
    verdict.kept = true;
    verdict.reason = fmt::format("{}: better by {:.4g}", scores, verdict.gain);
    if (test) {
      verdict.reason +=
          fmt::format(", and in {:.1f} % of {} resamples of the {} validation samples",
                      100 * test->share_better, test->num_resamples, test->num_samples);
    }
  }
  return verdict;
}

Verdict judge_preliminary(const recipe::Strategy& trial, double score) {
  return {.kept = false,
          .score = score,
          .reason = std::isnan(score)
                        ? "its score is not a number"
                        : fmt::format("{:.4g} on rung {} of {}, with a share of its steps", score,
                                      trial.rung + 1, trial.num_rungs)};
}

}  // namespace polyphase
