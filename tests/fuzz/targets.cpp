// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/targets.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/error.hpp"

namespace polyphase::fuzz {
namespace {

class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "polyphase-fuzz-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) fail<SystemError>("{}: cannot be made", name);
    path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

const std::filesystem::path& scratch() {
  static const Scratch folder;
  return folder.path();
}

std::filesystem::path put(const std::string& name, std::string_view bytes) {
  const std::filesystem::path path = scratch() / name;
  int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 && errno == ENOENT) {
    std::filesystem::create_directories(path.parent_path());
    file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  }
  const bool whole =
      file >= 0 && ::write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  if (!whole) fail<SystemError>("{}: {}", path.string(), std::generic_category().message(errno));
  ::close(file);
  return path;
}

const std::vector<Target>& targets() {
  static const std::vector<Target> all = [] {
    std::vector<Target> list;
    for (const auto& some : {recipe_targets(), text_targets(), record_targets(), tensor_targets()})
      list.insert(list.end(), some.begin(), some.end());
    return list;
  }();
  return all;
}

const Target& target_named(const std::string& name) {
  std::vector<std::string> names;
  for (const Target& target : targets()) {
    if (target.name == name) return target;
    names.push_back(target.name);
  }
  fail<RecipeError>("no target \"{}\"; there are: {}", name, fmt::join(names, ", "));
}

}  // namespace polyphase::fuzz
