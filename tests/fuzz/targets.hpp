// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

// Readers of files from elsewhere, each as a function of the bytes of such a file: what libFuzzer
// drives for long (scripts/fuzz), and a test for a moment.
namespace polyphase::fuzz {

struct Target {
  std::string name;
  // Reads a file of these bytes. What the reader may say of a bad one is caught; all else that is
  // thrown is a fault of the reader.
  void (*read)(std::string_view bytes);
  std::vector<std::string> (*seeds)();  // bytes of sound files, and of some that are not
  bool is_json = false;                 // a value, one a line, or one without its end
};

const std::vector<Target>& targets();
const Target& target_named(const std::string& name);  // RecipeError with all names

// By the file that defines them.
std::vector<Target> recipe_targets();
std::vector<Target> text_targets();
std::vector<Target> record_targets();
std::vector<Target> tensor_targets();

// A folder of this process, removed at its end.
const std::filesystem::path& scratch();
// Writes the file of that name there, and gives its path.
std::filesystem::path put(const std::string& name, std::string_view bytes);

// Does the work; a Fault is what it may end with.
template <class Fault, class Work>
void may_refuse(const Work& work) {
  try {
    work();
  } catch (const Fault&) {
  }
}

}  // namespace polyphase::fuzz
