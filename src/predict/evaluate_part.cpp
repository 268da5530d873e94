// SPDX-License-Identifier: Apache-2.0
#include "predict/evaluate_part.hpp"

#include <algorithm>

#include "comm/agreement.hpp"
#include "metrics/perplexity.hpp"
#include "metrics/question_answering.hpp"
#include "recipe/load.hpp"
#include "train/evaluate.hpp"

namespace polyphase {
namespace {

// A question's scores under both scripts.
struct QuestionScores {
  AnswerScore squad_1, squad_2;
  bool has_answer = false;
};

void to_json(nlohmann::json& json, const QuestionScores& scores) {
  json = {scores.squad_1.exact_match, scores.squad_1.f1, scores.squad_2.exact_match,
          scores.squad_2.f1, scores.has_answer};
}

void from_json(const nlohmann::json& json, QuestionScores& scores) {
  scores = {.squad_1 = {.exact_match = json.at(0), .f1 = json.at(1)},
            .squad_2 = {.exact_match = json.at(2), .f1 = json.at(3)},
            .has_answer = json.at(4)};
}

QuestionScores scores_of(const std::string& answer, const std::vector<std::string>& accepted) {
  QuestionScores scores = {.squad_2 = score_answer(answer, accepted),
                           .has_answer = !accepted.empty()};
  if (scores.has_answer) scores.squad_1 = score_answer_squad_1(answer, accepted);
  return scores;
}

// Bits a byte and word perplexity of a causal language model that has predicted all of its text.
void add_text_metrics(const TrainedPhase& phase, const Dataset& dataset, const Tally& tally,
                      std::map<std::string, double>& values) {
  if (!phase.phase().objectives.contains("clm") || dataset.num_bytes() == 0) return;
  POLYPHASE_PROMISE(tally.num_terms == dataset.num_window_rows(), "{} predictions of {} rows",
                    tally.num_terms, dataset.num_window_rows());
  const recipe::Corpus& corpus = *recipe::find_corpus(phase.recipe(), phase.corpus().name());
  const bool raw = corpus.layout == TextLayout::kRaw;
  values["bits_per_byte"] = bits_per_byte(tally.nats, dataset.num_bytes());
  const std::int64_t num_words = dataset.num_words() + (raw ? dataset.num_lines() : 0);
  if (num_words > 0) values["word_perplexity"] = word_perplexity(tally.nats, num_words);
}

}  // namespace

std::optional<PartMetrics> evaluate_part(TrainedPhase& phase, const std::string& part,
                                         const Communicator& world, StopRequest& stop) {
  std::shared_ptr<Dataset> dataset;
  agree_on(world, [&] {
    if (!phase.corpus().has(part)) {
      fail<RecipeError>("the corpus {} of phase {} has no {} part; choose another with --part",
                        phase.corpus().name(), phase.phase().name, part);
    }
    dataset = phase.corpus().open(part);
  });
  const std::int64_t micro_batch = recipe::micro_batch_of(phase.phase());
  phase.allow_sequences(micro_batch);
  EvaluationStream stream(dataset, {.sample = phase.sample_settings(),
                                    .micro_batch = micro_batch,
                                    .data_rank = phase.grid().data.rank(),
                                    .num_data_ranks = phase.grid().data.size()});
  const auto tallies = evaluation_tallies(phase.model(), stream, world, phase.grid().data, stop);
  if (!tallies) return std::nullopt;
  PartMetrics result = {.values = phase.model().metrics(*tallies),
                        .num_samples = stream.num_samples()};
  add_text_metrics(phase, *dataset, tallies->front(), result.values);
  return result;
}

PartMetrics evaluate_answers(PredictionRounds& rounds, const Communicator& data) {
  AnswerSums squad_1, squad_2;
  bool all_have_answers = true;
  while (const std::optional<PredictedSamples> block = rounds.next()) {
    std::vector<QuestionScores> mine;
    for (std::size_t i = 0; i < block->samples.size(); ++i)
      mine.push_back(scores_of(block->predictions[i].answer, block->samples[i].answers));
    // Added in the order of the input, whatever the number of ranks.
    for (const std::string& text : data.gather(nlohmann::json(mine).dump())) {
      for (const auto& scores : nlohmann::json::parse(text).get<std::vector<QuestionScores>>()) {
        squad_1.add(scores.squad_1);
        squad_2.add(scores.squad_2);
        all_have_answers = all_have_answers && scores.has_answer;
      }
    }
  }
  const AnswerSums& sums = all_have_answers ? squad_1 : squad_2;
  return {.values = {{"exact_match", sums.exact_match_percent()}, {"f1", sums.f1_percent()}},
          .num_samples = sums.num_questions};
}

}  // namespace polyphase
