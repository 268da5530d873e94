// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace polyphase::reference {

// A linear-chain random field by its definition: every way to tag a sentence is listed, in float64.
struct Crf {
  std::int64_t num_tags = 0;
  std::vector<double> transition, start, end;  // [from][to], row by row

  using Path = std::vector<std::int32_t>;
  using Sentence = std::vector<double>;  // emissions, word by word

  double score(const Sentence& emission, const Path& path) const {
    double total = start[path.front()] + end[path.back()];
    for (std::size_t t = 0; t < path.size(); ++t) {
      total += emission[t * num_tags + path[t]];
      if (t > 0) total += transition[path[t - 1] * num_tags + path[t]];
    }
    return total;
  }

  // Calls visit(path) for every path, the last word's tag running slowest.
  template <class Visit>
  void each_path(std::int64_t num_words, const Visit& visit) const {
    Path path(num_words, 0);
    for (;;) {
      visit(path);
      std::int64_t t = 0;
      while (t < num_words && ++path[t] == num_tags) path[t++] = 0;
      if (t == num_words) return;
    }
  }

  // log Σ exp(score) over all paths.
  double log_sum(const Sentence& emission) const {
    const double first = score(emission, Path(emission.size() / num_tags, 0));
    double sum = 0.0;
    each_path(static_cast<std::int64_t>(emission.size()) / num_tags,
              [&](const Path& path) { sum += std::exp(score(emission, path) - first); });
    return first + std::log(sum);
  }

  double nats(const Sentence& emission, const Path& labels) const {
    double sum = 0.0;
    const double true_score = score(emission, labels);
    each_path(static_cast<std::int64_t>(labels.size()),
              [&](const Path& path) { sum += std::exp(score(emission, path) - true_score); });
    return std::log(sum);
  }

  Path best(const Sentence& emission) const {
    Path best;
    double highest = -std::numeric_limits<double>::infinity();
    each_path(static_cast<std::int64_t>(emission.size()) / num_tags, [&](const Path& path) {
      const double here = score(emission, path);
      if (here > highest) highest = here, best = path;
    });
    return best;
  }
};

}  // namespace polyphase::reference
