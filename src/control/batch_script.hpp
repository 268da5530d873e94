// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "recipe/slurm.hpp"

namespace polyphase {

// What a batch script is made of, beside the template.
struct BatchJob {
  std::string name;    // as the queue shows it
  std::string folder;  // where the job works, absolute
  std::string output;  // file; %j stands for the job's number
  recipe::SlurmJob resources;
  std::string program;       // that the recipe does not name another in place of
  std::string seeds;         // of an array of runs: "(1 2 3)"; "": one run
  std::size_t num_runs = 1;  // of the array
  std::string command;       // of the program, in words of shell
  // Of a run that goes round: the file whose jobs follow this one; "": none.
  std::string next_jobs;
};

// slurm/phase.sbatch as this program was built with it.
const std::string& default_template();

// The text of a batch script: the template with what the job says behind its two marked lines.
// RecipeError when `text` lacks one of them; `name` stands for it in the message.
std::string batch_script(const std::string& text, const std::string& name, const BatchJob& job);

// A word as a shell takes it: in quotes where it needs some.
std::string shell_word(const std::string& word);
std::string shell_words(const std::vector<std::string>& words);

}  // namespace polyphase
