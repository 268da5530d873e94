// SPDX-License-Identifier: Apache-2.0
#include "predict/generate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/philox.hpp"
#include "kernels/few_rows.hpp"
#include "predict/next_token.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

using Tokens = std::vector<std::int32_t>;

void append(Rows& rows, const Tokens& tokens, std::int64_t first_position) {
  if (rows.starts.empty()) rows.starts.push_back(0);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    rows.tokens_N.push_back(tokens[i]);
    rows.positions_N.push_back(static_cast<std::int32_t>(first_position + i));
  }
  rows.starts.push_back(static_cast<std::int32_t>(rows.tokens_N.size()));
  rows.max_tokens =
      std::max<std::int64_t>(rows.max_tokens, static_cast<std::int64_t>(tokens.size()));
}

// Rounds the rows up, unless they are few: then a product's time is that of reading the weight, and
// each row more costs arithmetic behind it.
void finish(Rows& rows) {
  const std::int64_t row_multiple =
      std::ssize(rows.tokens_N) <= tile::kMostFewRows ? 1 : kRowMultiple;
  const auto n = static_cast<std::size_t>(
      round_up(static_cast<std::int64_t>(rows.tokens_N.size()), row_multiple));
  rows.tokens_N.resize(n, 0);
  rows.positions_N.resize(n, 0);
  rows.segments_N.assign(n, 0);
  rows.row_ids_N.assign(n, 0);
}

// New tokens that input i has room for.
std::int64_t limit_of(const GenerationInput& input, std::size_t i, std::int64_t max_new_tokens) {
  if (input.max_tokens == 0) return max_new_tokens;
  const auto used = static_cast<std::int64_t>(input.prompts[i].size());
  return std::clamp<std::int64_t>(input.max_tokens - used, 0, max_new_tokens);
}

// Sequences of a generation: `copies` for each input, side by side.
class Growing {
 public:
  Growing(PhaseModel& model, const GenerationInput& input, std::int64_t copies,
          std::int64_t max_new_tokens)
      : model_(model), input_(input), num_pieces_(input.num_pieces) {
    Batch batch;
    std::int64_t longest = 0;
    for (std::size_t i = 0; i < input.prompts.size(); ++i) {
      for (std::int64_t copy = 0; copy < copies; ++copy) {
        append(batch, input.prompts[i], 0);
        if (!input.sources.empty()) append(batch.source, input.sources[i], 0);
        if (input.prompts_are_prefixes)
          batch.prefixes_B.push_back(static_cast<std::int32_t>(input.prompts[i].size()));
        lengths_.push_back(static_cast<std::int64_t>(input.prompts[i].size()));
        longest = std::max(longest, lengths_.back());
      }
    }
    finish(batch);
    finish(batch.source);
    model.begin_generation(num_sequences(), longest + max_new_tokens);
    logits_BV_ = model.next_logits(batch);
  }

  std::int64_t num_sequences() const { return static_cast<std::int64_t>(lengths_.size()); }

  // Of what may follow sequence b.
  std::vector<double> log_probabilities_of(std::int64_t b) const {
    const std::size_t columns = logits_BV_.size() / lengths_.size();
    return log_probabilities(std::span(logits_BV_).subspan(b * columns, columns), num_pieces_);
  }

  // Every sequence goes on from its parent, with one more token.
  void grow(const Tokens& parents, const Tokens& tokens) {
    model_.reorder_generation(parents);
    std::vector<std::int64_t> lengths;
    Batch batch;
    for (std::size_t b = 0; b < tokens.size(); ++b) {
      const std::int64_t position = lengths_[parents[b]];
      append(batch, {tokens[b]}, position);
      lengths.push_back(position + 1);
    }
    lengths_ = lengths;
    finish(batch);
    logits_BV_ = model_.next_logits(batch);
  }

 private:
  PhaseModel& model_;
  const GenerationInput& input_;
  std::int64_t num_pieces_;
  std::vector<std::int64_t> lengths_;
  std::vector<float> logits_BV_;
};

// Greedy search and sampling: every input by itself.
std::vector<Generated> follow(PhaseModel& model, const GenerationInput& input,
                              const GenerationSettings& settings, const OnToken& on_token) {
  Growing growing(model, input, 1, settings.max_new_tokens);
  const std::int64_t b = growing.num_sequences();
  std::vector<Generated> results(static_cast<std::size_t>(b));
  std::vector<Draws> draws;
  for (std::int64_t i = 0; i < b; ++i)
    draws.emplace_back(random_key(settings.seed, Purpose::kGenerate, {}), input.first_number + i);
  Tokens same(static_cast<std::size_t>(b)), tokens(static_cast<std::size_t>(b));
  std::iota(same.begin(), same.end(), 0);
  for (std::int64_t step = 0; step < settings.max_new_tokens; ++step) {
    bool all_ended = true;
    for (std::int64_t i = 0; i < b; ++i) {
      tokens[i] = text::kSepId;  // what has ended goes on unheard
      if (results[i].ended || step >= limit_of(input, i, settings.max_new_tokens)) continue;
      const std::vector<double> log_probabilities = growing.log_probabilities_of(i);
      tokens[i] = settings.temperature > 0 ? sample(log_probabilities, settings, draws[i])
                                           : likeliest(log_probabilities);
      results[i].log_probability += log_probabilities[tokens[i]];
      results[i].ended = tokens[i] == text::kSepId;
      if (results[i].ended) continue;
      all_ended = false;
      results[i].tokens.push_back(tokens[i]);
      if (on_token) on_token(results[i].tokens);
    }
    if (all_ended || step + 1 == settings.max_new_tokens) break;
    growing.grow(same, tokens);
  }
  return results;
}

