// SPDX-License-Identifier: Apache-2.0
#include "predict/predict.hpp"

#include <algorithm>
#include <limits>

#include "comm/agreement.hpp"
#include "corpus/batch_builder.hpp"
#include "predict/text_samples.hpp"
#include "recipe/goals.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kGroupsOfRound = 16;  // at least: enough for every rank

// Sequences in passes of at most `most`; one prediction each.
std::vector<Prediction> run_passes(TrainedPhase& phase, const SampleSettings& settings,
                                   const std::vector<EncodedInput>& inputs, std::int64_t most) {
  std::vector<Prediction> predictions;
  BatchBuilder builder(settings);
  std::int64_t waiting = 0;
  const auto flush = [&] {
    if (waiting == 0) return;
    std::vector<Prediction> more = phase.predict(builder.finish());
    std::move(more.begin(), more.end(), std::back_inserter(predictions));
    waiting = 0;
  };
  for (const EncodedInput& input : inputs) {
    for (const Sample& sequence : input.sequences) {
      builder.add(sequence, 0);  // its number keys dropout, which predictions have not
      if (++waiting == most) flush();
    }
  }
  flush();
  return predictions;
}

std::string answer_text(const std::string& context, const EncodedInput& input, std::size_t window,
                        const Prediction::Answer& answer) {
  const auto token_at = [&](std::int32_t place) {
    return input.bytes.at(input.window_starts[window] + place - input.window_place);
  };
  const std::int64_t begin = token_at(answer.first).begin, end = token_at(answer.last).end;
  const std::string text = context.substr(begin, std::max<std::int64_t>(0, end - begin));
  const char* blanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blanks);
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// The best answer of all windows; that there is none is as likely as the window says that likes it
// least (the released code of Devlin et al., 2019).
void join_windows(const std::string& context, const EncodedInput& input,
                  const Prediction* of_windows, SamplePrediction& result) {
  Prediction::Answer best = {.score = -std::numeric_limits<double>::infinity(),
                             .score_of_none = std::numeric_limits<double>::infinity()};
  std::size_t best_window = 0;
  for (std::size_t w = 0; w < input.sequences.size(); ++w) {
    const Prediction::Answer& answer = of_windows[w].answer;
    const double none = std::min(best.score_of_none, answer.score_of_none);
    if (answer.score > best.score) {
      best = answer;
      best_window = w;
    }
    best.score_of_none = none;
  }
  result.prediction.answer = best;
  if (best.score > -std::numeric_limits<double>::infinity())
    result.span = answer_text(context, input, best_window, best);
}

SamplePrediction join(const InputSample& sample, const EncodedInput& input,
                      const Prediction* of_sequences, SampleKind kind) {
  SamplePrediction result;
  if (input.sequences.empty()) return result;
  result.empty = false;
  result.prediction = of_sequences[0];
  if (kind == SampleKind::kQuestionAnswering) {
    join_windows(sample.texts.at(1), input, of_sequences, result);
    return result;
  }
  for (std::size_t s = 1; s < input.sequences.size(); ++s) {
    const std::vector<std::int32_t>& more = of_sequences[s].tags_T;
    result.prediction.tags_T.insert(result.prediction.tags_T.end(), more.begin(), more.end());
  }
  return result;
}

}  // namespace

double SamplePrediction::no_answer_margin() const {
  const double most = std::numeric_limits<double>::max();
  return empty ? most : std::min(most, prediction.answer.score_of_none - prediction.answer.score);
}

std::string SamplePrediction::answer(double no_answer_threshold) const {
  return no_answer_margin() > no_answer_threshold ? "" : span;
}

PredictionRounds::PredictionRounds(TrainedPhase& phase, const Communicator& world,
                                   std::unique_ptr<SampleInput> input, bool one_by_one)
    : phase_(phase),
      world_(world),
      input_(std::move(input)),
      settings_(phase.sample_settings()),
      num_sequences_(recipe::micro_batch_of(phase.phase())),
      group_(num_sequences_),
      groups_(std::max<std::int64_t>(kGroupsOfRound, phase.grid().data.size())) {
  phase_.allow_sequences(num_sequences_);
  if (one_by_one) group_ = groups_ = 1;
}

std::vector<InputSample> PredictionRounds::next_round() {
  const std::string text = from_rank_0(world_, [&] {
    std::vector<InputSample> samples;
    InputSample sample;
    while (static_cast<std::int64_t>(samples.size()) < group_ * groups_ && input_->next(sample))
      samples.push_back(std::move(sample));
    return nlohmann::json(samples).dump();
  });
  return nlohmann::json::parse(text).get<std::vector<InputSample>>();
}

std::optional<PredictedSamples> PredictionRounds::next() {
  std::vector<InputSample> round = next_round();
  if (round.empty()) return std::nullopt;
  num_samples_ += static_cast<std::int64_t>(round.size());
  const Communicator& data = phase_.grid().data;
  const auto size = static_cast<std::int64_t>(round.size());
  const auto place_of = [&](int rank) {
    return std::min(size, rank * groups_ / data.size() * group_);
  };
  const std::int64_t begin = place_of(data.rank()), end = place_of(data.rank() + 1);
  PredictedSamples block;
  block.samples.assign(std::make_move_iterator(round.begin() + begin),
                       std::make_move_iterator(round.begin() + end));
  for (std::size_t first = 0; first < block.samples.size(); first += group_)
    predict_group(block, first, std::min<std::size_t>(block.samples.size(), first + group_));
  return block;
}

void PredictionRounds::predict_group(PredictedSamples& block, std::size_t begin, std::size_t end) {
  std::vector<EncodedInput> inputs;
  for (std::size_t i = begin; i < end; ++i) {
    inputs.push_back(encode_input(block.samples[i], phase_.tokenizer(), settings_));
    num_too_long_ += inputs.back().too_long ? 1 : 0;
  }
  const std::vector<Prediction> predictions = run_passes(phase_, settings_, inputs, num_sequences_);
  std::size_t next = 0;
  for (std::size_t i = begin; i < end; ++i) {
    const EncodedInput& input = inputs[i - begin];
    block.predictions.push_back(
        join(block.samples[i], input, predictions.data() + next, settings_.kinds.front()));
    next += input.sequences.size();
  }
}

InputCounts PredictionRounds::counts() const {
  InputCounts counts = {.num_samples = num_samples_, .num_too_long = num_too_long_};
  phase_.grid().data.sum(&counts.num_too_long, 1);
  return counts;
}

std::int64_t num_texts_of(const TrainedPhase& phase) {
  ShardText text;
  phase.corpus().train()->read_document(0, text);
  return static_cast<std::int64_t>(text.sentence_starts.size()) - 1;
}

void require_predictions(const recipe::Phase& phase) {
  const std::string goal = recipe::goal_name(phase);
  if (!phase.task) {
    fail<RecipeError>(
        "phase {} is pretraining ({}) and has nothing to predict of a text; name the "
        "phase of a task with --phase",
        phase.name, goal);
  }
  if (phase.task->kind == recipe::TaskKind::kGeneration) {
    fail<RecipeError>("phase {} generates text: use polyphase generate", phase.name);
  }
}

}  // namespace polyphase
