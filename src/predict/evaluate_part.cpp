// SPDX-License-Identifier: Apache-2.0
#include "predict/evaluate_part.hpp"

#include <algorithm>

#include "comm/agreement.hpp"
#include "metrics/perplexity.hpp"
#include "metrics/question_answering.hpp"
#include "recipe/load.hpp"
#include "train/evaluate_corpora.hpp"

namespace polyphase {
namespace {

// What a question adds to the scores: of its answer under both scripts, and of its best span, which
// is the answer at a high threshold.
struct QuestionScores {
  AnswerScore squad_1, squad_2, span;
  double no_answer_margin = 0;
  bool has_answer = false, has_span = false;
};

nlohmann::json json_of(const AnswerScore& score) { return {score.exact_match, score.f1}; }

AnswerScore score_from(const nlohmann::json& json) {
  return {.exact_match = json.at(0), .f1 = json.at(1)};
}

void to_json(nlohmann::json& json, const QuestionScores& scores) {
  json = {json_of(scores.squad_1), json_of(scores.squad_2), json_of(scores.span),
          scores.no_answer_margin, scores.has_answer,       scores.has_span};
}

void from_json(const nlohmann::json& json, QuestionScores& scores) {
  scores = {.squad_1 = score_from(json.at(0)),
            .squad_2 = score_from(json.at(1)),
            .span = score_from(json.at(2)),
            .no_answer_margin = json.at(3),
            .has_answer = json.at(4),
            .has_span = json.at(5)};
}

QuestionScores scores_of(const SamplePrediction& prediction, double no_answer_threshold,
                         const std::vector<std::string>& accepted) {
  const std::string answer = prediction.answer(no_answer_threshold);
  QuestionScores scores = {.squad_2 = score_answer(answer, accepted),
                           .span = score_answer(prediction.span, accepted),
                           .no_answer_margin = prediction.no_answer_margin(),
                           .has_answer = !accepted.empty(),
                           .has_span = !prediction.span.empty()};
  if (scores.has_answer) scores.squad_1 = score_answer_squad_1(answer, accepted);
  return scores;
}

void add_sums(const std::string& prefix, const AnswerSums& sums,
              std::map<std::string, double>& values) {
  if (sums.num_questions == 0) return;
  values[prefix + "exact"] = sums.exact_match_percent();
  values[prefix + "f1"] = sums.f1_percent();
}

// What SQuAD 2.0's script prints beside the scores of all questions.
void add_squad_2_metrics(const std::vector<QuestionScores>& questions,
                         std::map<std::string, double>& values) {
  AnswerSums with_answer, without_answer;
  std::vector<NoAnswerCase> exact, f1;
  for (const QuestionScores& question : questions) {
    (question.has_answer ? with_answer : without_answer).add(question.squad_2);
    exact.push_back({.score = question.span.exact_match,
                     .no_answer = question.no_answer_margin,
                     .has_answer = question.has_answer,
                     .predicted_text = question.has_span});
    f1.push_back(exact.back());
    f1.back().score = question.span.f1;
  }
  add_sums("HasAns_", with_answer, values);
  add_sums("NoAns_", without_answer, values);
  const BestThreshold best_exact = best_no_answer_threshold(std::move(exact)),
                      best_f1 = best_no_answer_threshold(std::move(f1));
  values["best_exact"] = best_exact.percent;
  values["best_exact_thresh"] = best_exact.threshold;
  values["best_f1"] = best_f1.percent;
  values["best_f1_thresh"] = best_f1.threshold;
}

// In the order of the input, whatever the number of ranks.
std::vector<QuestionScores> all_scores(PredictionRounds& rounds, double no_answer_threshold,
                                       const Communicator& data) {
  std::vector<QuestionScores> all;
  while (const std::optional<PredictedSamples> block = rounds.next()) {
    std::vector<QuestionScores> mine;
    for (std::size_t i = 0; i < block->samples.size(); ++i) {
      mine.push_back(
          scores_of(block->predictions[i], no_answer_threshold, block->samples[i].answers));
    }
    for (const std::string& text : data.gather(nlohmann::json(mine).dump())) {
      const auto more = nlohmann::json::parse(text).get<std::vector<QuestionScores>>();
      all.insert(all.end(), more.begin(), more.end());
    }
  }
  return all;
}

// Bits a byte and word perplexity of a causal language model that has predicted all of its text.
void add_text_metrics(TrainedPhase& phase, const CorpusPart& part,
                      const std::vector<Tally>& tallies, const std::string& prefix,
                      std::map<std::string, double>& values) {
  const Dataset& dataset = *part.dataset;
  if (!phase.phase().objectives.contains("clm") || dataset.num_bytes() == 0) return;
  const std::vector<std::string>& names = phase.model().objective_names();
  const Tally& tally = tallies.at(
      static_cast<std::size_t>(std::find(names.begin(), names.end(), "clm") - names.begin()));
  POLYPHASE_PROMISE(tally.num_terms == dataset.num_window_rows(), "{} predictions of {} rows",
                    tally.num_terms, dataset.num_window_rows());
  const recipe::Corpus& corpus = *recipe::find_corpus(phase.recipe(), part.corpus);
  const bool raw = corpus.layout == TextLayout::kRaw;
  values[prefix + "bits_per_byte"] = bits_per_byte(tally.nats, dataset.num_bytes());
  const std::int64_t num_words = dataset.num_words() + (raw ? dataset.num_lines() : 0);
  if (num_words > 0) values[prefix + "word_perplexity"] = word_perplexity(tally.nats, num_words);
}

}  // namespace

std::optional<PartMetrics> evaluate_part(TrainedPhase& phase, const std::string& part,
                                         const Communicator& world, StopRequest& stop) {
  std::vector<CorpusPart> parts;
  agree_on(world, [&] {
    if (!phase.corpus().has(part)) {
      fail<RecipeError>("the corpus {} of phase {} has no {} part; choose another with --part",
                        phase.corpus().name(), phase.phase().name, part);
    }
    parts = phase.corpus().open(part);
  });
  const std::int64_t micro_batch = recipe::micro_batch_of(phase.phase());
  phase.allow_sequences(micro_batch);
  const auto corpora = tallies_of_corpora(phase.evaluation(), parts,
                                          {.sample = phase.sample_settings(),
                                           .micro_batch = micro_batch,
                                           .data_rank = phase.grid().data.rank(),
                                           .num_data_ranks = phase.grid().data.size()},
                                          world, phase.grid(), stop);
  if (!corpora) return std::nullopt;
  PartMetrics result = {.values = metrics_of_corpora(phase.model(), *corpora, phase.phase())};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    result.num_samples += (*corpora)[i].num_samples;
    std::vector<std::string> prefixes;  // as those of metrics_of_corpora
    if (parts.size() == 1) prefixes.emplace_back();
    if (phase.phase().data.size() > 1) prefixes.push_back(parts[i].corpus + ".");
    for (const std::string& prefix : prefixes)
      add_text_metrics(phase, parts[i], (*corpora)[i].tallies, prefix, result.values);
  }
  return result;
}

PartMetrics evaluate_answers(PredictionRounds& rounds, double no_answer_threshold,
                             const Communicator& data) {
  const std::vector<QuestionScores> questions = all_scores(rounds, no_answer_threshold, data);
  const bool squad_1 = std::all_of(questions.begin(), questions.end(),
                                   [](const QuestionScores& each) { return each.has_answer; });
  AnswerSums sums;
  for (const QuestionScores& each : questions) sums.add(squad_1 ? each.squad_1 : each.squad_2);
  PartMetrics result = {
      .values = {{"exact_match", sums.exact_match_percent()}, {"f1", sums.f1_percent()}},
      .num_samples = sums.num_questions};
  if (!squad_1) add_squad_2_metrics(questions, result.values);
  return result;
}

}  // namespace polyphase