// The beams of one input.
class Beams {
 public:
  Beams(const GenerationSettings& settings, std::int64_t limit)
      : settings_(settings), limit_(limit), live_(1), done_(limit == 0) {}

  bool done() const { return done_; }
  std::int64_t num_live() const { return static_cast<std::int64_t>(live_.size()); }

  struct Step {
    std::int32_t parent, token;  // parent: number of a beam
  };

  // Chooses how to go on; log_probabilities[i] are of live beam i. Returns as many steps as there
  // are beams; those of an input that is done are idle.
  std::vector<Step> choose(const std::vector<std::vector<double>>& log_probabilities) {
    std::vector<Candidate> candidates;
    for (std::size_t i = 0; i < live_.size(); ++i) {
      for (const std::int32_t token : likeliest(log_probabilities[i], settings_.beams + 1)) {
        candidates.push_back({live_[i].log_probability + log_probabilities[i][token],
                              static_cast<std::int32_t>(i), token});
      }
    }
    std::stable_sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
      return a.log_probability > b.log_probability;
    });
    std::vector<Generated> next;
    std::vector<Step> steps;
    for (const Candidate& candidate : candidates) {
      if (static_cast<std::int64_t>(next.size()) == settings_.beams) break;
      Generated beam = live_[candidate.parent];
      beam.log_probability = candidate.log_probability;
      if (candidate.token == text::kSepId) {
        beam.ended = true;
        finish(beam);
        continue;
      }
      beam.tokens.push_back(candidate.token);
      next.push_back(beam);
      steps.push_back({candidate.parent, candidate.token});
    }
    live_ = next;
    // Enough are finished, and the best live one would not beat them if it ended here. (With a
    // length penalty it might still catch up by growing longer, which is not waited for.)
    done_ = live_.empty() ||
            (num_finished_ >= settings_.beams && score(live_.front(), 0) <= best_score_);
    if (++num_steps_ == limit_ && !done_) {
      for (const Generated& beam : live_) finish(beam);
      done_ = true;
    }
    while (static_cast<std::int64_t>(steps.size()) < settings_.beams) {
      steps.push_back({steps.empty() ? 0 : steps.back().parent, text::kSepId});
    }
    return steps;
  }

  const Generated& best() const { return best_; }

 private:
  struct Candidate {
    double log_probability;
    std::int32_t parent, token;
  };

  // With `ending` 1 when the end counts as a token.
  double score(const Generated& beam, int ending) const {
    const auto length = static_cast<double>(beam.tokens.size() + static_cast<std::size_t>(ending));
    return beam.log_probability / std::pow(std::max(1.0, length), settings_.length_penalty);
  }

  void finish(const Generated& beam) {
    const double value = score(beam, beam.ended ? 1 : 0);
    ++num_finished_;
    if (value <= best_score_) return;
    best_score_ = value;
    best_ = beam;
  }

  const GenerationSettings& settings_;
  std::int64_t limit_;  // steps
  std::vector<Generated> live_;
  Generated best_;
  double best_score_ = -std::numeric_limits<double>::infinity();
  std::int64_t num_finished_ = 0, num_steps_ = 0;
  bool done_;
};

std::vector<Generated> search(PhaseModel& model, const GenerationInput& input,
                              const GenerationSettings& settings) {
  Growing growing(model, input, settings.beams, settings.max_new_tokens);
  std::vector<Beams> all;
  for (std::size_t i = 0; i < input.prompts.size(); ++i)
    all.emplace_back(settings, limit_of(input, i, settings.max_new_tokens));
  for (std::int64_t step = 0; step < settings.max_new_tokens; ++step) {
    Tokens parents, tokens;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto first = static_cast<std::int64_t>(i) * settings.beams;
      std::vector<std::vector<double>> log_probabilities;
      for (std::int64_t beam = 0; beam < all[i].num_live() && !all[i].done(); ++beam)
        log_probabilities.push_back(growing.log_probabilities_of(first + beam));
      std::vector<Beams::Step> steps(static_cast<std::size_t>(settings.beams), {0, text::kSepId});
      if (!all[i].done()) steps = all[i].choose(log_probabilities);
      for (const Beams::Step& chosen : steps) {
        parents.push_back(static_cast<std::int32_t>(first + chosen.parent));
        tokens.push_back(chosen.token);
      }
    }
    const bool all_done =
        std::all_of(all.begin(), all.end(), [](const Beams& beams) { return beams.done(); });
    if (all_done || step + 1 == settings.max_new_tokens) break;
    growing.grow(parents, tokens);
  }
  std::vector<Generated> results;
  for (const Beams& beams : all) results.push_back(beams.best());
  return results;
}

}  // namespace

std::vector<Generated> generate(PhaseModel& model, const GenerationInput& input,
                                const GenerationSettings& settings, const OnToken& on_token) {
  if (input.prompts.empty() || settings.max_new_tokens < 1)
    return std::vector<Generated>(input.prompts.size());
  return settings.beams > 1 ? search(model, input, settings)
                            : follow(model, input, settings, on_token);
}

}  // namespace polyphase
