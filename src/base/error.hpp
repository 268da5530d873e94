// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace polyphase {

// The root of every failure that a person can do something about. A message states the fact, then
// the values, then the remedy. Broken promises inside the program are std::logic_error and are
// never caught.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct RecipeError : Error {  // the person can fix the recipe or the command
  using Error::Error;
};
struct DataError : Error {  // a file is not what it claims to be
  using Error::Error;
};
struct SystemError : Error {  // MPI, HDF5, the device or the disk said no
  using Error::Error;
};

// Exit codes of the program, as docs/runs.md lists them. Values follow sysexits(3) where it has a
// word.
enum class ExitCode : int {
  kDone = 0,
  kUsage = 64,        // command line or recipe at fault
  kData = 65,         // a file is not what it claims to be
  kSoftware = 70,     // a broken promise inside the program: a bug
  kSystem = 74,       // disk, MPI or HDF5 failed
  kInterrupted = 75,  // stopped on request and saved; the same command goes on
};

// The exit code that reports `error` to the shell.
ExitCode exit_code_of(const std::exception& error);

// Formats and throws in one go: fail<DataError>("{}:{}: no label", file, line).
template <class E, class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw E(fmt::format(format, std::forward<Args>(args)...));
}

[[noreturn]] void broken_promise(const char* file, int line, const std::string& what);

// The remedy for a misspelt word: the candidate nearest to `word` by edit distance, or "" when none
// is near.
template <class Strings>
std::string nearest(const std::string& word, const Strings& candidates);

// Edit distance with insertions, deletions, replacements and swaps of neighbours (Damerau, 1964).
std::size_t edit_distance(const std::string& a, const std::string& b);

template <class Strings>
std::string nearest(const std::string& word, const Strings& candidates) {
  std::string best;
  std::size_t best_distance = word.size() / 3 + 2;
  for (const auto& candidate : candidates) {
    const std::size_t distance = edit_distance(word, std::string(candidate));
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace polyphase

// States a promise of the program to itself; a broken one throws std::logic_error with file and
// line.
#define POLYPHASE_PROMISE(condition, ...)                                          \
  do {                                                                             \
    if (!(condition)) {                                                            \
      ::polyphase::broken_promise(__FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
    }                                                                              \
  } while (false)
