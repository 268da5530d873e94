// SPDX-License-Identifier: Apache-2.0
#include "metrics/question_answering.hpp"

#include <algorithm>
#include <map>

#include "base/error.hpp"
#include "metrics/ratio.hpp"
#include "metrics/unicode.hpp"

namespace polyphase {
namespace {

constexpr std::u32string_view kPunctuation = U"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

bool is_article(std::u32string_view run) { return run == U"a" || run == U"an" || run == U"the"; }

// Replaces runs of word characters that are articles by a blank. Runs, not words between blanks:
// in "a–b" the article is its own run.
std::u32string without_articles(const std::u32string& text) {
  std::u32string result;
  for (std::size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    const bool word = is_word_character(text[begin]);
    end = begin + 1;
    while (word && end < text.size() && is_word_character(text[end])) ++end;
    const std::u32string_view run(text.data() + begin, end - begin);
    if (is_article(run)) {
      result += U' ';
    } else {
      result += run;
    }
  }
  return result;
}

std::vector<std::u32string> normalized_words(std::string_view answer) {
  std::u32string text = lower_case(decode_utf8(answer));
  std::erase_if(text, [](char32_t c) { return kPunctuation.find(c) != std::u32string_view::npos; });
  return split_words(without_articles(text));
}

using Words = std::vector<std::u32string>;

// Words in both, each as often as in the one that has fewer of it.
std::int64_t num_common(const Words& a, const Words& b) {
  std::map<std::u32string_view, std::int64_t> left;
  for (const std::u32string& word : a) ++left[word];
  std::int64_t count = 0;
  for (const std::u32string& word : b) {
    const auto found = left.find(word);
    if (found == left.end() || found->second == 0) continue;
    --found->second;
    ++count;
  }
  return count;
}

double word_f1(const Words& predicted, const Words& answer) {
  const double common = static_cast<double>(num_common(predicted, answer));
  return ratio_or_zero(2 * common, static_cast<double>(predicted.size() + answer.size()));
}

}  // namespace

std::string normalized_answer(std::string_view answer) {
  std::string result;
  for (const std::u32string& word : normalized_words(answer)) {
    if (!result.empty()) result += ' ';
    result += encode_utf8(word);
  }
  return result;
}

AnswerScore score_answer_squad_1(std::string_view prediction,
                                 const std::vector<std::string>& answers) {
  POLYPHASE_PROMISE(!answers.empty(), "a question of SQuAD 1.1 without an answer");
  const Words predicted = normalized_words(prediction);
  AnswerScore best;
  for (const std::string& answer : answers) {
    const Words words = normalized_words(answer);
    best.exact_match = std::max(best.exact_match, words == predicted ? 1.0 : 0.0);
    best.f1 = std::max(best.f1, word_f1(predicted, words));
  }
  return best;
}

AnswerScore score_answer(std::string_view prediction, const std::vector<std::string>& answers) {
  std::vector<std::string> given;
  for (const std::string& answer : answers) {
    if (!normalized_words(answer).empty()) given.push_back(answer);
  }
  if (!given.empty()) return score_answer_squad_1(prediction, given);
  const double right = normalized_words(prediction).empty() ? 1 : 0;
  return {.exact_match = right, .f1 = right};
}

void AnswerSums::add(const AnswerScore& score) {
  exact_match += score.exact_match;
  f1 += score.f1;
  ++num_questions;
}

double AnswerSums::exact_match_percent() const {
  return ratio_or_zero(100 * exact_match, static_cast<double>(num_questions));
}

double AnswerSums::f1_percent() const {
  return ratio_or_zero(100 * f1, static_cast<double>(num_questions));
}

double score_with_threshold(const NoAnswerCase& question, double threshold) {
  if (question.no_answer > threshold) return question.has_answer ? 0.0 : 1.0;
  return question.score;
}

BestThreshold best_no_answer_threshold(std::vector<NoAnswerCase> questions) {
  std::stable_sort(
      questions.begin(), questions.end(),
      [](const NoAnswerCase& a, const NoAnswerCase& b) { return a.no_answer < b.no_answer; });
  // Starts where no question is answered, then answers one more at a time.
  double sum = static_cast<double>(
      std::count_if(questions.begin(), questions.end(),
                    [](const NoAnswerCase& question) { return !question.has_answer; }));
  double best_sum = sum, best_threshold = 0;
  for (const NoAnswerCase& question : questions) {
    if (question.has_answer) {
      sum += question.score;
    } else if (question.predicted_text) {
      sum -= 1;
    }
    if (sum <= best_sum) continue;
    best_sum = sum;
    best_threshold = question.no_answer;
  }
  return {.percent = ratio_or_zero(100 * best_sum, static_cast<double>(questions.size())),
          .threshold = best_threshold};
}

}  // namespace polyphase
