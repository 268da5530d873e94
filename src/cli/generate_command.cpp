// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>

#include "cli/commands.hpp"
#include "comm/agreement.hpp"
#include "metrics/bleu.hpp"
#include "metrics/chrf.hpp"
#include "predict/generate_text.hpp"

namespace polyphase {
namespace {

std::vector<std::string> lines_of(std::istream& stream) {
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(line);
  }
  return lines;
}

// Rank 0 reads; every rank gets the lines.
std::vector<std::string> read_lines(const std::string& file, const Communicator& world) {
  const std::string joined = from_rank_0(world, [&] {
    std::vector<std::string> lines;
    if (file.empty()) {
      lines = lines_of(std::cin);
    } else {
      std::ifstream stream(file);
      if (!stream) fail<RecipeError>("{}: cannot be read; give a file with one text a line", file);
      lines = lines_of(stream);
    }
    std::string all;
    for (const std::string& line : lines) all += line + "\n";
    return all;
  });
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < joined.size();) {
    const std::size_t end = joined.find('\n', at);
    lines.push_back(joined.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

void print_scores(const std::vector<std::string>& texts,
                  const std::vector<std::string>& references) {
  std::vector<std::vector<std::string>> lists;
  for (const std::string& reference : references) lists.push_back({reference});
  fmt::print(stderr, "BLEU {:.2f}, chrF {:.2f}, {} texts\n", corpus_bleu(texts, lists).score,
             corpus_chrf(texts, lists), texts.size());
}

}  // namespace

ExitCode generate_command(const GenerateOptions& options, const Communicator& world) {
  TrainedPhase trained({.run = options.run,
                        .phase = options.phase,
                        .tensor = options.tensor,
                        .round = options.round},
                       world);
  if (options.prompt) {
    const bool streams = isatty(STDOUT_FILENO) != 0;
    const std::string text = generate_text(trained, world, *options.prompt, options.settings,
                                           [&](const std::string& piece) {
                                             if (!streams) return;
                                             std::fputs(piece.c_str(), stdout);
                                             std::fflush(stdout);
                                           });
    if (world.rank() == 0) fmt::print("{}\n", streams && options.settings.beams == 1 ? "" : text);
    return ExitCode::kDone;
  }
  const std::vector<std::string> texts = read_lines(options.input, world);
  const std::vector<std::string> references = options.references.empty()
                                                  ? std::vector<std::string>()
                                                  : read_lines(options.references, world);
  if (!options.references.empty() && references.size() != texts.size()) {
    throw AgreedError(fmt::format("{} has {} lines, but there are {} texts; give one for each",
                                  options.references, references.size(), texts.size()),
                      ExitCode::kUsage);
  }
  const std::vector<std::string> lines = generate_texts(trained, world, texts, options.settings);
  for (const std::string& line : lines) fmt::print("{}\n", line);
  if (world.rank() == 0 && !references.empty()) {
    std::fflush(stdout);
    print_scores(lines, references);
  }
  return ExitCode::kDone;
}

}  // namespace polyphase
